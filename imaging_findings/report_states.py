"""Reports of any status, for the one question whether a study has been read: signed, only begun, or not there.

``history.read_report`` keeps signed reports alone, since only those are quoted; here an unsigned one matters just as much.
A report names its study by ``imagingStudy`` (R5: ``study``), by the Study Instance UID, by a result seen on the study, or,
where it names no study at all, by the order or the accession number that both share. A withdrawn report is no report, and
neither is one that only a device has made: an AI's unsigned text is nobody's reading.

Spec: FHIR R4 and R5 DiagnosticReport.status; clinical rules X7, X18.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, from_urn
from imaging_findings import codes
from imaging_findings.observations import reference_of, relative_reference
from imaging_findings.stated_days import day_of

AI_ASSERTED = codes.concept("http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "AIAST")
"""Security label of what a program asserts (HL7 AI Transparency on FHIR); the results that are brought over carry it."""
_SIGNED = frozenset({"final", "amended", "corrected", "appended", "modified"})
_UNSIGNED = frozenset({"registered", "partial", "preliminary"})
_WITHDRAWN = frozenset({"cancelled", "entered-in-error"})
Accession = tuple[str | None, str]


class ReportState(StrEnum):
    """How far a report has come."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    UNKNOWN = "unknown"
    """A status that says neither: nothing is concluded from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyReport:
    """One report that is not withdrawn, and what it is about."""

    reference: str
    state: ReportState
    status: str
    day: date | None
    studies: frozenset[str]
    """``ImagingStudy/{id}``."""
    study_uids: frozenset[str]
    results: frozenset[str]
    orders: frozenset[str]
    accessions: frozenset[Accession]

    @property
    def names_studies(self) -> bool:
        """Whether it says itself which studies it is about; then its order and accession number decide nothing."""
        return bool(self.studies or self.study_uids)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyNames:
    """Everything under which a report may mean one study."""

    references: frozenset[str]
    """``ImagingStudy/{id}``; several where the archive and the EHR both hold a resource of it."""
    uid: str
    orders: frozenset[str]
    accessions: frozenset[Accession]
    findings: frozenset[str] = frozenset()
    """Observations that were seen on it."""


def read_any_report(resource: Mapping[str, Any]) -> AnyReport | None:
    """One DiagnosticReport; None for a withdrawn one and for one that only a device stands behind."""
    status = text(resource.get("status")) or "unknown"
    if resource.get("resourceType") != "DiagnosticReport" or status in _WITHDRAWN or _is_by_device(resource):
        return None
    named = [*dicts(resource.get("imagingStudy")), *dicts(resource.get("study"))]
    return AnyReport(
        reference=reference_of(resource, "DiagnosticReport"),
        state=_state(status),
        status=status,
        day=day_of(text(resource.get("issued")) or text(resource.get("effectiveDateTime"))),
        studies=references_in(named, "ImagingStudy"),
        study_uids=frozenset(uid for one in named if (uid := _uid(as_dict(one.get("identifier"))))),
        results=references_in(dicts(resource.get("result")), "Observation"),
        orders=references_in(dicts(resource.get("basedOn")), "ServiceRequest"),
        accessions=accessions_of(resource),
    )


def is_about(report: AnyReport, study: StudyNames) -> bool:
    """Whether the report means this study."""
    if study.references & report.studies or study.uid in report.study_uids or report.results & study.findings:
        return True
    if report.names_studies:
        return False
    return bool(report.orders & study.orders) or _shares_accession(report.accessions, study.accessions)


def accessions_of(resource: Mapping[str, Any]) -> frozenset[Accession]:
    """Accession numbers with the namespace of their issuer: identifiers of type ACSN, its own or its order's (R4 and R5)."""
    stated = [*dicts(resource.get("identifier")), *(as_dict(one.get("identifier")) for one in dicts(resource.get("basedOn")))]
    found: set[Accession] = set()
    for identifier in stated:
        types = {text(coding.get("code")) for coding in dicts(as_dict(identifier.get("type")).get("coding"))}
        value = text(identifier.get("value"))
        if "ACSN" in types and value:
            found.add((text(identifier.get("system")), value))
    return frozenset(found)


def references_in(stated: Iterable[Mapping[str, Any]], resource_type: str) -> frozenset[str]:
    """``Type/id`` of the References to this type."""
    found = (relative_reference(text(one.get("reference")), resource_type) for one in stated)
    return frozenset(reference for reference in found if reference)


def _state(status: str) -> ReportState:
    if status in _SIGNED:
        return ReportState.SIGNED
    return ReportState.UNSIGNED if status in _UNSIGNED else ReportState.UNKNOWN


def _is_by_device(resource: Mapping[str, Any]) -> bool:
    """Whether everybody who stands behind it is a device (X7 says who may), or it says that a program asserts it unsigned."""
    if text(resource.get("status")) not in _SIGNED and any(
        codes.find(label, AI_ASSERTED) for label in dicts(as_dict(resource.get("meta")).get("security"))
    ):
        return True
    authors = [*dicts(resource.get("performer")), *dicts(resource.get("resultsInterpreter"))]
    stated = [text(one.get("reference")) or "" for one in authors]
    return bool(stated) and all("Device" in reference.split("/") for reference in stated)


def _uid(identifier: Mapping[str, Any]) -> str | None:
    value = text(identifier.get("value"))
    return from_urn(value) if value and identifier.get("system") in (DICOM_UID_SYSTEM, None) else None


def _shares_accession(one: frozenset[Accession], other: frozenset[Accession]) -> bool:
    """The same number of the same issuer; an issuer that one of them does not name is taken for the same."""
    return any(
        value == other_value and (system == other_system or None in (system, other_system))
        for system, value in one
        for other_system, other_value in other
    )
