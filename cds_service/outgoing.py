"""An answer as bytes: what a client sent and we would send back must be JSON that every client can read (R1).

A request may hold numbers beyond any double and halves of characters; a draft order that is handed back whole would carry them
on. Such a suggestion is left out, such a piece of text loses its broken characters, and the card stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cds_service.card_parts import IssuedCard, topic
from cds_service.validator import faults_of
from fhir_imaging.written_number import json_text
from imaging_findings.rules import Urgency

UNSOUND_RULE = "service/invalid-card"
UNSHOWN = "unshown-card"


def encoded(answer: object) -> bytes:
    """The answer in UTF-8. ValueError for what is not JSON (NaN, infinity, half of a surrogate pair)."""
    return json_text(answer).encode()


def readable(cards: Sequence[IssuedCard]) -> tuple[IssuedCard, ...]:
    """The cards as every client can read them."""
    return tuple(one if _is_readable(one.card) else replace(one, card=_mended(one.card)) for one in cards)


def sound(cards: Sequence[IssuedCard], new_uuid: Callable[[], str]) -> tuple[IssuedCard, ...]:
    """The cards that the outbound validator finds right, and one that says how many are left out; nothing where none is right.

    One wrong card must not hide the others: a critical result may stand beside it.
    """
    kept = tuple(one for one in cards if not faults_of({"cards": [one.card]}))
    hidden = len(cards) - len(kept)
    return (*kept, _left_out(hidden, new_uuid)) if kept and hidden else kept


def _left_out(hidden: int, new_uuid: Callable[[], str]) -> IssuedCard:
    is_one = hidden == 1
    card = {
        "uuid": new_uuid(),
        "summary": f"{hidden} card{'' if is_one else 's'} could not be shown, so this check is incomplete",
        "indicator": Urgency.WARNING.value,
        "detail": "This is a fault of the service, which has noted it. Please look into the chart itself.",
        "source": {"label": "Imaging findings service", "topic": topic(UNSHOWN, "A card that could not be shown")},
    }
    return IssuedCard(card=card, rule_id=UNSOUND_RULE)


def _is_readable(value: object) -> bool:
    try:
        encoded(value)
    except (ValueError, RecursionError):
        return False
    return True


def _mended(card: Mapping[str, Any]) -> dict[str, Any]:
    kept = [one for one in card.get("suggestions", []) if _is_readable(one.get("actions"))]
    rest = {name: member for name, member in card.items() if name not in ("suggestions", "selectionBehavior")}
    if kept:
        rest |= {"suggestions": kept, "selectionBehavior": card["selectionBehavior"]}
    mended: dict[str, Any] = _text_only(rest)
    return mended


def _text_only(value: Any) -> Any:
    """Without halves of surrogate pairs; our own cards are only a few levels deep."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {name: _text_only(member) for name, member in value.items()}
    return [_text_only(member) for member in value] if isinstance(value, list) else value
