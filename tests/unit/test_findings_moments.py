"""N1, N6, P, O3: "today" is the site's day, and only what has not happened yet is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imaging_findings.moments import happened, on_site_clock, site_day, stated_time
from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, OrderChart, read_order_chart
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.patient_facts import latest_egfr
from tests.cds_actors import a_patient, a_study
from tests.order_actors import an_egfr

TOKYO = ZoneInfo("Asia/Tokyo")
LATE = datetime(2026, 11, 20, 22, 30, tzinfo=UTC)
"""Half past seven in the morning of the 21st in Tokyo."""
THIS_MORNING = "2026-11-21T07:00:00+09:00"


def a_chart(now: datetime, **resources: Any) -> OrderChart:
    empty: dict[str, Any] = {query.key: () for query in ORDER_QUERIES}
    moment = ChartMoment(patient_id="p", encounter_id=None, now=now)
    return read_order_chart(empty | {"patient": [a_patient()]} | resources, moment, OrderPolicy())


@pytest.mark.parametrize("zone", [UTC, TOKYO])
def test_n1_a_result_of_this_morning_counts_wherever_the_service_runs(zone: Any) -> None:
    labs = [an_egfr(60, effectiveDateTime="2026-11-10T07:00:00+09:00"), an_egfr(18, effectiveDateTime=THIS_MORNING)]

    egfr = latest_egfr(labs, LATE.astimezone(zone))

    assert egfr is not None
    assert (egfr.value, str(egfr.day)) == (18, "2026-11-21" if zone is TOKYO else "2026-11-20")


@pytest.mark.parametrize("zone", [UTC, TOKYO])
def test_o3_a_study_of_this_morning_is_a_prior_wherever_the_service_runs(zone: Any) -> None:
    now = LATE.astimezone(zone)
    (study,) = a_chart(now, studies=[a_study(started=THIS_MORNING)]).studies

    assert study.day is not None
    assert OrderPolicy().is_recent("CT", study.day, now.date())


def test_a_bare_day_is_meant_at_the_site() -> None:
    assert happened("2026-11-21", LATE) is None
    assert happened("2026-11-21", LATE.astimezone(TOKYO)) == datetime(2026, 11, 21, tzinfo=TOKYO)


@pytest.mark.parametrize(("ahead", "counts"), [(0, True), (5, True), (6, False), (24 * 60, False)])
def test_what_is_not_yet_is_refused_but_for_the_skew_of_clocks(ahead: int, counts: bool) -> None:
    stated = (LATE + timedelta(minutes=ahead)).isoformat()

    assert (happened(stated, LATE) is not None) is counts


@pytest.mark.parametrize(
    ("stated", "day"),
    [
        ("2026-11-20T15:00:00Z", "2026-11-21"),
        ("2026-11-20T14:59:59Z", "2026-11-20"),
        ("2026-11-20", "2026-11-20"),
        ("2026-11", "None"),
        ("yesterday", "None"),
        (None, "None"),
    ],
)
def test_days_are_counted_in_the_sites_zone(stated: str | None, day: str) -> None:
    assert str(site_day(stated, TOKYO)) == day


@pytest.mark.parametrize(
    ("members", "stated"),
    [
        ({"effectiveDateTime": "2026-11-20", "issued": "2026-11-21T08:00:00Z"}, "2026-11-20"),
        ({"effectiveInstant": "2026-11-20T08:00:00Z"}, "2026-11-20T08:00:00Z"),
        ({"effectivePeriod": {"start": "2026-11-18", "end": "2026-11-19"}}, "2026-11-19"),
        ({"effectivePeriod": {"start": "2026-11-18"}, "issued": "2026-11-21T08:00:00Z"}, "2026-11-18"),
        ({"issued": "2026-11-20T08:00:00Z"}, "2026-11-20T08:00:00Z"),
        ({}, None),
    ],
)
def test_t7_the_time_of_a_result_however_it_is_stated(members: dict[str, Any], stated: str | None) -> None:
    assert stated_time(members) == stated


def test_t7_an_egfr_that_was_only_issued_counts() -> None:
    resource = an_egfr(18, issued="2026-11-20T08:00:00Z")
    del resource["effectiveDateTime"]

    egfr = latest_egfr([resource], LATE)

    assert egfr is not None
    assert egfr.value == 18


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("stated", "zone", "written"),
    [
        ("2026-07-01T23:30:00Z", BERLIN, "2026-07-02T01:30:00+02:00"),
        ("2026-07-01T21:59:59Z", BERLIN, "2026-07-01T23:59:59+02:00"),
        ("2026-07-01T22:00:00Z", BERLIN, "2026-07-02T00:00:00+02:00"),
        ("2026-07-01T23:30:00+02:00", UTC, "2026-07-01T21:30:00+00:00"),
        ("2026-07-02T00:30:00+02:00", UTC, "2026-07-01T22:30:00+00:00"),
        # The winter's offset counts for a day in winter.
        ("2026-12-31T23:00:00Z", BERLIN, "2027-01-01T00:00:00+01:00"),
        # Of the site's own clock already, or without any zone, or no time at all: as written.
        ("2026-07-01T23:30:00+02:00", BERLIN, "2026-07-01T23:30:00+02:00"),
        ("2026-07-01T23:30:00Z", UTC, "2026-07-01T23:30:00Z"),
        ("2026-07-01T23:30:00", BERLIN, "2026-07-01T23:30:00"),
        ("2026-07-01", TOKYO, "2026-07-01"),
        ("2026-07", TOKYO, "2026-07"),
        ("9999-12-31T23:30:00Z", TOKYO, "9999-12-31T23:30:00Z"),
        ("of Monday T", TOKYO, "of Monday T"),
    ],
)
def test_times_are_written_on_the_sites_clock_and_bare_dates_as_they_stand(stated: str, zone: Any, written: str) -> None:
    sent = {
        "issued": stated,
        "effectivePeriod": {"start": stated},
        "component": [{"valueDateTime": stated}, None],
        "valueInteger": 1,
    }

    (read,) = on_site_clock({"findings": [sent]}, zone)["findings"] or ()

    assert read == {
        "issued": written,
        "effectivePeriod": {"start": written},
        "component": [{"valueDateTime": written}, None],
        "valueInteger": 1,
    }
    assert sent["issued"] == stated, "what was received stays as it was"


def test_what_needs_no_change_is_not_copied() -> None:
    resource = {"issued": "2026-07-01T23:30:00Z", "text": {"div": "x"}}

    assert (on_site_clock({"reports": [resource], "orders": None}, UTC)["reports"] or ())[0] is resource
    assert on_site_clock({"orders": None}, TOKYO) == {"orders": None}
