"""What is marked in patient A's current CT: the radiologist's key images (KO) and the nodule's segmentation (SEG)."""

from datetime import date
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from ehr_sandbox.demo_study import uid_of
from ehr_sandbox.patients import DemoData, build_demo
from tests.synced_studies import synced_demo

SLICES = 8
STUDY = "demo-a-ct-current"


def build(directory: Path) -> DemoData:
    base, day, only = "http://127.0.0.1:8001/fhir", date(2026, 11, 21), frozenset({"demo-a"})
    return build_demo(directory, demo_day=day, fhir_base=base, only=only, slices=SLICES)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo-marks")


@pytest.fixture(scope="module")
def demo(directory: Path) -> DemoData:
    return build(directory)


def marked(directory: Path, name: str) -> Dataset:
    return pydicom.dcmread(directory / STUDY / f"{name}.dcm")


def test_key_images_are_two_slices_of_the_study_with_title_and_description(demo: DemoData, directory: Path) -> None:
    selection = marked(directory, "key-images")
    items = list(selection.ContentSequence)
    chosen = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items if item.ValueType == "IMAGE"]
    slices = {pydicom.dcmread(path).SOPInstanceUID for path in (directory / STUDY).glob("ct-*.dcm")}

    assert selection.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.59"
    assert selection.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert [item.TextValue for item in items if item.ValueType == "TEXT"] == [
        "Growing solid nodule in the right upper lobe: 9.0 mm, was 6.0 mm a year ago."
    ]
    assert chosen[0] == demo.nodules[STUDY].sop_instance_uid
    assert len(chosen) == 2
    assert set(chosen) <= slices
    assert selection.SeriesDate + selection.SeriesTime == "20261118120200.000000"


def test_segmentation_has_the_size_and_place_of_the_nodule(demo: DemoData, directory: Path) -> None:
    mark = demo.nodules[STUDY]
    seg = highdicom.seg.segread(directory / STUDY / "nodule-seg.dcm")
    frames = seg.get_pixels_by_source_instance([mark.sop_instance_uid], combine_segments=True)[0]
    rows, columns = np.nonzero(frames)

    assert seg.get_segment_description(1).segmented_property_type.value == "27925004"
    assert seg.get_tracking_ids()[0][0] == "Nodule 1"
    assert (columns.mean(), rows.mean()) == pytest.approx((mark.column, mark.row), abs=0.6)
    assert (np.ptp(columns) + 1) * 0.703125 == pytest.approx(9.6, abs=1.0)
    assert 3 <= seg.NumberOfFrames <= 5
    assert seg.FrameOfReferenceUID == marked(directory, "ct-001").FrameOfReferenceUID


def test_the_chart_lists_both_as_series_of_their_own(demo: DemoData, directory: Path) -> None:
    (study,) = [one for one in synced_demo(demo, directory).of("ImagingStudy") if one["id"] == uid_of(STUDY)]
    series = {one["modality"]["code"]: one for one in study["series"]}

    assert list(series) == ["CT", "SR", "SEG", "KO"]
    assert [one["code"] for one in study["modality"]] == ["CT", "KO", "SEG", "SR"]
    assert study["numberOfInstances"] == SLICES + 3
    for modality, name in (("SR", "ai-sr"), ("SEG", "nodule-seg"), ("KO", "key-images")):
        made = marked(directory, name)
        assert series[modality]["uid"] == made.SeriesInstanceUID
        assert series[modality]["description"] == made.SeriesDescription
        assert series[modality]["number"] == made.SeriesNumber
        assert series[modality]["numberOfInstances"] == 1


def test_two_builds_mark_the_same_bytes(demo: DemoData, directory: Path, tmp_path: Path) -> None:
    build(tmp_path)

    for name in ("ai-sr", "nodule-seg", "key-images"):
        again = tmp_path / STUDY / f"{name}.dcm"
        assert again.read_bytes() == (directory / STUDY / f"{name}.dcm").read_bytes()
