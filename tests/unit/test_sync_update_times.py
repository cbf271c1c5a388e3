"""Times at which an archive says that it changed a study: read, compared with its own, and asked for again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pacs_sync.update_times import STUDY_UPDATE, beginning_of, latest, since, update_time_of

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def a_match(time: object) -> dict[str, object]:
    return {STUDY_UPDATE: {"vr": "DT", "Value": [time]}}


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ("20260310083000", "20260310083000"),
        ("20260310083000.123456", "20260310083000"),
        ("20260310083000+0000", "20260310083000+0000"),
        ("20260310083000.5+0130", "20260310070000+0000"),
        ("20260310233000-0500", "20260311043000+0000"),
        ("20260310083000 ", "20260310083000"),
        ("20260310", None),
        ("20261310083000", None),
        ("00010101000000+0100", None),
        ("", None),
        (20260310083000, None),
        ("20260310083000+01:00", None),
    ],
)
def test_update_time_is_read_to_the_second_in_utc_where_it_has_a_zone(stated: object, read: str | None) -> None:
    assert update_time_of(a_match(stated)) == read


def test_latest_is_the_latest_and_never_before_what_was_known() -> None:
    seen = [a_match("20260310083000"), a_match("20260310093000"), a_match("nonsense"), {}]

    assert latest(seen, "", now=NOW) == "20260310093000"
    assert latest(seen, "20260310100000", now=NOW) == "20260310100000"
    assert latest([], "", now=NOW) == ""


def test_time_after_tomorrow_is_no_latest() -> None:
    seen = [a_match("20260311110000"), a_match("20260312000000"), a_match("20990101000000")]

    assert latest(seen, "", now=NOW) == "20260311110000"


@pytest.mark.parametrize(
    ("time", "asked", "day"),
    [
        ("20260310083000", "20260310063000-", "20260310000000-"),
        ("20260310013000+0000", "20260309233000+0000-", "20260310000000+0000-"),
        ("00010101000000", "00010101000000-", "00010101000000-"),
    ],
)
def test_what_is_asked_for_begins_two_hours_before(time: str, asked: str, day: str) -> None:
    assert since(time) == asked
    assert beginning_of(time) == day
