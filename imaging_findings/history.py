"""What stands around a finding: the patient, studies, open orders, reports, smoking status and conditions, read tolerantly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fhir_imaging.study import UnreadableStudy, concept_code, concept_text, points_to_patient, read_study_uid
from fhir_imaging.tolerant import as_dict, dicts, text
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings import codes
from imaging_findings.codes import Code
from imaging_findings.coverage import is_only_said, is_pet
from imaging_findings.findings import Author, Finding, KeySeries, Kind, Problem
from imaging_findings.image_selection import key_series
from imaging_findings.modalities import family_of
from imaging_findings.observations import SIGNED, reference_of, relative_reference
from imaging_findings.organs import NO_NAMES, StudyNames
from imaging_findings.stated_days import day_of, moment_of
from imaging_findings.study_kinds import Basis, Contrast, Side, StudyKind, kind_of_order, kind_of_study
from imaging_findings.study_table import SiteStudies, study_codes

ICD_10 = frozenset(
    {"http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-10-cm", "http://fhir.de/CodeSystem/bfarm/icd-10-gm"}
)
ACTIVE_CONDITION = frozenset({"active", "recurrence", "relapse"})
REFUTED = frozenset({"refuted", "entered-in-error"})
_NO_REFERENCES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFacts:
    """Of the patient only what rules ask. A partial birth date is no birth date here."""

    patient_id: str
    birth_date: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """One study with its modality families and regions; without either it answers no follow-up."""

    reference: str
    study_instance_uid: StudyInstanceUID
    status: str
    day: date | None
    description: str | None
    families: frozenset[str]
    regions: frozenset[str]
    is_screening: bool
    based_on: frozenset[str]
    is_intervention: bool = False
    side: Side = Side.UNSTATED
    started: datetime | None = None
    """None unless the source gave a time with its zone."""
    is_pet: bool = False
    names: StudyNames = NO_NAMES
    """What it is called, which tells the organ that it shows."""
    is_only_said: bool = False
    """Whether only words name its regions, and not one region alone: it then informs and ends nothing (Gc)."""
    procedure: str = ""
    """The names of an intervention and its description; empty for all else."""
    key_series: tuple[KeySeries, ...] = ()
    """Its series that point at pictures of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """One imaging order. ``planned_from`` is the first day that its occurrence names."""

    reference: str
    status: str
    intent: str
    authored: date | None
    planned_from: date | None
    code_text: str
    families: frozenset[str]
    regions: frozenset[str]
    reasons: frozenset[str]
    is_intervention: bool = False
    side: Side = Side.UNSTATED
    authored_at: datetime | None = None
    """None unless the source gave a time with its zone."""
    contrast: Contrast = Contrast.UNKNOWN
    is_screening: bool = False
    is_pet: bool = False
    names: StudyNames = NO_NAMES
    """What it is called, which tells the organ that it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """One signed radiology report; ``conclusion`` is the author's own words."""

    reference: str
    day: date | None
    signed_by: str | None
    conclusion: str | None
    studies: frozenset[str]
    results: frozenset[str]
    issued: datetime | None = None
    """None unless the source gave a time with its zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionFacts:
    """One active condition, by its codes; with none, it is known by its words only."""

    codes: tuple[Code, ...]
    words: str


def read_patient(resource: Mapping[str, Any], patient_id: str) -> PatientFacts | Problem:
    """The patient in context; a Problem when the resource is another patient's."""
    if resource.get("resourceType") != "Patient" or text(resource.get("id")) != patient_id:
        return Problem(reference_of(resource, "Patient"), "it is not the patient in context")
    return PatientFacts(patient_id=patient_id, birth_date=day_of(text(resource.get("birthDate"))))


def is_of_patient(resource: Mapping[str, Any], patient_id: str, bases: Iterable[str] = ()) -> bool:
    """Whether the resource's subject is this patient; an absolute reference counts only into one of these FHIR bases."""
    return points_to_patient(text(as_dict(resource.get("subject")).get("reference")), patient_id, bases)


def read_study_facts(resource: Mapping[str, Any], site: SiteStudies | None = None) -> StudyFacts | Problem:
    """One ImagingStudy, its kind read as at order time; a Problem says what is wrong. ``site`` holds the site's own codes.

    A description may name the region of a study whose modality is stated, as most archives have it; an examination that only
    words name has no family here and so answers nothing (rule Gc).
    """
    reference = reference_of(resource, "ImagingStudy")
    uid = read_study_uid(resource)
    if isinstance(uid, UnreadableStudy):
        return Problem(reference, uid.problem)
    kind = kind_of_study(resource, site)
    described, stated = text(resource.get("description")), text(resource.get("started"))
    started = moment_of(stated)
    procedures = [one for key in ("procedureCode", "procedure") for one in dicts(resource.get(key))]
    return StudyFacts(
        reference=reference,
        study_instance_uid=uid,
        status=text(resource.get("status")) or "unknown",
        day=started.date() if started else day_of(stated),
        description=described,
        families=kind.families if kind.basis is not Basis.WORDS or _states_modality(resource) else frozenset(),
        regions=kind.regions,
        is_screening=kind.is_screening and kind.basis is Basis.CODE,
        based_on=_relative_references(resource.get("basedOn"), "ServiceRequest"),
        is_intervention=kind.is_intervention,
        side=kind.side,
        started=started,
        is_pet="NM" in kind.families and is_pet(_modalities(resource), _stated(procedures), site),
        names=kind.names,
        is_only_said=is_only_said(kind, described),
        procedure=_procedure(procedures, described, site) if kind.is_intervention else "",
        key_series=key_series(resource),
    )


