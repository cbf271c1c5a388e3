"""Part-10 headers, the DICOM JSON Model (PS3.18 Annex F) and the archive's index."""

from __future__ import annotations

import json
import os
import random
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from ehr_sandbox.dicomweb_json import dataset_json, with_bulk_data_base
from ehr_sandbox.pacs_header import UnreadableInstance, read_header
from ehr_sandbox.pacs_index import PacsIndex
from tests.pacs_actors import COLUMNS, JPEG_LS, ROWS, STUDY_A, STUDY_B, Slice, a_report, pixels_of_frame, write_demo

NOTHING = (0, 0, 0)


def changes(index: PacsIndex, directory: Path) -> tuple[int, int, int]:
    outcome = index.import_directory(directory)
    return outcome.added, outcome.changed, outcome.removed


@pytest.fixture
def index(tmp_path: Path) -> PacsIndex:
    return PacsIndex(tmp_path / "data" / "index.sqlite3")


def test_f_2_values_are_written_by_their_vr() -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Grün^Jörg=合成"
    dataset.PatientID = ""
    dataset.InstanceNumber = "7"
    dataset.ImagePositionPatient = ["0.5", "-1", "2e1"]
    dataset.FrameIncrementPointer = 0x00181063
    dataset.ImageType = ["ORIGINAL", "", "AXIAL"]
    dataset.RealWorldValueSlope = float("nan")
    dataset.RequestAttributesSequence = Sequence([Dataset()])
    dataset.ICCProfile = b"\1\2\3\4"

    model = dataset_json(dataset)

    assert model == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Grün^Jörg", "Ideographic": "合成"}]},
        "00100020": {"vr": "LO"},
        "00200013": {"vr": "IS", "Value": [7]},
        "00200032": {"vr": "DS", "Value": [0.5, -1.0, 20.0]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00282000": {"vr": "OB", "InlineBinary": "AQIDBA=="},
        "00400275": {"vr": "SQ", "Value": [{}]},
        "00409225": {"vr": "FD", "Value": ["nan"]},
    }


def test_f_2_6_large_binary_in_a_sequence_is_bulk_data_with_its_path() -> None:
    item, dataset = Dataset(), Dataset()
    item.add_new(0x00420011, "OB", b"x" * 2000)
    dataset.add_new(0x00420010, "ST", '"BulkDataURI":"@/ is text here')
    dataset.ReferencedImageSequence = Sequence([Dataset(), item])

    text = json.dumps(dataset_json(dataset), separators=(",", ":"))
    model = json.loads(with_bulk_data_base(text, "http://pacs.example/bulkdata"))

    bulk = model["00081140"]["Value"][1]["00420011"]
    assert bulk == {"vr": "OB", "BulkDataURI": "http://pacs.example/bulkdata/00081140/1/00420011"}
    assert model["00420010"]["Value"] == ['"BulkDataURI":"@/ is text here']


def test_f_2_one_damaged_element_does_not_hide_the_others(tmp_path: Path) -> None:
    path = Slice().write(tmp_path)
    # A decimal comma, as devices with a local number format have written it.
    path.write_bytes(path.read_bytes().replace(b"-1024.0 ", b"-1024,0 ", 1))

    model = json.loads(read_header(path).metadata)

    assert "Value" not in model["00281052"]
    assert model["00281053"]["Value"] == [1.0]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_ps3_5_7_1_pixels_are_found_in_every_native_encoding(tmp_path: Path, syntax: str) -> None:
    path = tmp_path / "a.dcm"
    dataset = Slice().dataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = pixels_of_frame(1).astype(">i2").tobytes()
    dcmwrite(path, dataset, enforce_file_format=True)

    pixels = read_header(path).pixels

    assert pixels is not None
    assert pixels.value_length == ROWS * COLUMNS * 2
    assert pixels.value_offset is not None
    stored = np.frombuffer(path.read_bytes()[pixels.value_offset :], dtype=">i2" if "2.2" in syntax else "<i2")
    assert np.array_equal(stored.reshape(ROWS, COLUMNS), pixels_of_frame(1))


def test_ps3_5_a_5_deflated_instance_has_pixels_but_no_positions(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = Slice().dataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)

    pixels = read_header(path).pixels

    assert pixels is not None
    assert pixels.value_offset is None


