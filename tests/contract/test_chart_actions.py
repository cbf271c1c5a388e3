"""What clicking on cards does: draft orders, feedback, and who may click at all."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_card, a_suggesting_card, a_suggestion
from tests.chart_clicks import accepted, opened, orders

REASON = {
    "system": "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes",
    "code": "action-completed",
    "display": "Recommended action was already completed",
}


def test_accepted_suggestion_creates_the_draft_order_and_is_told_R29_R34(chart: ChartActor) -> None:
    card, suggestion = a_suggesting_card(a_suggestion()), a_suggestion()
    opening, (key,) = opened(chart, card)

    outcome = accepted(chart, opening, key)

    assert outcome["done"] is True
    (order,) = orders(chart)
    assert order["status"] == "draft"
    assert order["code"]["coding"][0]["code"] == "29252-4"
    (entry,) = chart.cds.feedback()
    assert entry["card"] == card["uuid"]
    assert entry["outcome"] == "accepted"
    assert entry["acceptedSuggestions"] == [{"id": suggestion["uuid"]}]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["outcomeTimestamp"])


def test_draft_order_stands_in_the_chart(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion()))
    accepted(chart, opening, key)

    page = chart.http.get(f"{chart.ehr}/patients/demo-a/orders", timeout=5).text

    assert "CT chest without contrast" in page
    assert "draft" in page


def test_suggestion_is_accepted_once(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion()))
    accepted(chart, opening, key)

    again = accepted(chart, opening, key)

    assert again["done"] is False
    assert len(orders(chart)) == 1
    assert len(chart.cds.feedback()) == 1


def test_at_most_one_suggestion_is_accepted_R27(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion(), a_suggestion(uuid="second", label="Other")))
    accepted(chart, opening, key, 0)

    assert accepted(chart, opening, key, 1)["done"] is False
    assert len(orders(chart)) == 1


def test_any_suggestions_are_accepted_one_by_one_R27(chart: ChartActor) -> None:
    card = a_suggesting_card(a_suggestion(), a_suggestion(uuid="second"), selectionBehavior="any")
    opening, (key,) = opened(chart, card)

    assert accepted(chart, opening, key, 0)["done"] is True
    assert accepted(chart, opening, key, 1)["done"] is True
    assert len(orders(chart)) == 2


def order_with(**members: Any) -> dict[str, Any]:
    suggestion = a_suggestion()
    suggestion["actions"][0]["resource"] |= members
    return suggestion


@pytest.mark.parametrize(
    ("suggestion", "reason"),
    [
        (order_with(subject={"reference": "Patient/demo-b"}), "for another patient"),
        (order_with(subject={"display": "somebody"}), "names no patient"),
        (order_with(status="active"), "is not a draft"),
        (order_with(intent="wish"), "has no valid intent"),
        (order_with(resourceType="Condition"), "is no order that can be drafted"),
        (order_with(reasonReference=[{"reference": "ImagingStudy/demo-b-ct"}]), "record of another patient"),
        (order_with(reasonReference=[{"reference": "Observation/nowhere"}]), "which does not exist here"),
        (order_with(encounter={"reference": "https://elsewhere.example/Encounter/1"}), "outside this EHR"),
        (
            a_suggestion(actions=[{"type": "delete", "description": "Delete", "resourceId": "ImagingStudy/demo-a-ct"}]),
            "it wants to delete",
        ),
        (
            a_suggestion(
                actions=[
                    {
                        "type": "update",
                        "description": "Update",
                        "resource": {"resourceType": "Patient", "id": "demo-a"},
                    }
                ]
            ),
            "it wants to update",
        ),
    ],
)
def test_actions_beyond_draft_orders_of_this_patient_are_refused(
    chart: ChartActor, suggestion: dict[str, Any], reason: str
) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(suggestion))

    outcome = accepted(chart, opening, key)

    assert outcome["done"] is False
    assert reason.removeprefix("it ") in outcome["text"]
    assert orders(chart) == []
    assert chart.cds.feedback() == []


def test_one_refused_action_stops_all(chart: ChartActor) -> None:
    good, bad = a_suggestion()["actions"][0], order_with(status="active")["actions"][0]
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion(actions=[good, bad])))

    assert accepted(chart, opening, key)["done"] is False
    assert orders(chart) == []


def test_suggestion_without_ids_is_accepted_without_feedback(chart: ChartActor) -> None:
    suggestion = a_suggestion()
    del suggestion["uuid"]
    opening, (key,) = opened(chart, a_suggesting_card(suggestion))

    assert accepted(chart, opening, key)["done"] is True
    assert chart.cds.feedback() == []


def test_feedback_that_fails_does_not_undo_the_order(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_suggesting_card(a_suggestion()))
    chart.cds.feedback_status = 500

    outcome = accepted(chart, opening, key)

    assert outcome["done"] is True
    assert "could not be told" in outcome["text"]
    assert len(orders(chart)) == 1


def test_dismissal_is_told_with_reason_and_comment_R31_R34(chart: ChartActor) -> None:
    card = a_card(overrideReasons=[REASON])
    opening, (key,) = opened(chart, card)

    fields = {"opening": opening, "card": key, "reason": 0, "comment": " done elsewhere "}
    answer = chart.posts("/patients/demo-a/cards/dismiss", fields)

    assert answer.status_code == 200
    (entry,) = chart.cds.feedback()
    assert entry["card"] == card["uuid"]
    assert entry["outcome"] == "overridden"
    assert entry["overrideReason"] == {"reason": REASON, "userComment": "done elsewhere"}
    assert entry["outcomeTimestamp"].endswith("Z")
    assert chart.posts("/patients/demo-a/cards/dismiss", fields).status_code == 409


def test_dismissal_without_reason_has_no_empty_member_R2_cds_fb_3(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_card())

    chart.posts("/patients/demo-a/cards/dismiss", {"opening": opening, "card": key, "comment": ""})

    (entry,) = chart.cds.feedback()
    assert "overrideReason" not in entry


def test_card_without_uuid_is_dismissed_silently(chart: ChartActor) -> None:
    opening, (key,) = opened(chart, a_card(uuid=None))

    answer = chart.posts("/patients/demo-a/cards/dismiss", {"opening": opening, "card": key})

    assert answer.status_code == 200
    assert chart.cds.feedback() == []


POSTS = [
    "/patients/demo-a/hooks/patient-view",
    "/patients/demo-a/cards/accept",
    "/patients/demo-a/cards/dismiss",
    "/patients/demo-a/launches",
]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}])
def test_post_of_another_origin_is_refused(chart: ChartActor, path: str, headers: dict[str, str]) -> None:
    answer = chart.posts(path, {"opening": chart.opens(), "card": "k", "suggestion": 0}, **headers)

    assert answer.status_code == 403
    assert chart.cds.asked == []


@pytest.mark.parametrize("path", POSTS)
def test_opening_of_another_patient_opens_nothing(chart: ChartActor, path: str) -> None:
    opening = chart.opens("demo-b")

    assert chart.posts(path, {"opening": opening, "card": "k", "suggestion": 0}).status_code == 410


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("fields", [[], {"opening": 1}, {}])
def test_malformed_post_is_refused(chart: ChartActor, path: str, fields: Any) -> None:
    assert chart.posts(path, fields).status_code in (400, 410)