def read_order(resource: Mapping[str, Any], site: SiteStudies | None = None) -> OrderFacts | None:
    """One order of an examination that codes name, its kind read as at order time; None for all else and for a "do not".

    An order in words only is none here: it must not end a reminder (rule Gc). ``site`` holds the site's own codes.
    """
    if resource.get("resourceType") != "ServiceRequest" or resource.get("doNotPerform") is True:
        return None
    kind = kind_of_order(resource, site)
    if kind.basis is not Basis.CODE:
        return None
    period, written = as_dict(resource.get("occurrencePeriod")), text(resource.get("authoredOn"))
    authored_at = moment_of(written)
    return OrderFacts(
        reference=reference_of(resource, "ServiceRequest"),
        status=text(resource.get("status")) or "unknown",
        intent=text(resource.get("intent")) or "unknown",
        authored=authored_at.date() if authored_at else day_of(written),
        planned_from=day_of(text(resource.get("occurrenceDateTime")) or text(period.get("start"))),
        code_text=_order_words(resource.get("code"), kind, site),
        families=kind.families,
        regions=kind.regions,
        reasons=_relative_references(resource.get("reasonReference"), "Observation"),
        is_intervention=kind.is_intervention,
        side=kind.side,
        authored_at=authored_at,
        contrast=kind.contrast,
        is_screening=kind.is_screening,
        is_pet="NM" in kind.families and is_pet((), _stated([resource.get("code")]), site),
        names=kind.names,
    )


def read_report(resource: Mapping[str, Any]) -> ReportFacts | None:
    """One signed DiagnosticReport; None for unsigned or withdrawn ones."""
    status = resource.get("status")
    if resource.get("resourceType") != "DiagnosticReport" or not isinstance(status, str) or status not in SIGNED:
        return None
    signers = dicts(resource.get("resultsInterpreter")) or dicts(resource.get("performer"))
    stated = text(resource.get("issued"))
    issued = moment_of(stated)
    return ReportFacts(
        reference=reference_of(resource, "DiagnosticReport"),
        day=issued.date() if issued else day_of(stated or text(resource.get("effectiveDateTime"))),
        signed_by=", ".join([name for one in signers if (name := text(one.get("display")))]) or None,
        conclusion=text(resource.get("conclusion")),
        studies=_relative_references(resource.get("imagingStudy"), "ImagingStudy"),
        results=_relative_references(resource.get("result"), "Observation"),
        issued=issued,
    )


def reported(resource: Mapping[str, Any], report: ReportFacts, kind: Kind) -> Finding:
    """What a signed report (``report`` as read from ``resource``) says of any finding that it concludes."""
    return Finding(
        reference=report.reference,
        kind=kind,
        author=Author.PERSON,
        signed_by=report.signed_by,
        study_reference=next(iter(report.studies)) if len(report.studies) == 1 else None,
        study_date=day_of(text(resource.get("effectiveDateTime"))),
        issued=report.issued,
    )


def read_condition(resource: Mapping[str, Any]) -> ConditionFacts | None:
    """One active condition; a missing clinicalStatus counts as active, refuted and resolved ones say nothing."""
    clinical = {one.code for one in codes.codings(resource.get("clinicalStatus"))}
    verification = {one.code for one in codes.codings(resource.get("verificationStatus"))}
    if resource.get("resourceType") != "Condition" or verification & REFUTED or (clinical and not clinical & ACTIVE_CONDITION):
        return None
    stated, words = codes.codings(resource.get("code")), concept_text(resource.get("code"))
    return ConditionFacts(codes=stated, words=words or "a condition") if stated or words else None


def read_smoking(resource: Mapping[str, Any]) -> str | None:
    """The tobacco smoking status in words; None when it is something else or unsigned."""
    status = resource.get("status")
    if codes.find(resource.get("code"), codes.SMOKING_STATUS) is None or not isinstance(status, str) or status not in SIGNED:
        return None
    words = concept_text(resource.get("valueCodeableConcept"))
    when = day_of(text(resource.get("effectiveDateTime")))
    return f"{words} ({when})" if words and when else words


def _modalities(resource: Mapping[str, Any]) -> set[str]:
    stated = [*dicts(resource.get("modality")), *(one.get("modality") for one in dicts(resource.get("series")))]
    return {code for one in stated if (code := concept_code(one))}


def _stated(concepts: Iterable[object]) -> list[Code]:
    unwrapped = (as_dict(as_dict(one).get("concept")) or one for one in concepts)
    return [code for one in unwrapped for code in codes.codings(one)]


def _procedure(procedures: Iterable[object], described: str | None, site: SiteStudies | None) -> str:
    known = [one.code.display or "" for one in study_codes(_stated(procedures), site)]
    return "; ".join([*known, described or ""])


def _states_modality(resource: Mapping[str, Any]) -> bool:
    return any(map(family_of, _modalities(resource)))


def _order_words(code: object, kind: StudyKind, site: SiteStudies | None) -> str:
    """The table's name of the examination; a CPT number has none here, and then the order's own words count."""
    concept = as_dict(as_dict(code).get("concept")) or as_dict(code)
    known = (one.code.display for one in study_codes(codes.codings(concept), site))
    # A code is no name: concept_text would fall back on it.
    said = next(
        (words for one in (concept, *dicts(concept.get("coding"))) if (words := text(one.get("text") or one.get("display")))),
        None,
    )
    return next((words for words in known if words), None) or said or " ".join([*sorted(kind.families), *sorted(kind.regions)])


def _relative_references(value: object, resource_type: str) -> frozenset[str]:
    if not value:
        return _NO_REFERENCES
    found = (relative_reference(text(one.get("reference")), resource_type) for one in dicts(value))
    return frozenset(reference for reference in found if reference)
