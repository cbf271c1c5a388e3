"""Findings that must be communicated: their category, and whether it is on record that somebody was told.

The card that follows is supplementary: it tells what is documented and never claims to have told anybody. ``critical`` is
kept for a signed category 1 finding whose report is young (clinical rules, section 3.4); an unsigned AI result never is (T8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from imaging_findings.advice import Authority, Guidance, Statement, Suppressed
from imaging_findings.communications import CommunicationFacts
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding
from imaging_findings.quotes import told_in
from imaging_findings.rules import ActionablePolicy, ActionableRow, Urgency
from imaging_findings.told import Asked, Told, told_of

SUPPLEMENTARY = "This card is supplementary: it has told nobody and does not replace the communication that the site asks for."
MAX_SECTION = 70
_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """One finding with its category: the reader's own before the site's policy."""

    finding: Finding
    category: int
    row: ActionableRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matter:
    """One finding of a study, however often it was written down, and what is on record about it."""

    lead: _Rated
    issued: datetime | None
    told: Told
    urgency: Urgency


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
    """The most urgent signed finding speaks; the others of the study stand beside it, each with its own state."""
    people = [one for one in found if one.finding.author is Author.PERSON]
    matters = [_matter(carriers, facts, policy, now) for carriers in _same_finding(people or found)]
    fresh = [one for one in matters if one.issued is None or now - one.issued <= timedelta(days=policy.silent_after_days)]
    if not fresh:
        lead = min((one.lead for one in matters), key=_by_category)
        reason = f"it was reported more than {policy.silent_after_days} days ago"
        by, rule_id = lead.finding.reference, f"{policy.info.pack_id}/category-{lead.category}"
        return Suppressed(finding=lead.finding, reason=reason, by=by, rule_id=rule_id)
    spoken = sorted(fresh, key=lambda one: (-one.urgency.loudness, *_by_category(one.lead)))
    first, *beside = (_spoken(one, facts, policy) for one in spoken)
    past = [one.lead for one in matters if one not in fresh]
    others = (*(one.finding for one in beside), *(_named(one) for one in past))
    if not people:
        return replace(first, others=others)
    machine, agrees = _claimed(found, first.finding)
    return replace(first, others=others, beside=tuple(beside), ai=machine, ai_agrees=agrees)


def _claimed(found: list[_Rated], signed: Finding) -> tuple[Finding | None, bool | None]:
    """An unsigned AI result of the same study, one of the signed finding before another; None: they cannot be compared."""
    machines = [one for one in found if one.finding.author is Author.AI]
    stated = signed.actionable.codes if signed.actionable else ()
    for one in machines:
        claimed = one.finding.actionable.codes if one.finding.actionable else ()
        if any(code.is_same(other) for code in stated for other in claimed):
            return _named(one), True
    return (_named(machines[0]), None) if machines else (None, None)


def _by_category(rated: _Rated) -> tuple[int, bool, bool]:
    """The most urgent first, one that the policy names before another; an Observation says more than a report's code."""
    return (rated.category, rated.row is None, not rated.finding.reference.startswith("Observation"))


def _same_finding(found: list[_Rated]) -> list[list[_Rated]]:
    """The findings of a study, each with all that carry it; a category without a finding is that of the coded ones."""
    by_finding: dict[str, list[_Rated]] = defaultdict(list)
    bare: list[_Rated] = []
    for one in found:
        stated = one.finding.actionable.codes if one.finding.actionable else ()
        if one.row is not None:
            by_finding[one.row.row_id].append(one)
        elif stated:
            by_finding[f"{stated[0].system}|{stated[0].code}"].append(one)
        else:
            bare.append(one)
    most_urgent = min((one.category for many in by_finding.values() for one in many), default=None)
    # Often the report repeats in one bare category what its finding is coded for.
    unmet = [one for one in bare if most_urgent is None or one.category < most_urgent]
    return [*by_finding.values(), *([unmet] if unmet else [])]


def _matter(carriers: list[_Rated], facts: Facts, policy: ActionablePolicy, now: datetime) -> _Matter:
    lead = min(carriers, key=_by_category)
    findings = tuple(one.finding for one in carriers)
    issued = _issued(findings, facts)
    told = told_of(Asked(carriers=findings, category=lead.category, issued=issued), facts)
    urgency = _urgency(lead, told=bool(told.counted), fresh=_is_fresh(issued, policy, now))
    return _Matter(lead=lead, issued=issued, told=told, urgency=urgency)


