"""The synthetic patients A, B and C of the sandbox, through the whole service: what their charts must make it say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ehr_sandbox.patients.demo import build_demo
from fhir_imaging.store.engine import Store
from imaging_findings.facts import QUERIES
from tests.cds_actors import APP, FHIR, NOW, CdsActor, a_bundle, a_cds_service, a_hook, a_store
from tests.contract.sandbox_client import SandboxClient, a_sandbox
from tests.synced_studies import synced_demo

SLICES = 3


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Any]]:
    directory = tmp_path_factory.mktemp("demo")
    gateway = f"{APP}/imaging/sandbox/dicom-web/demo"
    demo = build_demo(directory, demo_day=NOW.date(), fhir_base=FHIR, slices=SLICES)
    return list(synced_demo(demo, directory, gateway).resources)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def cards_of(cds: CdsActor, charts: list[Mapping[str, Any]], patient_id: str) -> list[dict[str, Any]]:
    """The cards when the chart is opened, with the prefetch that an EHR makes of it."""
    prefetch: dict[str, Any] = {}
    for query in QUERIES:
        own = [one for one in charts if one["resourceType"] == query.resource_type]
        if query.resource_type == "Patient":
            prefetch[query.key] = next(one for one in own if one["id"] == patient_id)
        else:
            prefetch[query.key] = a_bundle(*[one for one in own if one["subject"]["reference"] == f"Patient/{patient_id}"])
    return cds.cards(a_hook(prefetch, context={"userId": "Practitioner/demo-gp", "patientId": patient_id}))


def test_patient_a_is_4b_by_the_reader_and_4a_by_the_ai(cds: CdsActor, charts: list[Mapping[str, Any]]) -> None:
    (card,) = cards_of(cds, charts, "demo-a")

    assert card["indicator"] == "warning"
    assert card["summary"].startswith("Lung-RADS 4B")
    assert "AI (unsigned) says 4A" in card["summary"]
    assert "suggestions" not in card, "no auto order"
    assert "would fit category" not in card["detail"], "the fixture is honest: 9 mm growing is 4B"
    smart = {link["label"]: link["appContext"] for link in card["links"] if link["type"] == "smart"}
    assert list(smart) == ["Open the images", "Open the AI result's slice", "Open the key images", "Open the segmentation"]
    study = smart.pop("Open the images")
    assert all(path.startswith(f"studies/{study}/series/") for path in smart.values())


def test_patient_b_needs_no_routine_follow_up(cds: CdsActor, charts: list[Mapping[str, Any]]) -> None:
    (card,) = cards_of(cds, charts, "demo-b")

    assert card["indicator"] == "info"
    assert "no routine follow-up" in card["summary"]
    assert "suggestions" not in card


def test_patient_c_gets_a_ct_at_6_to_12_months_then_18_to_24(cds: CdsActor, charts: list[Mapping[str, Any]]) -> None:
    (card,) = cards_of(cds, charts, "demo-c")

    assert card["indicator"] == "warning"
    assert "CT at 6–12 months, then CT at 18–24 months." in card["detail"]
    order = card["suggestions"][0]["actions"][0]["resource"]
    assert order["code"]["coding"][0]["code"] == "29252-4"
    assert order["subject"] == {"reference": "Patient/demo-c"}
    assert order["reasonReference"][0]["reference"].startswith("Observation/")


def test_accepting_the_draft_quiets_the_card(cds: CdsActor, charts: list[Mapping[str, Any]]) -> None:
    (card,) = cards_of(cds, charts, "demo-c")
    draft = card["suggestions"][0]["actions"][0]["resource"] | {"id": "draft"}

    (quiet,) = cards_of(cds, [*charts, draft], "demo-c")
    signed = cards_of(cds, [*charts, draft | {"status": "active"}], "demo-c")

    assert quiet["indicator"] == "info"
    assert "suggestions" not in quiet
    assert signed == []


SCOPES = "patient/Patient.r " + " ".join(
    f"patient/{name}.rs" for name in ("Observation", "DiagnosticReport", "ServiceRequest", "ImagingStudy", "Condition")
)


def test_without_any_prefetch_the_same_cards_come_from_the_strict_sandbox(
    store: Store, tmp_path: Path, charts: list[Mapping[str, Any]]
) -> None:
    """R19, R21: every query of the service is one that a strict FHIR server answers, with SMART v2 patient scopes."""
    with a_sandbox(tmp_path / "ehr", seed=False) as ehr:
        for resource in charts:
            ehr.services.store.put(dict(resource))
        cds = a_cds_service(store, tmp_path, trust={"fhir_servers": (ehr.fhir_base,)}, soft_budget_ms=4000)

        summaries = {patient: fetched_summary(cds, ehr, patient) for patient in ("demo-a", "demo-b", "demo-c")}

        stranger = a_hook({}, fhirServer=ehr.fhir_base, fhirAuthorization=grant_of(ehr, "demo-a"))
        stranger["fhirAuthorization"]["patient"] = "demo-b"
        stranger["context"]["patientId"] = "demo-b"
        assert cds.call(stranger).status_code == 412, "the token of patient A opens nothing of patient B"

    assert summaries["demo-a"].startswith("Lung-RADS 4B")
    assert "no routine follow-up" in summaries["demo-b"]
    assert "chest CT due" in summaries["demo-c"]


def grant_of(ehr: SandboxClient, patient_id: str) -> dict[str, Any]:
    token = ehr.a_token(SCOPES, patient_id)
    base = {"access_token": token, "token_type": "Bearer", "expires_in": 300, "subject": "imaging-cds"}
    return base | {"scope": SCOPES, "patient": patient_id}


def fetched_summary(cds: CdsActor, ehr: SandboxClient, patient_id: str) -> str:
    context = {"userId": "Practitioner/demo-gp", "patientId": patient_id}

    (card,) = cds.cards(a_hook(context=context, fhirServer=ehr.fhir_base, fhirAuthorization=grant_of(ehr, patient_id)))

    assert "Not available" not in card["detail"], card["detail"]
    assert "Only a part came" not in card["detail"]
    return str(card["summary"])
