"""Study Update DateTime (0008,041F): when an archive last changed a study, for those few archives that search by it.

Times with a zone are brought to UTC, those without stay as the archive writes them: they are only compared with its own.

Spec: DICOM PS3.5 §6.2 (DT), PS3.4 §C.2.2.2.5 (range matching).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from fhir_imaging.clients.dicomweb import DataSet
from fhir_imaging.dicom_json import first_text

STUDY_UPDATE = "0008041F"
OVERLAP = timedelta(hours=2)
"""Asked for again at each look: a clock that is set back in autumn, and what an archive commits late."""
NEVER_YET = "29991231000000-"
"""A range in which nothing was updated."""
_DATE_TIME = re.compile(r"([0-9]{14})(?:\.[0-9]{1,6})?(?:([+-])([0-9]{2})([0-9]{2}))?", re.ASCII)
_DIGITS = "%Y%m%d%H%M%S"


def update_time_of(dataset: DataSet) -> str | None:
    """Of one match, to the second, zone last (``+0000`` or nothing); None when it has none, or one that cannot be read."""
    match = _DATE_TIME.fullmatch(first_text(dataset, STUDY_UPDATE) or "")
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], _DIGITS)  # noqa: DTZ007 - its zone stands apart, or it has none
        if match[2] is None:
            return match[1]
        ahead = timedelta(hours=int(match[3]), minutes=int(match[4]))
        return (moment - ahead if match[2] == "+" else moment + ahead).strftime(_DIGITS) + "+0000"
    except (ValueError, OverflowError):
        return None


def latest(datasets: Iterable[DataSet], known: str, *, now: datetime) -> str:
    """The latest update time that is known; one of tomorrow or later is an archive's error, and would hide all that follows."""
    end = (now + timedelta(days=1)).strftime(_DIGITS)
    times = (time for one in datasets if (time := update_time_of(one)) is not None)
    return max([known, *(time for time in times if time[:14] < end)], key=_digits)


def since(time: str) -> str:
    """The range that begins a little before this time."""
    try:
        moment = datetime.strptime(time[:14], _DIGITS) - OVERLAP  # noqa: DTZ007 - as above
    except (ValueError, OverflowError):
        return f"{time}-"
    return f"{moment.strftime(_DIGITS)}{time[14:]}-"


def beginning_of(time: str) -> str:
    """The range that begins with the day of this time."""
    return f"{time[:8]}000000{time[14:]}-"


def _digits(time: str) -> str:
    return time[:14]
