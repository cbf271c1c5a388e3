"""Follow-up intervals as guidelines and reports state them, and the dates that follow from a study's date.

Calendar arithmetic: months and years are calendar months (31 August plus 6 months is 28 or 29 February), in the study's own
local date; no time zone takes part.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


class Unit(StrEnum):
    """UCUM units of a follow-up interval (DICOM CID 6046)."""

    DAY = "d"
    WEEK = "wk"
    MONTH = "mo"
    YEAR = "a"


_WORDS = {Unit.DAY: "day", Unit.WEEK: "week", Unit.MONTH: "month", Unit.YEAR: "year"}


@dataclass(frozen=True, slots=True)
class DueWindow:
    """First and last day on which the follow-up is due (equal for a single interval)."""

    earliest: date
    latest: date

    def is_overdue(self, today: date) -> bool:
        """Whether the last day has passed."""
        return today > self.latest

    def __str__(self) -> str:
        return str(self.earliest) if self.earliest == self.latest else f"{self.earliest} to {self.latest}"


@dataclass(frozen=True, slots=True)
class Interval:
    """``low`` to ``high`` units of time after the study; equal for a single value."""

    low: int
    high: int
    unit: Unit

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise ValueError(f"an interval must be positive and ascending, not {self.low} to {self.high}")

    def due(self, study_date: date) -> DueWindow:
        """When the follow-up is due, counted from the study's date and never from today. OverflowError beyond year 9999."""
        return DueWindow(_add(study_date, self.low, self.unit), _add(study_date, self.high, self.unit))

    def __str__(self) -> str:
        amount = str(self.low) if self.low == self.high else f"{self.low}–{self.high}"
        return f"{amount} {_WORDS[self.unit]}{'' if self.high == 1 else 's'}"


def add_months(start: date, months: int) -> date:
    """The same day of a later month, or that month's last day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > date.max.year:
        raise OverflowError("the date is beyond the calendar")
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def whole_months(start: date, end: date) -> int:
    """Completed calendar months between two days: 31 August to 28 February is six, as the follow-up then is due."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months if add_months(start, months) <= end else months - 1


def _add(start: date, amount: int, unit: Unit) -> date:
    if unit is Unit.MONTH:
        return add_months(start, amount)
    if unit is Unit.YEAR:
        return add_months(start, 12 * amount)
    return start + timedelta(days=amount * (7 if unit is Unit.WEEK else 1))


def whole_years(birth: date, on: date) -> int:
    """Age in completed years on a day."""
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))
