"""Moments of a chart on the site's clock: which day it was there, and what has not happened yet.

``now`` is aware, and its zone is the site's: a result of 07:00 in Tokyo is of today there, while UTC still has yesterday.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from fhir_imaging.study import parse_datetime
from fhir_imaging.tolerant import as_dict, text
from imaging_findings.stated_days import day_of, moment_of

Resources = Mapping[str, Sequence[Mapping[str, Any]] | None]
"""Resources by the key of the query that they answer; None = not available."""

# The members that hold a time, a period of times, or (components) members that do.
_TIMES = {"effectiveDateTime", "effectiveInstant", "effectivePeriod", "issued", "started", "component", "valueDateTime"}
_TIMES |= {"authoredOn", "occurrenceDateTime", "occurrencePeriod", "period", "start", "end", "sent", "received"}
_TIMES |= {"onsetDateTime", "onsetPeriod", "abatementDateTime", "abatementPeriod", "recordedDate", "dateAsserted"}
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
    """The day of a FHIR dateTime at the site; ``zone`` None = as it is written."""
    if zone is None:
        return day_of(stated)
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


def on_site_clock(resources: Resources, zone: tzinfo | None) -> Resources:
    """The same resources with every time that names a zone written in the site's, so that its first ten characters are its day.

    The one place where days change zone: everything that reads a chart reads it after this. 23:30Z is of the next day where
    clocks show two hours more. A bare date, and a time without a zone, stay as written: nobody knows another day for them.
    """
    if zone is None:
        return resources
    return {key: None if found is None else [_rewritten(one, zone) for one in found] for key, found in resources.items()}


def _rewritten(resource: Mapping[str, Any], zone: tzinfo) -> Mapping[str, Any]:
    """A copy only where something changes: most of a chart stays as it was parsed."""
    changed: dict[str, Any] = {}
    # Every card passes the whole chart through here: a name costs a tenth of a look at its value.
    for name in resource:
        if name not in _TIMES:
            continue
        value = resource[name]
        if isinstance(value, str):
            new: Any = _restated(value, zone)
        elif isinstance(value, dict):
            new = _rewritten(value, zone)
        elif isinstance(value, list):
            new = [_rewritten(one, zone) if isinstance(one, dict) else one for one in value]
        else:
            continue
        if new is not value:
            changed[name] = new
    return {**resource, **changed} if changed else resource


def _restated(stated: str, zone: tzinfo) -> str:
    if stated[10:11] != "T" or (zone is UTC and stated.endswith("Z")):
        return stated
    moment = moment_of(stated)
    if moment is None:
        return stated
    local = moment.astimezone(zone)
    return stated if local.utcoffset() == moment.utcoffset() else local.isoformat()
