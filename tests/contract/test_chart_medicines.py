"""Ordering a medicine in the chart: order-select names it, it stands among the drafts, is signed and then a medication."""

from __future__ import annotations

from typing import Any

import pytest

from ehr_sandbox.chart_medicines import MEDICINES, find_medicine
from tests.chart_actors import ChartActor
from tests.chart_clicks import an_imaging_order
from tests.conftest import CHECKOUT

SELECT = "/patients/demo-a/hooks/order-select/medication"
SAVE = "/patients/demo-a/medications"
METFORMIN = {"medicine": "metformin-500", "dose": "1 tablet twice daily with meals"}


def ordering(chart: ChartActor) -> str:
    """An opened chart in which the form of a medicine is open."""
    opening = chart.opens()
    assert chart.posts("/patients/demo-a/work/medication", {"opening": opening}).status_code == 200
    return opening


def medicines(chart: ChartActor) -> list[dict[str, Any]]:
    return chart.services.store.search("MedicationRequest", {"patient": "demo-a"})


def section(chart: ChartActor, path: str) -> str:
    return chart.http.get(f"{chart.ehr}/patients/demo-a/{path}", timeout=5).text


def test_every_medicine_is_coded_as_the_checked_table_has_it() -> None:
    """The sandbox imports nothing of ours: the table is read as a file. The class code of iodinated media is a prefix there."""
    table = (CHECKOUT / "imaging_findings" / "tables" / "value_sets.csv").read_text(encoding="utf-8")
    listed = [medicine for group in MEDICINES.values() for medicine in group]

    assert len({medicine.key for medicine in listed}) == len(listed)
    for medicine in listed:
        name = f'"{medicine.class_name}"' if "," in medicine.class_name else medicine.class_name
        assert f"http://www.whocc.no/atc,prefix,{medicine.code},{name}," in table
        assert find_medicine(medicine.key) is medicine
    assert find_medicine("nothing") is None


def test_form_lists_the_medicines_with_their_usual_dose(chart: ChartActor) -> None:
    html = chart.posts("/patients/demo-a/work/medication", {"opening": chart.opens()}).json()["html"]

    assert 'value="iohexol-300" data-dose="100 mL intravenously for the CT"' in html
    assert "Metformin 500 mg, tablet" in html
    assert chart.cds.contexts("order-select") == []


def test_r33_order_select_names_the_medicine_among_all_drafts(chart: ChartActor) -> None:
    chart.services.store.put(an_imaging_order("ct", code={"text": "CT Chest"}))
    opening = ordering(chart)

    answer = chart.posts(SELECT, {"opening": opening, **METFORMIN})

    assert answer.json()["text"] == "No guidance for this medicine."
    (context,) = chart.cds.contexts("order-select")
    saved, draft = (entry["resource"] for entry in context["draftOrders"]["entry"])
    assert saved["id"] == "ct"
    assert context["selections"] == [f"MedicationRequest/{draft['id']}"]
    assert (draft["resourceType"], draft["status"], draft["intent"]) == ("MedicationRequest", "draft", "order")
    assert draft["medicationCodeableConcept"] == {
        "coding": [{"system": "http://www.whocc.no/atc", "code": "A10BA02", "display": "metformin"}],
        "text": "Metformin 500 mg, tablet",
    }
    assert draft["subject"] == {"reference": "Patient/demo-a"}
    assert draft["encounter"] == {"reference": "Encounter/demo-a-encounter"}
    assert draft["requester"] == {"reference": "Practitioner/demo-gp"}
    assert draft["dosageInstruction"] == [{"text": METFORMIN["dose"]}]
    assert medicines(chart) == []


