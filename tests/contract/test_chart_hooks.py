"""The hook requests of the chart, as a CDS service receives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import jwt
import pytest
import requests

from tests.chart_actors import ChartActor, a_card, a_chart


@pytest.fixture(scope="module")
def running_chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr"), service_timeout_s=2.0) as actor:
        yield actor


@pytest.fixture
def fresh_chart(tmp_path: Path) -> Iterator[ChartActor]:
    """A chart that has not asked for any discovery yet."""
    with a_chart(tmp_path) as actor:
        yield actor


def test_patient_view_request_has_the_required_members_R15_R16_cds_r_1_cds_r_2(chart: ChartActor) -> None:
    chart.sees_guidance(chart.opens())

    (call,) = chart.cds.calls()
    assert call.body["hook"] == "patient-view"
    assert UUID(call.body["hookInstance"]).version == 4
    assert call.body["fhirServer"] == f"{chart.ehr}/fhir"
    assert call.body["context"] == {
        "userId": "Practitioner/demo-gp",
        "patientId": "demo-a",
        "encounterId": "demo-a-encounter",
    }
    authorization = call.body["fhirAuthorization"]
    assert authorization["token_type"] == "Bearer"
    assert authorization["expires_in"] == 300
    assert authorization["subject"] == "imaging-cds"
    assert authorization["patient"] == "demo-a"
    assert "patient/ImagingStudy.rs" in authorization["scope"].split()


def test_granted_token_belongs_to_the_patient_of_the_chart(chart: ChartActor) -> None:
    chart.sees_guidance(chart.opens())

    token = chart.cds.calls()[0].body["fhirAuthorization"]["access_token"]
    found = chart.services.authorization.grant_of_token(token, f"{chart.ehr}/fhir")
    assert found is not None
    assert found[1]["patient"] == "demo-a"


def test_prefetch_is_resolved_from_the_record_R10_R18(chart: ChartActor) -> None:
    chart.sees_guidance(chart.opens())

    prefetch = chart.cds.calls()[0].body["prefetch"]
    assert prefetch["patient"]["id"] == "demo-a"
    assert [entry["resource"]["id"] for entry in prefetch["reports"]["entry"]] == ["demo-a-report"]
    assert prefetch["practitioner"]["id"] == "demo-gp"
    assert prefetch["nothing"] is None
    assert "unknown-token" not in prefetch
    assert "refused" not in prefetch


def test_omitted_prefetch_is_explained_to_the_developer(chart: ChartActor) -> None:
    opening = chart.opens()
    chart.sees_guidance(opening)

    assert "nothing known for {{context.visitId}}" in chart.wire(opening)


def test_client_jwt_verifies_with_the_published_key_R35_R36_R37(chart: ChartActor) -> None:
    chart.sees_guidance(chart.opens())

    encoded = chart.cds.calls()[0].headers["Authorization"].removeprefix("Bearer ")
    header = jwt.get_unverified_header(encoded)
    published = requests.Session()
    with published:
        keys = published.get(header["jku"], timeout=5).json()["keys"]
    (key,) = [key for key in keys if key["kid"] == header["kid"]]
    claims = jwt.decode(encoded, jwt.PyJWK(key).key, algorithms=["ES384"], audience=chart.cds.service_url, issuer=chart.ehr)
    assert header["alg"] == "ES384"
    assert header["typ"] == "JWT"
    assert header["jku"] == f"{chart.ehr}/cds-client/jwks.json"
    assert claims["exp"] - claims["iat"] <= 300
    assert "d" not in key


def test_every_call_is_signed_for_its_own_url_with_a_fresh_jti_R38(fresh_chart: ChartActor) -> None:
    opening = fresh_chart.opens()
    fresh_chart.sees_guidance(opening)
    fresh_chart.sees_guidance(opening)

    tokens = [asked.headers["Authorization"].removeprefix("Bearer ") for asked in fresh_chart.cds.asked]
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    assert [claim["aud"] for claim in claims] == [
        fresh_chart.cds.discovery_url,
        fresh_chart.cds.service_url,
        fresh_chart.cds.service_url,
    ]
    assert len({claim["jti"] for claim in claims}) == 3


def test_only_services_of_the_hook_are_called(fresh_chart: ChartActor) -> None:
    fresh_chart.sees_guidance(fresh_chart.opens())

    assert {asked.path for asked in fresh_chart.cds.asked} == {"/cds-services", "/cds-services/imaging-findings"}


def test_cards_are_sorted_by_urgency(chart: ChartActor) -> None:
    chart.cds.response = {
        "cards": [
            a_card(summary="An information", indicator="info", uuid=None),
            a_card(summary="A danger", indicator="critical", uuid=None),
            a_card(summary="A warning", uuid=None),
        ]
    }

    html = chart.sees_guidance(chart.opens())

    assert html.index("A danger") < html.index("A warning") < html.index("An information")


def test_detail_is_markdown_without_raw_html_R25(chart: ChartActor) -> None:
    detail = "**bold** <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n[x](javascript:alert(1)) ![i](https://x.example/i.png)"
    chart.cds.response = {"cards": [a_card(detail=detail)]}

    html = chart.sees_guidance(chart.opens())

    assert "<strong>bold</strong>" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_invalid_card_is_not_drawn_but_explained_R25(chart: ChartActor) -> None:
    chart.cds.response = {
        "cards": [a_card(summary="Right", uuid=None), a_card(summary="x" * 140), a_card(indicator="hard-stop", uuid=None)]
    }
    opening = chart.opens()

    html = chart.sees_guidance(opening)

    assert "Right" in html
    assert "x" * 140 not in html
    assert "sent 2 cards that are not valid" in html
    wire = chart.wire(opening)
    assert "card 2: R25: summary has 140 characters" in wire
    assert "card 3: R25: indicator" in wire


@pytest.mark.parametrize("response", [{}, [], {"cards": None}, {"cards": [], "systemActions": []}])
def test_response_of_the_wrong_shape_is_named_R2_R24(chart: ChartActor, response: object) -> None:
    chart.cds.response = response
    opening = chart.opens()

    html = chart.sees_guidance(opening)

    assert "not valid" in html
    assert "Not used, because" in chart.wire(opening)


@pytest.mark.parametrize("status", [302, 401, 412, 500])
def test_failing_service_is_a_quiet_note(chart: ChartActor, status: int) -> None:
    chart.cds.status = status

    html = chart.sees_guidance(chart.opens())

    assert f"Imaging findings answered with status {status}" in html


def test_slow_service_is_given_up(chart: ChartActor) -> None:
    chart.cds.delay_s = 3.0

    html = chart.sees_guidance(chart.opens())

    assert "did not answer within 2 seconds" in html


def test_chart_works_without_the_service(tmp_path: Path, free_port: int) -> None:
    with a_chart(tmp_path, cds_services_url=f"http://localhost:{free_port}/cds-services") as chart:
        html = chart.sees_guidance(chart.opens())

    assert "The guidance service cannot be reached" in html


@pytest.mark.parametrize("discovery", [{"services": None}, [], {"service": []}])
def test_discovery_of_the_wrong_shape_is_named_R4(fresh_chart: ChartActor, discovery: object) -> None:
    fresh_chart.cds.discovery = discovery

    html = fresh_chart.sees_guidance(fresh_chart.opens())

    assert "something else than a list of services" in html


def test_wrong_entries_of_discovery_are_left_out_R5(fresh_chart: ChartActor) -> None:
    fresh_chart.cds.discovery = {"services": [{"hook": "patient-view", "name": "x", "description": "d"}]}
    opening = fresh_chart.opens()

    fresh_chart.sees_guidance(opening)

    assert fresh_chart.cds.calls() == []
    assert "service 1: R5: id is missing" in fresh_chart.wire(opening)


def test_failed_discovery_is_asked_again(fresh_chart: ChartActor) -> None:
    fresh_chart.cds.discovery_status = 503
    opening = fresh_chart.opens()
    fresh_chart.sees_guidance(opening)
    fresh_chart.cds.discovery_status = 200

    fresh_chart.sees_guidance(opening)

    assert len(fresh_chart.cds.calls()) == 1


def test_no_token_stands_in_the_page_or_the_developer_panel_R17(chart: ChartActor) -> None:
    chart.cds.response = {"cards": [a_card()]}
    opening = chart.opens()
    html = chart.sees_guidance(opening)
    (call,) = chart.cds.calls()
    client_jwt = call.headers["Authorization"].removeprefix("Bearer ")
    token = call.body["fhirAuthorization"]["access_token"]

    wire = chart.wire(opening)

    for text in (html, wire):
        assert token not in text
        assert client_jwt not in text
    assert "[redacted]" in wire
    assert chart.cds.service_url in wire
    assert "jti" in wire


def test_token_echoed_by_a_service_is_redacted_R17(chart: ChartActor) -> None:
    chart.cds.echoes_request = True
    opening = chart.opens()

    chart.sees_guidance(opening)

    wire = chart.wire(opening)
    assert chart.cds.calls()[0].body["fhirAuthorization"]["access_token"] not in wire
    assert wire.count("[redacted]") >= 3
