"""What holds for several orders of one request is said once, naming them all (clinical rules, section 4: no alert fatigue)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from imaging_findings.order_advice import OrderAdvice, Reason

# An order that is already there is another matter than the images of a day, also where related ones are shown beside it.
_ABOUT_PRIORS = frozenset({"orders/O1", "orders/O2"})


def merged(advice: Sequence[OrderAdvice]) -> tuple[OrderAdvice, ...]:
    """The advice, that of one rule with one content put together, each at the place of its first.

    Further drafts of one examination go together, and so do orders for which the same other code fits better.
    """
    groups: dict[Hashable, list[OrderAdvice]] = {}
    # A draft that repeats another is offered no code of its own: what is said of both is said once all the same.
    fitting = {_content(one): one.better for one in reversed(advice) if one.better}
    for one in advice:
        content = _content(one)
        groups.setdefault((content, one.better or fitting.get(content)), []).append(one)
    return tuple(_together(group) for group in groups.values())


def with_metformin_told_once(said: Sequence[OrderAdvice]) -> list[OrderAdvice]:
    """Prophylaxis (N1) and metformin (N4) of one order in one piece of advice: they rest on the same kidney function."""
    kidney = next((one for one in said if one.rule_id == "contrast/N1"), None)
    metformin = next((one for one in said if one.rule_id == "contrast/N4"), None)
    if kidney is None or metformin is None:
        return list(said)
    # What N1 says already (eGFR, acute kidney injury) is not said again; an arterial catheter study is a reason of its own.
    further = [line for line in metformin.lines if line[0] == "Medication" or "arterial" in line[1]]
    whole = replace(
        kidney,
        rule_id="contrast/N1+N4",
        headline=f"{kidney.headline}: hold metformin",
        lines=(*kidney.lines, *further, *(("Metformin", words) for label, words in metformin.lines if label == "Advice")),
    )
    return [whole if one is kidney else one for one in said if one is not metformin]


def _content(advice: OrderAdvice) -> Hashable:
    if advice.rule_id in _ABOUT_PRIORS and advice.studies:
        # Priors of one day are one visit, however many studies and series it was stored as.
        return advice.rule_id, advice.studies[0].day
    if advice.same_draft is not None:
        return advice.rule_id, advice.headline, advice.order.name
    return advice.rule_id, advice.headline, advice.lines


def _together(group: Sequence[OrderAdvice]) -> OrderAdvice:
    first = group[0]
    if len(group) == 1:
        return first
    removable = tuple(one.order for one in group if one.same_draft)
    studies = tuple({str(one.study_instance_uid): one for advice in group for one in advice.studies}.values())
    is_one = all(one.headline == first.headline for one in group)
    return replace(
        first,
        urgency=max((one.urgency for one in group), key=lambda urgency: urgency.loudness),
        headline=_headline(first, len(removable)) if first.same_draft or not is_one else first.headline,
        same_draft=next((one.same_draft for one in group if one.same_draft), None),
        removable=removable,
        better=next((one.better for one in group if one.better), None),
        lines=tuple(dict.fromkeys(line for advice in group for line in advice.lines)),
        studies=studies,
        also=tuple(one.order for one in group[1:]),
    )


def _headline(first: OrderAdvice, repeating: int) -> str:
    """``repeating``: how many of the drafts repeat the first one of their examination."""
    if first.same_draft is not None:
        return (
            first.headline.removesuffix("twice") + f"{repeating + 1} times"
            if first.headline.endswith("twice")
            else first.headline
        )
    day = first.studies[0].day
    if first.reason is Reason.DUPLICATE:
        return f"same regions already imaged on {day}"
    return f"related studies on {day} with another contrast phase"
