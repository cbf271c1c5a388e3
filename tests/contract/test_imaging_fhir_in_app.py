"""The whole way where an EHR has no ImagingStudy: launch, list out of the archive by the imaging FHIR endpoint, images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask, Response

from ehr_sandbox.faults import DiscoveryFaults
from fhir_imaging.settings import EhrSettings, Ownership, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital
from tests.contract.imaging_fhir_actors import IndexedPacs

MRN = PatientIdentifierRule(system="https://imaging-cds.example/demo/mrn", issuer_of_patient_id="DEMO")
OWN = {"x00100020": "DEMO-1001", "x00100021": "DEMO", "x00080020": "20261101", "x00080030": "0930", "x00080201": "+0100"}
COUNT = 130
"""More studies than fit on one page of a list."""


@pytest.fixture
def archive() -> Iterator[IndexedPacs]:
    pacs = IndexedPacs()
    with serving(pacs.app(), free_port_number()) as url:
        pacs.base = url
        yield pacs


@pytest.fixture
def hospital(tmp_path: Path, archive: IndexedPacs) -> Iterator[Hospital]:
    """The sandbox EHR, whose ImagingStudy nobody asks, the app, and the imaging server that the app is told of."""
    ehr_port, port = free_port_number(), free_port_number()
    issuer, url = f"http://127.0.0.1:{ehr_port}", f"http://127.0.0.1:{port}"
    ehr = EhrSettings(
        name="sandbox",
        fhir_base=f"{issuer}/fhir",
        token_issuer=f"{issuer}/auth",
        jwks_url=f"{issuer}/auth/jwks",
        ownership=Ownership.IDENTIFIER,
    )
    with ExitStack() as stack:
        store = Store.open(StateSettings(state_dir=tmp_path / "imaging"))
        stack.callback(store.close)
        store.migrate()
        settings = ImagingServerSettings(public_base_url=url, patient_identifiers={"sandbox": MRN})
        services = build_services(settings, (ehr,), (archive.settings(),), store=store)
        stack.callback(services.close)
        app = Flask("imaging", static_folder=None)
        install(app, [error_surface(services), *error_surfaces(services)])
        app.register_blueprint(create_blueprint(services))
        stack.enter_context(serving(app, port))
        told = {
            "imaging_base": f"{url}/imaging/sandbox/fhir",
            "token_origins": (url,),
            "issuer_aliases": (f"{issuer}/auth",),
            "jwks_url": f"{issuer}/auth/jwks",
        }
        # Without SMART configuration the sandbox does not say that it serves ImagingStudy itself.
        silent = DiscoveryFaults(no_configuration=True)
        yield stack.enter_context(a_hospital(tmp_path, PUBLIC, port=ehr_port, discovery=silent, **told))


def test_F1_the_study_list_comes_out_of_the_archive(hospital: Hospital, archive: IndexedPacs) -> None:
    """C1 to C5 against our own F1 to F4: the app's search, its reading of Bundle and Endpoint, and the door to the images."""
    archive.holds("2.25.7001", **OWN, x00081030="CT from the archive")
    archive.holds("2.25.7002", "MR", **{**OWN, "x00100020": "DEMO-1002"}, x00081030="Somebody else's")

    page = hospital.launches()

    assert page.status_code == 200
    assert "CT from the archive" in page.text
    assert "Somebody else" not in page.text
    assert "Open images" in page.text
    assert "CT chest" not in page.text, "the EHR's own ImagingStudy is not asked"


def test_F1_every_page_of_a_long_list_is_followed(hospital: Hospital, archive: IndexedPacs) -> None:
    for number in range(COUNT):
        archive.holds(f"2.25.80{number:03}", **OWN, x00081030=f"Study number {number:03}")
    hospital.launches()

    page = hospital.clinician.get(f"/s/{hospital.clinician.session}/studies?whole=1")

    assert [number for number in range(COUNT) if f"Study number {number:03}" not in page.text] == []


def test_F10_an_archive_that_is_down_is_explained_in_the_list(hospital: Hospital, archive: IndexedPacs) -> None:
    """C7: never an empty list."""
    archive.answer = lambda asked: Response(status=500)

    page = hospital.launches()

    assert "The imaging server is busy" in page.text
    assert "That does not mean there are none" in page.text
