"""Findings that must be communicated: their category, and whether it is on record that somebody was told.

The card that follows is supplementary: it tells what is documented and never claims to have told anybody. ``critical`` is
kept for a signed category 1 finding whose report is young (clinical rules, section 3.4); an unsigned AI result never is (T8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from imaging_findings.advice import Authority, Guidance, Statement, Suppressed
from imaging_findings.communications import CommunicationFacts
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding
from imaging_findings.quotes import told_in
from imaging_findings.rules import ActionablePolicy, ActionableRow, Urgency

SUPPLEMENTARY = "This card is supplementary: it has told nobody and does not replace the communication that the site asks for."
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """One finding with its category: the reader's own before the site's policy."""

    finding: Finding
    category: int
    row: ActionableRow | None


def actionable_guidance(facts: Facts, policy: ActionablePolicy | None, now: datetime) -> list[Guidance | Suppressed]:
    """One guidance for each study with findings to be communicated, each as of ``now`` (an aware time)."""
    if policy is None:
        return []
    by_study: dict[str, list[_Rated]] = defaultdict(list)
    for finding in facts.actionable:
        rated = _rated(finding, policy)
        if rated is not None:
            by_study[_place(finding, facts)].append(rated)
    return [_of_study(found, facts, policy, now) for found in by_study.values()]


def _place(finding: Finding, facts: Facts) -> str:
    """The study, or where none is named the report that carries the finding: one card for one event."""
    report = next(iter(facts.reports_of(finding)), None)
    studies = report.studies if report else frozenset()
    only = next(iter(studies)) if len(studies) == 1 else None
    return finding.study_reference or only or (report.reference if report else finding.reference)


def _rated(finding: Finding, policy: ActionablePolicy) -> _Rated | None:
    stated = finding.actionable
    if stated is None:
        return None
    rows = [row for row in policy.rows for code in stated.codes if row.code.is_same(code)]
    row = min(rows, key=lambda one: one.category, default=None)
    category = stated.category or (row.category if row else None)
    return _Rated(finding=finding, category=category, row=row) if category else None


def _of_study(found: list[_Rated], facts: Facts, policy: ActionablePolicy, now: datetime) -> Guidance | Suppressed:
    """The most urgent signed finding speaks; the others of the study stand beside it."""
    people = [one for one in found if one.finding.author is Author.PERSON]
    lead = min(people or found, key=lambda one: (one.category, one.row is None))
    issued = _issued(lead.finding, people, facts)
    told = _told(facts, [one.finding for one in found])
    if issued and now - issued > timedelta(days=policy.silent_after_days):
        reason = f"it was reported more than {policy.silent_after_days} days ago"
        by, rule_id = lead.finding.reference, f"{policy.info.pack_id}/category-{lead.category}"
        return Suppressed(finding=lead.finding, reason=reason, by=by, rule_id=rule_id)
    unsigned = lead.finding.author is Author.AI
    quoted = tuple(quote for report in facts.reports_of(lead.finding) for quote in told_in(report))
    base = Guidance(
        rule_id=f"{policy.info.pack_id}/category-{lead.category}",
        finding=lead.finding,
        study=facts.study_of(lead.finding),
        urgency=_urgency(lead, told=bool(told), fresh=_is_fresh(issued, policy, now)),
        title=_title(lead),
        headline=f"ACR category {lead.category}, {_headline(told, facts, quoted=bool(quoted))}",
        statements=(_statement(lead, policy),),
        reports=facts.reports_of(lead.finding),
        notes=_notes(lead, facts, told, issued),
        quotes=quoted,
        others=tuple(one.finding for one in people if one is not lead and one.row is not lead.row),
    )
    return replace(base, headline="nobody has signed it", quotes=()) if unsigned else base


def _issued(finding: Finding, people: Iterable[_Rated], facts: Facts) -> datetime | None:
    """When the finding was first signed: its own time, its report's, or that of another carrier of the same study."""
    own = [finding.issued, *(report.issued for report in facts.reports_of(finding)), *(one.finding.issued for one in people)]
    return min((one for one in own if one is not None), default=None)


def _is_fresh(issued: datetime | None, policy: ActionablePolicy, now: datetime) -> bool:
    return issued is not None and -_CLOCK_SKEW <= now - issued < timedelta(hours=policy.critical_below_hours)


def _urgency(lead: _Rated, *, told: bool, fresh: bool) -> Urgency:
    if lead.category == 3 or told:
        return Urgency.INFO
    signed = lead.finding.author is Author.PERSON
    return Urgency.CRITICAL if lead.category == 1 and fresh and signed else Urgency.WARNING


def _told(facts: Facts, findings: list[Finding]) -> list[CommunicationFacts]:
    """Communications about a finding, its report or its study, the earliest first."""
    reports = [report for finding in findings for report in facts.reports_of(finding)]
    studies = {finding.study_reference for finding in findings if finding.study_reference}
    wanted = {finding.reference for finding in findings} | studies | {report.reference for report in reports}
    wanted = wanted.union(*(report.studies | report.results for report in reports))
    found = [one for one in facts.communications if one.about & wanted or one.reference in wanted]
    return sorted(found, key=lambda one: (one.at is None, one.at.timestamp() if one.at else 0.0))


def _headline(told: list[CommunicationFacts], facts: Facts, *, quoted: bool) -> str:
    if told:
        return f"communicated {_to(told[0])}"
    if quoted:
        return "only the report's text tells of a communication"
    if "communications" in facts.unavailable | facts.partial:
        return "whether it was communicated could not be looked up"
    return "no documented communication found"


def _to(one: CommunicationFacts) -> str:
    whom = f"to {one.to}" if one.to else "(to whom is not recorded)"
    return f"{whom} at {one.at:%Y-%m-%d %H:%M %Z}".rstrip() if one.at else f"{whom} (time not recorded)"


def _notes(lead: _Rated, facts: Facts, told: list[CommunicationFacts], issued: datetime | None) -> tuple[str, ...]:
    notes = [f"Communicated {_to(one)}." for one in told]
    if not told and "communications" in facts.unavailable | facts.partial:
        notes.append("Records of communication could not be looked up.")
    if issued is None and lead.category == 1:
        notes.append("The time of signing is not known, so the age of the result cannot be told.")
    if lead.row and lead.finding.actionable and lead.finding.actionable.category not in (None, lead.row.category):
        notes.append(f"The reader coded category {lead.category}; the site's policy says category {lead.row.category}.")
    return (*notes, SUPPLEMENTARY)


def _title(lead: _Rated) -> str:
    if lead.row:
        return lead.row.title
    stated = lead.finding.actionable.codes if lead.finding.actionable else ()
    return next((one.display for one in stated if one.display), "Actionable finding")


def _statement(lead: _Rated, policy: ActionablePolicy) -> Statement:
    by_reader = lead.finding.actionable is not None and lead.finding.actionable.category is not None
    row = f"category {lead.category}" if by_reader or lead.row is None else lead.row.row_id
    return Statement(
        authority=Authority.GUIDELINE,
        words=policy.statements[lead.category],
        pack=policy.info,
        row=row,
        needs_check=not by_reader and lead.row is not None and lead.row.evidence == "C",
    )
