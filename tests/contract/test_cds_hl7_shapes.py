"""The shapes of HL7's own 14 CDS Hooks validator fixtures: requests are answered, answers judged, by service and sandbox alike.

``tests/data/hl7_shapes`` holds their shapes with synthetic content; each names the fixture that it was typed after.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cds_service.definitions import ServiceDefinition
from cds_service.evaluate import SERVICES
from cds_service.validator import faults_of
from ehr_sandbox.chart_card_checks import check_response
from tests.cds_actors import CdsActor, a_bundle, a_lung_rads, a_study, an_order
from tests.chart_actors import ChartActor, a_chart

SHAPES = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent.parent / "data/hl7_shapes").glob("*.json")}
REQUESTS = sorted(name for name in SHAPES if name.startswith("request-") and "hook" in SHAPES[name]["body"])
FAULTS: dict[str, tuple[str, ...]] = {
    "response-empty": (),
    "response-empty-source": ("R2", "R26", "R30"),
    "response-link": (),
    "response-source-link": ("R25", "R30"),
    "response-suggestion": ("R25", "cds-resp-6"),
    "response-two-cards": (),
}


def service_of(shape: dict[str, Any]) -> ServiceDefinition:
    return next(service for service in SERVICES.values() if service.hook == shape["hook"])


def with_our_keys(shape: dict[str, Any], findings: dict[str, Any]) -> dict[str, Any]:
    """The request with what its client sends under ``item1`` under our key, and our other keys wrapped as it wraps them."""
    sent: dict[str, Any] = shape["prefetch"]["item1"]
    is_wrapped = "response" in sent

    def as_sent(value: dict[str, Any] | None) -> dict[str, Any] | None:
        return {"response": {"status": "200 OK"}, "resource": value} if is_wrapped and value else value

    ours = {query.key: None for query in service_of(shape).queries} | {"patient": sent}
    ours |= {"findings": as_sent(findings), "studies": as_sent(a_bundle(a_study()))}
    return shape | {"prefetch": shape["prefetch"] | ours}


def test_all_fourteen_shapes_are_here_and_say_where_they_are_from() -> None:
    assert len(SHAPES) == 14
    assert {*REQUESTS, *FAULTS} | {"request-order-select-extensions"} == set(SHAPES)
    for name, shape in SHAPES.items():
        assert f"FHIR/fhir-test-cases, validator/cdshooks/cdshooks-{name}.json" in shape["source"]


def with_an_imaging_order(shape: dict[str, Any]) -> dict[str, Any]:
    """The same drafts and a CT of the chest, selected like the others."""
    if "draftOrders" not in shape["context"]:
        return shape
    drafts = shape["context"]["draftOrders"]
    order = an_order(id="ct", status="draft")
    context = shape["context"] | {"draftOrders": drafts | {"entry": [*drafts["entry"], {"resource": order}]}}
    if "selections" in context:
        context["selections"] = [*context["selections"], "ServiceRequest/ct"]
    return shape | {"context": context}


@pytest.mark.parametrize("name", REQUESTS)
def test_r19_r23_a_request_with_other_services_keys_is_412_and_names_ours(cds: CdsActor, name: str) -> None:
    """As the fixtures stand: nobody's prefetch keys, a server that nobody configured, no token. Nothing is fetched from it."""
    shape = SHAPES[name]["body"]
    service = service_of(shape)

    response = cds.call(with_an_imaging_order(shape), service.service_id)

    assert response.status_code == 412, response.get_data(as_text=True)
    (issue,) = json.loads(response.get_data())["issue"]
    assert all(f"{query.key}: not in the prefetch" in issue["diagnostics"] for query in service.queries if query.required)


@pytest.mark.parametrize("name", [name for name in REQUESTS if "-order-" in name])
def test_r33_orders_of_medicines_alone_need_no_data_and_get_no_card(cds: CdsActor, name: str) -> None:
    shape = SHAPES[name]["body"]

    response = cds.call(shape, service_of(shape).service_id)

    assert (response.status_code, response.get_json()) == (200, {"cards": []})