def _spoken(matter: _Matter, facts: Facts, policy: ActionablePolicy) -> Guidance:
    lead, reports = matter.lead, facts.reports_of(matter.lead.finding)
    unsigned = lead.finding.author is Author.AI
    quoted = tuple(quote for report in reports for quote in told_in(report))
    base = Guidance(
        rule_id=f"{policy.info.pack_id}/category-{lead.category}",
        finding=_named(lead),
        study=facts.study_of(lead.finding),
        urgency=matter.urgency,
        title=_title(lead),
        headline=f"ACR category {lead.category}, {_headline(matter.told, facts, quoted=bool(quoted))}",
        statements=(_statement(lead, policy),),
        reports=reports,
        notes=_notes(matter, facts),
        quotes=quoted,
    )
    return replace(base, headline="nobody has signed it", quotes=()) if unsigned else base


def _issued(carriers: Sequence[Finding], facts: Facts) -> datetime | None:
    """When the finding was first signed: by its own time; by its report's only where it has none."""
    own = [one.issued for one in carriers if one.issued and one.reference.startswith("Observation")]
    reports = [report for one in carriers for report in facts.reports_of(one)]
    naming = [report.issued for report in reports if any(one.reference in report.results for one in carriers)]
    around = [*(report.issued for report in reports), *(one.issued for one in carriers)]
    for times in (own, naming, around):
        known = [one for one in times if one is not None]
        if known:
            return min(known)
    return None


def _is_fresh(issued: datetime | None, policy: ActionablePolicy, now: datetime) -> bool:
    return issued is not None and -_CLOCK_SKEW <= now - issued < timedelta(hours=policy.critical_below_hours)


def _urgency(lead: _Rated, *, told: bool, fresh: bool) -> Urgency:
    if lead.category == 3 or told:
        return Urgency.INFO
    signed = lead.finding.author is Author.PERSON
    return Urgency.CRITICAL if lead.category == 1 and fresh and signed else Urgency.WARNING


def _headline(told: Told, facts: Facts, *, quoted: bool) -> str:
    """What is on record, in a few words; a section is quoted, for its own words say what came of it."""
    # A call before this finding was signed was about something else: only the detail tells of it.
    aside = [one for one, _ in told.set_aside if not one.took_place or one.at is None]
    sections = [one.section for one in (*told.counted, *aside) if one.section]
    named = [one for one in told.counted if one.section is None]
    if named:
        return f"communicated {_to(named[0])}"
    if sections:
        return f"documented: “{_shortened(sections[0])}”"
    if quoted:
        return "only the report's text tells of a communication"
    if "communications" in facts.unavailable | facts.partial:
        return "whether it was communicated could not be looked up"
    return "no documented communication found"


def _shortened(words: str) -> str:
    return words if len(words) <= MAX_SECTION else words[: MAX_SECTION - 1].rstrip() + "…"


def _to(one: CommunicationFacts) -> str:
    whom = f"to {one.to}" if one.to else "(to whom is not recorded)"
    return f"{whom} at {one.at:%Y-%m-%d %H:%M %Z}".rstrip() if one.at else f"{whom} (time not recorded)"


def _notes(matter: _Matter, facts: Facts) -> tuple[str, ...]:
    lead, told = matter.lead, matter.told
    notes = [f"Documented: “{one.section}”" if one.section else f"Communicated {_to(one)}." for one in told.counted]
    for one, why in told.set_aside:
        record = f"Documented: “{one.section}”" if one.section else f"A communication {_to(one)} is on record"
        notes.append(f"{record}; it does not count here: {why}.")
    if not told.counted and "communications" in facts.unavailable | facts.partial:
        notes.append("Records of communication could not be looked up.")
    if matter.issued is None and lead.category == 1:
        notes.append("The time of signing is not known, so the age of the result cannot be told.")
    if lead.row and lead.finding.actionable and lead.finding.actionable.category not in (None, lead.row.category):
        notes.append(f"The reader coded category {lead.category}; the site's policy says category {lead.row.category}.")
    return (*notes, SUPPLEMENTARY)


def _named(rated: _Rated) -> Finding:
    """The finding under the rule's own name, by which it also stands beside another one."""
    return replace(rated.finding, stated=_title(rated))


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
