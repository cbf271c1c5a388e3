"""Order entry in the chart: the form's draft reaches order-select unsaved, is saved, edited, removed, and changed by cards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chart_actors import ChartActor
from tests.chart_clicks import FORM, SELECT, an_imaging_order, composing, orders


def a_stored_draft(chart: ChartActor, order_id: str = "from-card", patient_id: str = "demo-a", **members: Any) -> None:
    planned = {
        "code": {"coding": [{"system": "http://loinc.org", "code": "29252-4"}], "text": "CT Chest WO contrast"},
        "occurrencePeriod": {"start": "2027-01-10", "end": "2027-02-10"},
        "supportingInfo": [{"reference": "ImagingStudy/demo-a-ct"}],
    }
    chart.services.store.put(an_imaging_order(order_id, patient_id=patient_id, **planned) | members)


def test_form_lists_examinations_and_the_patients_own_problems(chart: ChartActor) -> None:
    html = chart.posts("/patients/demo-a/work/order", {"opening": chart.opens()}).json()["html"]

    assert '<option value="29252-4">CT Chest WO contrast</option>' in html
    assert "Chronic obstructive pulmonary disease" in html
    assert "Asthma" not in html
    assert chart.cds.contexts("order-select") == []


def test_order_select_carries_the_unsaved_draft_and_the_saved_ones_R33(chart: ChartActor) -> None:
    a_stored_draft(chart)
    a_stored_draft(chart, "signed", status="active")
    a_stored_draft(chart, "stranger", "demo-b")
    opening = composing(chart)

    chart.posts(SELECT, {"opening": opening, "condition_id": "demo-a-copd", "low_dose": "yes", **FORM})

    (context,) = chart.cds.contexts("order-select")
    saved, draft = (entry["resource"] for entry in context["draftOrders"]["entry"])
    assert saved["id"] == "from-card"
    assert context["selections"] == [f"ServiceRequest/{draft['id']}"]
    assert context["patientId"] == "demo-a"
    assert (draft["status"], draft["intent"], draft["priority"]) == ("draft", "order", "urgent")
    assert draft["subject"] == {"reference": "Patient/demo-a"}
    assert draft["encounter"] == {"reference": "Encounter/demo-a-encounter"}
    assert draft["code"]["coding"][0] == {"system": "http://loinc.org", "code": "24627-2", "display": "CT Chest"}
    assert draft["reasonCode"] == [{"text": "Cough for six weeks"}]
    assert draft["reasonReference"] == [{"reference": "Condition/demo-a-copd"}]
    assert draft["note"] == [{"text": "Low dose"}]
    assert chart.services.store.read("ServiceRequest", draft["id"]) is None


def test_draft_keeps_its_id_while_it_is_typed_and_when_it_is_saved(chart: ChartActor) -> None:
    opening = composing(chart)
    for reason in ("Cough", "Cough for six weeks"):
        chart.posts(SELECT, {"opening": opening, **FORM, "reason": reason})

    answer = chart.posts("/patients/demo-a/orders/save", {"opening": opening, **FORM, "planned": a_day_ahead()})

    assert answer.status_code == 200
    (order,) = orders(chart)
    assert {context["selections"][0] for context in chart.cds.contexts("order-select")} == {f"ServiceRequest/{order['id']}"}
    assert (order["status"], order["occurrenceDateTime"]) == ("draft", a_day_ahead())


def a_day_ahead(days: int = 10) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"examination": ""}, "Choose an examination."),
        ({"examination": "99999-9"}, "This examination cannot be ordered here."),
        ({"examination": "as-ordered"}, "This examination cannot be ordered here."),
        ({"priority": "soon"}, "This urgency is not known."),
        ({"reason": "x" * 301}, "The reason is longer than 300 characters."),
        ({"note": "x" * 1001}, "The note is longer than 1000 characters."),
        ({"planned": "2020-01-01"}, "The planned date is in the past."),
        ({"planned": "tomorrow"}, "The planned date is no date."),
        ({"condition_id": "demo-b-asthma"}, "This problem is not in the patient's record."),
        ({"condition_id": "nothing"}, "This problem is not in the patient's record."),
    ],
)
@pytest.mark.parametrize("path", ["hooks/order-select", "orders/save", "orders/keep"])
def test_form_that_makes_no_order_is_refused(chart: ChartActor, path: str, changes: dict[str, str], reason: str) -> None:
    answer = chart.posts(f"/patients/demo-a/{path}", {"opening": composing(chart), **FORM, **changes})

    assert (answer.status_code, answer.json()["text"]) == (409, reason)
    assert chart.cds.contexts("order-select") == []
    assert orders(chart) == []


@pytest.mark.parametrize("path", ["hooks/order-select", "orders/save"])
def test_nothing_is_composed_without_an_open_form(chart: ChartActor, path: str) -> None:
    answer = chart.posts(f"/patients/demo-a/{path}", {"opening": chart.opens(), **FORM})

    assert (answer.status_code, answer.json()["text"]) == (409, "This order is no longer open. Start it again.")


def test_editing_a_draft_changes_only_what_was_changed_in_the_form(chart: ChartActor) -> None:
    a_stored_draft(chart)
    opening = chart.opens()
    html = chart.posts("/patients/demo-a/work/order", {"opening": opening, "order": "from-card"}).json()["html"]
    assert 'value="2027-01-10"' in html

    fields = {
        "opening": opening,
        "examination": "29252-4",
        "planned": "2027-01-10",
        "priority": "routine",
        "reason": "Follow-up",
    }
    assert chart.posts("/patients/demo-a/orders/save", fields).status_code == 200

    (order,) = orders(chart)
    assert order["reasonCode"] == [{"text": "Follow-up"}]
    assert order["occurrencePeriod"] == {"start": "2027-01-10", "end": "2027-02-10"}
    assert order["supportingInfo"] == [{"reference": "ImagingStudy/demo-a-ct"}]


def test_draft_in_the_form_stands_once_among_the_draft_orders(chart: ChartActor) -> None:
    a_stored_draft(chart)
    opening = composing(chart, "from-card")

    chart.posts(SELECT, {"opening": opening, **FORM})

    (context,) = chart.cds.contexts("order-select")
    (entry,) = context["draftOrders"]["entry"]
    assert entry["resource"]["code"]["text"] == "CT Chest"


def test_draft_that_was_changed_elsewhere_is_not_overwritten(chart: ChartActor) -> None:
    a_stored_draft(chart)
    opening = composing(chart, "from-card")
    a_stored_draft(chart, priority="stat")

    answer = chart.posts("/patients/demo-a/orders/save", {"opening": opening, **FORM})

    assert answer.status_code == 502
    assert orders(chart)[0]["priority"] == "stat"


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("stranger", "This order is not in the patient's record."),
        ("nowhere", "This order is not in the patient's record."),
        ("signed", "This order is not a draft any more."),
    ],
)
@pytest.mark.parametrize("path", ["work/order", "orders/remove"])
def test_only_a_draft_of_this_patient_is_edited_or_removed(chart: ChartActor, path: str, order: str, reason: str) -> None:
    a_stored_draft(chart, "signed", status="active")
    a_stored_draft(chart, "stranger", "demo-b")

    answer = chart.posts(f"/patients/demo-a/{path}", {"opening": chart.opens(), "order": order})

    assert (answer.status_code, answer.json()["text"]) == (409, reason)
    assert chart.services.store.read("ServiceRequest", "stranger") is not None


def test_removed_draft_is_gone(chart: ChartActor) -> None:
    a_stored_draft(chart)

    answer = chart.posts("/patients/demo-a/orders/remove", {"opening": chart.opens(), "order": "from-card"})

    assert answer.json()["text"] == "The draft order was removed."
    assert orders(chart) == []


def test_draft_that_is_removed_leaves_the_form_too(chart: ChartActor) -> None:
    a_stored_draft(chart)
    opening = composing(chart, "from-card")

    chart.posts("/patients/demo-a/orders/remove", {"opening": opening, "order": "from-card"})

    assert chart.posts("/patients/demo-a/orders/save", {"opening": opening, **FORM}).status_code == 409
    assert orders(chart) == []


def test_unfinished_order_is_kept_until_it_is_saved_or_discarded(chart: ChartActor) -> None:
    a_stored_draft(chart)
    opening = composing(chart)
    chart.posts("/patients/demo-a/orders/keep", {"opening": opening, **FORM})

    other = chart.posts("/patients/demo-a/work/order", {"opening": opening, "order": "from-card"})
    again = chart.posts("/patients/demo-a/work/order", {"opening": opening})

    assert (other.status_code, other.json()["text"][:24]) == (409, "An order is still open i")
    assert 'value="Cough for six weeks"' in again.json()["html"]
    chart.posts("/patients/demo-a/orders/discard", {"opening": opening})
    assert "Cough" not in chart.posts("/patients/demo-a/work/order", {"opening": opening}).json()["html"]


POSTS = ["work/order", "work/signing", "hooks/order-select", "hooks/order-sign"]
POSTS += [f"orders/{name}" for name in ("keep", "save", "discard", "remove", "sign")]


@pytest.mark.parametrize("path", POSTS)
def test_order_entry_is_refused_to_other_origins_and_other_openings(chart: ChartActor, path: str) -> None:
    where, opening = f"/patients/demo-a/{path}", chart.opens()

    assert chart.posts(where, {"opening": opening, **FORM}, Origin="https://evil.example").status_code == 403
    assert chart.posts(where, {"opening": chart.opens("demo-b"), **FORM}).status_code == 410
    assert chart.posts(where, {"opening": "gone", **FORM}).status_code == 410
    assert chart.posts(where, {"opening": 1}).status_code == 400
    assert orders(chart) == []
