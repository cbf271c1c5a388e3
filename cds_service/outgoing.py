"""An answer as bytes: what a client sent and we would send back must be JSON that every client can read (R1).

A request may hold numbers beyond any double and halves of characters; a draft order that is handed back whole would carry them
on. Such a suggestion is left out, such a piece of text loses its broken characters, and the card stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cds_service.card_parts import IssuedCard


def encoded(answer: object) -> bytes:
    """The answer in UTF-8. ValueError for what is not JSON (NaN, infinity, half of a surrogate pair)."""
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def readable(cards: Sequence[IssuedCard]) -> tuple[IssuedCard, ...]:
    """The cards as every client can read them."""
    return tuple(one if _is_readable(one.card) else replace(one, card=_mended(one.card)) for one in cards)


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
