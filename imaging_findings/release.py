"""What a patient, or a related person, may be told of a chart: by default nothing, by the site's setting little and late.

A card says only that a dated follow-up is recommended, out of a signed report that is old enough and a chart that came whole.
Never an AI result, never a report's words, and nothing of a study with a finding of ACR category 1 or 2 of whose communication
there is no record. What is held back carries its reason. The study list shows the released reports themselves, by the same
conditions. Clinicians are no business of this rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from imaging_findings.advice import Authority, Guidance, Suppressed
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding, Kind
from imaging_findings.history import ReportFacts, StudyFacts
from imaging_findings.intervals import DueWindow
from imaging_findings.rules import ActionablePolicy

LONGEST_HOURS = 8760
_TOLD_FIRST = (1, 2)
# Without these nobody knows whether the follow-up is done or ordered, or whether a result was communicated.
_WHOLE_FOR_REPORTS = frozenset({"findings", "reports", "communications"})
_WHOLE = frozenset({"findings", "reports", "orders", "studies", "communications"})


class PatientResults(StrEnum):
    """Whether a patient's own view of the chart gets anything."""

    NEVER = "never"
    RELEASED = "released"
    """Dated follow-ups out of released reports, in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRule:
    """What the site releases to users who are the patient or a related person."""

    patient_results: PatientResults = PatientResults.NEVER
    release_after_hours: int = 72
    """Hours from a signed report's ``issued`` until it counts as released."""
    image_links: bool = False
    """Whether the patient's card links to the viewer."""

    def __post_init__(self) -> None:
        """ValueError for hours that cannot be meant."""
        if not 0 <= self.release_after_hours <= LONGEST_HOURS:
            raise ValueError(f"release_after_hours is {self.release_after_hours}, which is not 0 to {LONGEST_HOURS}")

    @property
    def serves_patients(self) -> bool:
        """Whether patients get anything at all."""
        return self.patient_results is PatientResults.RELEASED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedFollowUp:
    """All that a patient is told: which examination it was, and when the follow-up is due."""

    study: StudyFacts | None
    day: date | None
    """The study's own day."""
    due: DueWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is told, the first due first and one for each study, and what is held back with its reason."""

    told: tuple[ReleasedFollowUp, ...] = ()
    withheld: tuple[Suppressed, ...] = ()


def release(
    guidance: Iterable[Guidance], facts: Facts, policy: ActionablePolicy | None, rule: ReleaseRule, now: datetime
) -> Release:
    """What the rule lets through of a clinician's ``guidance`` as of ``now`` (an aware time)."""
    told: dict[str, ReleasedFollowUp] = {}
    withheld: list[Suppressed] = []
    for one in guidance:
        reason = _why_withheld(one, facts, policy, rule, now)
        if reason is not None or one.next_step is None:
            why = reason or "no follow-up is recommended"
            withheld.append(
                Suppressed(finding=one.finding, reason=f"withheld from the patient: {why}", by=one.finding.reference)
            )
            continue
        found = ReleasedFollowUp(study=one.study, day=_day(one), due=one.next_step.due)
        place = one.finding.study_reference or one.finding.reference
        if place not in told or found.due.earliest < told[place].due.earliest:
            told[place] = found
    return Release(told=tuple(sorted(told.values(), key=lambda one: one.due.earliest)), withheld=tuple(withheld))


def released_reports(facts: Facts, policy: ActionablePolicy | None, rule: ReleaseRule, now: datetime) -> frozenset[str]:
    """The signed reports, as ``DiagnosticReport/{id}``, that a patient may read as of ``now``.

    All signed reports of one study wait for the newest of them, and for the communication of what must be told first.
    """
    if not rule.serves_patients or (facts.unavailable | facts.partial) & _WHOLE_FOR_REPORTS or facts.problems:
        return frozenset()
    untold = [one for one in facts.actionable if _is_untold(one, facts, policy)]
    return frozenset(one.reference for one in facts.reports if _may_be_read(one, facts, untold, rule, now))


