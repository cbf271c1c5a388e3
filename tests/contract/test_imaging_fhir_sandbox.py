"""The imaging FHIR endpoint between sandbox EHR and sandbox PACS with the demo's patients, by both ways of ownership."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from fhir.resources.R4B.bundle import Bundle
from flask import Flask

from ehr_sandbox.authorization import Authorization
from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.patients import build_demo
from ehr_sandbox.settings import SandboxSettings, demo_settings
from fhir_imaging.endpoints import BundleResources, EndpointState, resolve_endpoint
from fhir_imaging.settings import EhrSettings, Ownership, PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.study import ImagingStudy, read_study
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.pacs_actors import a_running_pacs

SCOPE = "patient/ImagingStudy.rs patient/Patient.r"
MRN = PatientIdentifierRule(system="https://imaging-cds.example/demo/mrn", issuer_of_patient_id="DEMO")


@dataclass
class Hospital:
    """The running servers; ``studies`` are UIDs by patient, of the images that are there."""

    app_url: str
    sandbox: SandboxSettings
    authorization: Authorization
    studies: dict[str, list[str]]

    def get(self, ehr: str, path: str, patient: str) -> requests.Response:
        token = self.authorization.issue_token("imaging-cds", SCOPE, LaunchContext(patient=patient), None).access_token
        with requests.Session() as session:
            url = f"{self.app_url}/imaging/{ehr}/fhir{path}"
            return session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    directory: Path = tmp_path_factory.mktemp("hospital")
    app_port, ehr_port = free_port_number(), free_port_number()
    app_url = f"http://127.0.0.1:{app_port}"
    sandbox = demo_settings(base_url=f"http://127.0.0.1:{ehr_port}", app_url=app_url, state_dir=directory / "ehr")
    with ExitStack() as stack:
        data = build_demo(
            directory / "dicom",
            demo_day=date(2026, 11, 21),
            gateway_address=f"{app_url}/imaging/fhir/dicom-web/demo",
            fhir_base=sandbox.fhir_base,
            only=frozenset({"demo-a", "demo-b"}),
            slices=3,
        )
        ehr = create_ehr(sandbox)
        records = FhirStore(sandbox.state_dir / "fhir.sqlite3", sandbox.fhir_base)
        for bundle in data.bundles:
            records.transaction(bundle)
        stack.enter_context(serving(ehr, ehr_port))
        pacs = stack.enter_context(
            a_running_pacs(directory / "pacs", directory / "dicom", basic_credential=("gateway", "archive-password"))
        )
        store = Store.open(StateSettings(state_dir=directory / "app"))
        stack.callback(store.close)
        store.migrate()
        ehrs = tuple(
            EhrSettings(
                name=way.value,
                fhir_base=sandbox.fhir_base,
                token_issuer=sandbox.issuer,
                jwks_url=f"{sandbox.issuer}/jwks",
                ownership=way,
            )
            for way in Ownership
        )
        services = build_services(
            ImagingServerSettings(public_base_url=app_url, patient_identifiers={way.value: MRN for way in Ownership}),
            ehrs,
            (PacsSettings(name="demo", dicomweb_root=pacs.url, user="gateway", password="archive-password"),),
            store=store,
        )
        stack.callback(services.close)
        app = Flask("hospital", static_folder=None)
        install(app, [error_surface(services), *error_surfaces(services)])
        app.register_blueprint(create_blueprint(services))
        stack.enter_context(serving(app, app_port))
        yield Hospital(app_url, sandbox, Authorization(sandbox), _with_images(data.bundles))


def _with_images(bundles: Any) -> dict[str, list[str]]:
    studies: dict[str, list[str]] = {}
    for bundle in bundles:
        for entry in bundle["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "ImagingStudy" and "endpoint" in resource:
                uid = resource["identifier"][0]["value"].removeprefix("urn:oid:")
                studies.setdefault(resource["subject"]["reference"].removeprefix("Patient/"), []).append(uid)
    return studies


@pytest.mark.parametrize("way", [way.value for way in Ownership])
@pytest.mark.parametrize("patient", ["demo-a", "demo-b"])
def test_F1_demo_patients_studies_are_listed_as_they_are_archived(hospital: Hospital, way: str, patient: str) -> None:
    """F2, F3: described by the archive's own files, for the patient's logical id."""
    answer = hospital.get(way, f"/ImagingStudy?patient={patient}&_include=ImagingStudy:endpoint", patient)

    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert Bundle.model_validate(bundle).total == len(hospital.studies[patient])
    studies = [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "match"]
    assert sorted(one["id"] for one in studies) == sorted(hospital.studies[patient])
    for study in studies:
        assert study["subject"]["reference"] == f"{hospital.sandbox.fhir_base}/Patient/{patient}"
        assert study["numberOfInstances"] == sum(one["numberOfInstances"] for one in study["series"])
        assert "T" in study["started"]  # the demo's files state their zone
    assert (
        hospital.get(way, f"/ImagingStudy?patient={patient}", "demo-b" if patient == "demo-a" else "demo-a").status_code == 403
    )


@pytest.mark.parametrize("way", [way.value for way in Ownership])
def test_W4_what_the_app_reads_in_the_list_opens_at_the_gateway(hospital: Hospital, way: str) -> None:
    """C4, C5: by the SMART app's own reading of Bundle and Endpoint."""
    bundle = hospital.get(way, "/ImagingStudy?patient=demo-a&_include=ImagingStudy:endpoint", "demo-a").json()
    included = {
        f"{one['resource']['resourceType']}/{one['resource']['id']}": one["resource"]
        for one in bundle["entry"]
        if one["search"]["mode"] == "include"
    }
    study = read_study(bundle["entry"][0]["resource"])
    assert isinstance(study, ImagingStudy)

    resolved = resolve_endpoint(study, BundleResources({}, included), {hospital.app_url})

    assert resolved.state is EndpointState.USABLE
    assert resolved.endpoint is not None
    path = resolved.endpoint.address.removeprefix(f"{hospital.app_url}/imaging/{way}/fhir")
    assert path == f"{hospital.app_url}/imaging/{way}/dicom-web/demo"
    token = hospital.authorization.issue_token("imaging-cds", SCOPE, LaunchContext(patient="demo-a"), None).access_token
    with requests.Session() as session:
        opened = session.get(
            f"{path}/studies/{study.study_instance_uid}/metadata", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
    assert opened.status_code == 200


@pytest.mark.parametrize("way", [way.value for way in Ownership])
def test_F3_a_demo_study_is_read_with_every_instance(hospital: Hospital, way: str) -> None:
    uid = hospital.studies["demo-a"][0]

    study = hospital.get(way, f"/ImagingStudy/{uid}", "demo-a").json()

    instances = [one for series in study["series"] for one in series["instance"]]
    assert len(instances) == study["numberOfInstances"]
    assert all(one["sopClass"]["code"].startswith("urn:oid:1.2.840.10008.") for one in instances)


def test_both_ways_tell_the_same_of_a_study(hospital: Hospital) -> None:
    uid = hospital.studies["demo-a"][0]

    told = [hospital.get(way.value, f"/ImagingStudy/{uid}", "demo-a").json() for way in Ownership]

    for study in told:
        del study["meta"]
    assert told[0] == told[1]
