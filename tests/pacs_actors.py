"""Synthetic DICOM files for tests of the sandbox PACS, and the PACS on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import requests
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

from ehr_sandbox.pacs import PacsSettings, create_pacs
from tests.conftest import free_port_number, serving

EXPLICIT = str(ExplicitVRLittleEndian)
JPEG_2000 = str(JPEG2000Lossless)
JPEG_LS = str(JPEGLSLossless)
ROWS, COLUMNS = 40, 48  # OpenJPEG refuses images below 32 pixels
STUDY_A, STUDY_B, STUDY_C = "2.25.1001", "2.25.2001", "2.25.3001"


def pixels_of_frame(number: int) -> np.ndarray:
    """Samples of the frame with that number: different in each frame and at each place."""
    ramp = np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS)
    return ramp + np.int16(100 * number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a synthetic file is made of; `frames` above one makes a multi-frame secondary capture."""

    study_uid: str = STUDY_A
    series: int = 1
    number: int = 1
    frames: int = 1
    patient_id: str = "DEMO-1001"
    patient_name: str = "Synthetic^Alma"
    study_date: str = "20260105"
    transfer_syntax: str = EXPLICIT
    extra: dict[str, object] = field(default_factory=dict)

    @property
    def series_uid(self) -> str:
        return f"{self.study_uid}.{self.series}"

    @property
    def sop_uid(self) -> str:
        return f"{self.series_uid}.{self.number}"

    def dataset(self) -> FileDataset:
        """The whole image."""
        made = _patient_and_study(self)
        made.SOPClassUID = CTImageStorage if self.frames == 1 else MultiFrameGrayscaleWordSecondaryCaptureImageStorage
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.Modality = "CT" if self.frames == 1 else "OT"
        if self.frames > 1:
            made.NumberOfFrames = self.frames
        _add_pixels(made, np.stack([pixels_of_frame(self.number + i) for i in range(self.frames)]))
        for keyword, value in self.extra.items():
            setattr(made, keyword, value)
        if self.transfer_syntax in (JPEG_2000, JPEG_LS):
            made.compress(self.transfer_syntax, generate_instance_uid=False)
        return made

    def write(self, directory: Path) -> Path:
        """The file, named by its UIDs."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.sop_uid}.dcm"
        self.dataset().save_as(path, enforce_file_format=True)
        return path

    def of(self, **changes: object) -> Slice:
        return replace(self, **changes)  # type: ignore[arg-type]


def a_report(study_uid: str = STUDY_A, *, series: int = 9) -> FileDataset:
    """A structured report without pixels."""
    made = _patient_and_study(Slice(study_uid=study_uid, series=series))
    made.SOPClassUID = BasicTextSRStorage
    made.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    made.Modality = "SR"
    made.ValueType = "CONTAINER"
    text = Dataset()
    text.RelationshipType = "CONTAINS"
    text.ValueType = "TEXT"
    text.TextValue = "Synthetic nodule, 9 mm"
    made.ContentSequence = Sequence([text])
    return made


def _patient_and_study(asked: Slice) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = asked.sop_uid
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SpecificCharacterSet = "ISO_IR 100"
    made.SOPInstanceUID = asked.sop_uid
    made.StudyInstanceUID = asked.study_uid
    made.SeriesInstanceUID = asked.series_uid
    made.StudyDate, made.StudyTime, made.StudyID = asked.study_date, "101500", "S1"
    made.AccessionNumber = f"ACC-{asked.study_uid[-4:]}"
    made.ReferringPhysicianName = "Müller^Grün"
    made.PatientName, made.PatientID = asked.patient_name, asked.patient_id
    made.IssuerOfPatientID = "DEMO"
    made.PatientBirthDate, made.PatientSex = "19640101", "F"
    made.StudyDescription = "CT chest"
    made.SeriesDescription = f"Series {asked.series}"
    made.SeriesNumber, made.InstanceNumber = asked.series, asked.number
    made.TimezoneOffsetFromUTC = "+0100"
    request = Dataset()
    request.RequestedProcedureID = f"RP-{asked.series}"
    request.ScheduledProcedureStepID = "SPS-1"
    made.RequestAttributesSequence = Sequence([request])
    return made


def _add_pixels(made: FileDataset, frames: np.ndarray) -> None:
    made.Rows, made.Columns = ROWS, COLUMNS
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleIntercept, made.RescaleSlope = -1024, 1
    made.WindowCenter, made.WindowWidth = -600, 1500
    made.PixelSpacing = [0.7, 0.7]
    made.PixelData = frames.astype("<i2").tobytes()
    made["PixelData"].VR = "OW"


def write_demo(directory: Path) -> None:
    """Three studies: A with two CT series and a report, B in JPEG 2000, C in JPEG-LS and multi-frame."""
    for number in (1, 2, 3):
        Slice(number=number).write(directory)
    Slice(series=2).write(directory)
    a_report().save_as(directory / "report.dcm", enforce_file_format=True)
    bruno = Slice(study_uid=STUDY_B, patient_id="DEMO-1002", patient_name="Synthetic^Bruno", study_date="20250301")
    bruno.of(transfer_syntax=JPEG_2000).write(directory)
    clara = Slice(study_uid=STUDY_C, patient_id="DEMO-1003", patient_name="Synthetic^Clara", study_date="20240630")
    clara.of(transfer_syntax=JPEG_LS).write(directory)
    clara.of(series=2, frames=3).write(directory)
    clara.of(series=3, frames=3, transfer_syntax=JPEG_LS).write(directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPacs:
    """A PACS that answers on a socket."""

    url: str
    session: requests.Session

    def get(self, path: str, accept: str | None = None, **options: object) -> requests.Response:
        headers = {"Accept": accept} if accept is not None else {}
        headers |= options.pop("headers", {})  # type: ignore[arg-type]
        return self.session.get(f"{self.url}{path}", headers=headers, timeout=20, **options)  # type: ignore[arg-type]


@contextmanager
def a_running_pacs(data_dir: Path, *import_dirs: Path, **settings: object) -> Iterator[RunningPacs]:
    """A PACS over the directories, on a free port, for as long as the context lasts."""
    port = free_port_number()
    url = f"http://127.0.0.1:{port}/dicom-web"
    app = create_pacs(PacsSettings(base_url=url, data_dir=data_dir, import_dirs=import_dirs, **settings))  # type: ignore[arg-type]
    with serving(app, port), requests.Session() as session:
        yield RunningPacs(url=url, session=session)


def parts_of(response: requests.Response) -> list[tuple[str, bytes]]:
    """Content-Type and body of each part of a multipart answer."""
    boundary = response.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    assert response.content.endswith(b"--" + boundary + b"--\r\n")
    found = []
    for part in (b"\r\n" + response.content).split(b"\r\n--" + boundary)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().strip().split("\r\n"))
        assert int(fields.get("Content-Length", len(body))) == len(body)
        found.append((fields["Content-Type"], body))
    return found
