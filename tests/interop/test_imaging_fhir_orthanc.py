"""The imaging FHIR endpoint in front of Debian's Orthanc, by both ways of ownership.

Needs ``apt-get install orthanc orthanc-dicomweb``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from fhir.resources.R4B.bundle import Bundle
from flask import Flask

from fhir_imaging.settings import Ownership, PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.interop.orthanc_process import USER, Orthanc
from tests.pacs_actors import STUDY_A, STUDY_B, write_demo
from tests.security.gateway_stubs import StubEhr

pytest_plugins = ["tests.interop.orthanc_fixtures"]
pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]

MRN = PatientIdentifierRule(system="https://mrn.example", issuer_of_patient_id="DEMO")


@dataclass
class Endpoint:
    """The imaging FHIR endpoint of the EHRs ``fhir`` and ``identifier``, which are the same EHR asked in two ways."""

    url: str
    ehr: StubEhr

    def get(self, way: Ownership, path: str, patient: str = "a") -> requests.Response:
        with requests.Session() as session:
            headers = {"Authorization": f"Bearer {self.ehr.token(patient)}"}
            return session.get(f"{self.url}/imaging/{way.value}/fhir{path}", headers=headers, timeout=20)


@pytest.fixture(scope="module")
def endpoint(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    directory: Path = tmp_path_factory.mktemp("endpoint")
    write_demo(directory / "dicom")
    with requests.Session() as session:
        session.auth = (USER, orthanc.password)
        for path in sorted((directory / "dicom").rglob("*.dcm")):
            session.post(f"{orthanc.url}/instances", data=path.read_bytes(), timeout=20).raise_for_status()
    with ExitStack() as stack:
        ehr = StubEhr("north")
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))
        ehr.studies.update({STUDY_A: "a", STUDY_B: "b"})
        for patient, number in (("a", "DEMO-1001"), ("b", "DEMO-1002")):
            ehr.identifiers[patient] = [{"system": MRN.system, "value": number}]
        port = free_port_number()
        settings = ImagingServerSettings(
            public_base_url=f"http://127.0.0.1:{port}", patient_identifiers={way.value: MRN for way in Ownership}
        )
        store = Store.open(StateSettings(state_dir=directory / "state"))
        stack.callback(store.close)
        store.migrate()
        archive = PacsSettings(name="orthanc", dicomweb_root=orthanc.dicomweb, user=USER, password=orthanc.password)
        ehrs = tuple(ehr.settings(name=way.value, ownership=way) for way in Ownership)
        services = build_services(settings, ehrs, (archive,), store=store)
        stack.callback(services.close)
        app = Flask("endpoint", static_folder=None)
        install(app, [error_surface(services), *error_surfaces(services)])
        app.register_blueprint(create_blueprint(services))
        yield Endpoint(stack.enter_context(serving(app, port)), ehr)


@pytest.mark.parametrize("way", list(Ownership))
def test_F1_orthancs_studies_are_listed_by_every_form_of_the_search(endpoint: Endpoint, way: Ownership) -> None:
    """F3: with counts, modalities and series out of Orthanc's index."""
    for more in (
        "",
        "&_lastUpdated=gt2023-04-17T04:00:00Z",
        f"&identifier=urn:oid:{STUDY_A}",
        "&_include=ImagingStudy:endpoint",
    ):
        answer = endpoint.get(way, f"/ImagingStudy?patient=a{more}")

        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        assert Bundle.model_validate(bundle).total == 1, more
        study = bundle["entry"][0]["resource"]
        assert study["id"] == STUDY_A
        assert study["started"] == "2026-01-05T10:15:00+01:00", "Orthanc gives the zone when it is asked for"
        assert study["numberOfSeries"] == len(study["series"])
        assert study["numberOfInstances"] == sum(one["numberOfInstances"] for one in study["series"])


@pytest.mark.parametrize("way", list(Ownership))
def test_F3_a_study_of_orthanc_is_read_with_its_instances(endpoint: Endpoint, way: Ownership) -> None:
    study = endpoint.get(way, f"/ImagingStudy/{STUDY_A}").json()

    instances = [one for series in study["series"] for one in series["instance"]]
    assert len(instances) == study["numberOfInstances"] > 0


@pytest.mark.parametrize("way", list(Ownership))
def test_W4_another_patients_study_in_orthanc_stays_closed(endpoint: Endpoint, way: Ownership) -> None:
    """F6."""
    assert endpoint.get(way, f"/ImagingStudy/{STUDY_B}").status_code == 403
    assert endpoint.get(way, "/ImagingStudy?patient=b").status_code == 403
    assert endpoint.get(way, f"/ImagingStudy?patient=a&identifier=urn:oid:{STUDY_B}").json()["total"] == 0
