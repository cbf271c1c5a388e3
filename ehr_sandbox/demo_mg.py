"""Headers of the demo's mammograms.

Spec: DICOM PS3.3 §A.27 (Digital Mammography X-Ray Image IOD, for presentation), §C.8.11.7 (Mammography Image Module);
PS3.16 CID 4014 (view), CID 4013 (breast).
"""

from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import coded, dicom_date, dicom_time, file_meta, put_patient, put_request, put_study
from ehr_sandbox.demo_mammogram import DemoMammogram
from ehr_sandbox.demo_study import INSTITUTION, DemoCalendar
from ehr_sandbox.phantom_breast import Side, View

_VIEWS: dict[View, tuple[str, str]] = {
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}
# (towards the right edge, towards the lower edge): the nipple points to the left of the image in a right breast.
_ORIENTATION: dict[tuple[Side, View], list[str]] = {
    ("R", "CC"): ["P", "L"],
    ("L", "CC"): ["A", "R"],
    ("R", "MLO"): ["P", "FL"],
    ("L", "MLO"): ["A", "FR"],
}


def mg_header(examination: DemoMammogram, calendar: DemoCalendar, index: int) -> Dataset:
    """The complete data set of one view without its PixelData."""
    image = Dataset()
    image.file_meta = file_meta(examination, index)
    image.SpecificCharacterSet = "ISO_IR 192"
    start = calendar.at(examination.days_ago, examination.clock)
    put_patient(image, examination, calendar)
    put_study(image, examination, start)
    _put_series(image, examination, start)
    _put_equipment(image)
    _put_acquisition(image, examination, start, index)
    _put_view(image, *examination.projections[index])
    _put_pixels(image, examination)
    return image


def _put_series(image: Dataset, examination: DemoMammogram, start: datetime) -> None:
    begun = start + timedelta(minutes=2)
    image.Modality = examination.modality
    image.PresentationIntentType = "FOR PRESENTATION"
    image.SeriesInstanceUID = examination.series_instance_uid
    image.SeriesNumber = "2"
    image.SeriesDescription = examination.series_description
    image.SeriesDate, image.SeriesTime = dicom_date(begun), dicom_time(begun)
    image.ProtocolName = examination.description.title()
    image.BodyPartExamined = "BREAST"
    put_request(image, examination)


def _put_equipment(image: Dataset) -> None:
    image.Manufacturer = "Imaging CDS"
    image.ManufacturerModelName = "Synthetic breast phantom"
    image.InstitutionName = INSTITUTION
    image.StationName = "DEMOMG1"
    image.DeviceSerialNumber = "0002"
    image.SoftwareVersions = "1"
    image.KVP = "29"
    image.DetectorType = "DIRECT"
    image.DetectorConfiguration = "AREA"
    image.BodyPartThickness = "54"
    image.CompressionForce = "92"
    image.OrganExposed = "BREAST"
    image.AnodeTargetMaterial = "TUNGSTEN"
    image.FilterMaterial = "RHODIUM"


def _put_acquisition(image: Dataset, examination: DemoMammogram, start: datetime, index: int) -> None:
    exposed = start + timedelta(minutes=2, seconds=75 * index)
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
    image.QualityControlImage = "NO"


def _put_view(image: Dataset, side: Side, view: View) -> None:
    """Which breast from where."""
    image.ImageLaterality = side
    image.PatientOrientation = _ORIENTATION[side, view]
    image.AnatomicRegionSequence = [coded("76752008", "SCT", "Breast")]
    code, meaning = _VIEWS[view]
    projection = coded(code, "SCT", meaning)
    projection.ViewModifierCodeSequence = []
    image.ViewCodeSequence = [projection]
    image.ViewPosition = view
    image.PositionerType = "MAMMOGRAPHIC"
    image.PositionerPrimaryAngle = {"CC": "0", "MLO": "45" if side == "R" else "-45"}[view]
    image.BreastImplantPresent = "NO"
    image.PartialView = "NO"


def _put_pixels(image: Dataset, examination: DemoMammogram) -> None:
    """Twelve bits, white is dense, ready to be displayed."""
    phantom = examination.phantom
    spacing = [f"{phantom.pixel_spacing:.3f}"] * 2
    image.ImagerPixelSpacing = spacing
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = phantom.rows, phantom.columns
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = -1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = "1400", "2800"
    image.AcquisitionContextSequence = []
