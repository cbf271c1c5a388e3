"""Signing one draft, several or all: order-sign is told of the chosen ones, and only these become active (R33)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart_actors import ChartActor

SIGNING, SIGN = "/patients/demo-a/hooks/order-sign", "/patients/demo-a/orders/sign"
CHANGED = "The draft orders have changed since they were checked. Check them again."


@pytest.fixture
def drafts(chart: ChartActor) -> list[str]:
    """Two examinations and a medicine, by reference; another patient has a draft too."""
    for order_id, patient_id in (("one", "demo-a"), ("two", "demo-a"), ("stranger", "demo-b")):
        chart.services.store.put(a_draft("ServiceRequest", order_id, patient_id) | {"code": {"text": f"CT {order_id}"}})
    medicine = {"medicationCodeableConcept": {"text": "Metformin 500 mg, tablet"}}
    chart.services.store.put(a_draft("MedicationRequest", "pill") | medicine)
    return ["ServiceRequest/one", "ServiceRequest/two", "MedicationRequest/pill"]


def a_draft(resource_type: str, order_id: str, patient_id: str = "demo-a") -> dict[str, Any]:
    subject = {"reference": f"Patient/{patient_id}"}
    return {"resourceType": resource_type, "id": order_id, "status": "draft", "intent": "order", "subject": subject}


def told(chart: ChartActor) -> list[str]:
    """The drafts of the last order-sign, by reference."""
    entries = chart.cds.contexts("other")[-1]["draftOrders"]["entry"]
    return [f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in entries]


def statuses(chart: ChartActor, drafts: list[str]) -> list[str]:
    kept = [chart.services.store.read(*reference.split("/")) for reference in drafts]
    return [order["status"] for order in kept if order]


def test_all_are_offered_and_chosen_at_first(chart: ChartActor, drafts: list[str]) -> None:
    html = chart.posts("/patients/demo-a/work/signing", {"opening": chart.opens()}).json()["html"]

    for reference in drafts:
        assert f'name="orders" value="{reference}"' in html
    assert html.count(" checked>") == 3
    assert "stranger" not in html


def test_one_can_be_named_to_be_signed_alone(chart: ChartActor, drafts: list[str]) -> None:
    fields = {"opening": chart.opens(), "order": "ServiceRequest/two"}

    html = chart.posts("/patients/demo-a/work/signing", fields).json()["html"]

    (chosen,) = [line for line in html.splitlines() if " checked>" in line]
    assert 'value="ServiceRequest/two"' in chosen


@pytest.mark.parametrize("chosen", [[1], [0, 2], [2], [0, 1, 2]])
def test_r33_order_sign_holds_the_chosen_drafts_and_these_alone_are_signed(
    chart: ChartActor, drafts: list[str], chosen: list[int]
) -> None:
    fields = {"opening": chart.opens(), "orders": [drafts[one] for one in chosen]}

    assert chart.posts(SIGNING, fields).status_code == 200
    answer = chart.posts(SIGN, fields)

    assert sorted(told(chart)) == sorted(fields["orders"])
    assert answer.json()["text"] == f"{len(chosen)} order{'' if len(chosen) == 1 else 's'} signed."
    assert statuses(chart, drafts) == ["active" if one in chosen else "draft" for one in range(3)]


def test_without_a_choice_all_are_meant(chart: ChartActor, drafts: list[str]) -> None:
    fields = {"opening": chart.opens()}
    chart.posts(SIGNING, fields)

    assert sorted(told(chart)) == sorted(drafts)
    assert chart.posts(SIGN, fields).json()["text"] == "3 orders signed."


@pytest.mark.parametrize(
    ("orders", "reason"),
    [
        ([], "Choose at least one order."),
        (["ServiceRequest/stranger"], "An order that was chosen is not a draft any more. Look at the drafts again."),
        (["ServiceRequest/one", "nowhere"], "An order that was chosen is not a draft any more. Look at the drafts again."),
    ],
)
def test_choice_that_names_no_draft_of_the_patient_is_refused_before_anybody_is_asked(
    chart: ChartActor, drafts: list[str], orders: list[str], reason: str
) -> None:
    answer = chart.posts(SIGNING, {"opening": chart.opens(), "orders": orders})

    assert (answer.status_code, answer.json()["text"]) == (409, reason)
    assert chart.cds.contexts("other") == []
    assert set(statuses(chart, drafts)) == {"draft"}


@pytest.mark.parametrize("orders", ["ServiceRequest/one", [1], {"a": "b"}])
def test_choice_that_is_no_list_of_texts_is_a_bad_request(chart: ChartActor, drafts: list[str], orders: object) -> None:
    assert chart.posts(SIGNING, {"opening": chart.opens(), "orders": orders}).status_code == 400


def test_another_choice_than_was_checked_is_not_signed(chart: ChartActor, drafts: list[str]) -> None:
    opening = chart.opens()
    chart.posts(SIGNING, {"opening": opening, "orders": drafts[:1]})

    for orders in (drafts[:2], drafts[1:2], []):
        answer = chart.posts(SIGN, {"opening": opening, "orders": orders})
        assert (answer.status_code, answer.json()["text"]) == (409, CHANGED)
    assert set(statuses(chart, drafts)) == {"draft"}


def test_change_of_a_draft_that_was_not_chosen_asks_for_another_check(chart: ChartActor, drafts: list[str]) -> None:
    """The services judged the chosen ones among the drafts as they were."""
    opening = chart.opens()
    chart.posts(SIGNING, {"opening": opening, "orders": drafts[:1]})
    chart.services.store.put(a_draft("ServiceRequest", "two") | {"code": {"text": "CT two"}, "priority": "stat"})

    assert chart.posts(SIGN, {"opening": opening, "orders": drafts[:1]}).json()["text"] == CHANGED


def test_each_draft_has_a_button_of_its_own_where_there_are_several(chart: ChartActor, drafts: list[str]) -> None:
    page = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=10).text

    assert 'data-work="signing">Sign 3 drafts</button>' in page
    for reference in drafts:
        assert f'data-work="signing" data-id="{reference}"' in page
