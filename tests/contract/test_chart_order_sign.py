"""The chart before signing: order-sign carries the draft orders, and its cards take the place of the guidance (R33)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_card, a_chart, keys_of_cards
from tests.chart_clicks import an_imaging_order

SIGNING = "/patients/demo-a/hooks/order-sign"


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[ChartActor]:
    with a_chart(tmp_path) as actor:
        yield actor


def an_order(order_id: str, status: str, patient_id: str = "demo-a") -> dict[str, Any]:
    return an_imaging_order(order_id, status, patient_id, code={"coding": [{"system": "http://loinc.org", "code": "29252-4"}]})


def test_r33_order_sign_carries_the_patients_drafts_and_no_other_orders(chart: ChartActor) -> None:
    for order in (an_order("draft", "draft"), an_order("signed", "active"), an_order("stranger", "draft", "demo-b")):
        chart.services.store.put(order)

    answer = chart.posts(SIGNING, {"opening": chart.opens()})

    assert answer.status_code == 200
    (call,) = [asked for asked in chart.cds.asked if asked.path == "/cds-services/other"]
    assert call.body["hook"] == "order-sign"
    assert call.body["context"]["patientId"] == "demo-a"
    drafts = call.body["context"]["draftOrders"]
    assert drafts["resourceType"] == "Bundle"
    assert [entry["resource"]["id"] for entry in drafts["entry"]] == ["draft"]


def test_the_cards_of_order_sign_are_drawn(chart: ChartActor) -> None:
    chart.cds.response = {"cards": [a_card(summary="Same region already imaged")]}

    html = chart.posts(SIGNING, {"opening": chart.opens()}).json()["html"]

    assert len(keys_of_cards(html)) == 1
    assert "Same region already imaged" in html


def test_the_page_has_a_button_for_signing_the_drafts(chart: ChartActor) -> None:
    chart.services.store.put(an_order("draft", "draft"))

    page = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=10).text

    assert 'data-work="signing">Sign 1 draft</button>' in page
    listed = chart.posts("/patients/demo-a/work/signing", {"opening": chart.opens()}).json()["html"]
    assert 'data-hook="order-sign"' in listed
    assert "Orders to be signed" in listed


@pytest.mark.parametrize(("indicator", "warns"), [("info", False), ("warning", True), ("critical", True)])
def test_only_a_warning_makes_it_a_signature_all_the_same(chart: ChartActor, indicator: str, warns: bool) -> None:
    chart.services.store.put(an_order("one", "draft"))
    chart.cds.responses["other"] = {"cards": [a_card(indicator=indicator)]}

    answer = chart.posts(SIGNING, {"opening": chart.opens()}).json()

    assert (answer["count"], answer["warns"]) == (1, warns)


def signed(chart: ChartActor, opening: str) -> tuple[int, str]:
    answer = chart.posts("/patients/demo-a/orders/sign", {"opening": opening})
    return answer.status_code, answer.json()["text"]


def statuses(chart: ChartActor) -> dict[str, str]:
    return {order["id"]: order["status"] for order in chart.services.store.search("ServiceRequest", {})}


def test_signature_makes_the_checked_drafts_active_whatever_the_cards_say(chart: ChartActor) -> None:
    for order in (an_order("one", "draft"), an_order("two", "draft"), an_order("stranger", "draft", "demo-b")):
        chart.services.store.put(order)
    chart.cds.responses["other"] = {"cards": [a_card(indicator="critical")]}
    opening = chart.opens()
    chart.posts(SIGNING, {"opening": opening})

    answer = signed(chart, opening)

    assert answer == (200, "2 orders signed.")
    assert statuses(chart) == {"one": "active", "two": "active", "stranger": "draft"}
    order = chart.services.store.read("ServiceRequest", "one")
    assert order is not None
    assert order["requester"] == {"reference": "Practitioner/demo-gp"}
    assert order["authoredOn"].endswith("Z")


def test_order_can_be_signed_when_the_service_is_down(chart: ChartActor) -> None:
    chart.services.store.put(an_order("one", "draft"))
    chart.cds.status = 500
    opening = chart.opens()
    chart.posts(SIGNING, {"opening": opening})

    assert signed(chart, opening) == (200, "1 order signed.")


@pytest.mark.parametrize("later", [an_order("one", "draft") | {"priority": "stat"}, an_order("another", "draft")])
def test_drafts_that_were_not_checked_are_not_signed(chart: ChartActor, later: dict[str, Any]) -> None:
    chart.services.store.put(an_order("one", "draft"))
    opening = chart.opens()
    chart.posts(SIGNING, {"opening": opening})
    chart.services.store.put(later)

    status, text = signed(chart, opening)

    assert (status, text) == (409, "The draft orders have changed since they were checked. Check them again.")
    assert set(statuses(chart).values()) == {"draft"}


def test_nothing_is_signed_without_drafts(chart: ChartActor) -> None:
    assert signed(chart, chart.opens()) == (409, "There is no draft order to sign.")
