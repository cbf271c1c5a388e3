"""What the headers of the demo's projection radiographs share: the series, the exposure and twelve bits ready for display.

Spec: DICOM PS3.3 §C.8.11 (DX modules), which mammography for presentation shares.
"""

from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import dicom_date, dicom_time, put_request
from ehr_sandbox.demo_study import DemoExamination

BEGINS_AFTER = timedelta(minutes=2)
"""From the study's start to the first exposure."""


def put_projection_series(image: Dataset, examination: DemoExamination, start: datetime, body_part: str) -> None:
    """The series for presentation; ``body_part`` is a defined term of BodyPartExamined."""
    begun = start + BEGINS_AFTER
    image.Modality = examination.modality
    image.PresentationIntentType = "FOR PRESENTATION"
    image.SeriesInstanceUID = examination.series_instance_uid
    image.SeriesNumber = "2"
    image.SeriesDescription = examination.series_description
    image.SeriesDate, image.SeriesTime = dicom_date(begun), dicom_time(begun)
    image.ProtocolName = examination.description.title()
    image.BodyPartExamined = body_part
    put_request(image, examination)


def put_exposure(image: Dataset, examination: DemoExamination, exposed: datetime, index: int) -> None:
    """One exposure of the examination, its ``index`` counted from 0."""
    image.SOPClassUID = examination.sop_class
    image.SOPInstanceUID = examination.sop_instance_uid(index)
    image.ImageType = ["DERIVED", "PRIMARY"]
    image.InstanceNumber = str(index + 1)
    image.AcquisitionDate, image.AcquisitionTime = dicom_date(exposed), dicom_time(exposed)
    image.ContentDate, image.ContentTime = dicom_date(exposed), dicom_time(exposed)
    image.InstanceCreationDate, image.InstanceCreationTime = dicom_date(exposed), dicom_time(exposed)
    image.ImageComments = "Synthetic phantom, no real person"
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"


def put_twelve_bits(image: Dataset, size: tuple[int, int], pixel_spacing_mm: float, window: tuple[str, str]) -> None:
    """Rows and columns, spacing at the detector, and the window's centre and width; white is dense."""
    image.ImagerPixelSpacing = [f"{pixel_spacing_mm:.3f}"] * 2
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = size
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = -1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = window
    image.AcquisitionContextSequence = []
