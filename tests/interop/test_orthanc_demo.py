"""Debian's Orthanc as the archive of the demo (``--pacs``, ``--pacs-user``, ``--seed``; issue 2, item 9).

Needs ``apt-get install orthanc orthanc-dicomweb``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from ehr_sandbox.patients import alma
from tests.conftest import free_port_number
from tests.interop.orthanc_demos import DemosOnOrthanc
from tests.interop.orthanc_process import Orthanc
from tests.interop.outsiders import DemoProcess, a_demo, cli, curl, run_cli, studies_of, study_uid

pytest_plugins = ["tests.interop.orthanc_fixtures"]
pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]


@pytest.fixture(scope="module")
def demo(demos: DemosOnOrthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    with demos.run(a_demo, tmp_path_factory.mktemp("seeded") / "demo", "--seed") as running:
        yield running


def uid_of(demo: DemoProcess, patient: str) -> str:
    return study_uid(studies_of(demo.fhir, demo.token("--patient", patient), patient)[0])


def test_the_demo_patients_are_stored_and_nothing_else_is_started(demo: DemoProcess, orthanc: Orthanc) -> None:
    stored = orthanc.get("/statistics").json()

    # Patients A to F with ten studies, and patient F's stray study under a PatientID that nobody has.
    assert (stored["CountPatients"], stored["CountStudies"]) == (7, 11)
    assert stored["CountInstances"] > 400
    assert orthanc.dicomweb in demo.output
    with pytest.raises(requests.ConnectionError):
        curl("GET", f"http://127.0.0.1:{demo.ports[2]}/dicom-web/studies")


def test_the_record_has_the_studies_of_orthanc_and_one_waits_for_a_person(demo: DemoProcess) -> None:
    held, _ = cli("sync", "held", "--config", str(demo.directory / "app.toml"))
    described = [(len(studies_of(demo.fhir, demo.token("--patient", f"demo-{one}"), f"demo-{one}"))) for one in "abcdef"]

    assert described == [3, 1, 1, 1, 2, 2]
    assert "DEMO-106 " in held


def test_orthanc_has_no_tape_so_what_is_on_tape_elsewhere_is_online_there(demo: DemoProcess) -> None:
    studies = {study_uid(one): one for one in studies_of(demo.fhir, demo.token("--patient", "demo-a"), "demo-a")}
    radiograph = studies[alma.ON_TAPE.study_instance_uid]

    assert "extension" not in radiograph
    assert radiograph["endpoint"] == [{"reference": "Endpoint/demo"}]


def test_a_token_opens_its_patients_study_in_orthanc(demo: DemoProcess, orthanc: Orthanc) -> None:
    token, study = demo.token("--patient", "demo-a"), uid_of(demo, "demo-a")
    url = f"{demo.gateway}/studies/{study}"

    metadata = curl("GET", f"{url}/metadata", token, headers={"Accept": "application/dicom+json"})
    found = curl("GET", f"{demo.gateway}/studies?StudyInstanceUID={study}", token)
    series = curl("GET", f"{url}/series", token)

    assert metadata.status_code == found.status_code == series.status_code == 200
    assert found.json()[0]["00100020"]["Value"] == ["DEMO-1001"]
    assert orthanc.url not in metadata.text + found.text + series.text
    ct = next(one for one in metadata.json() if one["00080060"]["Value"] == ["CT"])
    uids = [ct[tag]["Value"][0] for tag in ("0020000E", "00080018")]
    frame = curl("GET", f"{url}/series/{uids[0]}/instances/{uids[1]}/frames/1", token)
    assert frame.status_code == 200
    pixels = frame.content.split(b"\r\n\r\n", 1)[1]
    assert len(pixels) > ct["00280010"]["Value"][0] * ct["00280011"]["Value"][0] * 2


def test_compressed_frames_come_from_orthanc_as_they_are_stored(demo: DemoProcess) -> None:
    """Orthanc would decompress on its own: the wildcard transfer syntax asks it not to (patient B is JPEG 2000)."""
    token, study = demo.token("--patient", "demo-b"), uid_of(demo, "demo-b")
    url = f"{demo.gateway}/studies/{study}"
    ct = curl("GET", f"{url}/metadata", token).json()[0]
    instance = f"{url}/series/{ct['0020000E']['Value'][0]}/instances/{ct['00080018']['Value'][0]}"
    accept = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'

    frame = curl("GET", f"{instance}/frames/1", token, headers={"Accept": accept})

    assert frame.status_code == 200
    assert b"\xff\x4f\xff\x51" in frame.content, "no JPEG 2000 codestream"


def test_patient_b_stays_closed_and_searches_are_narrowed(demo: DemoProcess) -> None:
    """W4, F7: the archive holds both, the token opens one."""
    token, foreign = demo.token("--patient", "demo-a"), uid_of(demo, "demo-b")

    for path in (f"studies/{foreign}/metadata", f"studies/{foreign}/series", f"studies/{foreign}"):
        assert curl("GET", f"{demo.gateway}/{path}", token).status_code == 403, path
    everything = curl("GET", f"{demo.gateway}/studies", token)
    assert {one["00100020"]["Value"][0] for one in everything.json()} == {"DEMO-1001"}
    asked = curl("GET", f"{demo.gateway}/studies?00100020=DEMO-1002", token)
    assert asked.status_code in (200, 204)
    assert asked.status_code == 204 or asked.json() == []


def test_the_archives_credential_stays_behind_the_gateway(demo: DemoProcess, orthanc: Orthanc) -> None:
    """The password is in no answer, file, log or command line; without it Orthanc opens nothing."""
    token, study = demo.token("--patient", "demo-a"), uid_of(demo, "demo-a")
    answer = curl("GET", f"{demo.gateway}/studies/{study}/metadata", token)
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in demo.children()]

    assert curl("GET", f"{orthanc.dicomweb}/studies").status_code == 401
    assert not {"authorization", "www-authenticate", "set-cookie"} & {name.lower() for name in answer.headers}
    assert orthanc.password not in answer.text + demo.output
    assert orthanc.password.encode() not in demo.everything_written()
    assert len(commands) >= 3
    assert not any(orthanc.password.encode() in command for command in commands)


def test_a_wrong_or_missing_password_is_said_before_anything_starts(orthanc: Orthanc, tmp_path: Path, viewer_dir: Path) -> None:
    ports = ("--port", str(free_port_number()), "--ehr-port", str(free_port_number()))
    here = ("demo", "--directory", str(tmp_path / "d"), "--viewer-dir", str(viewer_dir), *ports)

    wrong = run_cli(
        *here, f"--pacs={orthanc.dicomweb}", "--pacs-user=orthanc", code=1, environment={"IMAGING_CDS_PACS_PASSWORD": "no"}
    )
    missing = run_cli(*here, f"--pacs={orthanc.dicomweb}", "--pacs-user=orthanc", code=2)
    nobody = run_cli(*here, f"--pacs=http://127.0.0.1:{free_port_number()}/dicom-web", code=1)

    assert "HTTP 401" in wrong.stderr
    assert "--pacs-user" in wrong.stderr
    assert "IMAGING_CDS_PACS_PASSWORD" in missing.stderr
    assert "nothing answers" in nobody.stderr


def test_without_seed_an_archives_studies_come_all_the_same_and_nobody_waits_for_them(
    demo: DemoProcess, demos: DemosOnOrthanc, orthanc: Orthanc, tmp_path: Path
) -> None:
    """What an earlier demo stored there is found by name; the archive gets nothing new."""
    before = orthanc.get("/statistics").json()["CountInstances"]
    with demos.run(a_demo, tmp_path / "demo") as other:
        assert "have not come" not in other.output
        assert "with --seed they are" in other.output
        token = other.token("--patient", "demo-b")
        deadline = time.monotonic() + 60
        while not studies_of(other.fhir, token, "demo-b"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert orthanc.get("/statistics").json()["CountInstances"] == before
