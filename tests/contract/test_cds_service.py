"""The CDS service over HTTP: discovery, how many cards one answer holds, and every refusal by its status."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    APP,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_patient,
    whole_prefetch,
)

SERVICE = "/cds-services/imaging-findings"


def test_r4_r5_r8_discovery_lists_the_service(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}/cds-services")

    response = cds.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200
    assert response.mimetype == "application/json"
    (service,) = [one for one in response.get_json()["services"] if one["id"] == "imaging-findings"]
    assert (service["id"], service["hook"]) == ("imaging-findings", "patient-view")
    first = {"patient", "findings", "reports", "orders", "studies", "smoking", "conditions"}
    assert set(service["prefetch"]) == first | {"communications"}
    assert "patient, findings" in service["usageRequirements"], "required keys are named in the documentation"


def test_more_cards_than_a_clinician_reads_are_cut_and_counted(store: Store, tmp_path: Path) -> None:
    brief = a_cds_service(store, tmp_path, max_cards=2)
    findings = [
        a_lung_rads(category, id=f"f{n}", derivedFrom=[{"reference": f"ImagingStudy/{n}"}])
        for n, category in enumerate(("1", "4A", "2", "3"))
    ]

    cards = brief.cards(a_hook(whole_prefetch(*findings)))

    assert [card["summary"][:12] for card in cards] == ["Lung-RADS 4A", "Lung-RADS 3 "]
    assert cards[-1]["detail"].endswith("**Not shown:** 2 further, less urgent.")


# --- refusals


def outcome(response: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.get_data(as_text=True))
    assert body["resourceType"] == "OperationOutcome"
    issue: dict[str, Any] = body["issue"][0]
    return issue


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "JSON object"),
        (json.dumps(a_hook(context={"userId": "Practitioner/gp"})).encode(), "context.patientId"),
        (json.dumps(a_hook(hook="order-sign")).encode(), "hook: this service answers patient-view"),
    ],
    ids=["broken", "empty", "no text", "too deep", "an array", "missing context", "another hook"],
)
def test_r20_malformed_requests_are_400_with_a_reason(cds: CdsActor, body: bytes, told: str) -> None:
    response = cds.post(SERVICE, body)

    assert response.status_code == 400
    assert told in outcome(response)["diagnostics"]


def test_an_unknown_service_is_404(cds: CdsActor) -> None:
    response = cds.post("/cds-services/other", a_hook())

    assert response.status_code == 404
    assert outcome(response)["code"] == "not-found"


def test_another_method_is_405(cds: CdsActor) -> None:
    response = cds.client.put(SERVICE, json={})

    assert response.status_code == 405
    assert outcome(response)["code"] == "not-supported"


def test_another_media_type_is_415(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}")

    response = cds.client.post(SERVICE, data="hook=patient-view", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 415


def test_a_body_over_the_limit_is_413(store: Store, tmp_path: Path) -> None:
    small = a_cds_service(store, tmp_path, max_body_bytes=1000)

    response = small.call(a_hook(whole_prefetch(a_lung_rads("3"))))

    assert response.status_code == 413
    assert outcome(response)["code"] == "too-long"


def test_several_megabytes_of_prefetch_are_taken(cds: CdsActor) -> None:
    many = [a_lung_rads("3", id=f"f{number}", note=[{"text": "x" * 900}]) for number in range(3000)]

    assert len(cds.cards(a_hook(whole_prefetch(*many)))) == 1


def test_r19_required_data_out_of_reach_is_412_and_names_the_key(cds: CdsActor) -> None:
    response = cds.call(a_hook({"patient": a_patient()}))

    assert response.status_code == 412
    issue = outcome(response)
    assert issue["code"] == "processing"
    assert "findings: not in the prefetch" in issue["diagnostics"]
    assert "patient:" not in issue["diagnostics"]


def test_optional_data_out_of_reach_is_named_in_the_card(cds: CdsActor) -> None:
    prefetch = {"patient": a_patient(), "findings": a_bundle(a_lung_rads("3"))}

    (card,) = cds.cards(a_hook(prefetch))

    assert "**Not available:** radiology reports, open orders, imaging studies" in card["detail"]
    assert "links" not in card, "without the ImagingStudy nobody knows the study's UID"


def test_r17_no_token_and_no_patient_in_the_log(cds: CdsActor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    grant = {"access_token": "s3cret-token", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "x"}
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}")

    cds.post(SERVICE, a_hook(whole_prefetch(a_lung_rads("3")), fhirAuthorization=grant), token=token)
    cds.post(SERVICE, a_hook({}, fhirAuthorization=grant | {"patient": "somebody-else"}))

    assert "s3cret-token" not in caplog.text
    assert token not in caplog.text
    assert "somebody-else" not in caplog.text


def test_an_answer_that_is_not_valid_is_an_error_and_no_silence(cds: CdsActor) -> None:
    services = dataclasses.replace(cds.services, new_uuid=lambda: "")
    app = Flask("broken")
    app.register_blueprint(create_blueprint(services))
    web.install(app, [error_surface(services)])
    broken = CdsActor(app=app, services=services, ehr=cds.ehr)

    response = broken.call(a_hook(whole_prefetch(a_lung_rads("3"))))

    assert response.status_code == 500
    assert outcome(response)["severity"] == "error"
