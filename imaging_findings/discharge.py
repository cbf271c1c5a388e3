"""At discharge: imaging of the stay that is still unread, and follow-ups that nobody has ordered.

The follow-ups are those of ``guidance.judge``, the same as at ``patient-view``, but fewer: whoever discharges a patient is
told of open steps only.

- Kept: every warning and critical result, whichever visit it stems from. Routine findings (``info``: the annual screening)
  and unsigned AI results only when they were seen on a study of this stay and still ask for something.
- Left out: actionable findings with a documented communication, and everything that asks for nothing.
- Order: by urgency, and those of this stay before the others.

No source states these choices: they need a clinician's word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from imaging_findings.advice import Guidance, Judgement
from imaging_findings.facts import ENCOUNTER_ID_TOKEN, PATIENT_ID_TOKEN, QUERIES, FactQuery, Facts, read_facts
from imaging_findings.findings import Author, Kind
from imaging_findings.guidance import judge
from imaging_findings.own_resources import Owner, own_resources, read_each
from imaging_findings.report_states import AnyReport, read_any_report
from imaging_findings.rules import Packs, Urgency
from imaging_findings.stays import read_stay
from imaging_findings.study_table import SiteStudies
from imaging_findings.unread_imaging import (
    QuietStudy,
    Readings,
    ReportsOnRecord,
    StudyOfPatient,
    judge_readings,
    merged,
    read_patient_study,
    studies_of_stay,
)
from imaging_findings.visit_policy import UnreadPolicy

_OF_STAY = f"patient={PATIENT_ID_TOKEN}&encounter={ENCOUNTER_ID_TOKEN}"

DISCHARGE_QUERIES: tuple[FactQuery, ...] = (
    *(replace(query, required=query.key == "patient") for query in QUERIES),
    FactQuery("encounter", "Encounter", f"Encounter/{ENCOUNTER_ID_TOKEN}", False, "the dates of the encounter"),
    FactQuery("stay_orders", "ServiceRequest", f"ServiceRequest?{_OF_STAY}&_count=100", False, "orders of the encounter"),
    # Sites differ in the categories of their reports; one of this encounter counts whatever its category.
    FactQuery("stay_reports", "DiagnosticReport", f"DiagnosticReport?{_OF_STAY}&_count=100", False, "reports of the encounter"),
)
# Without these the check itself is incomplete; what else is missing, the cards of the follow-ups say.
_FOR_THE_CHECK = ("studies", "findings")
_HELPFUL = ("encounter", "stay_orders", "stay_reports")
_OF_ANOTHER_VISIT = "not of this stay, and no more than routine"


@dataclass(frozen=True, slots=True, kw_only=True)
class DischargeMoment:
    """Who is discharged from which encounter, as of ``now`` (its local date is today)."""

    patient_id: str
    encounter_id: str
    now: datetime
    bases: tuple[str, ...] = ()
    """The FHIR bases whose logical ids are meant."""
    site: SiteStudies | None = None
    """The site's own examination codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StayFollowUp:
    """One open follow-up, and whether its study belongs to the stay."""

    guidance: Guidance
    of_stay: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DischargeJudgement:
    """What to say at discharge. ``missing`` names, in words, data without which the check is incomplete; ``beside`` what
    would have helped, so that a card about something else may say that it did not come."""

    facts: Facts
    readings: Readings
    follow_ups: tuple[StayFollowUp, ...]
    quiet: tuple[QuietStudy, ...]
    missing: tuple[str, ...]
    beside: tuple[str, ...]
    judged: Judgement


def judge_discharge(
    resources: Mapping[str, Sequence[Mapping[str, Any]] | None],
    moment: DischargeMoment,
    packs: Packs,
    *,
    partial: frozenset[str] = frozenset(),
    policy: UnreadPolicy | None = None,
) -> DischargeJudgement:
    """The judgement over the answers to ``DISCHARGE_QUERIES``, by key; never raises over content."""
    policy = policy or UnreadPolicy()
    facts = read_facts(resources, moment.patient_id, partial=partial, bases=moment.bases, site=moment.site)
    whose = (moment.patient_id, moment.bases)
    stay = read_stay(resources.get("encounter") or (), resources.get("stay_orders") or (), moment.encounter_id, whose)
    studies = _studies(resources, moment, facts)
    on_record = ReportsOnRecord(
        reports=_reports(resources, moment),
        looked_up=resources.get("reports") is not None,
        whole="reports" not in partial,
    )
    judged = judge(facts, packs, moment.now)
    of_stay = studies_of_stay(studies, stay, policy, moment.now.date())
    follow_ups, quiet = _follow_ups(judged, facts, of_stay)
    return DischargeJudgement(
        facts=facts,
        readings=judge_readings(studies, stay, on_record, policy, moment.now),
        follow_ups=follow_ups,
        quiet=quiet,
        missing=_missing(_FOR_THE_CHECK, resources, partial),
        beside=_missing(_HELPFUL, resources, partial),
        judged=judged,
    )


