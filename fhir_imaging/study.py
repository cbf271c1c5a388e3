"""An imaging study as FHIR tells it, read tolerantly from R4, R4B or R5 JSON.

A study that cannot be read becomes an ``UnreadableStudy`` that says why, so that one odd resource never hides the others.

Spec: FHIR R4/R5 ImagingStudy; SMART Imaging Access F3 and C5 (the identifier is picked by its system, never by position).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_imaging.tolerant import as_dict, as_list, count, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID, from_urn, study_uid

# Acquisition modalities come first in lists; these describe or mark images that others acquired.
DERIVED_MODALITIES = frozenset({"SR", "PR", "KO", "SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "DOC", "OT", "REG", "FID", "AU"})

# A year or a month, by its length, up to the first day of it.
_PADDING = {4: "-01-01", 7: "-01"}


WITHDRAWN = frozenset({"cancelled", "entered-in-error", "inactive"})
"""States of an ImagingStudy that is not to be looked at: whoever wrote it takes back that it is this patient's, or that
there is one (R4 to R6 have these words for it, and writers differ in which they take)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series: ``uid`` bare, ``number`` as the modality gave it."""

    uid: str
    number: int | None = None
    modality: str | None = None
    description: str | None = None
    body_site: str | None = None
    instances: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingStudy:
    """One study of one patient. ``started`` keeps the zone that the source gave; a bare date has no time."""

    study_instance_uid: StudyInstanceUID
    resource_id: str | None
    status: str
    subject: str | None
    """``subject.reference`` as sent (relative or absolute)."""
    started: datetime | None
    started_text: str | None
    """The dateTime as sent, at its own precision."""
    modalities: tuple[str, ...]
    description: str | None
    accession: str | None
    series: tuple[Series, ...]
    number_of_series: int | None
    number_of_instances: int | None
    procedure: str | None
    reasons: tuple[str, ...]
    endpoint_references: tuple[str, ...]
    contained: tuple[Mapping[str, Any], ...]
    body_sites: tuple[str, ...]

    @property
    def patient_id(self) -> str | None:
        """Logical id of the subject: the last segment of a ``Patient`` reference."""
        return patient_id_of(self.subject)


@dataclass(frozen=True, slots=True)
class UnreadableStudy:
    """An ImagingStudy that could not be understood; ``problem`` says why in words for the study list."""

    resource_id: str | None
    problem: str


def patient_id_of(reference: str | None) -> str | None:
    """The logical id in ``Patient/1``, ``http://…/Patient/1`` or ``Patient/1/_history/2``; None for anything else."""
    if not reference:
        return None
    segments = reference.split("/")
    if "_history" in segments:
        segments = segments[: segments.index("_history")]
    return segments[-1] if len(segments) >= 2 and segments[-2] == "Patient" and segments[-1] else None


def points_to_patient(reference: str | None, patient_id: str, bases: Iterable[str] = ()) -> bool:
    """Whether a reference means this patient: relative, or absolute into one of these FHIR bases.

    The same logical id on another server is another person.
    """
    own = f"Patient/{patient_id}"
    if reference == own:
        return True
    stated = (reference or "").split("/_history/", 1)[0]
    return stated == own or any(stated == f"{base.rstrip('/')}/Patient/{patient_id}" for base in bases)


def read_study_uid(resource: Mapping[str, Any]) -> StudyInstanceUID | UnreadableStudy:
    """The Study Instance UID of an ImagingStudy resource, where there is one and no second one."""
    uids = {uid for uid in map(_identifier_uid, dicts(resource.get("identifier"))) if uid}
    if len(uids) == 1:
        return study_uid(uids.pop())
    found = "no Study Instance UID" if not uids else "more than one Study Instance UID"
    problem = f"The ImagingStudy has {found} (identifier of system {DICOM_UID_SYSTEM})."
    return UnreadableStudy(text(resource.get("id")), problem)


def read_study(resource: Mapping[str, Any]) -> ImagingStudy | UnreadableStudy:
    """The study in an ImagingStudy resource of any version."""
    resource_id = text(resource.get("id"))
    uid = read_study_uid(resource)
    if isinstance(uid, UnreadableStudy):
        return uid
    series = tuple(one for one in map(_series, dicts(resource.get("series"))) if one)
    started_text = text(resource.get("started"))
    return ImagingStudy(
        study_instance_uid=uid,
        resource_id=resource_id,
        status=text(resource.get("status")) or "unknown",
        subject=text(as_dict(resource.get("subject")).get("reference")),
        started=parse_datetime(started_text),
        started_text=started_text,
        modalities=_modalities(resource, series),
        description=text(resource.get("description")),
        accession=text(stated_accession(resource).get("value")),
        series=series,
        number_of_series=count(resource.get("numberOfSeries")),
        number_of_instances=count(resource.get("numberOfInstances")),
        procedure=_procedure(resource),
        reasons=_reasons(resource),
        endpoint_references=_endpoints(resource),
        contained=tuple(dicts(resource.get("contained"))),
        body_sites=_unique(one.body_site for one in series if one.body_site),
    )


