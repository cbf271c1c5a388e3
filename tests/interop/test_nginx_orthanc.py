"""nginx takes the bytes of Debian's Orthanc over: what it passes on, and that Orthanc keeps its own hierarchy (issue 5).

Needs ``apt-get install orthanc orthanc-dicomweb nginx-light libnginx-mod-http-set-misc``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import requests
from flask import Flask

from fhir_imaging.settings import HandOver, PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_cds.nginx_plan import Mode, NginxOptions
from imaging_cds.settings import from_table
from imaging_server.handover import handover_key
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc
from tests.nginx_actors import FILES, OCTETS, Nginx, me, running_nginx
from tests.pacs_actors import STUDY_A, STUDY_B, STUDY_C, write_demo
from tests.security.gateway_stubs import StubEhr

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]

SERIES_A = f"/studies/{STUDY_A}/series/{STUDY_A}.1"
INSTANCE_A = f"{SERIES_A}/instances/{STUDY_A}.1.2"
OF_B = f"instances/{STUDY_B}.1.1"
MISMATCHED = [
    (f"{SERIES_A}/{OF_B}/frames/1", OCTETS),
    (f"{SERIES_A}/{OF_B}", FILES),
    (f"/studies/{STUDY_A}/series/{STUDY_B}.1/{OF_B}/frames/1", OCTETS),
    (f"/studies/{STUDY_A}/series/{STUDY_B}.1/{OF_B}", FILES),
    (f"/studies/{STUDY_A}/series/{STUDY_B}.1", FILES),
    (f"/studies/{STUDY_B}/series/{STUDY_A}.1/instances/{STUDY_A}.1.2/frames/1", OCTETS),
]


@dataclass
class Front:
    """nginx before the gateway before Orthanc, for patients a, b and c."""

    nginx: Nginx
    behind: str
    ehr: StubEhr
    orthanc: Orthanc
    mode: Mode

    def ask(self, path: str, accept: str, *, patient: str = "a", past_nginx: bool = False) -> requests.Response:
        base = self.behind if past_nginx else self.nginx.url
        sent = {"Authorization": f"Bearer {self.ehr.token(patient)}", "Accept": accept}
        with requests.Session() as session:
            return session.get(f"{base}/imaging/north/dicom-web/orthanc{path}", headers=sent, timeout=20)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        directory = tmp_path_factory.mktemp("demo")
        write_demo(directory)
        with running.session() as session:
            for path in sorted(directory.rglob("*.dcm")):
                session.post(f"{running.url}/instances", data=path.read_bytes(), timeout=20).raise_for_status()
        yield running


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def front(request: pytest.FixtureRequest, orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    directory: Path = tmp_path_factory.mktemp("front")
    listen, port = f"127.0.0.1:{free_port_number()}", free_port_number()
    with ExitStack() as stack:
        ehr = StubEhr("north")
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))
        ehr.studies.update({STUDY_A: "a", STUDY_B: "b", STUDY_C: "c"})
        store = Store.open(StateSettings(state_dir=directory / "state"))
        stack.callback(store.close)
        store.migrate()
        public = f"http://{listen}"
        named = {"name": "orthanc", "dicomweb_root": orthanc.dicomweb, "user": USER, "password": orthanc.password}
        archive = PacsSettings(**named, hand_over=HandOver.RETRIEVALS, keeps_hierarchy=True)
        services = build_services(
            ImagingServerSettings(public_base_url=public, handed_decision_s=10), (ehr.settings(),), (archive,), store=store
        )
        stack.callback(services.close)
        app = Flask("gateway", static_folder=None)
        install(app, [error_surface(services)])
        app.register_blueprint(create_blueprint(services))
        behind = stack.enter_context(serving(app, port))
        settings = from_table(
            {
                "public_base_url": public,
                "state": {"state_dir": str(directory / "state")},
                "imaging_server": {"handed_decision_s": 10},
                "ehr": [{"name": "north", "fhir_base": ehr.fhir_base}],
                "pacs": [{**named, "hand_over": "retrievals", "keeps_hierarchy": True}],
            }
        )
        options = NginxOptions(mode=request.param, listen=listen, apps=(f"127.0.0.1:{port}",), user=me())
        nginx = stack.enter_context(running_nginx(settings, options, handover_key(store.sealer), directory / "nginx"))
        yield Front(nginx, behind, ehr, orthanc, request.param)


@pytest.mark.parametrize(("path", "accept"), MISMATCHED)
def test_orthanc_keeps_its_hierarchy(orthanc: Orthanc, path: str, accept: str) -> None:
    """Group 10: what ``keeps_hierarchy = true`` says of Orthanc; a decision by series needs it."""
    with orthanc.session() as session:
        answer = session.get(f"{orthanc.dicomweb.rstrip('/')}{path}", headers={"Accept": accept}, timeout=20)

    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(("path", "accept"), MISMATCHED)
def test_instances_of_another_study_stay_closed(front: Front, path: str, accept: str) -> None:
    """Also after the series was opened, so that nginx keeps its decision."""
    assert front.ask(f"{INSTANCE_A}/frames/1", OCTETS).status_code == 200

    answer = front.ask(path, accept)

    assert answer.status_code == 403
    assert "Orthanc" not in answer.text


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"{INSTANCE_A}/frames/1", OCTETS),
        (f"{INSTANCE_A}/frames/1,1", OCTETS),
        (f"{INSTANCE_A}/frames/1", OCTETS.replace('"', "")),
        (INSTANCE_A, FILES),
        (SERIES_A, FILES),
        (f"/studies/{STUDY_A}", FILES),
    ],
)
def test_parts_are_those_that_the_gateway_gives(front: Front, path: str, accept: str) -> None:
    """Orthanc writes its own address into the parts of frames; callers read the gateway's."""
    through, past = front.ask(path, accept), front.ask(path, accept, past_nginx=True)

    assert through.status_code == past.status_code == 200, through.text
    assert parts_of(through) == parts_of(past)
    assert front.orthanc.url.encode() not in through.content
    assert "Content-Encoding" not in through.headers
    assert not {"Keep-Alive", "Set-Cookie"} & set(through.headers)


