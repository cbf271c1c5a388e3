"""The order form and the draft behind it: only what was changed in the form is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ehr_sandbox.chart_drafts import AS_ORDERED, OrderForm, new_order, read_form, write_form

FROM_CARD: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "id": "from-card",
    "status": "draft",
    "intent": "order",
    "subject": {"reference": "Patient/demo-a"},
    "code": {"coding": [{"system": "https://site.example/codes", "code": "CTX"}], "text": "CT of the chest, our way"},
    "occurrencePeriod": {"start": "2027-01-10", "end": "2027-02-10"},
    "reasonReference": [{"reference": "Observation/nodule"}, {"reference": "Condition/copd"}],
    "note": [{"text": "Low dose"}, {"text": "Walks with a frame"}],
    "priority": "asap",
}


def test_form_shows_what_the_order_says() -> None:
    assert read_form(FROM_CARD) == OrderForm(
        examination=AS_ORDERED,
        condition_id="copd",
        planned="2027-01-10",
        priority="asap",
        low_dose="yes",
        note="Walks with a frame",
    )


def test_untouched_form_leaves_the_order_as_it_is() -> None:
    assert write_form(FROM_CARD, read_form(FROM_CARD)) == FROM_CARD


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ({"examination": "29252-4"}, {"code": {"text": "CT Chest WO contrast"}}),
        ({"condition_id": ""}, {"reasonReference": [{"reference": "Observation/nodule"}]}),
        (
            {"condition_id": "asthma"},
            {"reasonReference": [{"reference": "Condition/asthma"}, {"reference": "Observation/nodule"}]},
        ),
        ({"reason": "Cough"}, {"reasonCode": [{"text": "Cough"}]}),
        ({"planned": "2027-01-20"}, {"occurrenceDateTime": "2027-01-20", "occurrencePeriod": None}),
        ({"planned": ""}, {"occurrenceDateTime": None, "occurrencePeriod": None}),
        ({"priority": "stat"}, {"priority": "stat"}),
        ({"low_dose": ""}, {"note": [{"text": "Walks with a frame"}]}),
        ({"note": ""}, {"note": [{"text": "Low dose"}]}),
        ({"note": "", "low_dose": ""}, {"note": None}),
    ],
)
def test_each_field_writes_its_own_element_and_no_other(change: dict[str, str], written: dict[str, Any]) -> None:
    order = write_form(FROM_CARD, replace(read_form(FROM_CARD), **change))

    if "code" in written:
        assert order["code"]["text"] == written["code"]["text"]
        written = written | {"code": order["code"]}
    assert order == {name: value for name, value in (FROM_CARD | written).items() if value is not None}


def test_new_order_belongs_to_patient_visit_and_user_and_has_no_code_yet() -> None:
    order = new_order("id-1", patient_id="demo-a", encounter_id=None, user="Practitioner/demo-gp")

    assert (order["id"], order["status"], order["requester"]) == ("id-1", "draft", {"reference": "Practitioner/demo-gp"})
    assert "encounter" not in order
    assert read_form(order) == OrderForm()
