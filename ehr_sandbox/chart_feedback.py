"""What the chart tells a CDS service about its card: taken up, or set aside and why.

Spec: CDS Hooks 2.0 "Feedback" (R34, cds-fb-1 to cds-fb-3). Times are UTC.
"""

from datetime import UTC, datetime
from typing import Any

from ehr_sandbox.cards import OverrideReason


def accepted_entry(card_uuid: str, suggestion_uuid: str, now: datetime) -> dict[str, Any]:
    """The entry for one accepted suggestion."""
    return {
        "card": card_uuid,
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": suggestion_uuid}],
        "outcomeTimestamp": _timestamp(now),
    }


def overridden_entry(card_uuid: str, reason: OverrideReason | None, comment: str, now: datetime) -> dict[str, Any]:
    """The entry for a dismissed card; a card may be dismissed without any reason."""
    entry: dict[str, Any] = {
        "card": card_uuid,
        "outcome": "overridden",
        "outcomeTimestamp": _timestamp(now),
    }
    override: dict[str, Any] = {}
    if reason:
        override["reason"] = {"code": reason.code, "system": reason.system, "display": reason.display}
    if comment:
        override["userComment"] = comment
    return entry | ({"overrideReason": override} if override else {})


def _timestamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
