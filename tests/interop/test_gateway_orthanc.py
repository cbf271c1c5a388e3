"""The gateway's further ways in front of Debian's Orthanc: WADO-URI, HEAD, forms that Orthanc does not have (issue 5).

Needs ``apt-get install orthanc orthanc-dicomweb``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import requests
from flask import Flask
from PIL import Image

from fhir_imaging.settings import PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.interop.orthanc_process import USER, Orthanc
from tests.pacs_actors import COLUMNS, ROWS, STUDY_A, STUDY_B, STUDY_C, write_demo
from tests.security.gateway_stubs import StubEhr

pytest_plugins = ["tests.interop.orthanc_fixtures"]
pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]

FRAMES = f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_A}.1.2/frames/1"


@dataclass
class Gateway:
    """The gateway in front of Orthanc, for patients a, b and c."""

    root: str
    ehr: StubEhr

    def ask(self, path: str, *, patient: str = "a", method: str = "GET", **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.ehr.token(patient)}", "Accept": "*/*", **headers}
        with requests.Session() as session:
            return session.request(method, self.root + path, headers=sent, timeout=20)


@pytest.fixture(scope="module")
def gateway(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("gateway")
    write_demo(directory / "dicom")
    with requests.Session() as session:
        session.auth = (USER, orthanc.password)
        for path in sorted((directory / "dicom").rglob("*.dcm")):
            session.post(f"{orthanc.url}/instances", data=path.read_bytes(), timeout=20).raise_for_status()
    with ExitStack() as stack:
        ehr = StubEhr("north")
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))
        ehr.studies.update({STUDY_A: "a", STUDY_B: "b", STUDY_C: "c"})
        port = free_port_number()
        settings = ImagingServerSettings(public_base_url=f"http://127.0.0.1:{port}")
        store = Store.open(StateSettings(state_dir=directory / "state"))
        stack.callback(store.close)
        store.migrate()
        archive = PacsSettings(name="orthanc", dicomweb_root=orthanc.dicomweb, user=USER, password=orthanc.password)
        services = build_services(settings, (ehr.settings(),), (archive,), store=store)
        stack.callback(services.close)
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(services)])
        app.register_blueprint(create_blueprint(services))
        url = stack.enter_context(serving(app, port))
        yield Gateway(f"{url}/imaging/north/dicom-web/orthanc", ehr)


def wado(study: str, instance: str, **more: str) -> str:
    uids = f"requestType=WADO&studyUID={study}&seriesUID={study}.1&objectUID={study}.1.{instance}"
    return f"/wado?{uids}" + "".join(f"&{name}={value}" for name, value in more.items())


@pytest.mark.parametrize(("study", "patient", "instance"), [(STUDY_A, "a", "2"), (STUDY_B, "b", "1"), (STUDY_C, "c", "1")])
def test_file_by_wado_uri_is_the_stored_object(gateway: Gateway, study: str, patient: str, instance: str) -> None:
    """Uncompressed, JPEG 2000 and JPEG-LS."""
    answer = gateway.ask(wado(study, instance, contentType="application/dicom", transferSyntax="*"), patient=patient)

    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/dicom")
    dataset = pydicom.dcmread(BytesIO(answer.content))
    assert dataset.SOPInstanceUID == f"{study}.1.{instance}"
    assert "PixelData" in dataset


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png"])
def test_picture_by_wado_uri(gateway: Gateway, content_type: str) -> None:
    answer = gateway.ask(wado(STUDY_A, "2", contentType=content_type))

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type), answer.text
    assert Image.open(BytesIO(answer.content)).size == (COLUMNS, ROWS)


@pytest.mark.parametrize("path", ["", "/series/{0}.1", "/series/{0}.1/instances/{0}.1.2"])
def test_picture_in_the_size_and_window_that_is_asked_for(gateway: Gateway, path: str) -> None:
    """The study list's pictures; this Orthanc takes commas as they are alone."""
    answer = gateway.ask(f"/studies/{STUDY_A}{path.format(STUDY_A)}/rendered?viewport=24,16&window=40,400,linear")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg"), answer.text
    assert max(Image.open(BytesIO(answer.content)).size) <= 24


def test_other_patients_file_by_wado_uri_stays_closed(gateway: Gateway) -> None:
    """Orthanc itself answers WADO-URI with anybody's instance, by ``objectUID`` alone."""
    other = gateway.ask(wado(STUDY_B, "1", contentType="application/dicom"))
    alone = gateway.ask(f"/wado?requestType=WADO&objectUID={STUDY_B}.1.1")

    assert (other.status_code, alone.status_code) == (403, 400)


@pytest.mark.parametrize(
    "path",
    [
        "/studies",
        f"/studies/{STUDY_A}",
        f"/studies/{STUDY_A}/metadata",
        f"/studies/{STUDY_A}/series",
        FRAMES,
        wado(STUDY_A, "2", contentType="application/dicom"),
    ],
)
def test_head_decides_as_get_does(gateway: Gateway, path: str) -> None:
    """Orthanc says 404 to any HEAD below its DICOMweb root."""
    get, head = gateway.ask(path), gateway.ask(path, method="HEAD")
    other = gateway.ask(path.replace(STUDY_A, STUDY_B), method="HEAD")

    assert (get.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["Content-Type"].split(";")[0] == get.headers["Content-Type"].split(";")[0]
    assert other.status_code == (200 if path == "/studies" else 403)


def test_instance_alone_is_one_file(gateway: Gateway) -> None:
    answer = gateway.ask(FRAMES.partition("/frames")[0], Accept="application/dicom")

    assert answer.status_code == 200, answer.text
    assert pydicom.dcmread(BytesIO(answer.content)).SOPInstanceUID == f"{STUDY_A}.1.2"


def test_transfer_syntax_that_orthanc_does_not_make_is_406(gateway: Gateway) -> None:
    """Orthanc itself answers 400 or 500, by version (§8 of the requirements)."""
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.4.103'

    assert gateway.ask(FRAMES, Accept=accept).status_code == 406
    assert gateway.ask(FRAMES, Accept=accept.replace("1.2.840.10008.1.2.4.103", "*")).status_code == 200


def test_accept_with_several_types_is_served(gateway: Gateway) -> None:
    """This Orthanc answers 400 to a list."""
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*, */*; q=0.1'

    assert gateway.ask(FRAMES, Accept=accept).status_code == 200
