"""Does the order fulfil an open follow-up, and if not, why: wrong examination, too early, too late?

An open follow-up is what ``guidance.judge`` still asks for. Spec: clinical rules Ge, Gf and section 3; issue "order-sign".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from imaging_findings.advice import Guidance
from imaging_findings.findings import Author, Kind
from imaging_findings.intervals import DueWindow
from imaging_findings.order_advice import OrderAdvice, Reason
from imaging_findings.order_facts import ImagingOrder, PriorStudy
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.rules import Urgency
from imaging_findings.study_kinds import Contrast, StudyKind, study_kind_of

_CHEST_CT = StudyKind(families=frozenset({"CT"}), regions=frozenset({"chest"}))
_LUNG = frozenset({Kind.LUNG_RADS, Kind.NODULE})
_SOON = timedelta(days=30)
FULFILLED = "orders/follow-up-fulfilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFollowUp:
    """One follow-up that nobody has done or ordered, and the kind of examination that answers it."""

    guidance: Guidance
    examination: str
    due: DueWindow
    wanted: StudyKind


def open_follow_ups(guidance: Sequence[Guidance]) -> tuple[OpenFollowUp, ...]:
    """The follow-ups with a due date; an unsigned AI result asks for none."""
    found: list[OpenFollowUp] = []
    for one in guidance:
        wanted = _wanted(one)
        if one.next_step is not None and one.finding.author is Author.PERSON and wanted.families:
            step = one.next_step
            found.append(OpenFollowUp(guidance=one, examination=step.examination, due=step.due, wanted=wanted))
    return tuple(found)


def follow_up_advice(
    order: ImagingOrder, follow_ups: Sequence[OpenFollowUp], studies: Sequence[PriorStudy], policy: OrderPolicy, today: date
) -> OrderAdvice | None:
    """What the order means for the open follow-ups: for the one that it fits, or the one that it does not replace."""
    fitting = fitting_follow_up(order, follow_ups)
    if fitting is not None:
        return replace(_fitting(order, fitting, studies, policy, today), follow_up=fitting.guidance.finding.reference)
    soon = today + _SOON
    near = [one for one in follow_ups if one.wanted.regions & order.kind.regions and one.due.earliest <= soon]
    if not near:
        return None
    first = min(near, key=lambda one: one.due.latest)
    headline = f"does not replace the follow-up {first.examination} due {first.due}"
    lines = [_open_line(first), ("Wrong examination", f"the follow-up asks for {first.examination}")]
    advice = _advice("orders/follow-up-wrong-examination", order, Urgency.INFO, headline, lines, _seen_on(first, studies))
    return replace(advice, follow_up=first.guidance.finding.reference)


def fitting_follow_up(order: ImagingOrder, follow_ups: Sequence[OpenFollowUp]) -> OpenFollowUp | None:
    """The first due of the open follow-ups that the order answers in modality and region."""
    fitting = [one for one in follow_ups if one.wanted.overlaps(order.kind)]
    return min(fitting, key=lambda one: one.due.latest, default=None)


def answers_in_time(order: ImagingOrder, follow_up: OpenFollowUp, policy: OrderPolicy, today: date) -> bool:
    """Whether the order is the right kind of examination in the right time; an undated order counts for today.

    Another contrast phase than the follow-up asks for is said beside it; the study that asks for it is no repeat's prior.
    """
    day = order.planned or today
    in_time = follow_up.due.earliest - timedelta(days=policy.follow_up_early_days) <= day
    on_time = order.planned is None or order.planned <= follow_up.due.latest
    return follow_up.wanted.overlaps(order.kind) and in_time and on_time


def _fitting(
    order: ImagingOrder, follow_up: OpenFollowUp, studies: Sequence[PriorStudy], policy: OrderPolicy, today: date
) -> OrderAdvice:
    due, lines, seen = follow_up.due, [_open_line(follow_up)], _seen_on(follow_up, studies)
    if _is_other_contrast(order, follow_up):
        lines.append(("Other contrast", f"the follow-up asks for {follow_up.examination} without contrast"))
        headline = f"the follow-up due {due} asks for no contrast"
        return _advice("orders/follow-up-wrong-examination", order, Urgency.INFO, headline, lines, seen)
    if order.planned is not None and order.planned < due.earliest - timedelta(days=policy.follow_up_early_days):
        headline = f"planned for {order.planned}, earlier than the follow-up due {due}"
        return _advice("orders/follow-up-early", order, Urgency.WARNING, headline, lines, seen)
    if order.planned is not None and order.planned > due.latest:
        headline = f"planned for {order.planned}, later than the follow-up due {due}"
        return _advice("orders/follow-up-late", order, Urgency.WARNING, headline, lines, seen)
    if order.planned is None and today < due.earliest - timedelta(days=policy.follow_up_early_days):
        lines.append(("Missing", "a date: the order names none, so nothing says that it is meant for that time"))
        headline = f"a follow-up is due {due}, and the order names no date"
        return _advice("orders/follow-up-undated", order, Urgency.INFO, headline, lines, seen)
    overdue = due.is_overdue(order.planned or today)
    headline = f"fulfils the follow-up {'overdue since ' + str(due.latest) if overdue else f'due {due}'}"
    return _advice(FULFILLED, order, Urgency.INFO, headline, lines, seen)


def _wanted(guidance: Guidance) -> StudyKind:
    if guidance.order is not None:
        return study_kind_of(stated=(guidance.order.code,))
    if guidance.finding.kind in _LUNG:
        return _CHEST_CT
    study = guidance.study
    return StudyKind(families=study.families, regions=study.regions) if study else StudyKind()


def _is_other_contrast(order: ImagingOrder, follow_up: OpenFollowUp) -> bool:
    # Only a follow-up whose own code says "without" can be missed by giving contrast.
    return follow_up.wanted.contrast is Contrast.WITHOUT and order.kind.contrast.is_given


def _open_line(follow_up: OpenFollowUp) -> tuple[str, str]:
    guidance = follow_up.guidance
    said = guidance.statements[0].words if guidance.statements else "see the report"
    pack = guidance.statements[0].pack if guidance.statements else None
    source = f" ({pack.title}, version {pack.guideline.version})" if pack else ""
    return "Open follow-up", f"{follow_up.examination}, due {follow_up.due}, counted from the date of the study. {said}{source}"


def _seen_on(follow_up: OpenFollowUp, studies: Sequence[PriorStudy]) -> tuple[PriorStudy, ...]:
    reference = follow_up.guidance.study.reference if follow_up.guidance.study else None
    return tuple(one for one in studies if one.reference == reference)


def _advice(
    rule_id: str,
    order: ImagingOrder,
    urgency: Urgency,
    headline: str,
    lines: Sequence[tuple[str, str]],
    studies: tuple[PriorStudy, ...],
) -> OrderAdvice:
    return OrderAdvice(
        rule_id=rule_id,
        reason=Reason.FOLLOW_UP,
        order=order,
        urgency=urgency,
        headline=headline,
        lines=tuple(lines),
        studies=studies,
    )
