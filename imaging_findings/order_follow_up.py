"""Does the order fulfil an open follow-up, and if not, why: wrong examination, too early, too late?

An open follow-up is what ``guidance.judge`` still asks for by a day; an open work-up is what it asks for without one (Lung-RADS
4B, BI-RADS 0, 4 and 5). A screening examination is neither. Spec: clinical rules Ge, Gf and section 3; issue "order-sign".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from imaging_findings.advice import Guidance
from imaging_findings.findings import LUNG_KINDS, Author, Kind
from imaging_findings.intervals import DueWindow
from imaging_findings.order_advice import OrderAdvice, Reason
from imaging_findings.order_answers import Answering, answering
from imaging_findings.order_facts import ImagingOrder, PriorStudy
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.organs import Shown
from imaging_findings.rules import Packs, Urgency
from imaging_findings.screening_answers import NOT_BY_SCREENING, is_answered_by_screening, screening_words
from imaging_findings.sides import side_of
from imaging_findings.wording import first_clause, headline_title

_SOON = timedelta(days=30)
_CODED = LUNG_KINDS | {Kind.ASSESSMENT}
FULFILLED = "orders/follow-up-fulfilled"
OTHER_EXAMINATION = "orders/follow-up-wrong-examination"
EARLY = "orders/follow-up-early"
UNDATED = "orders/follow-up-undated"
SCREENING = "orders/screening-with-open-finding"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFollowUp:
    """One follow-up that nobody has done or ordered, and the kind of examination that answers it."""

    guidance: Guidance
    examination: str
    due: DueWindow
    answer: Answering


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWorkUp:
    """What a suspicious or incomplete finding asks for without naming a day, and what belongs to it."""

    guidance: Guidance
    answer: Answering

    @property
    def asks_for_images(self) -> bool:
        """Whether further images belong to it: not where only tissue or a specialist answers, but for the breast always."""
        rule, assessment = self.answer.rule, self.guidance.finding.assessment
        return rule is None or rule.by_images or (assessment is not None and assessment.name == "bi-rads")

    @property
    def asks_for_more_than_screening(self) -> bool:
        """Whether a screening leaves it open; an incomplete one (Lung-RADS 0) may be repeated as such."""
        return not is_answered_by_screening(self.guidance)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFindings:
    """All that is still asked for, by a day or without one."""

    follow_ups: tuple[OpenFollowUp, ...] = field(default=())
    work_ups: tuple[OpenWorkUp, ...] = field(default=())


def open_findings(guidance: Sequence[Guidance], packs: Packs) -> OpenFindings:
    """What the guidance still asks for, that of further findings of a study too; an unsigned AI result asks for nothing."""
    follow_ups: list[OpenFollowUp] = []
    work_ups: list[OpenWorkUp] = []
    for one in (single for lead in guidance for single in (lead, *lead.beside)):
        answer = answering(one, packs)
        if one.finding.author is not Author.PERSON or not answer.wanted:
            continue
        if one.next_step is not None:
            step = one.next_step
            follow_ups.append(OpenFollowUp(guidance=one, examination=step.examination, due=step.due, answer=answer))
        elif _asks_for_work_up(one):
            work_ups.append(OpenWorkUp(guidance=one, answer=answer))
    return OpenFindings(follow_ups=tuple(follow_ups), work_ups=tuple(work_ups))


def follow_up_advice(
    order: ImagingOrder, found: OpenFindings, studies: Sequence[PriorStudy], policy: OrderPolicy, today: date
) -> OrderAdvice | None:
    """What the order means for what is open: for what it fits, or what it does not replace."""
    if order.kind.is_screening:
        suspicious = [
            one for one in found.work_ups if one.asks_for_more_than_screening and one.answer.regions & order.kind.regions
        ]
        if suspicious:
            return _screening(order, suspicious[0], studies)
    fitting = fitting_follow_up(order, found.follow_ups)
    if fitting is not None:
        return replace(_fitting(order, fitting, studies, policy, today), follow_up=fitting.guidance.finding.reference)
    soon = today + _SOON
    near = [one for one in found.follow_ups if one.answer.regions & order.kind.regions and one.due.earliest <= soon]
    # A needle is no examination that somebody mistook for another one.
    if not near or order.kind.is_intervention:
        return None
    first = min(near, key=lambda one: (not one.answer.may_be_met_by(order), one.due.latest))
    return replace(_not_fitting(order, first, studies), follow_up=first.guidance.finding.reference)


def asking_studies(order: ImagingOrder, found: OpenFindings, policy: OrderPolicy, today: date) -> frozenset[str]:
    """``ImagingStudy/id`` of the studies whose own findings ask for this very order at this time: no priors that it repeats.

    Nor is the examination that did the step before the one that the order is for.
    """
    asking = [one.guidance for one in found.follow_ups if answers_in_time(order, one, policy, today)]
    if not order.kind.is_screening:
        asking += [one.guidance for one in found.work_ups if one.asks_for_images and _is_among(order, one.answer)]
    seen = [study for one in asking for study in (one.study, one.followed)]
    return frozenset(study.reference for study in seen if study)


def fitting_follow_up(order: ImagingOrder, follow_ups: Sequence[OpenFollowUp]) -> OpenFollowUp | None:
    """The first due of the open follow-ups that the order answers in modality and region."""
    fitting = [one for one in follow_ups if one.answer.is_met_by(order)]
    return min(fitting, key=lambda one: one.due.latest, default=None)


def answers_in_time(order: ImagingOrder, follow_up: OpenFollowUp, policy: OrderPolicy, today: date) -> bool:
    """Whether the order is the right kind of examination in the right time; an undated order counts for today.

    Another contrast phase than the follow-up asks for is said beside it; the study that asks for it is no repeat's prior.
    """
    day = order.planned or today
    in_time = follow_up.due.earliest - timedelta(days=policy.follow_up_early_days) <= day
    on_time = order.planned is None or order.planned <= follow_up.due.latest
    return follow_up.answer.is_met_by(order) and in_time and on_time


def _is_among(order: ImagingOrder, answer: Answering) -> bool:
    return answer.is_met_by(order) or answer.may_be_met_by(order)


def _asks_for_work_up(guidance: Guidance) -> bool:
    """Whether the rule urges something without a day, and nothing that it would need is missing."""
    is_told = bool(guidance.statements) and not guidance.missing and guidance.finding.kind in _CODED
    return is_told and guidance.urgency is not Urgency.INFO


def _screening(order: ImagingOrder, work_up: OpenWorkUp, studies: Sequence[PriorStudy]) -> OrderAdvice:
    guidance = work_up.guidance
    said = guidance.statements[0]
    seen = guidance.study.reference if guidance.study else None
    source = f" ({said.pack.title}, version {said.pack.guideline.version})" if said.pack else ""
    headline = f"{headline_title(guidance)} is open ({first_clause(said.words)}); screening does not replace it"
    lines = [
        ("Open finding", f"{headline_title(guidance)}. {said.words}{source}"),
        ("Screening", "a screening examination is for patients without an open suspicious or incomplete finding"),
    ]
    priors = tuple(one for one in studies if one.reference == seen)
    advice = _advice(SCREENING, order, Urgency.WARNING, headline, lines, priors)
    return replace(advice, follow_up=guidance.finding.reference)


def _not_fitting(order: ImagingOrder, follow_up: OpenFollowUp, studies: Sequence[PriorStudy]) -> OrderAdvice:
    due, asked = follow_up.due, follow_up.examination
    if follow_up.answer.is_of_other_side(order):
        side = side_of(follow_up.guidance.finding)
        headline = f"other side: the follow-up {asked} due {due} is {side}"
        line = ("Other side", f"the follow-up is {side}, the order {order.kind.side}")
    elif follow_up.answer.may_be_met_by(order):
        headline = f"may answer the follow-up due {due}, which asks for {asked}"
        line = ("Other modality", f"the follow-up names {asked}; its rule set lets this examination answer it too")
    elif follow_up.answer.is_of_other_organ(order):
        headline = f"does not replace the follow-up {asked} due {due}"
        line = ("Other organ", f"the follow-up asks for {asked}; {order.name} does not show the {_organs(follow_up)}")
    else:
        headline = f"does not replace the follow-up {asked} due {due}"
        line = ("Wrong examination", f"the follow-up asks for {asked}")
    return _advice(
        OTHER_EXAMINATION, order, Urgency.INFO, headline, [_open_line(follow_up), line], _seen_on(follow_up, studies)
    )


def _fitting(
    order: ImagingOrder, follow_up: OpenFollowUp, studies: Sequence[PriorStudy], policy: OrderPolicy, today: date
) -> OrderAdvice:
    due, lines, seen = follow_up.due, [_open_line(follow_up)], _seen_on(follow_up, studies)
    if not order.kind.is_intervention and follow_up.answer.organ_in(order) is Shown.REGION_ONLY:
        lines.append(("Organ", f"the order states only its region, not whether it shows the {_organs(follow_up)}"))
    if order.kind.is_screening and not is_answered_by_screening(follow_up.guidance):
        lines.append(("Screening", screening_words(follow_up.examination)))
        headline = f"{NOT_BY_SCREENING} due {due}"
        return _advice(OTHER_EXAMINATION, order, Urgency.INFO, headline, lines, seen)
    if order.planned is not None and order.planned < due.earliest - timedelta(days=policy.follow_up_early_days):
        headline = f"planned for {order.planned}, earlier than the follow-up due {due}"
        return _advice(EARLY, order, _loudness_of(follow_up), headline, lines, seen)
    if order.planned is not None and order.planned > due.latest:
        headline = f"planned for {order.planned}, later than the follow-up due {due}"
        return _advice("orders/follow-up-late", order, _loudness_of(follow_up), headline, lines, seen)
    if order.planned is None and today < due.earliest - timedelta(days=policy.follow_up_early_days):
        lines.append(("Missing", "a date: the order names none, so nothing says that it is meant for that time"))
        headline = f"a follow-up is due {due}, and the order names no date"
        return _advice(UNDATED, order, Urgency.INFO, headline, lines, seen)
    if _is_other_contrast(order, follow_up):
        lines.append(("Other contrast", f"the follow-up asks for {follow_up.examination} without contrast"))
        headline = f"the follow-up due {due} asks for no contrast"
        return _advice(OTHER_EXAMINATION, order, Urgency.INFO, headline, lines, seen)
    overdue = due.is_overdue(order.planned or today)
    headline = f"fulfils the follow-up {'overdue since ' + str(due.latest) if overdue else f'due {due}'}"
    return _advice(FULFILLED, order, Urgency.INFO, headline, lines, seen)


def _loudness_of(follow_up: OpenFollowUp) -> Urgency:
    """Another time is worth a warning where somebody asks for the step, and information where it is only offered."""
    step = follow_up.guidance.next_step
    return Urgency.WARNING if step is None or step.firm else Urgency.INFO


def _is_other_contrast(order: ImagingOrder, follow_up: OpenFollowUp) -> bool:
    return follow_up.answer.asks_for_no_contrast and order.kind.contrast.is_given


def _organs(follow_up: OpenFollowUp) -> str:
    return " or ".join(sorted(follow_up.answer.organs))


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
