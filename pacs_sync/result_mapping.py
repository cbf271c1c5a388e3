"""Structured reports of a study as FHIR results: Device, Observation and DiagnosticReport, in R4 and R5.

What a program found is marked as such (``meta.security`` AIAST, ``device``) and preliminary until a person has signed it; what
a person measured carries neither. The same finding of the same lesion has the same identifier in every later report.

Spec: clinical rules, sections 3.5 and 6, X7, X22, X23; HL7 dicom-sr 1.0.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import SopInstanceUID, StudyInstanceUID
from imaging_findings import codes
from imaging_findings.report_states import AI_ASSERTED
from pacs_sync.current_reports import AnyReport, CurrentReport, current_reports, seconds_of
from pacs_sync.persons import may_be_same
from pacs_sync.report_document import Algorithm, Document, Group, NothingToBring, Verification
from pacs_sync.result_elements import (
    Json,
    Terms,
    codeable,
    head,
    of_code,
    reference,
    study_reference,
    uid_identifier,
)
from pacs_sync.result_findings import TRACKING_ID, TRACKING_UID, Stated, stated_by
from pacs_sync.result_places import selection_of, study_of
from pacs_sync.result_words import conclusion_of

_IMAGING = codes.concept("http://terminology.hl7.org/CodeSystem/observation-category", "imaging")
_RADIOLOGY = codes.concept("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD")
_UNTITLED = "Imaging measurement report"


@dataclass(frozen=True, slots=True)
class OtherStudy:
    """A study of the same patient as it stands in FHIR: ``ImagingStudy/{id}``, and its start."""

    reference: str
    started: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultContext:
    """What no report knows: the study's patient in FHIR (``subject``, a reference), and when its images were taken.

    ``patients`` are the numbers under which the archive has this patient. ``other_studies`` are studies of the same patient
    that stand in FHIR: a report may lie in another study than the images that it is about. ``schemes`` are FHIR code systems
    of the site's own coding schemes (``system`` or ``system|version``).
    """

    subject: str
    study: StudyInstanceUID
    started: str | None
    patients: tuple[PatientNumber, ...] = ()
    other_studies: Mapping[StudyInstanceUID, OtherStudy] = field(default_factory=dict)
    schemes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A report, or part of one, that is not brought over. ``reason`` has no patient data."""

    uid: SopInstanceUID | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All results of one study; what others refer to stands before these. None of them refers to a resource by its id."""

    resources: tuple[Json, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """One finding that is brought over. ``study`` is the one of its images."""

    report: CurrentReport
    group: Group
    stated: Stated
    study: StudyInstanceUID
    key: tuple[str, ...]


def results_of(reports: Iterable[AnyReport], context: ResultContext, version: FhirVersion) -> Results:
    """The results that the reports of one study have now; the same for the same reports, in whatever order they came."""
    every = tuple(reports)
    left_out = [LeftOut(one.uid, one.reason) for one in every if isinstance(one, NothingToBring)]
    terms = Terms(context.schemes)
    found: dict[tuple[str, ...], _Finding] = {}
    for report in current_reports(every):
        if (reason := _why_not(report.document, context)) is not None:
            left_out.append(LeftOut(report.document.uid, reason))
            continue
        for one in _findings(report, context, terms):
            if isinstance(one, LeftOut):
                left_out.append(one)
            else:
                found[one.key] = one
    findings = sorted(found.values(), key=lambda one: one.key)
    return Results(
        resources=(
            *(_device(one, version) for one in _programs(findings)),
            *(_observation(one, context, terms) for one in findings),
            *_reports(findings, context, terms, version),
        ),
        left_out=tuple(dict.fromkeys(left_out)),
    )


def studies_beside(reports: Iterable[AnyReport], study: StudyInstanceUID) -> frozenset[StudyInstanceUID]:
    """Other studies on whose images these reports found something: to be looked up for ``ResultContext.other_studies``."""
    documents = [one for one in reports if isinstance(one, Document)]
    named = (study_of(group, one) for one in documents for group in one.groups)
    return frozenset(uid for uid in named if uid is not None and uid != study)


def _why_not(document: Document, context: ResultContext) -> str | None:
    """Why nothing of a report is brought over, whatever it found."""
    if document.study != context.study:
        return "it names another study than the one that it was found in"
    if document.patient is None or not context.patients:
        return None
    is_same = any(may_be_same(document.patient, one) for one in context.patients)
    return None if is_same else "it names another patient than its study"


def _findings(report: CurrentReport, context: ResultContext, terms: Terms) -> Iterator[_Finding | LeftOut]:
    counted: dict[tuple[str, ...], int] = {}
    document = report.document
    for group in document.groups:
        stated, study = stated_by(group, terms), study_of(group, document)
        if stated is None:
            yield LeftOut(document.uid, "a measurement group names no finding")
        elif study is None:
            yield LeftOut(document.uid, "it does not say on which study's images it found something")
        elif study != context.study and study not in context.other_studies:
            yield LeftOut(document.uid, "the study of its images is not in FHIR, or of another patient")
        else:
            lesion = group.tracking_uid or f"chain {report.chain} {group.tracking_id or ''}"
            author = f"program {group.algorithm.name}" if group.algorithm else "person"
            key = (study, lesion, stated.key, author)
            counted[key] = counted.get(key, 0) + 1
            yield _Finding(report=report, group=group, stated=stated, study=study, key=(*key, str(counted[key])))


def _programs(findings: Iterable[_Finding]) -> list[Algorithm]:
    found = {one.group.algorithm for one in findings if one.group.algorithm is not None}
    return sorted(found, key=lambda one: (one.name, one.version, one.manufacturer))


def _device_key(program: Algorithm) -> tuple[str, str, str]:
    return (program.name, program.version, program.manufacturer)


def _device(program: Algorithm, version: FhirVersion) -> Json:
    name_element, name = ("deviceName", "name") if version in (FhirVersion.R4, FhirVersion.R4B) else ("name", "value")
    return {
        **head("Device", *_device_key(program)),
        "status": "active",
        **({"manufacturer": program.manufacturer} if program.manufacturer else {}),
        name_element: [{name: program.name, "type": "user-friendly-name"}],
        **({"version": [{"value": program.version}]} if program.version else {}),
    }


def _observation(one: _Finding, context: ResultContext, terms: Terms) -> Json:
    document, program = one.report.document, one.group.algorithm
    resource = head("Observation", *one.key)
    if program is not None and not document.is_signed:
        resource["meta"] = _ai_label()
    if selection := selection_of(one.group, document, one.study):
        resource["extension"] = [selection]
    resource["identifier"] += _tracking_identifiers(one.group)
    if document.study != one.study:
        resource["partOf"] = [{"reference": _reference_to(document.study, context)}]
    started = _started(one.study, context)
    resource |= {
        "status": "final" if document.is_signed else "preliminary",
        "category": [of_code(_IMAGING)],
        "subject": {"reference": context.subject},
        **({"effectiveDateTime": started} if started else {}),
        **_issued(document),
        **_performers(document, program),
        **one.stated.elements,
        "derivedFrom": [{"reference": _reference_to(one.study, context)}, _source(document, terms)],
    }
    if program is not None:
        resource["device"] = {"reference": reference("Device", *_device_key(program)), "display": program.label}
    return resource


def _reports(findings: Iterable[_Finding], context: ResultContext, terms: Terms, version: FhirVersion) -> Iterator[Json]:
    """A report for each document with a program's findings: what a person measured is part of no report that we know."""
    by_document: dict[str, list[_Finding]] = {}
    for one in findings:
        if one.group.algorithm is not None:
            by_document.setdefault(one.report.document.uid, []).append(one)
    for _, found in sorted(by_document.items()):
        yield _report(found, context, terms, version)


