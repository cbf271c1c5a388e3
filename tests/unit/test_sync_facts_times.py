"""When a study began: X13, M2 and the field rule of (0008,0020 + 0030 + 0201)."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.study_times import day_of, offset_of, started, time_of

BERLIN = ZoneInfo("Europe/Berlin")
FHIR_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}(T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,3})?(Z|[+-]((0\d|1[0-3]):[0-5]\d|14:00)))?", re.ASCII
)


def began(day: str, clock: str = "", offset: str = "", zone: ZoneInfo | None = None) -> str | None:
    stated = {"00080020": day, "00080030": clock, "00080201": offset}
    return started({tag: {"Value": [value]} for tag, value in stated.items()}, "00080020", "00080030", zone)


@pytest.mark.parametrize(
    ("clock", "read"),
    [
        ("11", time(11)),
        ("1120", time(11, 20)),
        ("112030", time(11, 20, 30)),
        ("112030.1", time(11, 20, 30, 100_000)),
        ("112030.123456", time(11, 20, 30, 123_000)),
        ("11:20:", time(11, 20)),
        ("11:20:30", time(11, 20, 30)),
        ("11:20:30.5", time(11, 20, 30, 500_000)),
        ("2400", None),
        ("1160", None),
        ("112060", None),
        ("1", None),
        ("11203", None),
        ("noon", None),
        ("", None),
        (None, None),
        ("١١٢٠", None),
    ],
)
def test_times_come_in_all_lengths_and_with_the_colons_of_old_modalities(clock: str | None, read: time | None) -> None:
    assert time_of(clock) == read


@pytest.mark.parametrize(
    ("stated", "minutes"),
    [
        ("+0700", 420),
        ("-0330", -210),
        ("+07:00", 420),
        ("+0000", 0),
        ("+1400", 840),
        ("-1200", -720),
        ("-0000", None),
        ("+1401", None),
        ("-1201", None),
        ("+0760", None),
        ("0700", None),
        ("Europe/Berlin", None),
        (None, None),
    ],
)
def test_offsets_are_those_that_there_are(stated: str | None, minutes: int | None) -> None:
    found = offset_of(stated)

    assert (found and found.utcoffset(None)) == (None if minutes is None else timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("stated", "day"),
    [
        ("20260315", "2026-03-15"),
        ("2026.03.15", "2026-03-15"),
        ("2026.0315", None),
        ("20260230", None),
        ("2026", None),
        ("", None),
    ],
)
def test_days_are_days_of_the_calendar(stated: str, day: str | None) -> None:
    found = day_of(stated)

    assert (found.isoformat() if found else None) == day


def test_x13_a_stated_offset_outweighs_the_sites_zone() -> None:
    assert began("20260315", "112030.500000", "+0700", BERLIN) == "2026-03-15T11:20:30.5+07:00"


def test_x13_without_any_zone_only_the_date_is_told() -> None:
    assert began("20260315", "112030") == "2026-03-15"
    assert began("", "112030", "+0100") is None
    assert began("20260315", "", "+0100", BERLIN) == "2026-03-15"


def test_m2_an_unreadable_offset_counts_as_none() -> None:
    assert began("20260315", "112030", "CET") == "2026-03-15"
    assert began("20260315", "112030", "-0000", BERLIN) == "2026-03-15T11:20:30+01:00"


def test_the_sites_zone_knows_summer_time() -> None:
    assert began("20260115", "1120", zone=BERLIN) == "2026-01-15T11:20:00+01:00"
    assert began("20260715", "1120", zone=BERLIN) == "2026-07-15T11:20:00+02:00"
    assert began("20260715", "1120", zone=ZoneInfo("Asia/Kolkata")) == "2026-07-15T11:20:00+05:30"


@pytest.mark.parametrize("clock", ["0200", "0230", "025959"])
def test_a_time_that_clocks_show_twice_or_never_leaves_the_date(clock: str) -> None:
    assert began("20261025", clock, zone=BERLIN) == "2026-10-25", "summer time ends at three: two o'clock comes twice"
    assert began("20260329", clock, zone=BERLIN) == "2026-03-29", "summer time begins at two: the hour is left out"


def test_the_hours_around_a_change_of_clocks_are_certain() -> None:
    assert began("20261025", "015959", zone=BERLIN) == "2026-10-25T01:59:59+02:00"
    assert began("20261025", "0300", zone=BERLIN) == "2026-10-25T03:00:00+01:00"
    assert began("20260329", "0300", zone=BERLIN) == "2026-03-29T03:00:00+02:00"


def test_local_mean_time_with_its_seconds_is_no_offset_of_fhir() -> None:
    assert began("19600101", "1120", zone=ZoneInfo("Africa/Monrovia")) == "1960-01-01"


@given(st.text(max_size=12), st.text(max_size=16), st.text(max_size=8), st.sampled_from([None, BERLIN]))
def test_whatever_is_stated_a_start_is_a_fhir_date_time_or_nothing(
    day: str, clock: str, offset: str, zone: ZoneInfo | None
) -> None:
    found = began(day, clock, offset, zone)

    assert found is None or FHIR_DATE_TIME.fullmatch(found)


@given(st.datetimes(), st.sampled_from(["", "+0100", "-1200", "+1400"]), st.sampled_from([None, BERLIN]))
def test_every_moment_of_a_modality_is_told_as_it_showed_it(moment: datetime, offset: str, zone: ZoneInfo | None) -> None:
    found = began(moment.strftime("%Y%m%d").zfill(8), moment.strftime("%H%M%S.%f"), offset, zone)

    assert found is not None
    assert FHIR_DATE_TIME.fullmatch(found)
    assert found.startswith(moment.date().isoformat())
    assert ("T" in found) or not offset
    if "T" in found:
        assert datetime.fromisoformat(found).replace(tzinfo=None) == moment.replace(
            microsecond=moment.microsecond // 1000 * 1000
        )
