"""Advice about orders into CDS cards: at most a warning, with the prior's images, and never in the way of the order.

Spec: CDS Hooks 2.0 R25-R31, R33; clinical rules O6 and section 4. Links carry DICOM UIDs and nothing of the patient.
"""

from __future__ import annotations

from typing import Any

from cds_service.card_parts import CardContext, IssuedCard, image_links, override_reasons, topic
from cds_service.plain_words import escaped, one_sentence
from imaging_findings.code_replacement import with_code_replaced
from imaging_findings.order_advice import OrderAdvice, Reason
from imaging_findings.order_sources import SOURCES
from imaging_findings.rules import Urgency

_TOPIC = {
    Reason.DUPLICATE: "Same examination already done or ordered",
    Reason.RELATED: "Related examination with another contrast phase",
    Reason.FOLLOW_UP: "Open follow-up of an imaging finding",
    Reason.KIDNEY: "Contrast agent and kidney function",
    Reason.METFORMIN: "Contrast agent and metformin",
    Reason.REACTION: "Earlier reaction to contrast agent",
    Reason.PREGNANCY: "Pregnancy and the examination",
    Reason.CODE: "A better-fitting code for the order",
    Reason.NOT_CHECKED: "Data that could not be checked",
}
_MAX_NAME = 50
_MAX_LINKED_STUDIES = 2


def order_cards(advice: tuple[OrderAdvice, ...], context: CardContext) -> tuple[IssuedCard, ...]:
    """One card for each piece of advice, warnings first, otherwise in the order given."""
    ordered = sorted(advice, key=lambda one: one.urgency is Urgency.INFO)
    return tuple(IssuedCard(card=_card(one, context), rule_id=one.rule_id) for one in ordered)


def _card(advice: OrderAdvice, context: CardContext) -> dict[str, Any]:
    # Belt and braces: whatever a rule says, an order is informed about and never stopped.
    urgency = Urgency.WARNING if advice.urgency is Urgency.CRITICAL else advice.urgency
    source = SOURCES.get(advice.reason)
    rules = [("Rules", source.owned_by(context.policy.rules_owner).words)] if source else []
    lines = [_orders(advice), *advice.lines, *rules]
    card: dict[str, Any] = {
        "uuid": context.new_uuid(),
        "summary": one_sentence(f"{_named(advice)}: {advice.headline}"),
        "indicator": urgency.value,
        "detail": "\n\n".join(f"**{label}:** {escaped(words)}" for label, words in lines),
        "source": {"label": "Imaging order check", "topic": topic(f"order-{advice.reason}", _TOPIC[advice.reason])},
        "overrideReasons": override_reasons(),
    }
    links = _links(advice, context)
    if links:
        card["links"] = links
    suggestion = _removal(advice, context) or _other_code(advice, context)
    if suggestion:
        card["selectionBehavior"] = "at-most-one"
        card["suggestions"] = [suggestion]
    return card


def _named(advice: OrderAdvice) -> str:
    """The order, two orders, or how many there are, short enough to leave room for what is said of them."""
    names = list(dict.fromkeys(" ".join(one.name.split()) for one in (advice.order, *advice.also)))
    count = 1 + len(advice.also)
    if count > 2 or (count == 2 and len(names) == 2 and sum(map(len, names)) > _MAX_NAME):
        return f"{count} orders"
    shown = " and ".join(names)
    shown = shown if len(shown) <= _MAX_NAME + 5 else shown[: _MAX_NAME - 1].rstrip() + "…"
    return f"{shown} ({count} orders)" if count > len(names) else shown


def _orders(advice: OrderAdvice) -> tuple[str, str]:
    names = [one.name for one in (advice.order, *advice.also)]
    return ("Order" if len(names) == 1 else "Orders", "; ".join(names))


def _links(advice: OrderAdvice, context: CardContext) -> list[dict[str, str]]:
    # What is only registered has no images to open yet.
    studies = [one for one in advice.studies if one.status == "available"][:_MAX_LINKED_STUDIES]
    return image_links([(one.study_instance_uid, f"of {one.day}" if one.day else "") for one in studies], context)


def _removal(advice: OrderAdvice, context: CardContext) -> dict[str, Any] | None:
    """Taking further drafts of the very same code away again: the one change that is certainly right."""
    repeating = advice.removable or ((advice.order,) if advice.same_draft else ())
    further = [one for one in repeating if one.has_id and one.status == "draft"]
    if not further:
        return None
    which = "the draft that repeats another" if len(further) == 1 else f"{len(further)} drafts that repeat another"
    words = f"Remove {which}: {further[0].name}"
    actions = [{"type": "delete", "description": words, "resourceId": one.key} for one in further]
    return {"label": words, "uuid": context.new_uuid(), "isRecommended": False, "actions": actions}


def _other_code(advice: OrderAdvice, context: CardContext) -> dict[str, Any] | None:
    """Each draft with its code replaced, whole as it was sent (R29); where one cannot be changed, none is."""
    better = advice.better
    changed = [with_code_replaced(one, better) for one in (advice.order, *advice.also)] if better is not None else []
    resources = [one for one in changed if one is not None]
    if better is None or not resources or len(resources) < len(changed):
        return None
    which = "the draft" if len(resources) == 1 else f"{len(resources)} drafts"
    words = f"Change the code of {which} to {better.words} ({better.code.code})"
    actions = [{"type": "update", "description": words, "resource": one} for one in resources]
    return {"label": words, "uuid": context.new_uuid(), "isRecommended": better.is_recommended, "actions": actions}