def _missing(
    keys: Collection[str], resources: Mapping[str, Sequence[Mapping[str, Any]] | None], partial: Collection[str]
) -> tuple[str, ...]:
    return tuple(
        f"{query.meaning}{' (only a part came)' if query.key in partial else ''}"
        for query in DISCHARGE_QUERIES
        if query.key in keys and (resources.get(query.key) is None or query.key in partial)
    )


def _studies(
    resources: Mapping[str, Sequence[Mapping[str, Any]] | None], moment: DischargeMoment, facts: Facts
) -> tuple[StudyOfPatient, ...]:
    seen_on: dict[str, set[str]] = defaultdict(set)
    for finding in (*facts.findings, *facts.actionable, *facts.assessments):
        if finding.study_reference and finding.reference.startswith("Observation/"):
            seen_on[finding.study_reference].add(finding.reference)
    by_study = {study: frozenset(found) for study, found in seen_on.items()}
    # Unreadable and other people's studies are named by the facts already.
    own = own_resources(resources.get("studies") or (), Owner("ImagingStudy", moment.patient_id, moment.bases), [])
    return merged(read_each(own, lambda one: read_patient_study(one, by_study, moment.site), []))


def _reports(resources: Mapping[str, Sequence[Mapping[str, Any]] | None], moment: DischargeMoment) -> tuple[AnyReport, ...]:
    stated = [*(resources.get("reports") or ()), *(resources.get("stay_reports") or ())]
    own = own_resources(stated, Owner("DiagnosticReport", moment.patient_id, moment.bases), [])
    return tuple(read_each(own, read_any_report, []))


def _follow_ups(
    judged: Judgement, facts: Facts, of_stay: frozenset[str]
) -> tuple[tuple[StayFollowUp, ...], tuple[QuietStudy, ...]]:
    kept: list[StayFollowUp] = []
    quiet: list[QuietStudy] = []
    for guidance in judged.guidance:
        is_of_stay = guidance.finding.study_reference in of_stay
        why = _why_quiet(guidance, facts, is_of_stay=is_of_stay)
        if why is None:
            kept.append(StayFollowUp(guidance=guidance, of_stay=is_of_stay))
        else:
            quiet.append(QuietStudy(guidance.finding.reference, why))
    kept.sort(key=lambda one: (-one.guidance.urgency.loudness, not one.of_stay))
    return tuple(kept), tuple(quiet)


def _why_quiet(guidance: Guidance, facts: Facts, *, is_of_stay: bool) -> str | None:
    finding = guidance.finding
    if finding.author is Author.AI:
        return None if is_of_stay else "an unsigned AI result of another visit"
    if finding.kind is Kind.ACTIONABLE and _is_told(guidance, facts):
        return "its communication is documented"
    if guidance.urgency is not Urgency.INFO:
        return None
    asks = guidance.next_step is not None or bool(guidance.missing) or finding.kind in (Kind.TEXT, Kind.ACTIONABLE)
    if not asks:
        return "nothing is asked for"
    return None if is_of_stay else _OF_ANOTHER_VISIT


def _is_told(guidance: Guidance, facts: Facts) -> bool:
    """Whether a Communication (or the coded section) names the finding, its study or its report."""
    finding = guidance.finding
    wanted = {finding.reference, *(one.reference for one in guidance.reports), *(one.reference for one in guidance.others)}
    wanted = wanted.union(*(one.studies | one.results for one in guidance.reports))
    wanted |= {finding.study_reference} if finding.study_reference else set()
    return any(one.about & wanted or one.reference in wanted for one in facts.communications)
