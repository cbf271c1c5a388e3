"""Assessments through the table packs: one guidance for each study and assessment, its most urgent finding first.

No row gives an order: where several examinations would be right (or the category alone does not decide, as in LI-RADS),
nothing is drafted. An unsigned AI result computes nothing and stands beside the reader's, where there is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from imaging_findings.advice import Authority, Guidance, Statement, Suppressed
from imaging_findings.answers import Answer, of_categories, of_table
from imaging_findings.assessment_codes import ECHOED
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding
from imaging_findings.follow_up import Ground, after_history
from imaging_findings.later_steps import planned_steps
from imaging_findings.no_guideline import unless_nothing_is_said, without_guideline
from imaging_findings.packs import bundled_tables
from imaging_findings.quotes import quotes_of
from imaging_findings.reader_words import with_readers_word
from imaging_findings.rules import Packs, Speaks, TablePack, TableRow, Urgency
from imaging_findings.table_rules import Picked, is_agreed, pick, version_fault

Spoken = Guidance | Suppressed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """The findings of one study and assessment, with the packs that read them."""

    facts: Facts
    today: date
    day: date | None
    people: tuple[Finding, ...]
    machines: tuple[Finding, ...]
    packs: tuple[TablePack, ...]
    undecided: tuple[TablePack, ...]
    """The packs of a choice that the site has not made."""
    early: timedelta

    def ground(self, answer: Answer) -> Ground:
        """What a follow-up of these findings is compared with."""
        return Ground(facts=self.facts, day=self.day, today=self.today, answer=answer, early=self.early)


def assessment_guidance(facts: Facts, packs: Packs, today: date) -> list[Spoken]:
    """What the tables say; of an assessment that no pack in force reads, only what the reader or an AI said."""
    by_place: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in facts.assessments:
        if finding.assessment is not None and finding.assessment.name not in ECHOED:
            place = finding.study_reference or f"{finding.study_date or finding.reference}"
            by_place[place, finding.assessment.name].append(finding)
    spoken: list[Spoken] = []
    for (_, name), findings in by_place.items():
        spoken.append(_of_reading(_reading(name, findings, facts, packs, today)))
    return spoken


def _reading(name: str, findings: Sequence[Finding], facts: Facts, packs: Packs, today: date) -> _Reading:
    study = facts.study_of(findings[0])
    stated = [one.study_date for one in findings if one.study_date]
    people = [one for one in findings if one.author is Author.PERSON]
    own = {one for one in people if one.reference.startswith("Observation")}
    # The report's conclusion code repeats what an Observation of the study says in full.
    kept = [one for one in people if one in own or not any(one.category == other.category for other in own)]
    return _Reading(
        facts=facts,
        today=today,
        day=(study.day if study else None) or next(iter(stated), None),
        people=tuple(kept),
        machines=tuple(one for one in findings if one.author is Author.AI),
        packs=tuple(pack for pack in packs.tables if pack.reads == name),
        undecided=tuple(pack for pack in packs.undecided if pack.reads == name),
        early=packs.early,
    )


def _of_reading(reading: _Reading) -> Spoken:
    if not reading.people:
        return _of_ai(reading)
    spoken = [_of_finding(finding, reading) for finding in reading.people]
    open_ones = [one for one in spoken if isinstance(one, Guidance)]
    if not open_ones:
        return spoken[0]
    lead, *beside = sorted(open_ones, key=lambda one: _rank(one, reading))
    quiet = tuple(one for one in reading.people if all(one is not open_one.finding for open_one in open_ones))
    whole = replace(
        lead,
        others=(*(one.finding for one in beside), *quiet),
        beside=tuple(beside),
        ai=next(iter(reading.machines), None),
        ai_agrees=_agreement(lead.finding, reading),
    )
    return whole if reading.packs or reading.undecided else unless_nothing_is_said(whole)


def _rank(guidance: Guidance, reading: _Reading) -> tuple[int, int, date]:
    """The most urgent first, then the worst category, then the earliest due: what has no interval may be the worst."""
    pack = next(iter((*reading.packs, *reading.undecided)), None)
    severity = pack.severity_of(guidance.finding.category) if pack else 0
    return (-guidance.urgency.loudness, severity, guidance.next_step.due.latest if guidance.next_step else date.max)


def _agreement(person: Finding, reading: _Reading) -> bool | None:
    machine = next(iter(reading.machines), None)
    return person.category == machine.category if machine and machine.category and person.category else None


def _of_finding(finding: Finding, reading: _Reading) -> Spoken:
    """The row's word, the reader's own before it, and what later studies and orders have made of it."""
    if reading.undecided and not reading.packs:
        return _of_undecided(finding, reading)
    if not reading.packs:
        return _of_unread(finding, reading)
    pack = reading.packs[0]
    base = _with_reports(_base(finding, reading, pack.info.pack_id), reading)
    fault = version_fault(pack, finding)
    picked = Picked(missing=(fault,)) if fault else pick(pack, finding)
    if picked.row is None:
        notes = (picked.conflict,) if picked.conflict else ()
        spoken = replace(base, rule_id=f"{pack.info.pack_id}/no-row", missing=picked.missing, notes=notes)
        spoken = _unversioned(spoken, pack) if fault else spoken
    else:
        spoken = _of_row(base, picked.row, pack, reading)
    settled = after_history(with_readers_word(spoken, reading.day), reading.ground(_answer(pack, finding)))
    if isinstance(settled, Suppressed) or picked.row is None or finding.recommended:
        return settled
    return _unless_silent(settled, picked.row, reading.today)


def _of_row(base: Guidance, row: TableRow, pack: TablePack, reading: _Reading) -> Guidance:
    planned = planned_steps(row.steps, reading.day)
    return replace(
        base,
        rule_id=f"{pack.info.pack_id}/{row.row_id}",
        urgency=row.urgency,
        statements=(_statement(row, pack),),
        next_step=next(iter(planned), None),
        planned=planned,
        missing=("the date of the study",) if row.steps and reading.day is None else (),
        answer=of_table(pack, [row]),
    )


def _unversioned(guidance: Guidance, pack: TablePack) -> Guidance:
    """A category whose version is not the table's computes nothing (Gb), but is no quieter for it: 4 is suspicious in each."""
    finding = guidance.finding
    row = pick(pack, finding).row if finding.category else None
    is_named = finding.scheme is not None and finding.scheme.version is not None
    return replace(
        guidance,
        urgency=row.urgency if row else guidance.urgency,
        headline=guidance.headline if is_named else f"{_edition(guidance)} not coded, so no interval is computed",
    )


