"""Studies as DICOM files for the benchmarks of the synchronisation: headers as a CT writes them, pixels of no size."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SERIES_OF_STUDY = 2


def write_study(folder: Path, number: int, instances: int) -> Path:
    """One CT study of two series in a folder of its own; deterministic."""
    folder.mkdir(parents=True)
    for index in range(instances):
        image = header(number, index)
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        dcmwrite(folder / f"{index:04d}.dcm", image, enforce_file_format=True)
    return folder


def header(number: int, index: int) -> Dataset:
    """The data set of one image."""
    study, series = f"2.25.77.{number + 1}", index % SERIES_OF_STUDY + 1
    image = Dataset()
    image.SOPClassUID, image.Modality = CTImageStorage, "CT"
    image.StudyInstanceUID, image.SeriesInstanceUID = study, f"{study}.{series}"
    image.SOPInstanceUID = f"{study}.{series}.{index + 1}"
    image.FrameOfReferenceUID = f"{study}.9"
    image.PatientName, image.PatientID, image.IssuerOfPatientID = f"Synthetic^Bench {number}", f"BENCH-{number}", "BENCH"
    image.PatientBirthDate, image.PatientSex = "19700101", "O"
    image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20260315"
    image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "101500"
    image.TimezoneOffsetFromUTC = "+0100"
    image.AccessionNumber, image.StudyID = f"BENCH-{number}", str(number)
    image.ReferringPhysicianName, image.StudyDescription, image.SeriesDescription = (
        "Synthetic^Rita",
        "CT CHEST",
        f"AXIAL {series}",
    )
    image.SeriesNumber, image.InstanceNumber, image.BodyPartExamined = series, index + 1, "CHEST"
    image.Manufacturer, image.ManufacturerModelName, image.InstitutionName = "Imaging CDS", "Bench", "Synthetic Hospital"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, index * 2.5], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness, image.KVP = [0.7, 0.7], 2.5, 120
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns, image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 16, 12, 11
    image.PixelRepresentation, image.PixelData = 0, b"\0" * 128
    image.ProcedureCodeSequence = Sequence([_code("24627-2", "LN", "CT Chest")])
    return image


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
