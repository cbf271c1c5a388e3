"""What clinicians do in the sandbox chart over and over in tests: open it on cards, accept one, compose and keep orders."""

from __future__ import annotations

from typing import Any

from tests.chart_actors import ChartActor, keys_of_cards

FORM = {"examination": "24627-2", "reason": "Cough for six weeks", "priority": "urgent"}
SELECT = "/patients/demo-a/hooks/order-select"


def opened(chart: ChartActor, *cards: dict[str, Any]) -> tuple[str, list[str]]:
    """The opening of patient A's chart and the keys of its cards."""
    chart.cds.response = {"cards": list(cards)}
    opening = chart.opens()
    return opening, keys_of_cards(chart.sees_guidance(opening))


def accepted(chart: ChartActor, opening: str, key: str, position: int = 0) -> dict[str, Any]:
    """What the clinician is told who accepts a suggestion of a card."""
    fields = {"opening": opening, "card": key, "suggestion": position}
    answer = chart.posts("/patients/demo-a/cards/accept", fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def composing(chart: ChartActor, order: str = "") -> str:
    """An opened chart in which the order form is open."""
    opening = chart.opens()
    answer = chart.posts("/patients/demo-a/work/order", {"opening": opening, "order": order})
    assert answer.status_code == 200, answer.text
    return opening


def orders(chart: ChartActor) -> list[dict[str, Any]]:
    """Patient A's examinations as they are stored, drafts among them."""
    return chart.services.store.search("ServiceRequest", {"patient": "demo-a"})


def an_imaging_order(order_id: str, status: str = "draft", patient_id: str = "demo-a", **members: Any) -> dict[str, Any]:
    """An examination that was ordered; without a code unless one is given."""
    subject = {"reference": f"Patient/{patient_id}"}
    order = {"resourceType": "ServiceRequest", "id": order_id, "status": status, "intent": "order", "subject": subject}
    return order | members
