"""``imaging-cds sync`` as an integration engineer types it: a small PACS and a FHIR store on sockets, settings in a file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from imaging_cds.cli import main
from imaging_cds.sync_printing import print_gone
from pacs_sync.settings import ResourceIds
from tests.conftest import CHECKOUT, free_port_number, serving
from tests.pacs_actors import STUDY_A, STUDY_B, STUDY_C, RunningPacs, Slice, a_running_pacs, write_demo
from tests.sync_actors import FhirServer, a_patient
from tests.sync_config import sync_config

TODAY = datetime.now(UTC).date()
STRAY = "2.25.4001"


@dataclass
class Site:
    """Patients A and B are known; study C and a study of today under an unknown number are in the archive too."""

    pacs: RunningPacs
    fhir: FhirServer
    config: Path

    def sync(self, *arguments: str) -> int:
        verb, *rest = arguments
        return main(["sync", verb, "--config", str(self.config), *rest])

    def store(self, image: Slice) -> None:
        """STOW-RS of one image."""
        content = BytesIO()
        image.dataset().save_as(content, enforce_file_format=True)
        part = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + content.getvalue() + b"\r\n--part--\r\n"
        kind = {
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=part',
            "Accept": "application/dicom+json",
        }
        assert self.pacs.session.post(f"{self.pacs.url}/studies", data=part, headers=kind, timeout=20).status_code == 200

    def statuses(self) -> dict[str, str]:
        found = self.fhir.all("ImagingStudy")
        return {one["identifier"][0]["value"].removeprefix("urn:oid:"): one["status"] for one in found}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    images, fhir = tmp_path / "images", FhirServer(directory=tmp_path / "fhir", port=free_port_number())
    write_demo(images)
    Slice(study_uid=STRAY, patient_id="STRAY-9", study_date=f"{TODAY:%Y%m%d}").write(images)
    fhir.directory.mkdir()
    config = tmp_path / "app.toml"
    with a_running_pacs(tmp_path / "pacs", images) as pacs, serving(fhir.app(), fhir.port):
        fhir.records.put(a_patient("pat-a", "DEMO-1001"))
        fhir.records.put(a_patient("pat-b", "DEMO-1002"))
        pace = "pace = { stable_s = 0, interval_s = 0.2, gone_s = 0 }"
        config.write_text(sync_config(tmp_path / "state", pacs.url, fhir.base, pace, ids=ResourceIds.STUDY_UID))
        store = Store.open(StateSettings(state_dir=tmp_path / "state"))
        store.migrate()
        store.close()
        yield Site(pacs, fhir, config)


def test_once_brings_what_is_new_and_says_what_it_did(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.store(Slice(study_uid="2.25.1009", patient_id="DEMO-1001", study_date=f"{TODAY:%Y%m%d}"))

    assert site.sync("once") == 0

    assert "2.25.1009" in site.statuses()
    assert STUDY_A not in site.statuses(), "an old study is for a back-fill"
    said = capsys.readouterr().out
    assert "main: 1 studies brought over" in said
    assert "1 newly held" in said
    assert "imaging-cds sync held" in said


def test_backfill_brings_past_days_and_a_second_one_writes_nothing(site: Site) -> None:
    assert site.sync("backfill", "--from", "2024-01-01") == 0
    assert site.statuses() == {STUDY_A: "available", STUDY_B: "available"}
    site.fhir.requests.clear()

    assert site.sync("backfill", "--from", "2024-01-01") == 0
    assert site.fhir.writes == []


def test_held_studies_are_listed_with_what_the_archive_says(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("backfill", "--from", "2024-01-01")
    capsys.readouterr()

    assert site.sync("held", "--json") == 0

    held = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["study"]: one["reason"] for one in held} == {STUDY_C: "no-patient", STRAY: "no-patient"}
    assert {one["patient"]["number"] for one in held} == {"DEMO-1003", "STRAY-9"}
    assert site.sync("held") == 0
    assert "STRAY-9" in capsys.readouterr().out


def test_a_person_says_whose_a_held_study_is_and_that_is_on_record(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("once")

    assert site.sync("held", "--study", STRAY, "--patient", "Patient/pat-b") == 0
    assert site.sync("once") == 0

    study = site.fhir.one("ImagingStudy")
    assert study["subject"]["reference"] == "Patient/pat-b"
    capsys.readouterr()
    assert main(["audit", "--config", str(site.config), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["action"], record["patient_id"], record["study_instance_uid"]) == ("study-assigned", "pat-b", STRAY)
    assert record["user"]
    assert site.sync("held", "--study", STRAY, "--patient", "pat-b") == 1, "nothing is held any more"
    assert site.sync("held", "--study", STRAY, "--forget") == 0
    site.sync("once")
    assert site.fhir.one("ImagingStudy")["status"] == "entered-in-error", "nobody knows any more whose it is"


def test_a_held_study_is_brought_once_the_ehr_knows_the_number(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("backfill", "--from", "2024-01-01")
    site.fhir.records.put(a_patient("pat-c", "DEMO-1003"))

    assert site.sync("held", "--retry") == 0
    assert site.sync("once") == 0

    assert site.statuses()[STUDY_C] == "available"


def test_reconcile_tells_then_mends(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("backfill", "--from", "2024-01-01")
    gone = site.fhir.records.read("ImagingStudy", STUDY_A)
    assert gone is not None
    site.fhir.records.put({**gone, "id": "2.25.999", "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.999"}]})
    site.fhir.records.delete("ImagingStudy", STUDY_B)
    capsys.readouterr()

    assert site.sync("reconcile") == 1
    assert "1 gone, 1 missing; 2 held" in capsys.readouterr().out
    assert site.statuses() == {STUDY_A: "available", "2.25.999": "available"}

    assert site.sync("reconcile", "--repair") == 0
    assert site.statuses() == {STUDY_A: "available", STUDY_B: "available", "2.25.999": "entered-in-error"}
    assert site.sync("reconcile") == 0


def test_files_are_brought_over_without_an_archive(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "from a disc"
    Slice(study_uid="2.25.5001").write(folder)
    (folder / "note.txt").write_text("no DICOM")

    assert site.sync("files", str(folder)) == 0

    assert site.statuses() == {"2.25.5001": "available"}
    said = capsys.readouterr().out
    assert "1 instances" in said
    assert "note.txt" in said
    assert site.sync("files", str(tmp_path / "nowhere")) == 2


def test_names_of_files_steer_no_terminal(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "disc"
    folder.mkdir()
    for name in (b"\x1b[31mred", b"no \xff name"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("no DICOM")

    assert site.sync("files", str(folder)) == 0

    said = capsys.readouterr().out
    assert "\ufffd[31mred" in said
    assert "no \ufffd name" in said


def test_status_says_how_everything_fares(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("backfill", "--from", "2024-01-01")
    capsys.readouterr()

    assert site.sync("status", "--json") == 0

    status = json.loads(capsys.readouterr().out)
    assert (status["sync"], status["waiting"], status["held"]["no-patient"], status["dead"]) == ("main", 0, 2, 0)
    assert status["outcomes"]["done"] == 2
    assert site.sync("status") == 0
    assert site.sync("dead") == 0
    assert "no study was laid aside" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("once", "--name", "other"), "no [[sync]] named 'other'; there are: main"),
        (("backfill", "--from", "2026-02-01", "--to", "2026-01-01"), "later than"),
        (("held", "--patient", "pat-a"), "--study"),
        (("held", "--study", "no uid"), "not a UID"),
        (("held", "--study", STRAY, "--patient", "pat-a", "--retry"), "exclude each other"),
    ],
    ids=["name", "days", "no-study", "no-uid", "too-much"],
)
def test_what_cannot_be_is_told_in_words(
    site: Site, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    assert site.sync(*arguments) == 2
    assert told in capsys.readouterr().err


def test_watch_brings_what_comes_and_ends_on_sigterm(site: Site) -> None:
    command = [sys.executable, "-m", "imaging_cds", "sync", "watch", "--config", str(site.config)]
    process = subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"}, stderr=subprocess.PIPE)
    try:
        site.store(Slice(study_uid="2.25.6001", study_date=f"{TODAY:%Y%m%d}"))
        deadline = time.monotonic() + 60
        while "2.25.6001" not in site.statuses() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert site.statuses()["2.25.6001"] == "available"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors.decode()
    assert b"Traceback" not in errors
    assert b"DEMO-" not in errors, "no patient's number stands in a log"


def test_a_patients_id_that_is_none_is_told_and_retries_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("once")
    for odd in ("", "Patient/", "../Patient?x=1", "a b"):
        assert site.sync("held", "--study", STRAY, "--patient", odd) == 2
        assert "not a Patient's logical id" in capsys.readouterr().err
    site.fhir.requests.clear()
    site.sync("once")
    assert site.fhir.requests == [], "it still waits for a person"


def test_one_that_fails_is_named_and_does_not_keep_the_others_from_working(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    words = site.config.read_text()
    broken = words.partition("[[sync]]")[2].replace('"main"', '"aside"')
    nowhere = f'[[pacs]]\nname = "aside"\ndicomweb_root = "http://127.0.0.1:{free_port_number()}/dicom-web"\n'
    site.config.write_text(words.replace("[[sync]]", f"{nowhere}[[sync]]{broken}\n[[sync]]"))
    site.store(Slice(study_uid="2.25.1010", patient_id="DEMO-1001", study_date=f"{TODAY:%Y%m%d}"))

    assert site.sync("once") == 1

    said = capsys.readouterr()
    assert "imaging-cds: sync aside: The server could not be reached. (http://127.0.0.1:" in said.err
    assert "main: 1 studies brought over" in said.out
    assert "2.25.1010" in site.statuses()


def test_a_second_ctrl_c_ends_at_once_though_the_archive_is_silent(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        site.config.write_text(site.config.read_text().replace(site.pacs.url, f"http://127.0.0.1:{port}/dicom-web"))
        command = [sys.executable, "-m", "imaging_cds", "sync", "once", "--config", str(site.config)]
        process = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE)
        try:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert b"once more" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=5) == 130
            connection.close()
        finally:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


def test_one_held_study_is_shown_alone_where_it_is_asked_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.sync("backfill", "--from", "2024-01-01")
    capsys.readouterr()
    assert site.sync("held", "--study", STRAY, "--json") == 0
    assert [json.loads(line)["study"] for line in capsys.readouterr().out.splitlines()] == [STRAY]


@pytest.mark.parametrize("day", ["0001-01-01", "1895-11-07", "31.1.2026", "2026-02-30"])
def test_a_day_that_is_none_or_before_all_images_is_told(site: Site, capsys: pytest.CaptureFixture[str], day: str) -> None:
    with pytest.raises(SystemExit) as ended:
        site.sync("backfill", "--from", day)
    assert ended.value.code == 2
    assert day in capsys.readouterr().err


def test_who_repairs_is_told_when_what_is_gone_is_withdrawn(capsys: pytest.CaptureFixture[str]) -> None:
    print_gone(3600.0)
    assert "has not been found for 60 minutes (pace.gone_s)" in capsys.readouterr().out
    print_gone(0.0)
    assert capsys.readouterr().out == ""