def test_report_has_no_pixels(tmp_path: Path) -> None:
    path = tmp_path / "report.dcm"
    a_report().save_as(path, enforce_file_format=True)

    assert read_header(path).pixels is None


def test_damaged_files_are_unreadable_and_never_a_crash(tmp_path: Path) -> None:
    whole = Slice().write(tmp_path).read_bytes()[:1500]
    path = tmp_path / "damaged.dcm"
    chance = random.Random(7)  # noqa: S311 - repeatable damage, not a secret
    for _ in range(150):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(chance.randrange(1, 12)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(bytes(damaged))
        with warnings.catch_warnings(action="ignore"), suppress(UnreadableInstance):
            read_header(path)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_instance_without_one_of_its_uids_is_unreadable(tmp_path: Path, keyword: str) -> None:
    path = tmp_path / "a.dcm"
    dataset = Slice().dataset()
    delattr(dataset, keyword)
    dataset.save_as(path, enforce_file_format=False)

    with pytest.raises(UnreadableInstance):
        read_header(path)


def test_import_is_idempotent_and_follows_the_files(tmp_path: Path, index: PacsIndex) -> None:
    dicom = tmp_path / "dicom"
    write_demo(dicom)
    (dicom / "notes.txt").write_text("no image")

    assert changes(index, dicom) == (9, 0, 0)
    assert changes(index, dicom) == NOTHING

    one = Slice(extra={"PatientID": "DEMO-1009"}).write(dicom)
    os.utime(one, ns=(1, 1))
    (dicom / "report.dcm").unlink()

    assert changes(index, dicom) == (0, 1, 1)
    with index.reading() as connection:
        patient, attributes = connection.execute(
            "SELECT patient_id, attributes FROM study WHERE study_uid = ?", (STUDY_A,)
        ).fetchone()
    assert patient == "DEMO-1009"
    assert json.loads(attributes)["00080061"]["Value"] == ["CT"]


def test_study_without_files_disappears(tmp_path: Path, index: PacsIndex) -> None:
    path = Slice(study_uid=STUDY_B).write(tmp_path / "dicom")
    index.import_directory(tmp_path / "dicom")
    path.unlink()

    assert changes(index, tmp_path / "dicom") == (0, 0, 1)
    with index.reading() as connection:
        assert connection.execute("SELECT count(*) FROM study").fetchone()[0] == 0
        assert connection.execute("SELECT count(*) FROM series").fetchone()[0] == 0


def test_second_file_of_the_same_instance_is_passed_over(tmp_path: Path, index: PacsIndex) -> None:
    Slice().write(tmp_path / "dicom" / "one")
    Slice(extra={"PatientID": "OTHER"}).write(tmp_path / "dicom" / "two")

    outcome = index.import_directory(tmp_path / "dicom")

    assert (outcome.added, outcome.unreadable) == (1, 1)


def test_directories_do_not_touch_each_other(tmp_path: Path, index: PacsIndex) -> None:
    Slice().write(tmp_path / "dicom")
    Slice(study_uid=STUDY_B).write(tmp_path / "dicom2")

    index.import_directory(tmp_path / "dicom2")
    assert changes(index, tmp_path / "dicom") == (1, 0, 0)
    assert changes(index, tmp_path / "dicom2") == NOTHING


def test_index_of_another_version_is_made_anew(tmp_path: Path, index: PacsIndex) -> None:
    Slice().write(tmp_path / "dicom")
    index.import_directory(tmp_path / "dicom")
    with index.writing() as connection:
        connection.execute("PRAGMA user_version = 99")

    assert changes(PacsIndex(tmp_path / "data" / "index.sqlite3"), tmp_path / "dicom") == (1, 0, 0)


def test_four_hundred_files_are_indexed_within_seconds(tmp_path: Path, index: PacsIndex) -> None:
    dataset = Slice(transfer_syntax=JPEG_LS).dataset()
    for number in range(400):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{STUDY_A}.1.{number}"
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)

    began = time.monotonic()
    assert changes(index, tmp_path)[0] == 400
    first = time.monotonic() - began
    began = time.monotonic()
    assert changes(index, tmp_path) == NOTHING

    assert first < 5.0  # measured 0.4 s on two idle cores
    assert time.monotonic() - began < 1.0
