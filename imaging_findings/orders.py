"""All order-time rules for the orders being placed: repeats, open follow-ups, contrast, pregnancy.

One piece of advice per order and reason, never more than a warning. Spec: clinical rules, section 5; CDS Hooks R33.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from imaging_findings.better_code import Circumstances, better_code_advice
from imaging_findings.better_code import Verdict as CodeVerdict
from imaging_findings.contrast import contrast_advice
from imaging_findings.duplicates import Chart, find_repeats
from imaging_findings.guidance import judge
from imaging_findings.order_advice import OrderAdvice, OrderJudgement, Reason, SuppressedAdvice
from imaging_findings.order_chart import ORDER_QUERIES, OrderChart
from imaging_findings.order_facts import DraftOrders, ImagingOrder
from imaging_findings.order_follow_up import (
    EARLY,
    FULFILLED,
    OTHER_EXAMINATION,
    SCREENING,
    UNDATED,
    OpenFindings,
    answers_in_time,
    asking_studies,
    fitting_follow_up,
    follow_up_advice,
    open_findings,
)
from imaging_findings.order_merging import merged, with_metformin_told_once
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.pregnancy import pregnancy_advice
from imaging_findings.rules import Packs, Urgency
from imaging_findings.study_kinds import Basis

Known = tuple[OpenFindings, OrderPolicy, date]
_FOR_EVERY_ORDER = frozenset({"studies", "orders"})
# Reported medications only complete the ordered ones; many systems have none, and that alone is worth no word.
_FOR_CONTRAST = frozenset({"labs", "medications", "allergies", "conditions"})


def judge_orders(drafts: DraftOrders, chart: OrderChart, packs: Packs, policy: OrderPolicy, now: datetime) -> OrderJudgement:
    """What to say about the judged orders as of ``now`` (its local date is today)."""
    if not drafts.judged:
        return OrderJudgement()
    today = now.date()
    known = (_open_findings(drafts, chart, packs, now), policy, today)
    advice: list[OrderAdvice] = []
    suppressed: list[SuppressedAdvice] = []
    for position, order in enumerate(drafts.judged):
        repeats, quiet = find_repeats(order, _around(order, position, drafts, chart, known), policy, today)
        about_code, unsaid = _about_code(order, chart, known, is_repeat=any(one.reason is Reason.DUPLICATE for one in repeats))
        about_follow_up, unasked = _about_follow_up(order, chart, known)
        found = [
            *repeats,
            *_one_of(about_follow_up, about_code),
            *contrast_advice(order, chart.contrast, policy, today),
            pregnancy_advice(order, chart.pregnancy, policy, today),
        ]
        said, twice = _unless_answered([one for one in found if one is not None], advice)
        told_once, folded = _one_matter(said)
        advice += with_metformin_told_once(told_once)
        suppressed += (*quiet, *unsaid, *unasked, *twice, *folded)
    gap = _not_checked(drafts.judged, chart)
    told = merged(tuple(map(_no_louder_than_its_words, advice)))
    return OrderJudgement(advice=(*told, *gap), suppressed=tuple(suppressed))


def _unless_answered(
    found: Sequence[OrderAdvice], before: Sequence[OrderAdvice]
) -> tuple[list[OrderAdvice], list[SuppressedAdvice]]:
    """A follow-up that an earlier order of the request already fulfils asks nothing of the later ones."""
    done = {one.follow_up: one.order.key for one in before if one.rule_id == FULFILLED}
    said = [one for one in found if one.follow_up not in done]
    why = "an earlier order of this request fulfils the follow-up"
    gone = [one for one in found if one.follow_up in done]
    return said, [SuppressedAdvice(rule_id=one.rule_id, order=one.order, reason=why, by=done[one.follow_up]) for one in gone]


def _about_follow_up(
    order: ImagingOrder, chart: OrderChart, known: Known
) -> tuple[OrderAdvice | None, tuple[SuppressedAdvice, ...]]:
    """What the order means for open follow-ups; films of an acute course are nobody's mistake for one."""
    found, policy, today = known
    advice = follow_up_advice(order, found, chart.studies, policy, today)
    is_acute = chart.is_emergency or order.is_serial
    if advice is None or advice.rule_id != OTHER_EXAMINATION or not is_acute or fitting_follow_up(order, found.follow_ups):
        return advice, ()
    why = (
        "the order is one of a series"
        if order.is_serial
        else "in an emergency or intensive care an order is for the acute course"
    )
    return None, (SuppressedAdvice(rule_id=advice.rule_id, order=order, reason=why, by=advice.follow_up or ""),)


