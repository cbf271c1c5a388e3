"""``imaging-cds export STUDY --deidentify``: from an archive on a socket into a folder (clinical rules 11)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydicom import dcmread, dcmwrite

from ehr_sandbox.demo_ct import ct_header
from ehr_sandbox.demo_derived import derived_series
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import alma
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from imaging_cds.cli import main
from tests.bundle_references import references
from tests.pacs_actors import STUDY_A, STUDY_C, Slice, a_running_pacs, write_demo
from tests.sync_config import sync_config

SCAN = alma.CURRENT


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    images = tmp_path / "images"
    write_demo(images)
    _with_ai_report(images)
    file = tmp_path / "app.toml"
    with a_running_pacs(tmp_path / "pacs", images) as pacs:
        file.write_text(sync_config(tmp_path / "state", pacs.url, "https://ehr.example/fhir"))
        store = Store.open(StateSettings(state_dir=tmp_path / "state"))
        store.migrate()
        store.check_migrated()
        store.close()
        yield file


def _with_ai_report(images: Path) -> None:
    """The slice with the nodule, and the AI's report about it."""
    calendar = DemoCalendar(demo_day=date(2026, 11, 21))
    report = next(one for one in derived_series(SCAN) if one.modality == "SR")
    for name, dataset in (
        ("ai-slice", ct_header(SCAN, calendar, SCAN.nodule_slice)),
        ("ai-report", derived_object(report, SCAN, calendar, alma.AI_CLAIM)),
    ):
        dcmwrite(images / f"{name}.dcm", dataset, enforce_file_format=True)


def export(config: Path, study: str, *more: str) -> int:
    return main(["export", study, "--config", str(config), "--out", str(config.parent / "out"), *more])


