"""Dates of FHIR searches: a value is a span as long as its precision, and so is what it is compared with.

A value without a zone means the calendar: it is compared with the date as the study states it, and with UTC where a study has
none (``_lastUpdated`` is always UTC). A study dated without a zone lies somewhere between both ends of the earth.

Spec: FHIR R4 Search, "date" parameters and prefixes.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from fhir_imaging.errors import InvalidRequest

_VALUE = re.compile(
    # A plus sign that nobody encoded arrives as a space.
    r"(?P<prefix>[a-z]{2})?(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?P<fraction>\.[0-9]{1,9})?)?"
    r"(?P<zone>Z|[+\- ][0-9]{2}:[0-9]{2}))?)?)?",
    re.ASCII,
)
_EASTERNMOST, _WESTERNMOST = timedelta(hours=14), timedelta(hours=-12)


class Prefix(StrEnum):
    """How a date is compared."""

    EQ = "eq"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"
    SA = "sa"
    EB = "eb"


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` up to ``end``, which is not included; both with a zone or both without."""

    start: datetime
    end: datetime

    def holds(self, other: Span) -> bool:
        """Whether all of ``other`` lies inside."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A date or time of a study: ``calendar`` as written, without zone, and ``absolute`` in real time."""

    calendar: Span
    absolute: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class DateCondition:
    """One value of a date parameter."""

    prefix: Prefix
    span: Span

    def holds_for(self, stated: Stated) -> bool:
        """Whether a study's date meets this condition."""
        target = stated.calendar if self.span.start.tzinfo is None else stated.absolute
        inside = self.span.holds(target)
        later, earlier = target.end > self.span.end, target.start < self.span.start
        return {
            Prefix.EQ: inside,
            Prefix.GT: later,
            Prefix.GE: later or inside,
            Prefix.LT: earlier,
            Prefix.LE: earlier or inside,
            Prefix.SA: target.start >= self.span.end,
            Prefix.EB: target.end <= self.span.start,
        }[self.prefix]


def parse_condition(name: str, value: str) -> DateCondition:
    """The condition in ``gt2023-04-17T04:00:00Z``. InvalidRequest, naming the parameter and the fix, for anything else."""
    match = _VALUE.fullmatch(value)
    if match is None:
        raise _not_understood(name)
    try:
        return DateCondition(prefix=Prefix(match["prefix"] or "eq"), span=_span(match))
    except (ValueError, OverflowError) as exc:
        raise _not_understood(name) from exc


def stated_instant(milliseconds: int) -> Stated:
    """A moment in milliseconds UTC since 1970, as ``meta.lastUpdated`` has it."""
    start = datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(milliseconds=milliseconds % 1000)
    absolute = Span(start, start + timedelta(milliseconds=1))
    return Stated(calendar=_without_zone(absolute), absolute=absolute)


def stated_datetime(started: str) -> Stated:
    """A study's ``started``: a date, or a time to the second or finer with its zone. ValueError for anything else."""
    moment = datetime.fromisoformat(started)
    if moment.tzinfo is not None:
        length = timedelta(microseconds=1) if moment.microsecond else timedelta(seconds=1)
        absolute = Span(moment, _later(moment, length))
        return Stated(calendar=_without_zone(absolute), absolute=absolute)
    day = Span(moment, _later(moment, timedelta(days=1)))
    start, end = (edge.replace(tzinfo=UTC) for edge in (day.start, day.end))
    return Stated(calendar=day, absolute=Span(_later(start, -_EASTERNMOST), _later(end, -_WESTERNMOST)))


def _span(match: re.Match[str]) -> Span:
    year, month, day = (int(match[name] or 1) for name in ("year", "month", "day"))
    start = datetime(year, month, day, int(match["hour"] or 0), int(match["minute"] or 0))  # noqa: DTZ001 - zone follows
    if match["hour"] is not None:
        return _moment(match, start)
    if match["day"] is not None:
        return _from(start, timedelta(days=1))
    if match["month"] is not None:
        return _from(start, timedelta(days=monthrange(year, month)[1]))
    return _from(start, timedelta(days=366 if isleap(year) else 365))


def _from(start: datetime, length: timedelta) -> Span:
    """A span of that length, cut off at the end of time: le9999-12-31 is how many say that there is no end."""
    last = datetime.max.replace(tzinfo=start.tzinfo)
    return Span(start, start + length if last - start >= length else last)


def _moment(match: re.Match[str], minute: datetime) -> Span:
    zone = match["zone"].replace(" ", "+")
    start = minute.replace(tzinfo=UTC if zone == "Z" else datetime.strptime(zone, "%z").tzinfo)
    start.astimezone(UTC)  # OverflowError at the ends of time
    if match["second"] is None:
        return _from(start, timedelta(minutes=1))
    start = start.replace(second=int(match["second"]))
    if match["fraction"] is None:
        return _from(start, timedelta(seconds=1))
    digits = match["fraction"][1:7]
    start = start.replace(microsecond=int(digits.ljust(6, "0")))
    return _from(start, timedelta(microseconds=10 ** (6 - len(digits))))


def _without_zone(span: Span) -> Span:
    return Span(span.start.replace(tzinfo=None), span.end.replace(tzinfo=None))


def _later(moment: datetime, length: timedelta) -> datetime:
    """Some time later or earlier, up to the ends of time: archives hold impossible years."""
    try:
        shifted = moment + length
        shifted.astimezone(UTC)
    except OverflowError:
        return moment
    return shifted


def _not_understood(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} takes a date or a time with its zone (2023-04-17, 2023-04-17T04:00:00Z), after one of "
        f"{', '.join(Prefix)} or nothing.",
        code="value-not-understood",
    )
