"""Whatever a chart holds, a patient's card is one of a few sentences with dates: no word of the chart can get into it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.settings import ClientAuthentication
from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.store.engine import Store
from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.site_policy import product_policy
from tests.cds_actors import (
    APP,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_report,
    a_store,
    a_study,
    an_ai_lung_rads,
    whole_prefetch,
)
from tests.contract.test_cds_any_input import JSON, places
from tests.examples import examples

DAY = r"\d{1,2} [A-Z][a-z]+ \d{4}"
WHEN = rf"(?:was recommended by {DAY}|is recommended (?:around {DAY}|between {DAY} and {DAY}))"
EXAMINATION = r"(?:CT scan|MRI scan|X-ray|ultrasound|mammogram|nuclear medicine scan|bone density scan|imaging examination)"
SUMMARY = re.compile(rf"Your {EXAMINATION}(?: of {DAY})?: a follow-up examination {WHEN}")
DETAIL = re.compile(
    rf"After this examination a follow-up examination {WHEN}\.\n\n\*\*Please talk to your care team\.\*\* [A-Za-z ,.-]+"
    r"(?:\n\n\*\*Not shown:\*\* \d+ further, less urgent\.)?"
)
UID = re.compile(r"[0-9.]{1,64}")


def a_chart() -> dict[str, Any]:
    """Two studies with released follow-ups, and an AI result."""
    other = a_study(id="other", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.77"}])
    findings = (
        a_lung_rads("3", id="screened"),
        a_nodule(7.0, id="nodule", derivedFrom=[{"reference": "ImagingStudy/other"}]),
        an_ai_lung_rads("4A", id="machine"),
    )
    reports = a_bundle(
        a_report("Solid nodule."), a_report("Nodule.", id="second", imagingStudy=[{"reference": "ImagingStudy/other"}])
    )
    prefetch = whole_prefetch(*findings, reports=reports, studies=a_bundle(a_study(), other))
    return a_hook(prefetch, context={"userId": "Patient/p", "patientId": "p"})


PLACES = sorted((path for path in places(a_chart()) if path[0] in ("prefetch", "context")), key=repr)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    made = a_cds_service(store, tmp_path_factory.mktemp("keys"), client_authentication=ClientAuthentication.OFF)
    rule = ReleaseRule(patient_results=PatientResults.RELEASED, release_after_hours=0, image_links=True)
    services = replace(made.services, policy=replace(product_policy(), release=rule))
    app = Flask("releasing")
    app.register_blueprint(create_blueprint(services))
    web.install(app, [error_surface(services)])
    return CdsActor(app=app, services=services, ehr=made.ehr)


def told(cds: CdsActor, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The cards for a patient, each of which holds nothing but our own few words."""
    response = cds.client.post("/cds-services/imaging-findings", data=json.dumps(body), content_type="application/json")
    assert response.status_code in (200, 400, 412)
    cards: list[dict[str, Any]] = response.get_json()["cards"] if response.status_code == 200 else []
    for card in cards:
        assert set(card) <= {"uuid", "summary", "indicator", "detail", "source", "links"}
        assert card["indicator"] == "info"
        assert SUMMARY.fullmatch(card["summary"])
        assert DETAIL.fullmatch(card["detail"])
        assert card["source"]["label"] == "Imaging results"
        for link in card.get("links", []):
            assert (link["url"], link["type"]) == (f"{APP}/launch", "smart")
            assert UID.fullmatch(link["appContext"])
    return cards


def test_the_chart_as_it_is_has_two_cards_for_the_patient(cds: CdsActor) -> None:
    assert len(told(cds, a_chart())) == 2


@settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), JSON)
def test_no_word_of_the_chart_gets_into_a_patients_card(cds: CdsActor, path: tuple[str | int, ...], value: object) -> None:
    body = copy.deepcopy(a_chart())
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    # Bent so that the user is no patient, the cards are the clinician's: that is another test's business.
    if body["context"] == {"userId": "Patient/p", "patientId": "p"}:
        told(cds, body)
