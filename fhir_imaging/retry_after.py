"""``Retry-After`` in every form that servers write it in.

Spec: RFC 9110 §10.2.3; SMART Imaging Access C7, F10, W7 (whole seconds).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

LONGEST_S = 24 * 3600
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)


def seconds_to_wait(headers: Mapping[str, str]) -> int | None:
    """``Retry-After`` of an answer in whole seconds, at most a day; None when absent or unreadable.

    The RFC has whole seconds or a date; fractions are seen in the field. A date is held against the server's own.
    """
    value = headers.get("Retry-After", "").strip()
    seconds = float(value) if _SECONDS.fullmatch(value) else _seconds_until(value, headers.get("Date", ""))
    return None if seconds is None else min(max(ceil(seconds), 0), LONGEST_S)


def _seconds_until(stated: str, now_there: str) -> float | None:
    try:
        moment = parsedate_to_datetime(stated)
    # A year beyond all numbers is an overflow.
    except (ValueError, OverflowError):
        return None
    try:
        now = parsedate_to_datetime(now_there)
    except (ValueError, OverflowError):
        now = datetime.now(UTC)
    return (_in_utc(moment) - _in_utc(now)).total_seconds()


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