def test_a_study_leaves_without_its_patient_and_with_its_fhir(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(config, SCAN.study_instance_uid, "--deidentify", "--retain-dates") == 0

    out = config.parent / "out"
    written = [dcmread(path) for path in sorted(out.glob("*.dcm"))]
    everything = b"".join(path.read_bytes() for path in out.iterdir())
    assert sorted(one.Modality for one in written) == ["CT", "SR"]
    assert not any(word in everything for word in (b"Alma", b"DEMO-1001", b"19640314", SCAN.study_instance_uid.encode()))
    bundle = json.loads((out / "fhir.json").read_text())
    get_fhir_model_class("Bundle").model_validate(bundle)
    assert set(references(bundle)) <= {entry["fullUrl"] for entry in bundle["entry"]}
    resources = [entry["resource"] for entry in bundle["entry"]]
    for one in resources:
        get_fhir_model_class(one["resourceType"]).model_validate(one)
    study = next(one for one in resources if one["resourceType"] == "ImagingStudy")
    observation = next(one for one in resources if one["resourceType"] == "Observation")
    assert study["identifier"][0]["value"] == f"urn:oid:{written[0].StudyInstanceUID}"
    assert study["numberOfInstances"] == 2
    assert study["subject"]["identifier"]["value"] == written[0].PatientID
    assert observation["status"] == "preliminary"
    assert observation["subject"]["reference"] == study["subject"]["reference"]
    assert "What was not done:" in capsys.readouterr().out


def test_what_left_the_house_is_on_record(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(config, STUDY_A, "--deidentify")
    capsys.readouterr()

    assert main(["audit", "--config", str(config), "--json"]) == 0

    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == 2, "before anything leaves, and how much it was"
    for record in records:
        assert (record["action"], record["study_instance_uid"], record["ehr"]) == ("study-exported", STUDY_A, "main")
        assert record["user"]
    assert {one.get("reason") for one in records} == {None, "5 instances written, 0 refused"}


def test_two_exports_of_one_study_are_the_same_study(config: Path) -> None:
    export(config, STUDY_A, "--deidentify")
    first = {path.name for path in (config.parent / "out").glob("*.dcm")}
    (config.parent / "out").rename(config.parent / "first")

    export(config, STUDY_A, "--deidentify")

    assert {path.name for path in (config.parent / "out").glob("*.dcm")} == first
    assert len(first) == 5


def test_pictures_that_may_name_somebody_stay_and_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(config, STUDY_C, "--deidentify") == 1

    said = capsys.readouterr().out
    assert "Refused: a picture of this kind (OT)" in said
    assert "Clara" not in said
    assert {dcmread(path).Modality for path in (config.parent / "out").glob("*.dcm")} == {"CT"}


@pytest.mark.parametrize(
    ("study", "more", "told"),
    [
        (STUDY_A, (), "say --deidentify"),
        ("no-uid", ("--deidentify",), "not a Study Instance UID"),
        (STUDY_A, ("--deidentify", "--pacs", "other"), "configured: main"),
    ],
    ids=["not-said", "no-uid", "no-archive"],
)
def test_what_cannot_be_is_told_in_words(
    config: Path, capsys: pytest.CaptureFixture[str], study: str, more: tuple[str, ...], told: str
) -> None:
    assert export(config, study, *more) == 2
    assert told in capsys.readouterr().err
    assert not (config.parent / "out").exists()


def test_a_study_that_is_not_there_and_a_full_folder_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(config, "2.25.404", "--deidentify") == 1
    assert "no such study" in capsys.readouterr().err
    Slice().write(config.parent / "out")
    assert export(config, STUDY_A, "--deidentify") == 1
    assert "not empty" in capsys.readouterr().err


def test_a_bad_file_and_a_file_that_is_gone_do_not_end_an_export(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[object] = [b"no DICOM", None, UpstreamError("The archive sent something else.", server="pacs")]
    whole = DicomwebClient.instance

    def instance(*arguments: Any) -> bytes | None:
        answer = answers.pop() if answers else whole(*arguments)
        if isinstance(answer, UpstreamError):
            raise answer
        assert answer is None or isinstance(answer, bytes)
        return answer

    monkeypatch.setattr(DicomwebClient, "instance", instance)

    assert export(config, STUDY_A, "--deidentify") == 1

    said = capsys.readouterr().out
    assert "2 instances written, 2 refused, 1 not there any more" in said
    assert "cannot be read as DICOM" in said
    assert "did not hand it out" in said


@pytest.mark.parametrize(
    "fault",
    [UpstreamError("The archive is not ready (HTTP 503).", server="pacs", retryable=True), KeyboardInterrupt()],
    ids=["away", "ctrl-c"],
)
def test_an_export_that_ends_early_says_what_was_written(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    whole, asked = DicomwebClient.instance, []

    def instance(*arguments: Any) -> bytes | None:
        asked.append(arguments)
        if len(asked) == 3:
            raise fault
        return whole(*arguments)

    monkeypatch.setattr(DicomwebClient, "instance", instance)

    assert export(config, STUDY_A, "--deidentify") in (1, 130)

    assert "2 instances written, 0 refused" in capsys.readouterr().out
    assert sorted(path.suffix for path in (config.parent / "out").iterdir()) == [".dcm", ".dcm", ".txt"]
    assert "ended early" in (config.parent / "out" / "ABOUT.txt").read_text()
    assert main(["audit", "--config", str(config), "--json"]) == 0
    assert "2 instances written" in capsys.readouterr().out


def test_the_key_is_private_and_a_broken_one_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(config, STUDY_A, "--deidentify")
    key = config.parent / "state" / "pseudonyms.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_bytes(b"short")
    assert main(["export", STUDY_A, "--config", str(config), "--out", str(config.parent / "two"), "--deidentify"]) == 2
    assert "at least 16 bytes" in capsys.readouterr().err


def test_without_dates_the_fhir_resources_name_none(config: Path) -> None:
    assert export(config, SCAN.study_instance_uid, "--deidentify") == 0

    said = (config.parent / "out" / "fhir.json").read_text()
    assert "0001-01-01" not in said
    assert "started" not in said
    assert not any(word in said for word in ("DEMO-", "Generalist", "Gwen", "Hospital", "SCREENING", "2026-"))
    for one in (entry["resource"] for entry in json.loads(said)["entry"]):
        get_fhir_model_class(one["resourceType"]).model_validate(one)


def test_a_folder_that_cannot_be_written_is_told(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (config.parent / "file").write_text("")
    below = str(config.parent / "file" / "out")
    assert main(["export", STUDY_A, "--config", str(config), "--out", below, "--deidentify"]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pacs_sync.deidentified_export.dcmwrite", full)
    assert export(config, STUDY_A, "--deidentify") == 1
    told = capsys.readouterr()
    assert "No space left on device" in told.err
    assert "0 instances written" in told.out


def test_nothing_leaves_while_the_audit_log_cannot_be_written(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(config.parent / "state" / SQLITE_FILE) as database:
        database.execute("ALTER TABLE audit_event RENAME TO mislaid")

    assert export(config, STUDY_A, "--deidentify") == 1

    said = capsys.readouterr().err
    assert "The audit log cannot be written" in said
    assert "nothing was exported" in said
    assert list((config.parent / "out").iterdir()) == []