@pytest.mark.parametrize("name", REQUESTS)
def test_r18_r23_a_request_with_our_keys_in_its_own_manner_is_answered(cds: CdsActor, name: str) -> None:
    shape = SHAPES[name]["body"]
    body = with_our_keys(shape, a_bundle())

    response = cds.call(body, service_of(shape).service_id)

    assert response.status_code == 200, response.get_data(as_text=True)
    assert response.get_json() == {"cards": []}, "an order of medicines is nothing that imaging has to say something about"


@pytest.mark.parametrize("name", [name for name in REQUESTS if "patient-view" in name])
def test_r23_the_patient_is_the_same_with_and_without_its_type_and_wrapper(cds: CdsActor, name: str) -> None:
    body = with_our_keys(SHAPES[name]["body"], a_bundle(a_lung_rads("3")))

    (card,) = cds.cards(body)

    assert card["summary"].startswith("Lung-RADS 3 (LDCT 2026-10-01)")
    order = card["suggestions"][0]["actions"][0]["resource"]
    assert order["subject"] == {"reference": "Patient/p"}
    assert order["encounter"] == {"reference": "Encounter/visit"}


@pytest.mark.parametrize("name", [name for name in REQUESTS if "-order-" in name])
def test_r23_r33_an_imaging_order_among_these_drafts_is_judged(cds: CdsActor, name: str) -> None:
    """An unreadable status or birth date beside it, ids with a type, the old wrapper: none of them keeps a card away."""
    body = with_an_imaging_order(with_our_keys(SHAPES[name]["body"], a_bundle(a_lung_rads("3"))))

    response = cds.call(body, service_of(body).service_id)

    assert response.status_code == 200, response.get_data(as_text=True)
    assert faults_of(response.get_json()) == ()
    assert response.get_json()["cards"]


@pytest.mark.parametrize("name", FAULTS)
def test_an_answer_of_this_shape_is_judged_alike_by_the_service_and_by_the_sandbox(name: str) -> None:
    """Neither was built from the other: where both name the same requirements, the requirement is what they agree on."""
    shape = SHAPES[name]["body"]

    ours = tuple(fault.split(" ")[0] for fault in faults_of(shape))
    theirs = tuple(fault.split(": ")[1] for fault in check_response(shape).all_faults())

    assert ours == theirs == FAULTS[name]


@pytest.mark.parametrize(("name", "drawn"), [("response-two-cards", 2), ("response-link", 1), ("response-suggestion", 0)])
def test_the_chart_draws_the_sound_cards_of_this_shape_and_no_other(chart: ChartActor, name: str, drawn: int) -> None:
    chart.cds.response = SHAPES[name]["body"]

    html = chart.sees_guidance(chart.opens())

    assert html.count("data-card=") == drawn
    assert ("sent a card that is not valid; it is not shown" in html) is (drawn == 0)


def test_r3_r5_a_discovery_with_extensions_of_every_type_is_read_and_its_service_asked(tmp_path: Path) -> None:
    """A retired resource type in its prefetch leaves that key out, not the others."""
    with a_chart(tmp_path) as chart:
        chart.cds.discovery = SHAPES["request-order-select-extensions"]["body"]
        opening = chart.opens()
        chart.posts("/patients/demo-a/work/order", {"opening": opening, "order": ""})
        form = {"examination": "24627-2", "priority": "routine"}
        assert chart.posts("/patients/demo-a/hooks/order-select", {"opening": opening, **form}).status_code == 200

    (asked,) = [asked for asked in chart.cds.asked if asked.path == "/cds-services/order-select-payer"]
    assert set(asked.body["prefetch"]) == {"patient"}
    assert asked.body["context"]["selections"]
