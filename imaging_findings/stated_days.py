"""Days and moments as FHIR states them, read no more exactly than they were written."""

from __future__ import annotations

from datetime import date, datetime

from fhir_imaging.study import parse_datetime


def day_of(stated: str | None) -> date | None:
    """The local day of a FHIR dateTime at least as exact as a day; a bare year or month is no day to count from.

    Years outside 1900 to 2200 are typing errors (and would leave the calendar when an interval is added).
    """
    moment = _exact_to_the_day(stated)
    return moment.date() if moment is not None else None


def moment_of(stated: str | None) -> datetime | None:
    """The moment of a FHIR dateTime or instant with a time and its zone; None for anything less exact."""
    moment = _exact_to_the_day(stated) if stated and "T" in stated else None
    return moment if moment is not None and moment.tzinfo is not None else None


def _exact_to_the_day(stated: str | None) -> datetime | None:
    moment = parse_datetime(stated) if stated and len(stated) >= len("2026-01-01") else None
    return moment if moment is not None and 1900 <= moment.year <= 2200 else None
