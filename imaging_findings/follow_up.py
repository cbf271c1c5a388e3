"""From a planned step to what is still open: due dates, the reader's own word, later studies, orders, and what is overdue.

The same for every rule set; what differs is which examination answers the follow-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from imaging_findings.advice import Authority, Guidance, NextStep, Statement, Suppressed
from imaging_findings.facts import Facts
from imaging_findings.findings import Finding
from imaging_findings.history import OrderFacts, StudyFacts
from imaging_findings.intervals import DueWindow
from imaging_findings.repeats import Kind, is_too_late, later_study, open_order
from imaging_findings.rules import PlannedStep, Strength, Urgency


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What answers a follow-up, in words and as kinds of examination; without kinds nothing does."""

    words: str
    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a follow-up is counted from and compared with. ``day`` None = the study's date is not known."""

    facts: Facts
    day: date | None
    today: date
    answer: Answer


def next_step(steps: Sequence[PlannedStep], day: date | None) -> NextStep | None:
    """The first step with its dates; None without a step or without the study's date."""
    if not steps or day is None:
        return None
    first = steps[0]
    return NextStep(examination=first.examination, due=first.interval.due(day), firm=first.strength is Strength.RECOMMENDED)


def with_reader(guidance: Guidance, day: date | None) -> Guidance:
    """The reader's own recommendation first; where it and the guideline part, both are shown and nothing is ordered."""
    guideline = guidance.next_step
    coded = guidance.finding.recommended
    if coded is not None:
        due = coded.interval.due(day) if coded.interval and day else None
        due = due or (DueWindow(coded.due, coded.due) if coded.due else None)
        said = Statement(authority=Authority.READER, words=coded.sentence)
        examination = guideline.examination if guideline else "follow-up imaging"
        guidance = replace(
            guidance,
            statements=(said, *guidance.statements),
            next_step=NextStep(examination=examination, due=due) if due else guideline,
            urgency=guidance.urgency if guideline or due is None else Urgency.WARNING,
            order=replace(guidance.order, due=due) if guidance.order and due else guidance.order,
        )
        reader_windows = [due] if due else []
    else:
        stated = [interval for quote in guidance.quotes for interval in quote.intervals]
        reader_windows = [interval.due(day) for interval in stated] if day else []
    parted = bool(guideline and reader_windows) and not any(_overlap(one, guideline) for one in reader_windows)
    if parted:
        note = "The report's own interval differs from the guideline's: no order is drafted."
        return replace(guidance, order=None, notes=(*guidance.notes, note))
    return guidance


def after_history(guidance: Guidance, ground: Ground) -> Guidance | Suppressed:
    """Suppression by a later study or an open order (Gf), and whether the follow-up is overdue."""
    due = guidance.next_step.due if guidance.next_step else None
    if ground.day is not None:
        study = _later(ground, guidance.finding, ground.day)
        if study is not None:
            reason = f"a later {ground.answer.words} was done on {study.day}"
            return Suppressed(finding=guidance.finding, reason=reason, by=study.reference, rule_id=guidance.rule_id)
        order = _ordered(ground, guidance.finding, ground.day)
        if order is not None and is_too_late(order, due):
            note = f"An order ({order.code_text}) is planned for {order.planned_from}, later than due."
            guidance = replace(guidance, notes=(*guidance.notes, note))
        elif order is not None and order.status == "draft":
            note = f"A draft order ({order.code_text}) is waiting to be signed."
            guidance = replace(guidance, order=None, urgency=Urgency.INFO, notes=(*guidance.notes, note))
        elif order is not None:
            reason = f"{order.code_text} is already ordered"
            return Suppressed(finding=guidance.finding, reason=reason, by=order.reference, rule_id=guidance.rule_id)
    return replace(guidance, overdue=_is_overdue(guidance.next_step, ground.today))


def _later(ground: Ground, finding: Finding, day: date) -> StudyFacts | None:
    found = (later_study(ground.facts, finding, day, kind) for kind in ground.answer.kinds)
    return min((one for one in found if one), key=lambda study: study.day or day, default=None)


def _ordered(ground: Ground, finding: Finding, day: date) -> OrderFacts | None:
    found = (open_order(ground.facts, finding, day, kind) for kind in ground.answer.kinds)
    return min((one for one in found if one), key=lambda order: order.status == "draft", default=None)


def _overlap(window: DueWindow, step: NextStep | None) -> bool:
    return step is not None and window.earliest <= step.due.latest and step.due.earliest <= window.latest


def _is_overdue(step: NextStep | None, today: date) -> bool:
    return step is not None and step.firm and step.due.is_overdue(today)
