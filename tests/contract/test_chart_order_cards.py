"""Cards beside the order form: what taking or dismissing them does to the order that is not saved yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_card, a_suggesting_card, a_suggestion, keys_of_cards
from tests.chart_clicks import FORM, SELECT, composing, orders


def updating_card(chart: ChartActor, opening: str, **changes: Any) -> tuple[dict[str, Any], str]:
    """The draft as a service saw it, and the key of its card that would change it."""
    chart.posts(SELECT, {"opening": opening, **FORM})
    draft = chart.cds.contexts("order-select")[-1]["draftOrders"]["entry"][-1]["resource"]
    update = {"type": "update", "description": "A better code", "resource": draft | changes}
    chart.cds.response = {"cards": [a_suggesting_card(a_suggestion(actions=[update]))]}
    html = chart.posts(SELECT, {"opening": opening, **FORM}).json()["html"]
    return draft, keys_of_cards(html)[0]


BETTER = {"coding": [{"system": "http://loinc.org", "code": "29252-4"}], "text": "CT Chest WO contrast"}


def test_update_of_the_unsaved_draft_changes_the_form_R29(chart: ChartActor) -> None:
    opening = composing(chart)
    draft, key = updating_card(chart, opening, code=BETTER)

    outcome = chart.posts("/patients/demo-a/cards/accept", {"opening": opening, "card": key, "suggestion": 0}).json()

    assert (outcome["done"], outcome["form"]) == (True, "changed")
    assert orders(chart) == []
    html = chart.posts("/patients/demo-a/work/order", {"opening": opening, "again": True}).json()["html"]
    assert '<option value="29252-4" selected>' in html
    assert 'value="Cough for six weeks"' in html
    assert [entry["outcome"] for entry in chart.cds.feedback()] == ["accepted"]
    chart.posts("/patients/demo-a/orders/save", {"opening": opening, **FORM, "examination": "29252-4"})
    (order,) = orders(chart)
    assert (order["id"], order["code"]) == (draft["id"], BETTER)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subject": {"reference": "Patient/demo-b"}}, "for another patient"),
        ({"status": "active"}, "is not a draft"),
        ({"id": "another"}, "which does not exist here"),
        ({"priority": "soon"}, "The order could not be stored"),
    ],
)
def test_update_that_would_make_another_order_of_it_is_refused(chart: ChartActor, changes: dict[str, Any], reason: str) -> None:
    opening = composing(chart)
    _, key = updating_card(chart, opening, **changes)

    outcome = chart.posts("/patients/demo-a/cards/accept", {"opening": opening, "card": key, "suggestion": 0}).json()

    assert outcome["done"] is False
    assert reason in outcome["text"]
    assert chart.cds.feedback() == []


def test_order_that_builds_on_the_unsaved_one_is_refused(chart: ChartActor) -> None:
    opening = composing(chart)
    chart.posts(SELECT, {"opening": opening, **FORM})
    selected = chart.cds.contexts("order-select")[-1]["selections"][0]
    creation = a_suggestion()["actions"][0]
    creation["resource"]["basedOn"] = [{"reference": selected}]
    chart.cds.response = {"cards": [a_suggesting_card(a_suggestion(actions=[creation]))]}
    (key,) = keys_of_cards(chart.posts(SELECT, {"opening": opening, **FORM}).json()["html"])

    outcome = chart.posts("/patients/demo-a/cards/accept", {"opening": opening, "card": key, "suggestion": 0}).json()

    assert f"refers to {selected}, which does not exist here" in outcome["text"]
    assert orders(chart) == []


def test_delete_of_the_order_in_the_form_takes_it_away_stored_or_not(chart: ChartActor) -> None:
    stored = {
        "resourceType": "ServiceRequest",
        "id": "stored",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/demo-a"},
        "code": BETTER,
    }
    chart.services.store.put(stored)
    for order in ("", "stored"):
        opening = composing(chart, order)
        chart.posts(SELECT, {"opening": opening, **FORM})
        selected = chart.cds.contexts("order-select")[-1]["selections"][0]
        deletion = {"type": "delete", "description": "Not needed", "resourceId": selected}
        chart.cds.response = {"cards": [a_suggesting_card(a_suggestion(actions=[deletion]))]}
        html = chart.posts(SELECT, {"opening": opening, **FORM}).json()["html"]

        fields = {"opening": opening, "card": keys_of_cards(html)[0], "suggestion": 0}
        outcome = chart.posts("/patients/demo-a/cards/accept", fields).json()

        assert (outcome["done"], outcome["form"]) == (True, "gone")
    assert orders(chart) == []


def test_dismissed_card_does_not_come_back_with_the_next_key(chart: ChartActor) -> None:
    opening = composing(chart)
    chart.cds.response = {"cards": [a_card()]}
    (key,) = keys_of_cards(chart.posts(SELECT, {"opening": opening, **FORM}).json()["html"])

    chart.posts("/patients/demo-a/cards/dismiss", {"opening": opening, "card": key, "comment": ""})

    assert chart.posts(SELECT, {"opening": opening, **FORM, "reason": "Cough!"}).json()["count"] == 0
    chart.posts("/patients/demo-a/work/signing", {"opening": opening})
    assert chart.posts("/patients/demo-a/hooks/order-sign", {"opening": opening}).json()["count"] == 1


def test_guidance_of_the_chart_stays_while_an_order_is_composed(chart: ChartActor) -> None:
    chart.cds.response = {"cards": [a_card()]}
    opening = composing(chart)
    (key,) = keys_of_cards(chart.sees_guidance(opening))
    chart.posts(SELECT, {"opening": opening, **FORM})

    assert chart.posts("/patients/demo-a/cards/dismiss", {"opening": opening, "card": key}).status_code == 200


def test_late_advice_on_an_order_is_drawn_beside_nothing(chart: ChartActor) -> None:
    opening = composing(chart)
    chart.cds.response = {"cards": [a_card()]}
    chart.cds.delay_s = 1.0
    with ThreadPoolExecutor(max_workers=1) as pool:
        late = pool.submit(chart.posts, SELECT, {"opening": opening, **FORM})
        wait_until(lambda: bool(chart.cds.contexts("order-select")))
        chart.posts("/patients/demo-a/work/discharge", {"opening": opening})

        assert late.result().json()["count"] == 0


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_so()
