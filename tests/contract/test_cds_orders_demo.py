"""Patient D of the sandbox: his draft CT through the order services, with the prefetch that an EHR makes and without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cds_service.validator import faults_of
from ehr_sandbox.patients.demo import build_demo
from fhir_imaging.store.engine import Store
from imaging_findings.order_chart import ORDER_QUERIES
from tests.cds_actors import APP, FHIR, NOW, CdsActor, a_bundle, a_cds_service, a_hook, a_store
from tests.contract.sandbox_client import SandboxClient, a_sandbox
from tests.synced_studies import synced_demo

PATIENT = "demo-d"


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Any]]:
    directory = tmp_path_factory.mktemp("demo")
    gateway = f"{APP}/imaging/sandbox/dicom-web/demo"
    demo = build_demo(directory, demo_day=NOW.date(), fhir_base=FHIR, slices=3)
    return list(synced_demo(demo, directory, gateway).resources)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def subject_of(resource: Mapping[str, Any]) -> Any:
    return (resource.get("subject") or resource.get("patient") or {}).get("reference")


def a_signing(charts: list[Mapping[str, Any]], hook: str = "order-sign") -> dict[str, Any]:
    own = [one for one in charts if subject_of(one) == f"Patient/{PATIENT}"]
    drafts = [one for one in own if one["resourceType"] == "ServiceRequest" and one["status"] == "draft"]
    prefetch: dict[str, Any] = {
        query.key: a_bundle(*[one for one in own if one["resourceType"] == query.resource_type]) for query in ORDER_QUERIES
    }
    prefetch["patient"] = next(one for one in charts if one["id"] == PATIENT)
    context = {"userId": "Practitioner/demo-gp", "patientId": PATIENT, "draftOrders": a_bundle(*drafts)}
    context |= {"selections": [f"ServiceRequest/{one['id']}" for one in drafts]} if hook == "order-select" else {}
    return a_hook(prefetch, hook=hook, context=context)


def told(cds: CdsActor, body: dict[str, Any]) -> list[tuple[str, str]]:
    response = cds.call(body, f"imaging-{body['hook']}")
    assert response.status_code == 200, response.get_data(as_text=True)
    assert faults_of(response.get_json()) == ()
    return [(card["indicator"], card["source"]["topic"]["code"]) for card in response.get_json()["cards"]]


EXPECTED = [("warning", "order-duplicate"), ("warning", "order-kidney")]


@pytest.mark.parametrize("hook", ["order-sign", "order-select"])
def test_patient_d_duplicate_and_contrast_cards(
    store: Store, tmp_path: Path, charts: list[Mapping[str, Any]], hook: str
) -> None:
    assert told(a_cds_service(store, tmp_path), a_signing(charts, hook)) == EXPECTED


def test_without_any_prefetch_the_same_comes_from_the_strict_sandbox(
    store: Store, tmp_path: Path, charts: list[Mapping[str, Any]]
) -> None:
    """R11, R19, R21: every query of the order services is one that a strict FHIR server answers."""
    with a_sandbox(tmp_path / "ehr", seed=False) as ehr:
        for resource in charts:
            ehr.services.store.put(dict(resource))
        cds = a_cds_service(store, tmp_path, trust={"fhir_servers": (ehr.fhir_base,)}, soft_budget_ms=4000)
        body = a_signing(charts) | {"prefetch": {}, "fhirServer": ehr.fhir_base, "fhirAuthorization": a_grant(ehr)}

        assert told(cds, body) == EXPECTED


def a_grant(ehr: SandboxClient) -> dict[str, Any]:
    types = sorted({query.resource_type for query in ORDER_QUERIES} - {"Patient"})
    scope = "patient/Patient.r " + " ".join(f"patient/{name}.rs" for name in types)
    token = ehr.a_token(scope, PATIENT)
    grant = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "subject": "imaging-cds"}
    return grant | {"scope": scope, "patient": PATIENT}