def test_frames_name_the_gateways_address(front: Front) -> None:
    answer = front.ask(f"{INSTANCE_A}/frames/1", OCTETS)

    location = f"Content-Location: {front.nginx.url}/imaging/north/dicom-web/orthanc{INSTANCE_A}/frames/1"
    assert location.encode() in answer.content


def test_nginx_asks_orthanc_itself(front: Front) -> None:
    path = f"{INSTANCE_A}/frames/1"
    front.ask(path, OCTETS)
    statuses = front.nginx.upstream_statuses(front.ask(path, OCTETS).headers["X-Request-Id"])

    # Each token is new: the application is asked, or makes a decision that stands in no list of upstreams.
    assert statuses == (["200", "200"] if front.mode is Mode.ACCEL else ["200"])


def test_file_is_the_stored_one(front: Front) -> None:
    (part,) = parts_of(front.ask(INSTANCE_A, FILES))

    assert pydicom.dcmread(BytesIO(part[1])).SOPInstanceUID == f"{STUDY_A}.1.2"


@pytest.mark.parametrize("patient", ["b", "c"])
def test_other_patients_open_nothing(front: Front, patient: str) -> None:
    assert front.ask(f"{INSTANCE_A}/frames/1", OCTETS, patient="a").status_code == 200

    assert front.ask(f"{INSTANCE_A}/frames/1", OCTETS, patient=patient).status_code == 403


def test_frame_that_is_not_there_is_told_in_our_words(front: Front) -> None:
    answer = front.ask(f"{INSTANCE_A}/frames/99", OCTETS)

    assert answer.status_code in (400, 404)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Orthanc" not in answer.text


def parts_of(answer: requests.Response) -> list[tuple[str | None, bytes]]:
    """Type and content of each part."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = message_from_bytes(head + answer.content)
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [(part["Content-Type"], part.get_payload(decode=True)) for part in parts]