def _report(findings: list[_Finding], context: ResultContext, terms: Terms, version: FhirVersion) -> Json:
    report = findings[0].report
    document = report.document
    studies = dict.fromkeys([*(one.study for one in findings), document.study])
    resource = head("DiagnosticReport", document.study, report.chain)
    if not document.is_signed:
        resource["meta"] = _ai_label()
    resource["identifier"].append(uid_identifier(document.uid))
    elements = [one.stated.elements for one in findings]
    started = _started(findings[0].study, context)
    by_study = "imagingStudy" if version in (FhirVersion.R4, FhirVersion.R4B) else "study"
    return resource | {
        # Who signs what a program measured has not read the study: whether anybody has must not be answered by this.
        "status": "preliminary" if document.is_complete and not document.is_signed else "partial",
        "category": [of_code(_RADIOLOGY)],
        "code": codeable(terms.concept(document.title)) if document.title else {"text": _UNTITLED},
        "subject": {"reference": context.subject},
        **({"effectiveDateTime": started} if started else {}),
        **_issued(document),
        **({"performer": [{"type": "Organization", "display": document.institution}]} if document.institution else {}),
        **({"resultsInterpreter": interpreters} if (interpreters := _signers(document)) else {}),
        by_study: [{"reference": _reference_to(one, context)} for one in studies],
        "result": [{"reference": reference("Observation", *one.key)} for one in findings],
        "conclusion": conclusion_of(elements, _label(document)),
    }


def _label(document: Document) -> str:
    """What the lines below it are, wherever they are read without the report's status and labels."""
    if document.is_signed:
        return "AI results"
    return "AI results, preliminary, not signed" if document.is_complete else "AI results, not complete, not signed"


def _reference_to(study: StudyInstanceUID, context: ResultContext) -> str:
    """The study itself may have no id yet."""
    other = context.other_studies.get(study)
    return other.reference if other and study != context.study else study_reference(study)


def _started(study: StudyInstanceUID, context: ResultContext) -> str | None:
    other = context.other_studies.get(study)
    return context.started if study == context.study or other is None else other.started


def _ai_label() -> Json:
    return {"security": [{"system": AI_ASSERTED.system, "code": AI_ASSERTED.code, "display": AI_ASSERTED.display}]}


def _tracking_identifiers(group: Group) -> list[Json]:
    found = [uid_identifier(group.tracking_uid, TRACKING_UID)] if group.tracking_uid else []
    return [*found, {"type": of_code(TRACKING_ID), "value": group.tracking_id}] if group.tracking_id else found


def _source(document: Document, terms: Terms) -> Json:
    title = terms.concept(document.title).display if document.title else _UNTITLED
    return {"type": "DocumentReference", "identifier": uid_identifier(document.uid), "display": title}


def _issued(document: Document) -> Json:
    """When it was signed, else written; FHIR wants a time with its zone."""
    signed = _last(document)
    at = signed.at if signed else document.written
    return {"issued": at} if at and "T" in at else {}


def _last(document: Document) -> Verification | None:
    """The latest signature of a signed report."""
    return max(document.signatures, key=lambda one: seconds_of(one.at)) if document.is_signed else None


def _signers(document: Document) -> list[Json]:
    if not document.is_signed:
        return []
    return [{"display": name} for name in dict.fromkeys(one.name for one in document.signatures)]


def _performers(document: Document, program: Algorithm | None) -> Json:
    """Who stands behind it: who signed, else the person who measured; a program is a device and no performer (X7)."""
    unsigned = [] if program is not None else [{"display": name} for name in document.observers.persons]
    found = _signers(document) or unsigned
    return {"performer": found} if found else {}
