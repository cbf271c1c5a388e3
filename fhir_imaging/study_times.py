"""When a study or series began, as a FHIR dateTime that is never wrong by hours.

A time needs a zone: the one that the data set states (0008,0201), else the site's. Where both are missing only the date is
told. So it is where the site's clock showed that time twice (the end of summer time) or never (its beginning): nobody can say
which moment was meant, and an hour's error is worse than a date.

Spec: clinical rules X13, 7.2 (0008,0020 + 0030 + 0201), M2; DICOM PS3.5 §6.2 (DA, TM), PS3.3 §C.12.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from fhir_imaging.dicom_json import whole_text

TIMEZONE_OFFSET = "00080201"

# Dots and colons are of ACR-NEMA, which old modalities still write.
_DATE = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})", re.ASCII)
_TIME = re.compile(r"([0-9]{2}):?(?:([0-9]{2}):?(?:([0-9]{2})(?:\.([0-9]*))?)?)?", re.ASCII)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})", re.ASCII)
_WEST, _EAST = timedelta(hours=-12), timedelta(hours=14)


def started(dataset: Mapping[str, Any], date_tag: str, time_tag: str, zone: ZoneInfo | None) -> str | None:
    """A FHIR dateTime, to the millisecond; a date alone where the moment is not certain, None without a date.

    ``zone`` is the site's. A stated offset outweighs it; one that cannot be read counts as none.
    """
    day = day_of(whole_text(dataset, date_tag))
    if day is None:
        return None
    clock = time_of(whole_text(dataset, time_tag))
    if clock is None:
        return day.isoformat()
    moment = _moment(datetime.combine(day, clock), offset_of(whole_text(dataset, TIMEZONE_OFFSET)) or zone)
    return day.isoformat() if moment is None else _written(moment)


def day_of(stated: str | None) -> date | None:
    """A date of DICOM (``20260315``, formerly ``2026.03.15``); None when there is no such day."""
    match = _DATE.fullmatch(stated or "")
    try:
        return date(int(match[1]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def time_of(stated: str | None) -> time | None:
    """A time of DICOM: ``HH``, ``HHMM``, ``HHMMSS``, ``HHMMSS.FFFFFF``, formerly ``HH:MM:SS``; None for what no clock shows.

    A leap second is none either: no site's clock is read so well.
    """
    match = _TIME.fullmatch(stated or "")
    if match is None:
        return None
    fraction = int(f"{match[4] or ''}000"[:3]) * 1000
    try:
        return time(int(match[1]), int(match[2] or 0), int(match[3] or 0), fraction)
    except ValueError:
        return None


def offset_of(stated: str | None) -> timezone | None:
    """A stated offset from UTC; None when it cannot be one (DICOM forbids ``-0000``)."""
    match = _OFFSET.fullmatch(stated or "")
    if match is None or int(match[3]) > 59 or match[0].replace(":", "") == "-0000":
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3])) * (-1 if match[1] == "-" else 1)
    return timezone(offset) if _WEST <= offset <= _EAST else None


def _moment(local: datetime, zone: tzinfo | None) -> datetime | None:
    """The one moment when clocks there showed this; None without zone, and where there were two or none."""
    if zone is None:
        return None
    first, second = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    return first if first.utcoffset() == second.utcoffset() else None


def _written(moment: datetime) -> str | None:
    offset = moment.utcoffset()
    if offset is None or offset % timedelta(minutes=1):
        # Local mean time before zones were agreed upon; FHIR writes whole minutes.
        return moment.date().isoformat()
    text = moment.isoformat(timespec="milliseconds")
    return text[:19] + text[19:23].rstrip("0").rstrip(".") + text[23:]
