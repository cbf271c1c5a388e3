"""Appointments in the zone of the practice: sent and stored with their offset, shown by its clock, and cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_chart
from tests.chart_clicks import an_imaging_order

BOOKING, BOOK = "/patients/demo-a/hooks/appointment-book", "/patients/demo-a/appointments"
CANCEL = f"{BOOK}/cancel"
EARLY = {"day": "2999-03-04", "time": "05:30"}


@pytest.fixture(scope="module")
def far_east(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    """A practice whose day begins seven hours before that of UTC."""
    with a_chart(tmp_path_factory.mktemp("ehr"), time_zone="Asia/Ho_Chi_Minh") as actor:
        yield actor


@pytest.fixture
def chart(far_east: ChartActor) -> ChartActor:
    far_east.forgets_everything()
    far_east.services.store.put(an_imaging_order("signed", "active", code={"text": "CT Chest"}))
    return far_east


def booked(chart: ChartActor, opening: str) -> dict[str, Any]:
    """The appointment as it is stored, booked for the early morning."""
    assert chart.posts(BOOKING, {"opening": opening, "order": "signed", **EARLY}).status_code == 200
    assert chart.posts(BOOK, {"opening": opening, "order": "signed"}).status_code == 200
    return chart.services.store.search("Appointment", {"patient": "demo-a"})[0]


def section(chart: ChartActor, path: str) -> str:
    return chart.http.get(f"{chart.ehr}/patients/demo-a/{path}", timeout=5).text


def test_appointment_is_asked_about_and_stored_with_the_offset_of_the_practice(chart: ChartActor) -> None:
    appointment = booked(chart, chart.opens())

    (context,) = chart.cds.contexts("appointment")
    proposed = context["appointments"]["entry"][0]["resource"]
    for told in (proposed, appointment):
        assert (told["start"], told["end"]) == ("2999-03-04T05:30:00+07:00", "2999-03-04T06:00:00+07:00")


def test_appointment_is_shown_by_the_clock_of_the_practice(chart: ChartActor) -> None:
    """In UTC it is still the day before."""
    opening = chart.opens()
    html = chart.posts("/patients/demo-a/work/booking", {"opening": opening, "order": "signed"}).json()["html"]
    chart.posts(BOOKING, {"opening": opening, "order": "signed", **EARLY})

    answer = chart.posts(BOOK, {"opening": opening, "order": "signed"})

    assert "Time (Asia/Ho_Chi_Minh), 30 minutes" in html
    assert answer.json()["text"] == "Booked for 2999-03-04, 05:30 UTC+07:00."
    assert "booked for 2999-03-04" in section(chart, "orders")
    assert "05:30 UTC+07:00" in section(chart, "sections/appointments")


def test_appointment_of_another_zone_is_shown_by_this_clock(chart: ChartActor) -> None:
    appointment = booked(chart, chart.opens())
    chart.services.store.put(appointment | {"start": "2999-03-04T22:00:00Z", "end": "2999-03-04T22:30:00Z"})

    shown = section(chart, "sections/appointments")

    assert '<time datetime="2999-03-05">' in shown
    assert "05:00 UTC+07:00" in shown


def test_hour_that_the_clocks_leave_out_cannot_be_booked(tmp_path: Path) -> None:
    with a_chart(tmp_path, time_zone="Europe/Berlin") as chart:
        chart.services.store.put(an_imaging_order("signed", "active"))
        fields = {"opening": chart.opens(), "order": "signed", "day": "2099-03-29", "time": "02:30"}

        answer = chart.posts(BOOKING, fields)

    assert (answer.status_code, answer.json()["text"]) == (409, "Choose a day and a time.")


def test_zone_that_nobody_knows_is_refused_at_the_start(tmp_path: Path) -> None:
    for name in ("Nowhere/City", "", "../etc"):
        with pytest.raises(ValueError, match="no IANA time zone"), a_chart(tmp_path, time_zone=name):
            pass


def test_cancelled_appointment_frees_its_order(chart: ChartActor) -> None:
    opening = chart.opens()
    appointment = booked(chart, opening)
    assert f'data-cancel="{appointment["id"]}"' in section(chart, "sections/appointments")

    answer = chart.posts(CANCEL, {"opening": opening, "appointment": appointment["id"]})

    assert answer.json()["text"] == "The appointment of 2999-03-04, 05:30 UTC+07:00 was cancelled."
    (kept,) = chart.services.store.search("Appointment", {"patient": "demo-a"})
    assert (kept["id"], kept["status"], kept["start"]) == (appointment["id"], "cancelled", appointment["start"])
    assert "data-cancel" not in section(chart, "sections/appointments")
    assert 'data-work="booking"' in section(chart, "orders")
    assert chart.posts("/patients/demo-a/work/booking", {"opening": opening, "order": "signed"}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "cancelled"}, "This appointment does not stand any more."),
        ({"status": "fulfilled"}, "This appointment does not stand any more."),
        ({"start": "2020-03-04T05:30:00+07:00", "end": "2020-03-04T06:00:00+07:00"}, "This appointment has passed."),
        (
            {"participant": [{"actor": {"reference": "Patient/demo-b"}, "status": "accepted"}]},
            "This appointment is not in the patient's record.",
        ),
    ],
)
def test_only_an_appointment_of_this_patient_that_stands_is_cancelled(
    chart: ChartActor, changes: dict[str, Any], reason: str
) -> None:
    opening = chart.opens()
    appointment = booked(chart, opening)
    chart.services.store.put(appointment | changes)

    answer = chart.posts(CANCEL, {"opening": opening, "appointment": appointment["id"]})

    kept = chart.services.store.read("Appointment", appointment["id"])
    chart.services.store.delete("Appointment", appointment["id"])
    assert (answer.status_code, answer.json()["text"]) == (409, reason)
    assert kept is not None
    assert kept["status"] == changes.get("status", "booked")


def test_appointment_that_is_nowhere_is_not_cancelled(chart: ChartActor) -> None:
    answer = chart.posts(CANCEL, {"opening": chart.opens(), "appointment": "nowhere"})

    assert (answer.status_code, answer.json()["text"]) == (409, "This appointment is not in the patient's record.")


def test_cancelling_is_refused_to_other_origins_and_other_openings(chart: ChartActor) -> None:
    fields = {"opening": chart.opens(), "appointment": "nowhere"}

    assert chart.posts(CANCEL, fields, Origin="https://evil.example").status_code == 403
    assert chart.posts(CANCEL, fields | {"opening": chart.opens("demo-b")}).status_code == 410
