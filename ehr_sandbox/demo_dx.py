"""Header of the demo's chest radiographs.

Spec: DICOM PS3.3 §A.26 (Digital X-Ray Image IOD, for presentation), §C.8.11 (DX modules); PS3.16 CID 4031 (anatomy).
"""

from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import coded, dicom_date, dicom_time, file_meta, put_patient, put_request, put_study
from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import INSTITUTION, DemoCalendar


def dx_header(examination: DemoRadiograph, calendar: DemoCalendar, index: int) -> Dataset:
    """The complete data set of the view without its PixelData."""
    image = Dataset()
    image.file_meta = file_meta(examination, index)
    image.SpecificCharacterSet = "ISO_IR 192"
    start = calendar.at(examination.days_ago, examination.clock)
    put_patient(image, examination, calendar)
    put_study(image, examination, start)
    _put_series(image, examination, start)
    _put_equipment(image)
    _put_acquisition(image, examination, start, index)
    _put_view(image, examination)
    _put_pixels(image, examination)
    return image


def _put_series(image: Dataset, examination: DemoRadiograph, start: datetime) -> None:
    begun = start + timedelta(minutes=2)
    image.Modality = examination.modality
    image.PresentationIntentType = "FOR PRESENTATION"
    image.SeriesInstanceUID = examination.series_instance_uid
    image.SeriesNumber = "2"
    image.SeriesDescription = examination.series_description
    image.SeriesDate, image.SeriesTime = dicom_date(begun), dicom_time(begun)
    image.ProtocolName = examination.description.title()
    image.BodyPartExamined = "CHEST"
    put_request(image, examination)


def _put_equipment(image: Dataset) -> None:
    image.Manufacturer = "Imaging CDS"
    image.ManufacturerModelName = "Synthetic chest phantom"
    image.InstitutionName = INSTITUTION
    image.StationName = "DEMODX1"
    image.DeviceSerialNumber = "0003"
    image.SoftwareVersions = "1"
    image.KVP = "110"
    image.DetectorType = "DIRECT"
    image.DetectorConfiguration = "AREA"


def _put_acquisition(image: Dataset, examination: DemoRadiograph, start: datetime, index: int) -> None:
    exposed = start + timedelta(minutes=2)
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


def _put_view(image: Dataset, examination: DemoRadiograph) -> None:
    """The front of the chest, the patient's left on the right of the image."""
    image.ImageLaterality = "U"
    image.PatientOrientation = ["L", "F"]
    image.AnatomicRegionSequence = [coded(examination.body_site.code, "SCT", examination.body_site.display)]
    image.ViewPosition = examination.view


def _put_pixels(image: Dataset, examination: DemoRadiograph) -> None:
    """Twelve bits, white is dense, ready to be displayed."""
    phantom = examination.phantom
    image.ImagerPixelSpacing = [f"{phantom.pixel_spacing:.3f}"] * 2
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = phantom.rows, phantom.columns
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = -1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = "2048", "4096"
    image.AcquisitionContextSequence = []