def _may_be_read(report: ReportFacts, facts: Facts, untold: list[Finding], rule: ReleaseRule, now: datetime) -> bool:
    if not report.studies:
        return False
    together = [one for one in facts.reports if one.studies & report.studies]
    issued = [one.issued for one in together]
    stated = [moment for moment in issued if moment is not None]
    if len(stated) < len(issued) or now < max(stated):
        return False
    if any(one.study_reference is None or one.study_reference in report.studies for one in untold):
        return False
    return now - max(stated) >= timedelta(hours=rule.release_after_hours)


def _why_withheld(
    guidance: Guidance, facts: Facts, policy: ActionablePolicy | None, rule: ReleaseRule, now: datetime
) -> str | None:
    """The first reason against telling it; None where there is none."""
    finding = guidance.finding
    if not rule.serves_patients:
        return "the site releases nothing to patients"
    if finding.author is not Author.PERSON:
        return "nobody has signed it"
    if finding.kind is Kind.TEXT:
        return "it is quoted from a report's words and not coded"
    if (facts.unavailable | facts.partial) & _WHOLE or facts.problems:
        return "the chart could not be read as a whole"
    if any(_is_of(one, finding) and _is_untold(one, facts, policy) for one in facts.actionable):
        return "a result of this study must be communicated first, and no communication is on record"
    return _why_not_released(guidance, facts, rule, now) or _why_not_settled(guidance)


def _why_not_released(guidance: Guidance, facts: Facts, rule: ReleaseRule, now: datetime) -> str | None:
    """Every signed report of the finding counts, so that an amendment starts the time anew."""
    reports = facts.reports_of(guidance.finding)
    if not reports:
        return "no signed report names it"
    issued = [report.issued for report in reports]
    if any(moment is None for moment in issued):
        return "a report does not say when it was signed"
    stated = [moment for moment in (*issued, guidance.finding.issued) if moment is not None]
    if now - max(stated) < timedelta(hours=rule.release_after_hours) or now < max(stated):
        return f"its report was signed less than {rule.release_after_hours} hours ago"
    return None


def _why_not_settled(guidance: Guidance) -> str | None:
    step = guidance.next_step
    if step is None or not step.firm:
        return "no follow-up with a date is recommended"
    if guidance.missing:
        return "an input of the rule is missing"
    by_reader = any(one.authority is Authority.READER for one in guidance.statements)
    if not by_reader and any(one.needs_check for one in guidance.statements):
        return "a clinician has yet to check the rule"
    day = _day(guidance)
    stated = [interval.due(day) for quote in guidance.quotes for interval in quote.intervals] if day else []
    if stated and not any(one.earliest <= step.due.latest and step.due.earliest <= one.latest for one in stated):
        return "the report's own words name another time"
    return None


def _day(guidance: Guidance) -> date | None:
    return (guidance.study.day if guidance.study else None) or guidance.finding.study_date


def _is_of(actionable: Finding, finding: Finding) -> bool:
    """Whether both are of one study; a finding of which nobody knows the study counts as of every study."""
    return actionable.study_reference in (None, finding.study_reference)


def _is_untold(actionable: Finding, facts: Facts, policy: ActionablePolicy | None) -> bool:
    """Whether a signed finding is of category 1 or 2, by its reader or by the site, and nobody is on record as told."""
    if actionable.author is not Author.PERSON or actionable.actionable is None:
        return False
    stated = actionable.actionable
    by_site = [row.category for row in (policy.rows if policy else ()) for code in stated.codes if row.code.is_same(code)]
    if min((one for one in (stated.category, *by_site) if one is not None), default=3) not in _TOLD_FIRST:
        return False
    reports = facts.reports_of(actionable)
    about = {actionable.reference, *(report.reference for report in reports)}
    if actionable.study_reference:
        about.add(actionable.study_reference)
    return not any(one.about & about for one in facts.communications)