def parse_datetime(stated: str | None) -> datetime | None:
    """A FHIR dateTime; partial dates become their first day, None where it cannot be read.

    The result is naive for a date and aware for a time with zone; callers that compare must say what a date means.
    """
    if not stated:
        return None
    padding = _PADDING.get(len(stated), "")
    try:
        return datetime.fromisoformat(stated + padding)
    except ValueError:
        return None


def concept_text(value: object) -> str | None:
    """Words for a Coding, a CodeableConcept, or an R5 CodeableReference: text, else display, else code."""
    stated = as_dict(value)
    concept = as_dict(stated.get("concept")) or stated
    codings = dicts(concept.get("coding")) or [concept]
    candidates = [
        concept.get("text"),
        *(coding.get("display") for coding in codings),
        *(coding.get("code") for coding in codings),
        # A CodeableReference may hold a reference alone, whose display is all that is known without another read.
        as_dict(stated.get("reference")).get("display"),
    ]
    return next((text for text in map(text, candidates) if text), None)


def concept_code(value: object) -> str | None:
    """The code of a Coding (R4 modality) or of a CodeableConcept's first coding (R5 modality)."""
    concept = as_dict(value)
    codings = [concept, *dicts(concept.get("coding"))]
    return next((code for code in (text(coding.get("code")) for coding in codings) if code), None)


def _identifier_uid(identifier: Mapping[str, Any]) -> str | None:
    value = text(identifier.get("value"))
    return from_urn(value) if value and identifier.get("system") == DICOM_UID_SYSTEM else None


def _series(resource: Mapping[str, Any]) -> Series | None:
    uid = from_urn(text(resource.get("uid")) or "")
    if uid is None:
        return None
    return Series(
        uid=uid,
        number=count(resource.get("number")),
        modality=concept_code(resource.get("modality")),
        description=text(resource.get("description")),
        body_site=concept_text(resource.get("bodySite")),
        instances=count(resource.get("numberOfInstances")),
    )


def _modalities(resource: Mapping[str, Any], series: tuple[Series, ...]) -> tuple[str, ...]:
    stated = resource.get("modality")
    listed = [concept_code(item) for item in (stated if isinstance(stated, list) else [])]
    unique = _unique(code for code in [*listed, *(one.modality for one in series)] if code)
    return tuple(sorted(unique, key=lambda code: code in DERIVED_MODALITIES))


def stated_accession(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """The accession number's Identifier: R4 has it among the study's own, R5 in ``basedOn.identifier`` (type ACSN)."""
    candidates = dicts(resource.get("identifier"))
    candidates += [as_dict(reference.get("identifier")) for reference in dicts(resource.get("basedOn"))]
    for identifier in candidates:
        if any(coding.get("code") == "ACSN" for coding in dicts(as_dict(identifier.get("type")).get("coding"))):
            return identifier
    return {}


def _procedure(resource: Mapping[str, Any]) -> str | None:
    """R4 has a concept or one reference, R5 CodeableReferences; of a reference only its display is known here."""
    single = as_dict(resource.get("procedureReference"))
    stated = [*as_list(resource.get("procedureCode")), *as_list(resource.get("procedure")), single]
    return next((words for words in map(concept_text, stated) if words), None)


def _reasons(resource: Mapping[str, Any]) -> tuple[str, ...]:
    stated = [one for name in ("reasonCode", "reason", "reasonReference") for one in as_list(resource.get(name))]
    return _unique(words for words in map(concept_text, stated) if words)


def _references(value: object) -> tuple[str, ...]:
    return tuple(words for words in (text(item.get("reference")) for item in dicts(value)) if words)


def _endpoints(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The study's own Endpoints, else those that its series name: some servers describe each series' place only."""
    of_series = (reference for one in dicts(resource.get("series")) for reference in _references(one.get("endpoint")))
    return _references(resource.get("endpoint")) or _unique(of_series)


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
