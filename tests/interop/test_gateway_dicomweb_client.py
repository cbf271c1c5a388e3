"""dicomweb-client from PyPI, unchanged, through the gateway with a token, from the sandbox PACS (issue 2).

The viewer's own sequence of requests is here too, on the same real archive.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from flask import Flask
from requests import HTTPError

from fhir_imaging.settings import PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.pacs_actors import COLUMNS, JPEG_LS, ROWS, STUDY_A, STUDY_B, STUDY_C, a_running_pacs, pixels_of_frame, write_demo
from tests.security.gateway_stubs import StubEhr

pytestmark = pytest.mark.interop

MRN = "https://mrn.example"
PATIENTS = {STUDY_A: ("a", "DEMO-1001"), STUDY_B: ("b", "DEMO-1002"), STUDY_C: ("c", "DEMO-1003")}


@dataclass
class Gateway:
    """The gateway in front of the sandbox PACS, with comparison of persons switched on."""

    root: str
    ehr: StubEhr

    def client(self, patient: str) -> DICOMwebClient:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.ehr.token(patient)}"
        return DICOMwebClient(url=self.root, session=session)

    def get(self, patient: str, path: str, accept: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.ehr.token(patient)}"}
        return requests.Session().get(self.root + path, headers=headers | ({"Accept": accept} if accept else {}), timeout=20)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("interop")
    write_demo(directory / "dicom")
    with ExitStack() as stack:
        pacs = stack.enter_context(
            a_running_pacs(directory / "data", directory / "dicom", bearer_token="archive-token-of-the-gateway")
        )
        ehr = StubEhr("north")
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))
        for study, (patient, mrn) in PATIENTS.items():
            ehr.studies[study] = patient
            ehr.identifiers[patient] = [{"system": "https://other.example", "value": "9"}, {"system": MRN, "value": mrn}]
        port = free_port_number()
        settings = ImagingServerSettings(
            public_base_url=f"http://127.0.0.1:{port}",
            patient_identifiers={"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="DEMO")},
        )
        store = Store.open(StateSettings(state_dir=directory / "state"))
        stack.callback(store.close)
        store.migrate()
        archive = PacsSettings(name="demo", dicomweb_root=pacs.url, bearer_token="archive-token-of-the-gateway")
        services = build_services(settings, (ehr.settings(),), (archive,), store=store)
        stack.callback(services.close)
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(services)])
        app.register_blueprint(create_blueprint(services))
        url = stack.enter_context(serving(app, port))
        yield Gateway(f"{url}/imaging/north/dicom-web/demo", ehr)


def test_client_searches_on_every_level(gateway: Gateway) -> None:
    client = gateway.client("a")

    (study,) = client.search_for_studies()
    by_id = client.search_for_studies(search_filters={"PatientID": "DEMO-1001"}, fields=["StudyDescription"], limit=5)
    series = client.search_for_series(study_instance_uid=STUDY_A)
    instances = client.search_for_instances(study_instance_uid=STUDY_A, series_instance_uid=f"{STUDY_A}.1")

    assert study["0020000D"]["Value"] == [STUDY_A]
    assert study["00081190"]["Value"] == [f"{gateway.root}/studies/{STUDY_A}"]
    assert by_id[0]["00081030"]["Value"] == ["CT chest"]
    assert [one["0020000E"]["Value"][0] for one in series] == [f"{STUDY_A}.1", f"{STUDY_A}.2", f"{STUDY_A}.9"]
    assert len(instances) == 3
    assert client.search_for_studies(search_filters={"PatientID": "DEMO-1002"}) == []


def test_client_retrieves_study_series_instance_and_metadata(gateway: Gateway) -> None:
    client = gateway.client("a")

    study = client.retrieve_study(STUDY_A)
    series = client.retrieve_series(STUDY_A, f"{STUDY_A}.1")
    instance = client.retrieve_instance(STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.2")
    metadata = client.retrieve_series_metadata(STUDY_A, f"{STUDY_A}.1")

    assert {str(one.StudyInstanceUID) for one in study} == {STUDY_A}
    assert (len(study), len(series), len(metadata)) == (5, 3, 3)
    assert np.array_equal(np.frombuffer(instance.PixelData, "<i2").reshape(ROWS, COLUMNS), pixels_of_frame(2))


def test_client_retrieves_frames_as_stored_compressed_or_not(gateway: Gateway) -> None:
    (plain,) = gateway.client("a").retrieve_instance_frames(STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.1", [1])
    (compressed,) = gateway.client("c").retrieve_instance_frames(
        STUDY_C, f"{STUDY_C}.1", f"{STUDY_C}.1.1", [1], media_types=(("image/jls", JPEG_LS),)
    )

    assert np.array_equal(np.frombuffer(plain, "<i2").reshape(ROWS, COLUMNS), pixels_of_frame(1))
    assert compressed.startswith(b"\xff\xd8\xff\xf7")


def test_client_follows_bulk_data_addresses_of_the_metadata(gateway: Gateway) -> None:
    client = gateway.client("a")
    (metadata,) = (client.retrieve_instance_metadata(STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.1"),)

    address = metadata["7FE00010"]["BulkDataURI"]
    (pixels,) = client.retrieve_bulkdata(address)

    assert address.startswith(gateway.root)
    assert np.array_equal(np.frombuffer(pixels, "<i2").reshape(ROWS, COLUMNS), pixels_of_frame(1))


def test_client_retrieves_rendered_images(gateway: Gateway) -> None:
    image = gateway.client("a").retrieve_instance_rendered(
        STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.1", media_types=("image/png",)
    )

    assert image.startswith(b"\x89PNG")


@pytest.mark.parametrize("patient", ["b", "c", "nobody"])
def test_client_with_another_patients_token_is_refused(gateway: Gateway, patient: str) -> None:
    client = gateway.client(patient)

    for ask in (
        lambda: client.retrieve_study(STUDY_A),
        lambda: client.retrieve_series_metadata(STUDY_A, f"{STUDY_A}.1"),
        lambda: client.search_for_series(study_instance_uid=STUDY_A),
        lambda: client.retrieve_instance_frames(STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.1", [1]),
    ):
        with pytest.raises(HTTPError) as refusal:
            ask()
        assert refusal.value.response.status_code == 403


def test_client_cannot_store_through_the_gateway(gateway: Gateway) -> None:
    client = gateway.client("a")
    dataset = client.retrieve_instance(STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.2")

    with pytest.raises(HTTPError) as refusal:
        client.store_instances([dataset])

    assert refusal.value.response.status_code == 405


@pytest.mark.parametrize(("study", "patient"), [(STUDY_A, "a"), (STUDY_B, "b"), (STUDY_C, "c")])
def test_requests_of_the_viewer_in_their_order(gateway: Gateway, study: str, patient: str) -> None:
    """DESIGN §5: what OHIF asks when it opens a study."""
    (found,) = gateway.get(patient, f"/studies?StudyInstanceUID={study}&limit=101&offset=0&fuzzymatching=false").json()
    mrn = found["00100020"]["Value"][0]
    priors = gateway.get(patient, f"/studies?00100020={mrn}&includefield=00081030,00080060").json()
    series = gateway.get(patient, f"/studies/{study}/series?includefield=0008103E").json()
    metadata = gateway.get(patient, f"/studies/{study}/series/{study}.1/metadata").json()
    frame = gateway.get(
        patient,
        f"/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1",
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
    )

    assert [one["0020000D"]["Value"][0] for one in priors] == [study]
    assert series[0]["0020000E"]["Value"] == [f"{study}.1"]
    assert metadata[0]["00080018"]["Value"] == [f"{study}.1.1"]
    assert frame.status_code == 200
    assert frame.headers["Content-Type"].startswith("multipart/related; ")


def test_study_that_archive_and_ehr_give_to_different_persons_stays_closed(gateway: Gateway) -> None:
    """Groups 11 and 29: the EHR says that B's study is A's, the archive's PatientID says otherwise."""
    gateway.ehr.studies[STUDY_B] = "a"
    try:
        retrieved = gateway.get("a", f"/studies/{STUDY_B}/metadata")
        searched = gateway.get("a", "/studies")
    finally:
        gateway.ehr.studies[STUDY_B] = "b"

    assert (retrieved.status_code, retrieved.json()["type"]) == (403, "urn:imaging-cds:problem:identity-conflict")
    assert [one["0020000D"]["Value"][0] for one in searched.json()] == [STUDY_A]


