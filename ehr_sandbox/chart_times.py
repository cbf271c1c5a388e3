"""Instants as the chart reads, shows and sends them: in the zone of the practice, and always with their offset.

Spec: FHIR R4 `instant` and `dateTime`: a time of day is never without its offset from UTC.
"""

from datetime import datetime, tzinfo


def local_moment(instant: object, zone: tzinfo) -> datetime | None:
    """A FHIR instant in the zone; None for a day alone, a time without an offset, or something unreadable."""
    if not isinstance(instant, str) or "T" not in instant:
        return None
    try:
        moment = datetime.fromisoformat(instant)
        return moment.astimezone(zone) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def local_time(day: str, clock_time: str, zone: tzinfo) -> datetime:
    """A day (YYYY-MM-DD) and a time of day (HH:MM) as a clock in the zone shows them. Raises ValueError.

    The hour that is left out when the clocks go forward is no time; of the hour that comes twice, the first is meant.
    """
    shown = datetime.fromisoformat(f"{day}T{clock_time}")
    if shown.tzinfo is not None:
        raise ValueError("a time of day has no offset of its own")
    moment = shown.replace(tzinfo=zone)
    if datetime.fromtimestamp(moment.timestamp(), zone).replace(tzinfo=None) != shown:
        raise ValueError("no clock of the zone shows this time")
    return moment


def fhir_instant(moment: datetime) -> str:
    """It with seconds and its own offset, `Z` where that is none."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def shown_time(moment: datetime) -> str:
    """The time of day for people, with its offset: `09:30 UTC+07:00`, or `09:30 UTC`."""
    offset = fhir_instant(moment)[19:]
    return f"{moment:%H:%M} UTC{'' if offset == 'Z' else offset}"
