"""Key images, measurements and segments of a study reach the page around the viewer, each with the slice that it is about."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    SegmentationStorage,
    generate_uid,
)

from smart_app import ohif
from tests.browser.ohif_actors import (
    NODULE_SLICE,
    SIZE,
    Launch,
    SmallChest,
    archive_of,
    running_viewer,
    viewer_app,
    viewer_config,
    write_small_chest,
)
from tests.browser.ohif_pixels import wait_for_picture
from tests.conftest import free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SEGMENT_SLICES = (4, 5, 6)


def coded(value: str, scheme: str, meaning: str) -> Sequence:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return Sequence([code])


def beside(chest: SmallChest, directory: Path, sop_class: str, modality: str, number: int) -> FileDataset:
    """An empty object in a series of its own in the chest's study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = dcmread(next(directory.glob("*.dcm")), stop_before_pixels=True)
    found = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    for keyword in ("PatientID", "PatientName", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(found, keyword, getattr(image, keyword))
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyDescription"):
        setattr(found, keyword, getattr(image, keyword))
    found.StudyInstanceUID, found.SeriesInstanceUID = chest.study, generate_uid()
    found.SOPClassUID, found.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    found.Modality, found.SeriesNumber, found.InstanceNumber = modality, number, 1
    return found


def image_item(uid: str) -> Dataset:
    item, reference = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = Sequence([reference])
    return item


def write_key_images(chest: SmallChest, directory: Path) -> None:
    """A key object selection of two slices by a person, with a description (PS3.16 TID 2010)."""
    document = beside(chest, directory, KeyObjectSelectionDocumentStorage, "KO", 90)
    document.SeriesDescription, document.ValueType = "Key images", "CONTAINER"
    document.ConceptNameCodeSequence = coded("113000", "DCM", "Of Interest")
    document.ContinuityOfContent = "SEPARATE"
    who, why = Dataset(), Dataset()
    who.RelationshipType, who.ValueType, who.PersonName = "HAS OBS CONTEXT", "PNAME", "Reader^Rita"
    who.ConceptNameCodeSequence = coded("121008", "DCM", "Person Observer Name")
    why.RelationshipType, why.ValueType, why.TextValue = "CONTAINS", "TEXT", "For the tumour board"
    why.ConceptNameCodeSequence = coded("113012", "DCM", "Key Object Description")
    images = [image_item(chest.instances[index]) for index in (NODULE_SLICE, 2)]
    document.ContentSequence = Sequence([who, why, *images])
    document.save_as(directory / "ko.dcm", enforce_file_format=True)


def write_segmentation(chest: SmallChest, directory: Path) -> None:
    """A segment by an algorithm on three slices; its frames name their source images (PS3.3 C.8.20)."""
    found = beside(chest, directory, SegmentationStorage, "SEG", 91)
    found.SeriesDescription, found.ContentLabel, found.SegmentationType = "Lung nodules", "NODULES", "BINARY"
    found.FrameOfReferenceUID = chest.frame_of_reference
    found.Rows = found.Columns = SIZE
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
    found.BitsAllocated = found.BitsStored = 1
    found.HighBit, found.NumberOfFrames = 0, len(SEGMENT_SLICES)
    segment = Dataset()
    segment.SegmentNumber, segment.SegmentLabel, segment.SegmentAlgorithmType = 1, "Nodule, left", "AUTOMATIC"
    segment.SegmentAlgorithmName = "Small Segmenter"
    segment.SegmentedPropertyTypeCodeSequence = coded("27925004", "SCT", "Nodule")
    found.SegmentSequence = Sequence([segment])
    found.PerFrameFunctionalGroupsSequence = Sequence([segment_frame(chest, index) for index in SEGMENT_SLICES])
    found.PixelData = np.zeros(SIZE * SIZE * len(SEGMENT_SLICES) // 8, dtype=np.uint8).tobytes()
    found.save_as(directory / "seg.dcm", enforce_file_format=True)


def segment_frame(chest: SmallChest, index: int) -> Dataset:
    frame, which, where, derived, source = (Dataset() for _ in range(5))
    which.ReferencedSegmentNumber = 1
    where.ImagePositionPatient = [-192.0, -192.0, -index * 2.5]
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", chest.instances[index]
    derived.SourceImageSequence = Sequence([source])
    frame.SegmentIdentificationSequence, frame.PlanePositionSequence = Sequence([which]), Sequence([where])
    frame.DerivationImageSequence = Sequence([derived])
    return frame


@pytest.fixture(scope="module")
def marked_chest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flask, SmallChest]:
    directory = tmp_path_factory.mktemp("marked")
    chest = write_small_chest(directory, ExplicitVRLittleEndian, "SMALL-marked")
    write_key_images(chest, directory)
    write_segmentation(chest, directory)
    return archive_of(tmp_path_factory.mktemp("pacs"), directory), chest


def objects_told(page: Page, wanted: int) -> dict[str, dict[str, Any]]:
    """The objects that the viewer told the page around it, by kind, once there are as many as wanted and all are placed."""
    deadline = time.monotonic() + 30
    objects: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        told = [one for one in page.evaluate("window.heard") if one.get("event") == "contents"]
        objects = told[-1]["objects"] if told else []
        if len(objects) >= wanted and all("instance" in item for one in objects for item in one["items"]):
            break
        page.wait_for_timeout(100)
    return {one["kind"]: one for one in objects}


def test_key_images_and_segments_name_their_slices(
    ohif_dir: Path, ohif_browser: Browser, marked_chest: tuple[Flask, SmallChest]
) -> None:
    """KO: title and each image; SEG: each segment with the slice of its middle; a jump shows it."""
    pacs, chest = marked_chest
    with running_viewer(ohif_dir, Launch(), pacs) as base:
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        address = base + ohif.viewer_path(viewer_config(base), chest.study)
        page.goto(f"{base}/parent?{urlencode({'address': address})}")
        [frame] = page.frames[1:]
        wait_for_picture(frame)
        objects = objects_told(page, 2)
        [segment] = objects["SEG"]["items"]
        page.evaluate(
            "(item) => document.querySelector('iframe').contentWindow.postMessage("
            "{ ...item, source: 'imaging-cds-page', type: 'jump' }, location.origin)",
            segment,
        )
        picture = wait_for_picture(frame, until=lambda one: one.sop_instance_uid == chest.instances[5])
        page.close()

    key_images = objects["KO"]
    assert key_images["title"] == "Of Interest: For the tumour board"
    assert key_images["author"] == "Reader, Rita"
    assert key_images["isUnsigned"] is False
    assert [one["instance"] for one in key_images["items"]] == [chest.instances[NODULE_SLICE], chest.instances[2]]
    assert [one["number"] for one in key_images["items"]] == [NODULE_SLICE + 1, 3]
    assert objects["SEG"]["title"] == "Lung nodules"
    assert objects["SEG"]["author"] == "Small Segmenter"
    assert objects["SEG"]["isUnsigned"] is True
    assert (segment["label"], segment["instance"]) == ("Nodule, left", chest.instances[5])
    assert picture.slice_index == 5


def test_a_patients_viewer_tells_of_no_markings(
    ohif_dir: Path, ohif_browser: Browser, marked_chest: tuple[Flask, SmallChest]
) -> None:
    """DESIGN §6: a patient or proxy gets no measurements and no unsigned AI, not even by asking the frame."""
    pacs, chest = marked_chest
    port = free_port_number()
    base = f"http://localhost:{port}"
    config = replace(viewer_config(base), shows_unsigned_ai=False)
    with serving(viewer_app(ohif_dir, Launch(), pacs, config), port, host="localhost"):
        page = ohif_browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{base}/parent?{urlencode({'address': base + ohif.viewer_path(config, chest.study)})}")
        wait_for_picture(page.frames[1])
        page.evaluate(
            "document.querySelector('iframe').contentWindow.postMessage("
            "{ source: 'imaging-cds-page', type: 'contents' }, location.origin)"
        )
        page.wait_for_timeout(1500)
        told = [one for one in page.evaluate("window.heard") if one.get("event") == "contents"]
        page.close()

    assert told == []
