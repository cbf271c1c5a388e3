"""All order-time rules for the orders being placed: repeats, open follow-ups, contrast, pregnancy.

One piece of advice per order and reason, never more than a warning. Spec: clinical rules, section 5; CDS Hooks R33.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from imaging_findings.contrast import contrast_advice
from imaging_findings.duplicates import Chart, find_repeats
from imaging_findings.guidance import judge
from imaging_findings.order_advice import OrderAdvice, OrderJudgement, Reason, SuppressedAdvice
from imaging_findings.order_chart import ORDER_QUERIES, OrderChart
from imaging_findings.order_facts import DraftOrders, ImagingOrder
from imaging_findings.order_follow_up import OpenFollowUp, follow_up_advice, fulfils, open_follow_ups
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.pregnancy import pregnancy_advice
from imaging_findings.rules import Packs, Urgency
from imaging_findings.study_kinds import Basis

_FOR_EVERY_ORDER = frozenset({"studies", "orders"})
_FOR_CONTRAST = frozenset({"labs", "medications", "allergies", "conditions"})


def judge_orders(drafts: DraftOrders, chart: OrderChart, packs: Packs, policy: OrderPolicy, now: datetime) -> OrderJudgement:
    """What to say about the judged orders as of ``now`` (its local date is today)."""
    if not drafts.judged:
        return OrderJudgement()
    today = now.date()
    follow_ups = _open_follow_ups(drafts, chart, packs, now)
    advice: list[OrderAdvice] = []
    suppressed: list[SuppressedAdvice] = []
    for position, order in enumerate(drafts.judged):
        repeats, quiet = find_repeats(
            order, _around(order, position, drafts, chart, (follow_ups, policy, today)), policy, today
        )
        advice += repeats
        suppressed += quiet
        found = [
            follow_up_advice(order, follow_ups, chart.studies, policy, today),
            *contrast_advice(order, chart.contrast, policy, today),
            pregnancy_advice(order, chart.pregnancy, policy, today),
        ]
        advice += [one for one in found if one is not None]
    gap = _not_checked(drafts.judged, chart)
    return OrderJudgement(advice=(*map(_no_louder_than_its_words, advice), *gap), suppressed=tuple(suppressed))


def _no_louder_than_its_words(advice: OrderAdvice) -> OrderAdvice:
    # An order whose kind was read from words may be informed about; words never decide (Gc).
    return replace(advice, urgency=Urgency.INFO) if advice.order.kind.basis is Basis.WORDS else advice


def _open_follow_ups(drafts: DraftOrders, chart: OrderChart, packs: Packs, now: datetime) -> tuple[OpenFollowUp, ...]:
    # The orders being judged do not answer a follow-up before they are signed, even where the EHR has stored them already.
    keys = {one.key for one in drafts.judged}
    before = replace(chart.facts, orders=tuple(one for one in chart.facts.orders if one.reference not in keys))
    return open_follow_ups(judge(before, packs, now).guidance)


def _around(
    order: ImagingOrder,
    position: int,
    drafts: DraftOrders,
    chart: OrderChart,
    known: tuple[Sequence[OpenFollowUp], OrderPolicy, date],
) -> Chart:
    """The chart for one order: of two judged drafts that repeat each other only the later one is told."""
    follow_ups, policy, today = known
    own = {one.key for one in (*drafts.judged, *drafts.others)}
    answered = {one.guidance.study.reference for one in follow_ups if one.guidance.study and fulfils(order, one, policy, today)}
    return Chart(
        studies=chart.studies,
        orders=tuple(one for one in chart.orders if one.key not in own),
        drafts=(*drafts.judged[:position], *drafts.others),
        reports=chart.facts.reports,
        cancer=chart.cancer,
        is_emergency=chart.is_emergency,
        asked_for_by=frozenset(answered),
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
