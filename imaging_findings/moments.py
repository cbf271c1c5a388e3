"""Moments of a chart on the site's clock: which day it was there, and what has not happened yet.

``now`` is aware, and its zone is the site's: a result of 07:00 in Tokyo is of today there, while UTC still has yesterday.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from fhir_imaging.study import parse_datetime
from fhir_imaging.tolerant import as_dict, text
from imaging_findings.observations import day_of

SKEW = timedelta(minutes=5)
"""How far the clock of a laboratory or a scanner may be ahead of ours."""


def moment_in(stated: str | None, zone: tzinfo | None) -> datetime | None:
    """A FHIR dateTime on the site's clock; what names no zone is meant there, and a bare day is its first moment.

    None for what is not exact to the day.
    """
    moment = parse_datetime(stated) if day_of(stated) is not None else None
    if moment is None:
        return None
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def site_day(stated: str | None, zone: tzinfo | None) -> date | None:
    """The day of a FHIR dateTime at the site."""
    moment = moment_in(stated, zone)
    return moment.date() if moment is not None else None


def happened(stated: str | None, now: datetime) -> datetime | None:
    """The same, where it is not after ``now``."""
    moment = moment_in(stated, now.tzinfo)
    return moment if moment is not None and moment <= now + SKEW else None


def stated_time(observation: Mapping[str, Any]) -> str | None:
    """When an Observation was true: its effective time, the end of its period, else when it was issued."""
    period = as_dict(observation.get("effectivePeriod"))
    stated = (observation.get("effectiveDateTime"), observation.get("effectiveInstant"), period.get("end"), period.get("start"))
    return next((words for words in map(text, (*stated, observation.get("issued"))) if words), None)