def test_medicine_is_saved_under_the_id_that_was_asked_about_and_once(chart: ChartActor) -> None:
    opening = ordering(chart)
    chart.posts(SELECT, {"opening": opening, **METFORMIN})

    first = chart.posts(SAVE, {"opening": opening, "medicine": "iohexol-300", "dose": " "})
    again = chart.posts(SAVE, {"opening": opening, **METFORMIN})

    assert first.json()["text"] == "Saved as a draft; it is not active until it is signed."
    assert (again.status_code, again.json()["text"]) == (409, "This medicine is no longer being ordered. Start it again.")
    (stored,) = medicines(chart)
    assert chart.cds.contexts("order-select")[0]["selections"] == [f"MedicationRequest/{stored['id']}"]
    assert "dosageInstruction" not in stored
    assert stored["authoredOn"].endswith("Z")


def test_draft_stands_among_the_orders_and_once_signed_among_the_medications(chart: ChartActor) -> None:
    opening = ordering(chart)
    chart.posts(SAVE, {"opening": opening, **METFORMIN})
    words = "Metformin 500 mg, tablet"

    assert words in section(chart, "orders")
    assert words not in section(chart, "sections/medications")
    chart.posts("/patients/demo-a/hooks/order-sign", {"opening": opening})
    assert chart.posts("/patients/demo-a/orders/sign", {"opening": opening}).json()["text"] == "1 order signed."
    assert words not in section(chart, "orders")
    assert words in section(chart, "sections/medications")
    assert medicines(chart)[0]["status"] == "active"


def test_draft_goes_with_the_next_imaging_order_that_is_selected(chart: ChartActor) -> None:
    opening = ordering(chart)
    chart.posts(SAVE, {"opening": opening, "medicine": "iohexol-300", "dose": ""})
    chart.posts("/patients/demo-a/work/order", {"opening": opening, "order": ""})

    form = {"examination": "24628-0", "priority": "routine"}
    chart.posts("/patients/demo-a/hooks/order-select", {"opening": opening, **form})

    types = [entry["resource"]["resourceType"] for entry in chart.cds.contexts("order-select")[-1]["draftOrders"]["entry"]]
    assert types == ["MedicationRequest", "ServiceRequest"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"medicine": ""}, "Choose a medicine."),
        ({"medicine": "aspirin"}, "Choose a medicine."),
        ({"dose": "x" * 201}, "The dose is longer than 200 characters."),
    ],
)
@pytest.mark.parametrize("path", [SELECT, SAVE])
def test_form_that_makes_no_medicine_is_refused(chart: ChartActor, path: str, fields: dict[str, str], reason: str) -> None:
    answer = chart.posts(path, {"opening": ordering(chart), **METFORMIN, **fields})

    assert (answer.status_code, answer.json()["text"]) == (409, reason)
    assert chart.cds.contexts("order-select") == []
    assert medicines(chart) == []


def test_draft_of_a_medicine_is_removed_by_its_reference(chart: ChartActor) -> None:
    opening = ordering(chart)
    chart.posts(SAVE, {"opening": opening, **METFORMIN})
    (stored,) = medicines(chart)

    answer = chart.posts("/patients/demo-a/orders/remove", {"opening": opening, "order": f"MedicationRequest/{stored['id']}"})

    assert answer.json()["text"] == "The draft order was removed."
    assert medicines(chart) == []


@pytest.mark.parametrize("order", ["Condition/demo-a-copd", "Patient/demo-a", "MedicationRequest/nowhere", "a/b/c"])
def test_nothing_but_a_draft_order_of_this_patient_is_removed(chart: ChartActor, order: str) -> None:
    answer = chart.posts("/patients/demo-a/orders/remove", {"opening": chart.opens(), "order": order})

    assert (answer.status_code, answer.json()["text"]) == (409, "This order is not in the patient's record.")
    assert chart.services.store.read("Condition", "demo-a-copd") is not None


@pytest.mark.parametrize("path", ["work/medication", "hooks/order-select/medication", "medications"])
def test_medicines_are_refused_to_other_origins_and_other_openings(chart: ChartActor, path: str) -> None:
    where = f"/patients/demo-a/{path}"

    assert chart.posts(where, {"opening": chart.opens(), **METFORMIN}, Origin="https://evil.example").status_code == 403
    assert chart.posts(where, {"opening": chart.opens("demo-b"), **METFORMIN}).status_code == 410
    assert medicines(chart) == []
