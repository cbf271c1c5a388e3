"""Discharge of patient E and bookings of patient C without any prefetch: all is asked of the strict sandbox (R11, R19, R21)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from cds_service.validator import faults_of
from ehr_sandbox.patients.demo import build_demo
from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, FHIR, NOW, CdsActor, a_cds_service, a_hook, a_store
from tests.contract.sandbox_client import SandboxClient, a_sandbox
from tests.synced_studies import synced_demo


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def ehr(tmp_path: Path) -> Iterator[SandboxClient]:
    gateway = f"{APP}/imaging/sandbox/dicom-web/demo"
    demo = build_demo(tmp_path / "dicom", demo_day=NOW.date(), fhir_base=FHIR, slices=1)
    with a_sandbox(tmp_path / "ehr", seed=False) as running:
        for resource in synced_demo(demo, tmp_path / "dicom", gateway).resources:
            running.services.store.put(resource)
        yield running


@pytest.fixture
def cds(store: Store, tmp_path: Path, ehr: SandboxClient) -> CdsActor:
    return a_cds_service(store, tmp_path, trust={"fhir_servers": (ehr.fhir_base,)}, soft_budget_ms=4000)


def a_call(ehr: SandboxClient, service: str, patient: str, *left_out: str, **context: Any) -> dict[str, Any]:
    """A request whose token reaches every type that the service asks for, but those left out."""
    reads = {query.resource_type for query in SERVICES[service].queries if "?" not in query.template}
    searches = {query.resource_type for query in SERVICES[service].queries if "?" in query.template}
    scopes = [f"patient/{name}.r" for name in sorted(reads)] + [f"patient/{name}.rs" for name in sorted(searches - reads)]
    scope = " ".join(one for one in scopes if not any(name in one for name in left_out))
    grant = {"access_token": ehr.a_token(scope, patient), "token_type": "Bearer", "expires_in": 300, "subject": "imaging-cds"}
    stated = {"userId": "Practitioner/demo-gp", "patientId": patient} | context
    sent = a_hook({}, hook=SERVICES[service].hook, context=stated)
    return sent | {"fhirServer": ehr.fhir_base, "fhirAuthorization": grant | {"scope": scope, "patient": patient}}


def told(cds: CdsActor, body: dict[str, Any], service: str) -> list[tuple[str, str]]:
    response = cds.call(body, service)
    assert response.status_code == 200, response.get_data(as_text=True)
    assert faults_of(response.get_json()) == ()
    return [(card["indicator"], card["source"]["topic"]["code"]) for card in response.get_json()["cards"]]


@pytest.mark.parametrize(
    ("left_out", "expected"),
    [
        ((), [("critical", "critical-result"), ("warning", "unread-imaging")]),
        # Studies whose order names the encounter need none of its dates.
        (("Encounter",), [("critical", "critical-result"), ("warning", "unread-imaging")]),
        # T11: reports that may not be read are no missing reports.
        (("DiagnosticReport",), [("critical", "critical-result"), ("info", "incomplete-data")]),
    ],
)
def test_discharge_of_patient_e_comes_from_the_sandbox(
    cds: CdsActor, ehr: SandboxClient, left_out: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    body = a_call(ehr, "imaging-discharge", "demo-e", *left_out, encounterId="demo-e-encounter")

    assert told(cds, body, "imaging-discharge") == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [("2026-12-10", [("info", "appointment-follow-up")]), ("2026-09-01", [])],
)
def test_booking_of_patient_c_s_radiograph_finds_its_order_in_the_sandbox(
    cds: CdsActor, ehr: SandboxClient, day: str, expected: list[tuple[str, str]]
) -> None:
    appointment = {"resourceType": "Appointment", "id": "a", "status": "proposed", "start": f"{day}T09:00:00+01:00"}
    appointment |= {"basedOn": [{"reference": "ServiceRequest/demo-c-xr-order"}]}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": appointment}]}

    assert told(cds, a_call(ehr, "imaging-appointment", "demo-c", appointments=bundle), "imaging-appointment") == expected
