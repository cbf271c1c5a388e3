"""Times of the chart: a wall clock's day and time become an instant with its offset, and back; what is no time is refused."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from ehr_sandbox.chart_summary import appointment_row, booked_days
from ehr_sandbox.chart_times import fhir_instant, local_moment, local_time, shown_time

SAIGON, BERLIN = ZoneInfo("Asia/Ho_Chi_Minh"), ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("zone", "day", "instant", "shown"),
    [
        (UTC, "2027-03-04", "2027-03-04T09:30:00Z", "09:30 UTC"),
        (SAIGON, "2027-03-04", "2027-03-04T09:30:00+07:00", "09:30 UTC+07:00"),
        (BERLIN, "2027-03-04", "2027-03-04T09:30:00+01:00", "09:30 UTC+01:00"),
        (BERLIN, "2027-07-04", "2027-07-04T09:30:00+02:00", "09:30 UTC+02:00"),
        (ZoneInfo("America/St_Johns"), "2027-01-04", "2027-01-04T09:30:00-03:30", "09:30 UTC-03:30"),
        (ZoneInfo("Europe/London"), "2027-01-04", "2027-01-04T09:30:00Z", "09:30 UTC"),
    ],
)
def test_time_of_the_clock_on_the_wall_is_sent_with_its_offset(zone: ZoneInfo, day: str, instant: str, shown: str) -> None:
    moment = local_time(day, "09:30", zone)

    assert (fhir_instant(moment), shown_time(moment)) == (instant, shown)
    assert local_moment(instant, zone) == moment


def test_hour_that_is_left_out_is_no_time_and_of_the_hour_that_comes_twice_the_first_is_meant() -> None:
    with pytest.raises(ValueError, match="no clock"):
        local_time("2027-03-28", "02:30", BERLIN)

    assert fhir_instant(local_time("2027-10-31", "02:30", BERLIN)) == "2027-10-31T02:30:00+02:00"


@pytest.mark.parametrize(("day", "clock_time"), [("", "09:30"), ("2027-03-04", "late"), ("2027-03-04", "09:30+07:00")])
def test_what_no_clock_shows_is_no_time(day: str, clock_time: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whoever reads it says so in his own words
        local_time(day, clock_time, SAIGON)


@pytest.mark.parametrize("instant", ["2027-03-04", "2027-03-04T09:30:00", "T", "", None, 7, "0001-01-01T00:00:00+14:00"])
def test_what_is_no_instant_with_an_offset_has_no_time_of_day(instant: object) -> None:
    assert local_moment(instant, ZoneInfo("America/St_Johns")) is None


def test_appointment_stands_on_the_day_that_the_practice_is_having() -> None:
    late = {"status": "booked", "id": "a", "start": "2027-03-04T22:30:00Z", "basedOn": [{"reference": "ServiceRequest/o"}]}

    there, here = appointment_row(late, SAIGON), appointment_row(late)

    assert (there.day, there.facts) == ("2027-03-05", ("05:30 UTC+07:00",))
    assert (here.day, here.facts) == ("2027-03-04", ("22:30 UTC",))
    assert booked_days([late], SAIGON) == {"o": "2027-03-05"}


@pytest.mark.parametrize(
    ("status", "can_be_cancelled"),
    [("proposed", True), ("pending", True), ("booked", True), ("waitlist", True), ("cancelled", False), ("fulfilled", False)],
)
def test_only_an_appointment_that_stands_can_be_cancelled(status: str, can_be_cancelled: bool) -> None:
    row = appointment_row({"status": status, "id": "a", "start": "2027-03-04"})

    assert (row.appointment_id, row.day, row.facts) == ("a" if can_be_cancelled else "", "2027-03-04", ())
