"""The chart before signing: order-sign carries the draft orders, and its cards take the place of the guidance (R33)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart_actors import ChartActor, a_card, a_chart, keys_of_cards

SIGNING = "/patients/demo-a/hooks/order-sign"


@pytest.fixture
def chart(tmp_path: Path) -> Iterator[ChartActor]:
    with a_chart(tmp_path) as actor:
        yield actor


def an_order(order_id: str, status: str, patient_id: str = "demo-a") -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": order_id,
        "status": status,
        "intent": "order",
        "subject": {"reference": f"Patient/{patient_id}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29252-4"}]},
    }


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


def test_the_page_has_a_button_that_checks_the_drafts(chart: ChartActor) -> None:
    page = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=10).text

    assert 'id="check-drafts"' in page
    assert f'data-signing-url="{SIGNING}"' in page
