"""Discharge, booking and completed studies in the chart: what each hook is told, and what may not be done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_card
from tests.chart_clicks import an_imaging_order

DAY = {"day": "2999-03-04", "time": "09:30"}
BOOKING = "/patients/demo-a/hooks/appointment-book"


@pytest.fixture
def chart(chart: ChartActor) -> ChartActor:
    for order_id, status, patient_id in (
        ("signed", "active", "demo-a"),
        ("draft", "draft", "demo-a"),
        ("stranger", "active", "demo-b"),
    ):
        order = an_imaging_order(order_id, status, patient_id, code={"text": "CT Chest WO contrast"})
        chart.services.store.put(order)
    return chart


def appointments(chart: ChartActor) -> list[dict[str, Any]]:
    return chart.services.store.search("Appointment", {"patient": "demo-a"})


def test_discharge_is_asked_about_for_the_visit_in_progress(chart: ChartActor) -> None:
    chart.cds.responses["discharge"] = {"cards": [a_card(summary="CT of today is not read yet")]}
    opening = chart.opens()

    html = chart.posts("/patients/demo-a/work/discharge", {"opening": opening}).json()["html"]
    answer = chart.posts("/patients/demo-a/hooks/encounter-discharge", {"opening": opening}).json()

    assert 'data-hook="encounter-discharge"' in html
    assert "CT of today is not read yet" in answer["html"]
    assert chart.cds.contexts("discharge") == [
        {"userId": "Practitioner/demo-gp", "patientId": "demo-a", "encounterId": "demo-a-encounter"}
    ]


@pytest.mark.parametrize("path", ["work/discharge", "hooks/encounter-discharge"])
def test_nobody_is_discharged_who_is_not_here(chart: ChartActor, path: str) -> None:
    answer = chart.posts(f"/patients/demo-b/{path}", {"opening": chart.opens("demo-b")})

    assert (answer.status_code, answer.json()["text"]) == (409, "There is no visit in progress to be discharged from.")
    assert "Prepare discharge" not in chart.http.get(f"{chart.ehr}/patients/demo-b", timeout=5).text
    assert "Prepare discharge" in chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=5).text


def test_booking_asks_with_the_proposed_appointment_and_stores_that_one(chart: ChartActor) -> None:
    opening = chart.opens()

    chart.posts(BOOKING, {"opening": opening, "order": "signed", **DAY})
    assert appointments(chart) == []
    answer = chart.posts("/patients/demo-a/appointments", {"opening": opening, "order": "signed"})

    (context,) = chart.cds.contexts("appointment")
    (entry,) = context["appointments"]["entry"]
    proposed = entry["resource"]
    assert (context["patientId"], proposed["status"]) == ("demo-a", "proposed")
    assert (proposed["start"], proposed["end"]) == ("2999-03-04T09:30:00Z", "2999-03-04T10:00:00Z")
    assert proposed["basedOn"] == [{"reference": "ServiceRequest/signed"}]
    assert proposed["participant"] == [{"actor": {"reference": "Patient/demo-a"}, "status": "needs-action"}]
    assert answer.json()["text"] == "Booked for 2999-03-04, 09:30 UTC."
    (booked,) = appointments(chart)
    assert (booked["id"], booked["status"], booked["start"]) == (proposed["id"], "booked", proposed["start"])
    assert "booked for 2999-03-04" in chart.http.get(f"{chart.ehr}/patients/demo-a/orders", timeout=5).text
    section = chart.http.get(f"{chart.ehr}/patients/demo-a/sections/appointments", timeout=5).text
    assert "CT Chest WO contrast" in section


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"order": "draft"}, "Only a signed order that is still open can be booked."),
        ({"order": "stranger"}, "This order is not in the patient's record."),
        ({"order": "nowhere"}, "This order is not in the patient's record."),
        ({"day": ""}, "Choose a day and a time."),
        ({"time": "late"}, "Choose a day and a time."),
        ({"day": "2020-01-01"}, "The appointment would be in the past."),
    ],
)
def test_booking_that_cannot_be_made_is_refused_before_anybody_is_asked(
    chart: ChartActor, fields: dict[str, str], reason: str
) -> None:
    answer = chart.posts(BOOKING, {"opening": chart.opens(), "order": "signed", **DAY, **fields})

    assert (answer.status_code, answer.json()["text"]) == (409, reason)
    assert chart.cds.contexts("appointment") == []


@pytest.mark.parametrize(("planned", "offered"), [("2999-05-06", "2999-05-06"), ("2020-05-06", "")])
def test_day_that_the_order_plans_is_offered_unless_it_has_passed(chart: ChartActor, planned: str, offered: str) -> None:
    order = chart.services.store.read("ServiceRequest", "signed")
    assert order is not None
    chart.services.store.put(order | {"occurrenceDateTime": planned})

    html = chart.posts("/patients/demo-a/work/booking", {"opening": chart.opens(), "order": "signed"}).json()["html"]

    assert f'value="{offered}" required' in html


@pytest.mark.parametrize("order", ["draft", "stranger", "nowhere"])
def test_only_an_open_order_of_this_patient_is_offered_for_booking(chart: ChartActor, order: str) -> None:
    assert chart.posts("/patients/demo-a/work/booking", {"opening": chart.opens(), "order": order}).status_code == 409


def test_booking_is_confirmed_only_for_what_was_asked(chart: ChartActor) -> None:
    opening = chart.opens()
    unasked = chart.posts("/patients/demo-a/appointments", {"opening": opening, "order": "signed"})
    chart.posts(BOOKING, {"opening": opening, "order": "signed", **DAY})
    other = chart.posts("/patients/demo-a/appointments", {"opening": opening, "order": "draft"})

    assert [answer.json()["text"] for answer in (unasked, other)] == ["Choose a day first."] * 2
    assert appointments(chart) == []


def test_order_is_booked_once(chart: ChartActor) -> None:
    opening = chart.opens()
    chart.posts(BOOKING, {"opening": opening, "order": "signed", **DAY})
    chart.posts("/patients/demo-a/appointments", {"opening": opening, "order": "signed"})

    again = chart.posts("/patients/demo-a/work/booking", {"opening": opening, "order": "signed"})

    assert again.json()["text"] == "This order is booked for 2999-03-04 already."


def test_completed_study_is_announced_under_the_services_own_name_for_the_hook(chart: ChartActor) -> None:
    opening = chart.opens()

    html = chart.posts("/patients/demo-a/work/study", {"opening": opening, "study": "demo-a-ct"}).json()["html"]
    chart.posts("/patients/demo-a/hooks/imaging-study-complete", {"opening": opening, "study": "demo-a-ct"})

    assert "CT chest" in html
    (call,) = [asked for asked in chart.cds.asked if asked.path == "/cds-services/study-complete"]
    assert call.body["hook"] == "org.example.imaging-study-complete"
    assert call.body["context"] == {
        "userId": "Practitioner/demo-gp",
        "patientId": "demo-a",
        "encounterId": "demo-a-encounter",
        "study": "ImagingStudy/demo-a-ct",
        "studyInstanceUid": "2.25.1001",
    }


@pytest.mark.parametrize("path", ["work/study", "hooks/imaging-study-complete"])
@pytest.mark.parametrize("study", ["demo-b-ct", "nowhere", ""])
def test_study_of_another_patient_is_not_announced(chart: ChartActor, path: str, study: str) -> None:
    answer = chart.posts(f"/patients/demo-a/{path}", {"opening": chart.opens(), "study": study})

    assert answer.status_code in (404, 502)
    assert chart.cds.contexts("study-complete") == []


def test_wire_log_names_every_hook(chart: ChartActor) -> None:
    opening = chart.opens()
    chart.posts("/patients/demo-a/hooks/encounter-discharge", {"opening": opening})
    chart.posts(BOOKING, {"opening": opening, "order": "signed", **DAY})
    chart.posts("/patients/demo-a/hooks/imaging-study-complete", {"opening": opening, "study": "demo-a-ct"})

    wire = chart.wire(opening)

    for purpose in ("encounter-discharge: ", "appointment-book: ", "org.example.imaging-study-complete: "):
        assert f'<span class="exchange-purpose">{purpose}' in wire


POSTS = ["work/discharge", "work/booking", "work/study", "appointments"]
POSTS += [f"hooks/{hook}" for hook in ("encounter-discharge", "appointment-book", "imaging-study-complete", "patient-view")]


@pytest.mark.parametrize("path", POSTS)
def test_visit_is_refused_to_other_origins_and_other_openings(chart: ChartActor, path: str) -> None:
    where, fields = f"/patients/demo-a/{path}", {"order": "signed", "study": "demo-a-ct", **DAY}

    assert chart.posts(where, {"opening": chart.opens(), **fields}, Origin="https://evil.example").status_code == 403
    assert chart.posts(where, {"opening": chart.opens("demo-b"), **fields}).status_code == 410
    assert chart.posts(where, {"opening": "gone", **fields}).status_code == 410


def test_hook_that_this_ehr_does_not_fire_is_not_found(chart: ChartActor) -> None:
    assert chart.posts("/patients/demo-a/hooks/order-dispatch", {"opening": chart.opens()}).status_code == 404
