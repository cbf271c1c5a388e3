"""The chart opens the app as the patient or with something wrong on purpose (SBX-S11)."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, request

from ehr_sandbox.faults import DiscoveryFaults, Faults
from ehr_sandbox.launch_variants import VARIANTS
from ehr_sandbox.oauth_context import LaunchContext
from tests.chart_actors import SEED, ChartActor, a_chart
from tests.conftest import free_port_number, serving

DAUGHTER = {
    "resourceType": "RelatedPerson",
    "id": "demo-a-daughter",
    "patient": {"reference": "Patient/demo-a"},
    "relationship": [{"text": "daughter"}],
    "name": [{"text": "Bea Synthetic"}],
}


def launched(chart: ChartActor, **ways: str) -> Any:
    return chart.posts("/patients/demo-a/launches", {"opening": chart.opens(), **ways})


def context_of(chart: ChartActor, **ways: str) -> LaunchContext:
    handle = parse_qs(urlsplit(launched(chart, **ways).json()["url"]).query)["launch"][0]
    context = chart.services.authorization.records.take_launch(handle, "imaging-cds", time.time())
    assert context is not None
    return context


def test_the_app_can_be_opened_as_the_patient_and_as_her_daughter(chart: ChartActor) -> None:
    chart.services.store.put(DAUGHTER)
    page = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=5).text

    assert "Bea Synthetic, daughter" in page
    for user in ("Patient/demo-a", "RelatedPerson/demo-a-daughter"):
        assert f'value="{user}"' in page
        context = context_of(chart, user=user)
        assert (context.user, context.patient) == (user, "demo-a")


@pytest.mark.parametrize("way", [{"user": "Patient/demo-b"}, {"user": "Practitioner/other"}, {"variant": "invented"}])
def test_a_way_that_the_chart_does_not_offer_is_refused(chart: ChartActor, way: dict[str, str]) -> None:
    assert launched(chart, **way).status_code == 400


def test_s11_every_variant_is_offered_and_launches_with_its_faults(chart: ChartActor) -> None:
    page = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=5).text

    for variant in VARIANTS:
        assert f'<option value="{variant.key}">' in page
        context = context_of(chart, variant=variant.key)
        assert context.faults == variant.faults
        assert context.need_patient_banner is variant.banner
        assert chart.services.authorization.faults.discovery == (variant.discovery or DiscoveryFaults())


def test_s11_every_switch_can_be_chosen_in_the_chart() -> None:
    usual, usual_discovery = Faults(), DiscoveryFaults()
    switched = {
        one.name
        for one in fields(Faults)
        for variant in VARIANTS
        if getattr(variant.faults, one.name) != getattr(usual, one.name)
    }
    discovery = [variant.discovery for variant in VARIANTS if variant.discovery]
    of_server = {
        one.name for one in fields(DiscoveryFaults) for faults in discovery
        if getattr(faults, one.name) != getattr(usual_discovery, one.name)
    }  # fmt: skip

    assert {one.name for one in fields(Faults)} == switched
    # Which other host name this server has is known to whoever set it up only.
    assert {one.name for one in fields(DiscoveryFaults)} - {"other_host"} == of_server
    assert len({variant.key for variant in VARIANTS}) == len(VARIANTS)


def test_s11_what_fhir_context_names_is_of_this_patient(chart: ChartActor) -> None:
    assert context_of(chart, variant="context-study").fhir_context == ({"reference": "ImagingStudy/demo-a-ct"},)
    with_role = context_of(chart, variant="context-role").fhir_context
    assert [item["reference"] for item in with_role] == ["ImagingStudy/demo-a-ct"]
    assert with_role[0]["role"]


def test_s11_discovery_is_as_usual_again_with_the_next_launch(chart: ChartActor) -> None:
    desk = chart.services.authorization.faults
    launched(chart, variant="no-discovery")
    was_missing = desk.discovery.no_configuration
    launched(chart)

    assert was_missing
    assert desk.discovery == DiscoveryFaults()


class ServerWithoutRelatedPersons:
    """A FHIR server behind the chart that knows the demo's patient and has no RelatedPerson resources at all."""

    def app(self) -> Flask:
        app = Flask("behind")

        @app.route("/fhir/<path:path>", methods=["GET", "PUT"])
        def answer(path: str) -> tuple[dict[str, Any], int]:
            resource_type, _, resource_id = path.partition("/")
            if request.method == "PUT":
                return request.get_json(), 200
            if path == "Patient/demo-a":
                return SEED[0], 200
            if resource_id or resource_type == "RelatedPerson":
                return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-supported"}]}, 404
            return {"resourceType": "Bundle", "type": "searchset", "entry": []}, 200

        return app


def test_a_chart_whose_server_knows_no_related_persons_still_opens(tmp_path: Path) -> None:
    port = free_port_number()
    with serving(ServerWithoutRelatedPersons().app(), port) as base, a_chart(tmp_path, upstream_fhir=f"{base}/fhir") as chart:
        page = chart.http.get(f"{chart.ehr}/patients/demo-a", timeout=10)

        assert page.status_code == 200
        assert 'value="Patient/demo-a"' in page.text
        assert 'value="RelatedPerson/' not in page.text
        assert context_of(chart, user="Patient/demo-a").user == "Patient/demo-a"
