"""Hook requests of the order services over HTTP, and their cards, checked as every answer is."""

from __future__ import annotations

from typing import Any

from cds_service.validator import faults_of
from imaging_findings.order_chart import ORDER_QUERIES
from tests.cds_actors import LOINC, CdsActor, a_bundle, a_hook, a_patient, an_order, concept

CT_PLAIN = "24627-2"


def a_draft(loinc: str = CT_PLAIN, **members: Any) -> dict[str, Any]:
    draft = an_order(id="new", status="draft", code=concept(LOINC, loinc))
    del draft["authoredOn"]
    return draft | members


def a_chart(**answers: Any) -> dict[str, Any]:
    """A prefetch with every key answered: nothing on record unless said."""
    empty: dict[str, Any] = {query.key: None for query in ORDER_QUERIES}
    return empty | {"patient": a_patient() | {"gender": "male"}} | answers


def signing(*drafts: Any, chart: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    context = {"userId": "Practitioner/gp", "patientId": "p", "draftOrders": a_bundle(*drafts)}
    return a_hook(a_chart() if chart is None else chart, hook="order-sign", context=context | members)


def selecting(*drafts: Any, selections: Any = None, chart: dict[str, Any] | None = None) -> dict[str, Any]:
    chosen = ["ServiceRequest/new"] if selections is None else selections
    return signing(*drafts, chart=chart, selections=chosen) | {"hook": "order-select"}


def cards_of(cds: CdsActor, body: dict[str, Any]) -> list[dict[str, Any]]:
    response = cds.call(body, f"imaging-{body['hook']}")
    assert response.status_code == 200, response.get_data(as_text=True)
    answer = response.get_json()
    assert faults_of(answer) == ()
    cards: list[dict[str, Any]] = answer["cards"]
    return cards


def topics(cards: list[dict[str, Any]]) -> list[str]:
    return [str(card["source"]["topic"]["code"]) for card in cards]
