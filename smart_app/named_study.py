"""A study that a launch, a link or another application names, before anybody has looked whether it is this patient's.

It may be named by its UID, by its ImagingStudy, by an accession number, or only through a report or an order of it.

Spec: SMART App Launch 2.2 ``fhirContext`` (A29), CDS Hooks 2.0 ``appContext``; FHIR R4/R5 DiagnosticReport, ServiceRequest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, from_urn

FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
REPORT = "DiagnosticReport"
ORDER = "ServiceRequest"
STUDY = "ImagingStudy"
_MAX_VALUE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStudy:
    """A study that somebody points at, in exactly one of the ways below; only what was resolved to a UID can be opened."""

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    """Beside the UID: the series, and perhaps the slice, to open it at."""
    sop_instance_uid: str | None = None
    resource_id: str | None = None
    """The ImagingStudy's logical id."""
    accession: str | None = None
    """An accession number."""
    through: str | None = None
    """``DiagnosticReport/id`` or ``ServiceRequest/id``: the studies that it reports on, or that it ordered."""
    identifier_of: str | None = None
    """The resource type that carries ``identifier``: a report or an order that is known by its identifier only."""
    identifier: str | None = None
    """``system|value``, or the value alone."""


def from_reference(reference: str) -> NamedStudy | None:
    """A relative reference to a study, a report or an order; an absolute one into another server names nothing here."""
    segments = reference.split("/_history/", 1)[0].split("/")
    if len(segments) != 2 or not FHIR_ID.fullmatch(segments[1]):
        return None
    if segments[0] == STUDY:
        return NamedStudy(resource_id=segments[1])
    return NamedStudy(through="/".join(segments)) if segments[0] in (REPORT, ORDER) else None


def from_identifier(identifier: Mapping[str, Any], resource_type: str | None) -> NamedStudy | None:
    """What an identifier alone names: a Study Instance UID, an accession number, or a report or order known by it."""
    value, system = text(identifier.get("value")), text(identifier.get("system"))
    if value is None or len(value) > _MAX_VALUE:
        return None
    uid = from_urn(value) if system in (DICOM_UID_SYSTEM, None) or value.startswith("urn:oid:") else None
    if resource_type in (None, STUDY):
        if uid is not None:
            return NamedStudy(study_instance_uid=uid)
        return NamedStudy(accession=value) if resource_type == STUDY or is_accession(identifier) else None
    token = f"{system}|{value}" if system else value
    return NamedStudy(identifier_of=resource_type, identifier=token) if resource_type in (REPORT, ORDER) else None


def is_accession(identifier: Mapping[str, Any]) -> bool:
    """Whether an identifier is typed as an accession number (HL7 v2-0203 ACSN)."""
    return any(coding.get("code") == "ACSN" for coding in dicts(as_dict(identifier.get("type")).get("coding")))


def named_by(resource: Mapping[str, Any]) -> tuple[NamedStudy, ...]:
    """The studies that a report or an order of this patient means, the most certain names first.

    A report says ``imagingStudy`` (R4) or ``study`` (R5). Where it does not, its order and its accession number stand for it.
    """
    named = [_in_reference(one) for name in ("imagingStudy", "study") for one in dicts(resource.get(name))]
    certain = tuple(dict.fromkeys(one for one in named if one))
    return certain or tuple(dict.fromkeys(_by_order(resource)))


def means(named: NamedStudy, study: Mapping[str, Any]) -> bool:
    """Whether an ImagingStudy resource is the one named: by UID, logical id, accession number or its order."""
    if named.resource_id is not None:
        return study.get("id") == named.resource_id
    based_on = dicts(study.get("basedOn"))
    if named.through is not None:
        return any(text(one.get("reference")) == named.through for one in based_on)
    identifiers = [*dicts(study.get("identifier")), *(as_dict(one.get("identifier")) for one in based_on)]
    if named.accession is not None:
        return any(text(one.get("value")) == named.accession for one in identifiers)
    return any(from_urn(text(one.get("value")) or "") == named.study_instance_uid for one in identifiers)


def _by_order(resource: Mapping[str, Any]) -> Iterator[NamedStudy]:
    if resource.get("resourceType") == ORDER and text(resource.get("id")):
        yield NamedStudy(through=f"{ORDER}/{resource['id']}")
    for one in dicts(resource.get("basedOn")):
        order = from_reference(text(one.get("reference")) or "")
        if order is not None and order.through is not None and order.through.startswith(f"{ORDER}/"):
            yield order
    for identifier in _identifiers(resource):
        value = text(identifier.get("value"))
        if is_accession(identifier) and value is not None:
            yield NamedStudy(accession=value)


def _identifiers(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from dicts(resource.get("identifier"))
    yield as_dict(resource.get("requisition"))
    yield from (as_dict(one.get("identifier")) for one in dicts(resource.get("basedOn")))


def _in_reference(reference: Mapping[str, Any]) -> NamedStudy | None:
    # Absolute references to a study occur where the imaging base is another server; its id is searched for there.
    tail = "/".join((text(reference.get("reference")) or "").split("/_history/", 1)[0].split("/")[-2:])
    by_reference = from_reference(tail)
    if by_reference is not None and by_reference.resource_id is not None:
        return by_reference
    return from_identifier(as_dict(reference.get("identifier")), STUDY)
