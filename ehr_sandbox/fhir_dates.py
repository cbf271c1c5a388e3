"""FHIR dates as half-open intervals of time, as search compares them.

A date without a time zone is read as UTC. Spec: FHIR R4 search, section 3.1.1.4.7.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` (included) to `high` (excluded), both in seconds since 1970 UTC; open ends are infinite."""

    low: float
    high: float

    def contains(self, other: "Interval") -> bool:
        """Whether the other lies wholly inside."""
        return self.low <= other.low and other.high <= self.high

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two share an instant."""
        return self.low < other.high and other.low < self.high


def parse_interval(text: str) -> Interval | None:
    """The interval that a FHIR date, dateTime or instant covers by its precision; None when it is not one."""
    # A plus sign that a client forgot to escape arrives as a space.
    match = _DATE.fullmatch(text.replace(" ", "+"))
    if match is None:
        return None
    try:
        start = _start(match)
        return Interval(start.timestamp(), _end(start, match).timestamp())
    except (ValueError, OverflowError):
        return None


def _start(match: re.Match[str]) -> datetime:
    part = match.groupdict()
    zone = part["zone"]
    naive = datetime(  # noqa: DTZ001 - the zone is applied below
        int(part["year"]),
        int(part["month"] or 1),
        int(part["day"] or 1),
        int(part["hour"] or 0),
        int(part["minute"] or 0),
        int(part["second"] or 0),
        int((part["fraction"] or "0")[:6].ljust(6, "0")),
    )
    if zone in (None, "Z"):
        return naive.replace(tzinfo=UTC)
    return datetime.fromisoformat(naive.isoformat() + zone)


def _end(start: datetime, match: re.Match[str]) -> datetime:
    part = match.groupdict()
    if part["fraction"]:
        return start + timedelta(seconds=10.0 ** -min(len(part["fraction"]), 6))
    if part["second"]:
        return start + timedelta(seconds=1)
    if part["minute"]:
        return start + timedelta(minutes=1)
    if part["day"]:
        return start + timedelta(days=1)
    if part["month"]:
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return start.replace(year=start.year + 1)


def split_prefix(text: str) -> tuple[str, str]:
    """`ge2024` as `("ge", "2024")`; a date without prefix means `eq`."""
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


def compare(prefix: str, found: Interval, asked: Interval, now: float) -> bool:
    """Whether the resource's interval satisfies the search value under the prefix."""
    match prefix:
        case "eq":
            return asked.contains(found)
        case "ne":
            return not asked.contains(found)
        case "gt":
            return found.high > asked.high
        case "lt":
            return found.low < asked.low
        case "ge":
            return found.high > asked.high or asked.contains(found)
        case "le":
            return found.low < asked.low or asked.contains(found)
        case "sa":
            return found.low >= asked.high
        case "eb":
            return found.high <= asked.low
        case _:
            # R4 recommends a tenth of the distance to now as the tolerance of `ap`.
            slack = abs(now - asked.low) * 0.1
            return Interval(asked.low - slack, asked.high + slack).overlaps(found)