def _one_matter(said: Sequence[OrderAdvice]) -> tuple[list[OrderAdvice], list[SuppressedAdvice]]:
    """One card where an order repeats a study whose own finding asks for something else, or later: that is the same matter."""
    repeat = next((one for one in said if one.rule_id == "orders/O1"), None)
    early = next((one for one in said if one.rule_id in (EARLY, UNDATED, SCREENING)), None)
    if repeat is None or early is None or not set(early.studies) & set(repeat.studies):
        return list(said), []
    if early.rule_id == SCREENING:
        kept, folded, whole = early, repeat, replace(early, lines=(*early.lines, *repeat.lines))
    else:
        headline = f"already imaged on {repeat.studies[0].day}; {early.headline}"
        kept, folded, whole = repeat, early, replace(repeat, headline=headline, lines=(*repeat.lines, *early.lines))
    why = "it is told with what the finding of the same study asks for"
    silenced = SuppressedAdvice(rule_id=folded.rule_id, order=folded.order, reason=why, by=early.studies[0].reference)
    return [whole if one is kept else one for one in said if one is not folded], [silenced]


def _about_code(order: ImagingOrder, chart: OrderChart, known: Known, *, is_repeat: bool) -> CodeVerdict:
    open_ones, policy, today = known
    first = fitting_follow_up(order, open_ones.follow_ups)
    answered = first if first is not None and answers_in_time(order, first, policy, today) else None
    around = Circumstances(is_repeat=is_repeat, is_emergency=chart.is_emergency, cancer=chart.cancer)
    return better_code_advice(order, answered, around)


def _one_of(follow_up: OrderAdvice | None, about_code: OrderAdvice | None) -> tuple[OrderAdvice | None, ...]:
    """The follow-up's code is said within the follow-up's own card, never beside it."""
    if follow_up is None or about_code is None or about_code.rule_id != "orders/code-follow-up":
        return follow_up, about_code
    return (replace(follow_up, lines=(*follow_up.lines, *about_code.lines), better=about_code.better),)


def _no_louder_than_its_words(advice: OrderAdvice) -> OrderAdvice:
    # An order whose kind was read from words may be informed about; words never decide (Gc).
    return replace(advice, urgency=Urgency.INFO) if advice.order.kind.basis is Basis.WORDS else advice


def _open_findings(drafts: DraftOrders, chart: OrderChart, packs: Packs, now: datetime) -> OpenFindings:
    # The orders being judged do not answer a follow-up before they are signed, even where the EHR has stored them already.
    keys = {one.key for one in drafts.judged}
    before = replace(chart.facts, orders=tuple(one for one in chart.facts.orders if one.reference not in keys))
    return open_findings(judge(before, packs, now).guidance, packs)


def _around(
    order: ImagingOrder,
    position: int,
    drafts: DraftOrders,
    chart: OrderChart,
    known: Known,
) -> Chart:
    """The chart for one order: of two judged drafts that repeat each other only the later one is told."""
    open_ones, policy, today = known
    own = {one.key for one in (*drafts.judged, *drafts.others)}
    return Chart(
        studies=chart.studies,
        orders=tuple(one for one in chart.orders if one.key not in own),
        drafts=(*drafts.judged[:position], *drafts.others),
        reports=chart.facts.reports,
        any_reports=chart.reports,
        cancer=chart.cancer,
        is_emergency=chart.is_emergency,
        asked_for_by=asking_studies(order, open_ones, policy, today),
    )


def _not_checked(judged: Sequence[ImagingOrder], chart: OrderChart) -> tuple[OrderAdvice, ...]:
    """Once per request: what could not be looked at, where it would have mattered."""
    with_contrast = any(one.kind.contrast.is_given for one in judged)
    wanted = _FOR_EVERY_ORDER | (_FOR_CONTRAST if with_contrast else frozenset())
    missing = [query.meaning for query in ORDER_QUERIES if query.key in wanted & chart.not_available]
    parts = [query.meaning for query in ORDER_QUERIES if query.key in wanted & chart.partial]
    if not missing and not parts:
        return ()
    lines = [("Not available", ", ".join(missing))] if missing else []
    lines += [("Only a part came", ", ".join(parts))] if parts else []
    gap = OrderAdvice(
        rule_id="service/incomplete-data",
        reason=Reason.NOT_CHECKED,
        order=judged[0],
        urgency=Urgency.INFO,
        headline="not everything could be checked",
        lines=tuple(lines),
    )
    return (gap,)