def test_frames_of_a_series_are_quick_once_the_study_is_open(gateway: Gateway) -> None:
    """No measurement, only a guard against a decision for each frame (M15)."""
    client = gateway.client("a")
    gateway.ehr.asked.clear()
    started = time.perf_counter()

    for _ in range(20):
        client.retrieve_instance_frames(STUDY_A, f"{STUDY_A}.1", f"{STUDY_A}.1.1", [1])

    assert time.perf_counter() - started < 10
    assert len(gateway.ehr.asked) <= 2


def test_one_object_comes_by_wado_uri_too(gateway: Gateway) -> None:
    """PS3.18 §9: the sandbox PACS has WADO-RS only."""
    uids = f"requestType=WADO&studyUID={STUDY_A}&seriesUID={STUDY_A}.1&objectUID={STUDY_A}.1.2"

    file = gateway.get("a", f"/wado?{uids}&contentType=application/dicom&transferSyntax=*")
    picture = gateway.get("a", f"/wado?{uids}&contentType=image/png&rows=32&columns=32")
    other = gateway.get("b", f"/wado?{uids}&contentType=application/dicom")

    assert (file.status_code, file.headers["Content-Type"].split(";")[0]) == (200, "application/dicom")
    assert file.content[128:132] == b"DICM"
    assert (picture.status_code, picture.content[:4]) == (200, b"\x89PNG")
    assert other.status_code == 403
