"""``imaging-cds export STUDY --deidentify``: from an archive on a socket into a folder (clinical rules 11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydicom import dcmread, dcmwrite

from ehr_sandbox.demo_ct import ct_header
from ehr_sandbox.demo_derived import derived_series
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import alma
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from imaging_cds.cli import main
from tests.pacs_actors import STUDY_A, STUDY_C, Slice, a_running_pacs, write_demo

SCAN = alma.CURRENT


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    images = tmp_path / "images"
    write_demo(images)
    _with_ai_report(images)
    file = tmp_path / "app.toml"
    with a_running_pacs(tmp_path / "pacs", images) as pacs:
        file.write_text(
            f"""
public_base_url = "http://localhost:8000"
[state]
state_dir = "{tmp_path / "state"}"
[[ehr]]
name = "north"
fhir_base = "https://ehr.example/fhir"
[[pacs]]
name = "main"
dicomweb_root = "{pacs.url}"
[[sync]]
name = "main"
pacs = "main"
endpoint_address = "http://localhost:8000/imaging/north/dicom-web/main"
target = {{ fhir_base = "https://ehr.example/fhir" }}
"""
        )
        store = Store.open(StateSettings(state_dir=tmp_path / "state"))
        store.migrate()
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
    resources = [entry["resource"] for entry in json.loads((out / "fhir.json").read_text())["entry"]]
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

    record = json.loads(capsys.readouterr().out)
    assert (record["action"], record["study_instance_uid"], record["ehr"]) == ("study-exported", STUDY_A, "main")
    assert record["user"]


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
