"""Cards as this EHR draws them: checked, sorted by urgency, worded for the clinician, actions kept on the server.

The page never sees an action or an appContext: it names a card by its `key`, a suggestion or link by its position, and
the server looks up what that means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ehr_sandbox.chart_card_checks import INDICATORS, CheckedCard
from ehr_sandbox.chart_markdown import draw_markdown

INDICATOR_LABELS = {"critical": "Critical", "warning": "Warning", "info": "Information"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSuggestion:
    """A suggestion button. `uuid` is absent where the service cannot be told of the acceptance."""

    label: str
    uuid: str | None
    is_recommended: bool
    actions: tuple[Mapping[str, Any], ...]

    @property
    def action_descriptions(self) -> tuple[str, ...]:
        return tuple(action["description"] for action in self.actions)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLink:
    """A link button; `app_context` exists for smart links only and travels in the token response."""

    label: str
    url: str
    is_smart: bool
    app_context: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideReason:
    code: str
    system: str
    display: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCard:
    """One valid card with everything that its buttons need.

    `key` is this EHR's own name for the card within one chart opening; `uuid` is the service's and goes back in feedback.
    """

    key: str
    uuid: str | None
    service_id: str
    service_title: str
    summary: str
    indicator: str
    detail: Markup | None
    source_label: str
    source_url: str | None
    topic: str | None
    takes_one_suggestion: bool
    suggestions: tuple[DrawnSuggestion, ...]
    links: tuple[DrawnLink, ...]
    override_reasons: tuple[OverrideReason, ...]

    @property
    def indicator_label(self) -> str:
        return INDICATOR_LABELS[self.indicator]


def draw_card(checked: CheckedCard, *, key: str, service_id: str, service_title: str) -> DrawnCard:
    """The drawing of a card without faults; a card with faults must not come here."""
    card = checked.card
    source = card["source"]
    topic = source.get("topic")
    return DrawnCard(
        key=key,
        uuid=card.get("uuid"),
        service_id=service_id,
        service_title=service_title,
        summary=card["summary"],
        indicator=card["indicator"],
        detail=draw_markdown(card["detail"]) if "detail" in card else None,
        source_label=source["label"],
        source_url=source.get("url"),
        topic=(topic.get("display") or topic["code"]) if topic else None,
        takes_one_suggestion=card.get("selectionBehavior") == "at-most-one",
        suggestions=tuple(_suggestion(suggestion) for suggestion in card.get("suggestions", ())),
        links=tuple(_link(link) for link in card.get("links", ())),
        override_reasons=tuple(_reason(reason) for reason in card.get("overrideReasons", ())),
    )


def by_urgency(cards: Iterable[DrawnCard]) -> tuple[DrawnCard, ...]:
    """Critical before warning before info; among equals the order in which the services gave them."""
    return tuple(sorted(cards, key=lambda card: INDICATORS.index(card.indicator)))


def _suggestion(suggestion: Mapping[str, Any]) -> DrawnSuggestion:
    return DrawnSuggestion(
        label=suggestion["label"],
        uuid=suggestion.get("uuid"),
        is_recommended=suggestion.get("isRecommended", False),
        actions=tuple(suggestion.get("actions", ())),
    )


def _link(link: Mapping[str, Any]) -> DrawnLink:
    return DrawnLink(
        label=link["label"],
        url=link["url"],
        is_smart=link["type"] == "smart",
        app_context=link.get("appContext"),
    )


def _reason(reason: Mapping[str, Any]) -> OverrideReason:
    return OverrideReason(code=reason["code"], system=reason["system"], display=reason["display"])
