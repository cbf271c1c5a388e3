"""What became of our cards: feedback entries, parsed strictly.

Spec: CDS Hooks 2.0 R34; cds-fb-1, cds-fb-2, cds-fb-3. The same card may be reported repeatedly and batched across instances.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from fhir_imaging.errors import InvalidRequest
from fhir_imaging.tolerant import text

MAX_ENTRIES = 500
MAX_COMMENT = 4000
_MAX_ID = 128
# RFC 3339 §5.6 date-time. The note there allows a space for T, and some clients send it; week dates and the like are ISO 8601.
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:)([0-5]\d|60)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)
# A client's clock may be off, or its zone; what is said to have happened later than that is no report of anything.
_FURTHEST_AHEAD = timedelta(days=1)


class Outcome(StrEnum):
    """What the clinician did with a card."""

    ACCEPTED = "accepted"
    OVERRIDDEN = "overridden"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideReason:
    """Why a card was overridden; the code, the comment or both. The comment is the user's own and may name a patient."""

    system: str | None = None
    code: str | None = None
    display: str | None = None
    comment: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEntry:
    """One entry. ``at`` is UTC."""

    card_uuid: str
    outcome: Outcome
    at: datetime
    accepted_suggestions: tuple[str, ...] = ()
    reason: OverrideReason | None = None


def parse_feedback(body: object, now: datetime) -> tuple[FeedbackEntry, ...]:
    """The entries of a feedback body; InvalidRequest names the entry and member that is wrong, and nothing is taken.

    ``now`` is an aware time: outcomes more than a day after it are refused.
    """
    entries = body.get("feedback") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise InvalidRequest("feedback: must be an array.")
    if len(entries) > MAX_ENTRIES:
        raise InvalidRequest(f"feedback: at most {MAX_ENTRIES} entries are taken at once.")
    return tuple(_entry(entry, f"feedback[{position}]", now) for position, entry in enumerate(entries))


def _entry(entry: object, place: str, now: datetime) -> FeedbackEntry:
    if not isinstance(entry, dict):
        raise InvalidRequest(f"{place}: must be an object.")
    stated = entry.get("outcome")
    if stated not in [outcome.value for outcome in Outcome]:
        raise InvalidRequest(f"{place}.outcome: must be accepted or overridden (cds-fb-1).")
    outcome = Outcome(str(stated))
    suggestions = _suggestions(entry, place)
    if outcome is Outcome.ACCEPTED and not suggestions:
        raise InvalidRequest(f"{place}.acceptedSuggestions: must be given with accepted (cds-fb-2).")
    return FeedbackEntry(
        card_uuid=_identifier(entry.get("card"), f"{place}.card"),
        outcome=outcome,
        at=_timestamp(entry.get("outcomeTimestamp"), f"{place}.outcomeTimestamp", now),
        accepted_suggestions=suggestions,
        reason=_reason(entry.get("overrideReason"), f"{place}.overrideReason"),
    )


def _suggestions(entry: Mapping[str, Any], place: str) -> tuple[str, ...]:
    stated = entry.get("acceptedSuggestions", [])
    if not isinstance(stated, list) or len(stated) > MAX_ENTRIES or not all(isinstance(one, dict) for one in stated):
        raise InvalidRequest(f"{place}.acceptedSuggestions: must be an array of objects.")
    return tuple(_identifier(one.get("id"), f"{place}.acceptedSuggestions.id") for one in stated)


def _identifier(stated: object, place: str) -> str:
    value = text(stated)
    if value is None or len(value) > _MAX_ID or not value.isprintable():
        raise InvalidRequest(f"{place}: must be the uuid that the card carried.")
    return value.lower()


def _timestamp(stated: object, place: str, now: datetime) -> datetime:
    parts = _MOMENT.fullmatch(text(stated) or "")
    if parts is None:
        raise InvalidRequest(f"{place}: must be a date and time with seconds and zone (RFC 3339).")
    day, minute, second, fraction, zone = parts.groups()
    if zone is None:
        raise InvalidRequest(f"{place}: needs a time zone (RFC 3339).")
    is_leap = second == "60"
    try:
        moment = datetime.fromisoformat(f"{day}T{minute}{'59' if is_leap else second}{fraction or ''}{zone.upper()}")
        moment = moment.astimezone(UTC)
        # Python's minutes have 60 seconds: a leap second is the last of them.
        if is_leap and (moment.hour, moment.minute) != (23, 59):
            raise ValueError("a leap second ends a day in UTC")
    except (OverflowError, ValueError) as exc:
        raise InvalidRequest(f"{place}: is outside the calendar.") from exc
    if moment > now + _FURTHEST_AHEAD:
        raise InvalidRequest(f"{place}: is more than a day ahead.")
    return moment


def _reason(stated: object, place: str) -> OverrideReason | None:
    if stated is None:
        return None
    if not isinstance(stated, dict):
        raise InvalidRequest(f"{place}: must be an object.")
    comment = _storable(text(stated.get("userComment")))
    coding = stated.get("reason")
    if coding is None:
        if comment is None:
            raise InvalidRequest(f"{place}: needs reason, userComment or both (cds-fb-3).")
        return OverrideReason(comment=comment[:MAX_COMMENT])
    if not isinstance(coding, dict) or not text(coding.get("code")):
        raise InvalidRequest(f"{place}.reason: must be a Coding with a code.")
    # display may be missing: the public sandbox client sends code and system only.
    system, code, display = (_bounded(coding.get(name)) for name in ("system", "code", "display"))
    return OverrideReason(system=system, code=code, display=display, comment=comment[:MAX_COMMENT] if comment else None)


def _storable(value: str | None) -> str | None:
    """Without lone surrogates, which JSON can carry and no database can hold."""
    return value.encode("utf-8", "replace").decode() if value else None


def _bounded(stated: object) -> str | None:
    value = _storable(text(stated))
    return value[:255] if value else None
