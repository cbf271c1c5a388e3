"""From a planned step to what is still open: due dates, the reader's own word, later studies, orders, and what is overdue.

The same for every rule set; what differs is which examination answers the follow-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from imaging_findings.advice import Authority, Guidance, NextStep, Statement, Suppressed
from imaging_findings.answers import Answer
from imaging_findings.facts import Facts
from imaging_findings.history import OrderFacts
from imaging_findings.intervals import DueWindow
from imaging_findings.later_steps import after_studies, ended_by_same_nodule, planned_steps
from imaging_findings.repeats import Past, Standing, later_studies, note_of_later, note_of_order, open_order, said_of_ordered
from imaging_findings.rules import PlannedStep, Urgency

# How long an open order without a due date may wait before it counts as not done [C].
_WAITING = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a follow-up is counted from and compared with. ``day`` None = the study's date is not known."""

    facts: Facts
    day: date | None
    today: date
    answer: Answer
    early: timedelta
    """How long before its time a step counts as done (``Packs.early``)."""


def next_step(steps: Sequence[PlannedStep], day: date | None) -> NextStep | None:
    """The first step with its dates; None without a step or without the study's date."""
    return next(iter(planned_steps(steps, day)), None)


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
        return replace(guidance, order=None, notes=(*guidance.notes, note), planned=())
    return guidance


def after_history(guidance: Guidance, ground: Ground) -> Guidance | Suppressed:
    """What later studies and open orders leave of it (Gf): silence, a later step, or the step with whether it is overdue."""
    if ground.day is None:
        return replace(guidance, overdue=_is_overdue(guidance.next_step, ground.today))
    past = Past(
        facts=ground.facts,
        finding=guidance.finding,
        day=ground.day,
        answer=guidance.answer or ground.answer,
        early=ground.early,
        due=guidance.next_step.due if guidance.next_step else None,
    )
    same, studies = ended_by_same_nodule(guidance, past), later_studies(past)
    if same is not None:
        return same
    if not studies:
        return _after_orders(guidance, past, ground, is_imaged=False)
    told = after_studies(guidance, past, studies, ground.today)
    return told if isinstance(told, Suppressed) else _after_orders(told, _later_past(past, told), ground, is_imaged=True)


def _later_past(past: Past, guidance: Guidance) -> Past:
    """What the step that is left is compared with: its own time, and the examination since."""
    return replace(past, due=guidance.next_step.due if guidance.next_step else None, since=guidance.followed)


def _after_orders(guidance: Guidance, past: Past, ground: Ground, *, is_imaged: bool) -> Guidance | Suppressed:
    """Suppression by an open order, and whether the follow-up is overdue. ``is_imaged``: a later study answers a step of it."""
    later, found = note_of_later(past), open_order(past)
    noted = _noted(guidance, later)
    passed = _passed(noted.next_step, past, ground.today, is_imaged=is_imaged or later is not None)
    if found is None:
        return replace(_noted(noted, passed), overdue=_is_overdue(noted.next_step, ground.today))
    order, standing = found
    if standing in (Standing.ANSWERS, Standing.LATE) and _is_not_done(order, past, ground.today):
        return _not_done(_noted(noted, passed), order, ground.today)
    if standing is Standing.ANSWERS:
        return _ended(guidance, said_of_ordered(past, order), order.reference)
    noted = _noted(_noted(noted, note_of_order(past, order, standing)), passed)
    if standing is Standing.DRAFT:
        noted = replace(noted, order=None, urgency=Urgency.INFO)
    elif standing is Standing.ON_HOLD:
        noted = replace(noted, order=None)
    return replace(noted, overdue=_is_overdue(noted.next_step, ground.today))


def _ended(guidance: Guidance, reason: str, by: str) -> Suppressed:
    return Suppressed(finding=guidance.finding, reason=reason, by=by, rule_id=guidance.rule_id)


def _noted(guidance: Guidance, note: str | None) -> Guidance:
    return replace(guidance, notes=(*guidance.notes, note)) if note else guidance


def _is_not_done(order: OrderFacts, past: Past, today: date) -> bool:
    """Whether the order's time has passed: the due window, or three months where nothing is due on a day."""
    if order.planned_from is not None and order.planned_from >= today:
        return False
    if past.due is not None:
        return past.due.is_overdue(today)
    return (order.planned_from or order.authored or past.day) + _WAITING < today


def _not_done(guidance: Guidance, order: OrderFacts, today: date) -> Guidance:
    """An order that was written and not carried out ends nothing; it is not written a second time either."""
    is_overdue = _is_overdue(guidance.next_step, today)
    ordered = f"ordered {order.authored}, not done" if order.authored else "ordered, not done"
    step = guidance.next_step
    return replace(
        _noted(guidance, f"An order ({order.code_text}) is open: {ordered}."),
        order=None,
        overdue=is_overdue,
        headline=f"{step.examination} overdue since {step.due.latest}; {ordered}" if step and is_overdue else guidance.headline,
    )


def _passed(step: NextStep | None, past: Past, today: date, *, is_imaged: bool) -> str | None:
    """A step that is only offered is never overdue; that its time has passed is said all the same."""
    if step is None or step.firm or step.after is None or not step.due.is_overdue(today):
        return None
    known = not is_imaged and "studies" not in past.facts.unavailable | past.facts.partial
    point = f"{step.after.high}-{str(step.after).rpartition(' ')[2].removesuffix('s')} point passed {step.due.latest}"
    return f"{point}, no imaging found." if known else f"{point}."


def _overlap(window: DueWindow, step: NextStep | None) -> bool:
    return step is not None and window.earliest <= step.due.latest and step.due.earliest <= window.latest


def _is_overdue(step: NextStep | None, today: date) -> bool:
    return step is not None and step.firm and step.due.is_overdue(today)