def _edition(guidance: Guidance) -> str:
    assessment = guidance.finding.assessment
    title = assessment.title if assessment else "guideline"
    return f"{title} {'edition' if title == 'BI-RADS' else 'version'}"


def _statement(row: TableRow, pack: TablePack) -> Statement:
    return Statement(
        authority=Authority.GUIDELINE,
        words=row.statement,
        pack=pack.info,
        row=row.row_id,
        needs_check=row.evidence == "C",
    )


def _unless_silent(guidance: Guidance, row: TableRow, today: date) -> Spoken:
    if row.speaks is Speaks.NEVER:
        reason = f"nothing is asked for ({guidance.rule_id})"
        return Suppressed(finding=guidance.finding, reason=reason, by=guidance.rule_id, rule_id=guidance.rule_id)
    due = guidance.next_step.due if guidance.next_step else None
    if row.speaks is Speaks.WHEN_DUE and due and today < due.earliest:
        reason = f"nothing is due before {due.earliest}"
        return Suppressed(finding=guidance.finding, reason=reason, by=guidance.rule_id, rule_id=guidance.rule_id)
    return guidance


def _of_undecided(finding: Finding, reading: _Reading) -> Spoken:
    """Guidelines that contradict each other: the site chooses one, and until then no interval is computed."""
    picked = [pick(pack, finding) for pack in reading.undecided]
    if all(one.row is not None and one.row.speaks is Speaks.NEVER for one in picked):
        reason = "every guideline that the site could choose asks for nothing"
        return Suppressed(finding=finding, reason=reason, by=finding.reference)
    if is_agreed(picked):
        return _of_agreed(finding, picked, reading)
    titles = " and ".join(pack.info.title for pack in reading.undecided)
    choice = reading.undecided[0].choice or reading.undecided[0].reads
    spoken = replace(
        _with_reports(_base(finding, reading, f"choice-{choice}"), reading),
        urgency=min((one.row.urgency if one.row else Urgency.INFO for one in picked), key=lambda urgency: urgency.loudness),
        missing=(f"the site's choice between {titles}", *dict.fromkeys(word for one in picked for word in one.missing)),
        notes=("This site has not chosen a guideline for this finding, so no interval is computed.",),
    )
    return after_history(with_readers_word(spoken, reading.day), reading.ground(_undecided_answer(picked, reading)))


def _of_agreed(finding: Finding, picked: Sequence[Picked], reading: _Reading) -> Spoken:
    """Every guideline that the site could choose says the same: then there is nothing to choose, and it is said."""
    rows = [(pack, one.row) for pack, one in zip(reading.undecided, picked, strict=True) if one.row]
    choice = reading.undecided[0].choice or reading.undecided[0].reads
    base = _with_reports(_base(finding, reading, f"choice-{choice}"), reading)
    spoken = replace(
        base,
        rule_id=f"choice-{choice}/{rows[0][1].row_id}",
        urgency=rows[0][1].urgency,
        statements=tuple(_statement(row, pack) for pack, row in rows),
    )
    return after_history(with_readers_word(spoken, reading.day), reading.ground(_undecided_answer(picked, reading)))


def _of_unread(finding: Finding, reading: _Reading) -> Spoken:
    """The site has switched the table off: the reader's own recommendation stays, until it is answered."""
    title = finding.assessment.title if finding.assessment else "this finding"
    spoken = _with_reports(without_guideline(finding, reading.facts.study_of(finding), title), reading)
    tables = [pack for pack in bundled_tables() if finding.assessment and pack.reads == finding.assessment.name]
    answer = _answer(tables[0], finding) if tables else Answer(words="examination")
    return after_history(with_readers_word(spoken, reading.day), reading.ground(answer))


def _with_reports(guidance: Guidance, reading: _Reading) -> Guidance:
    reports = reading.facts.reports_of(guidance.finding)
    quotes = tuple(quote for report in reports for quote in quotes_of(report))
    return replace(guidance, reports=reports, quotes=quotes)


def _of_ai(reading: _Reading) -> Guidance:
    lead = reading.machines[0]
    return replace(
        _base(lead, reading, "ai-unsigned"),
        rule_id=f"ai-unsigned/{lead.assessment.name if lead.assessment else lead.kind}",
        notes=("No interval is computed from an unsigned AI result.",),
        others=reading.machines[1:],
    )


def _base(finding: Finding, reading: _Reading, pack_id: str) -> Guidance:
    study = reading.facts.study_of(finding)
    return Guidance(rule_id=f"{pack_id}/undecided", finding=finding, study=study, urgency=Urgency.INFO)


def _undecided_answer(picked: Sequence[Picked], reading: _Reading) -> Answer:
    return of_table(reading.undecided[0], [one.row for one in picked if one.row])


def _answer(pack: TablePack, finding: Finding) -> Answer:
    return of_categories(pack, [finding.category] if finding.category else [])
