"""Suggestions that change or take away draft orders: as one transaction, and only drafts of the patient whose chart is open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_suggesting_card, a_suggestion, keys_of_cards
from tests.chart_clicks import an_imaging_order

BETTER = {"coding": [{"system": "http://loinc.org", "code": "79086-5"}], "text": "CT Chest for screening WO contrast"}


@pytest.fixture
def chart(chart: ChartActor) -> ChartActor:
    for order_id, status, patient_id in (
        ("draft-1", "draft", "demo-a"),
        ("draft-2", "draft", "demo-a"),
        ("signed", "active", "demo-a"),
        ("stranger", "draft", "demo-b"),
    ):
        chart.services.store.put(an_order(order_id, status, patient_id))
    return chart


def an_order(order_id: str, status: str = "draft", patient_id: str = "demo-a", **members: Any) -> dict[str, Any]:
    code = {"coding": [{"system": "http://loinc.org", "code": "24627-2"}], "text": "CT Chest"}
    return an_imaging_order(order_id, status, patient_id, **{"code": code} | members)


def an_update(order: dict[str, Any]) -> dict[str, Any]:
    return {"type": "update", "description": "Change the order", "resource": order}


def a_deletion(reference: str) -> dict[str, Any]:
    return {"type": "delete", "description": "Remove the order", "resourceId": reference}


def outcome_of(chart: ChartActor, *actions: dict[str, Any], hook: str = "order-sign") -> dict[str, Any]:
    """What the clinician is told who accepts a suggestion with these actions before signing."""
    chart.cds.response = {"cards": [a_suggesting_card(a_suggestion(actions=list(actions)))]}
    opening = chart.opens()
    html = chart.posts(f"/patients/demo-a/hooks/{hook}", {"opening": opening}).json()["html"]
    fields = {"opening": opening, "card": keys_of_cards(html)[0], "suggestion": 0}
    answer = chart.posts("/patients/demo-a/cards/accept", fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def drafts(chart: ChartActor, patient_id: str = "demo-a") -> dict[str, str]:
    found = chart.services.store.search("ServiceRequest", {"patient": patient_id, "status": "draft"})
    return {order["id"]: order["code"]["text"] for order in found}


def test_update_replaces_the_whole_draft_R29(chart: ChartActor) -> None:
    outcome = outcome_of(chart, an_update(an_order("draft-1", code=BETTER)))

    assert outcome["done"] is True
    assert outcome["text"].startswith("Draft order changed")
    assert drafts(chart) == {"draft-1": "CT Chest for screening WO contrast", "draft-2": "CT Chest"}
    assert [entry["outcome"] for entry in chart.cds.feedback()] == ["accepted"]


def test_delete_takes_the_draft_away_R29(chart: ChartActor) -> None:
    outcome = outcome_of(chart, a_deletion("ServiceRequest/draft-2"))

    assert outcome["text"] == "Draft order removed."
    assert set(drafts(chart)) == {"draft-1"}


def test_create_update_and_delete_happen_together_R28(chart: ChartActor) -> None:
    creation = a_suggestion()["actions"][0]

    outcome = outcome_of(chart, creation, an_update(an_order("draft-1", code=BETTER)), a_deletion("ServiceRequest/draft-2"))

    assert outcome["done"] is True
    assert sorted(drafts(chart).values()) == ["CT Chest for screening WO contrast", "CT chest without contrast"]


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (an_update(an_order("signed")), "ServiceRequest/signed, which is not a draft"),
        (an_update(an_order("nowhere")), "ServiceRequest/nowhere, which does not exist here"),
        (an_update(an_order("stranger")), "an order for another patient"),
        (an_update(an_order("stranger", patient_id="demo-b")), "an order for another patient"),
        (an_update(an_order("draft-1", patient_id="demo-b")), "for another patient"),
        (an_update(an_order("draft-1", "active")), "The ServiceRequest is not a draft."),
        (an_update(an_order("draft-1", intent="wish")), "has no valid intent"),
        (
            an_update(an_order("draft-1", reasonReference=[{"reference": "ImagingStudy/demo-b-ct"}])),
            "refers to a record of another patient",
        ),
        (an_update({"resourceType": "Patient", "id": "demo-a"}), "Patient/demo-a, which is no order"),
        (a_deletion("ServiceRequest/signed"), "ServiceRequest/signed, which is not a draft"),
        (a_deletion("ServiceRequest/stranger"), "an order for another patient"),
        (a_deletion("ServiceRequest/nowhere"), "which does not exist here"),
        (a_deletion("https://elsewhere.example/fhir/ServiceRequest/draft-1"), "without naming an order"),
        (a_deletion("ImagingStudy/demo-a-ct"), "ImagingStudy/demo-a-ct, which is no order"),
    ],
)
def test_only_a_draft_of_this_patient_may_change_R29(chart: ChartActor, action: dict[str, Any], reason: str) -> None:
    outcome = outcome_of(chart, action)

    assert outcome["done"] is False
    assert reason in outcome["text"]
    assert drafts(chart) == {"draft-1": "CT Chest", "draft-2": "CT Chest"}
    assert drafts(chart, "demo-b") == {"stranger": "CT Chest"}
    assert chart.cds.feedback() == []


def test_every_reason_is_named_and_nothing_is_done_by_half(chart: ChartActor) -> None:
    outcome = outcome_of(
        chart,
        an_update(an_order("draft-1", code=BETTER)),
        a_deletion("ServiceRequest/signed"),
        a_deletion("ServiceRequest/nowhere"),
    )

    assert "which is not a draft" in outcome["text"]
    assert "which does not exist here" in outcome["text"]
    assert drafts(chart) == {"draft-1": "CT Chest", "draft-2": "CT Chest"}


def test_two_actions_on_one_order_are_refused(chart: ChartActor) -> None:
    outcome = outcome_of(chart, an_update(an_order("draft-1", code=BETTER)), a_deletion("ServiceRequest/draft-1"))

    assert outcome["text"] == "Not accepted. Two of its actions concern ServiceRequest/draft-1."


def test_update_that_is_no_valid_order_is_refused_by_the_store(chart: ChartActor) -> None:
    outcome = outcome_of(chart, an_update(an_order("draft-1", priority="soon")), a_deletion("ServiceRequest/draft-2"))

    assert outcome["done"] is False
    assert outcome["text"].startswith("The order could not be stored: ")
    assert set(drafts(chart)) == {"draft-1", "draft-2"}
    assert chart.cds.feedback() == []


def test_suggestion_without_actions_is_refused(chart: ChartActor) -> None:
    suggestion = {"label": "Do something", "uuid": "empty"}
    chart.cds.response = {"cards": [a_suggesting_card(suggestion)]}
    opening = chart.opens()
    (key,) = keys_of_cards(chart.sees_guidance(opening))

    outcome = chart.posts("/patients/demo-a/cards/accept", {"opening": opening, "card": key, "suggestion": 0}).json()

    assert outcome["text"] == "Not accepted. The suggestion holds no action."


def test_draft_that_changed_since_the_card_is_not_overwritten(chart: ChartActor) -> None:
    suggestion = a_suggestion(actions=[an_update(an_order("draft-1", code=BETTER))])
    chart.cds.response = {"cards": [a_suggesting_card(suggestion)]}
    opening = chart.opens()
    (key,) = keys_of_cards(chart.posts("/patients/demo-a/hooks/order-sign", {"opening": opening}).json()["html"])
    chart.services.store.put(an_order("draft-1", note=[{"text": "Patient is claustrophobic"}]))

    outcome = chart.posts("/patients/demo-a/cards/accept", {"opening": opening, "card": key, "suggestion": 0}).json()

    assert outcome["text"] == "Not accepted. ServiceRequest/draft-1 was changed since this card was made."
    assert drafts(chart)["draft-1"] == "CT Chest"


def test_card_of_the_open_chart_may_change_a_draft_too(chart: ChartActor) -> None:
    outcome = outcome_of(chart, an_update(an_order("draft-1", code=BETTER)), hook="patient-view")

    assert outcome["done"] is True
    assert drafts(chart)["draft-1"] == "CT Chest for screening WO contrast"
