"""Headers of the demo's mammograms.

Spec: DICOM PS3.3 §A.27 (Digital Mammography X-Ray Image IOD, for presentation), §C.8.11.7 (Mammography Image Module);
PS3.16 CID 4014 (view), CID 4013 (breast).
"""

from datetime import timedelta

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import coded, file_meta, put_patient, put_study
from ehr_sandbox.demo_mammogram import DemoMammogram
from ehr_sandbox.demo_projection import BEGINS_AFTER, put_exposure, put_projection_series, put_twelve_bits
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
    put_projection_series(image, examination, start, "BREAST")
    _put_equipment(image)
    put_exposure(image, examination, start + BEGINS_AFTER + timedelta(seconds=75 * index), index)
    image.QualityControlImage = "NO"
    _put_view(image, *examination.projections[index])
    phantom = examination.phantom
    put_twelve_bits(image, (phantom.rows, phantom.columns), phantom.pixel_spacing, ("1400", "2800"))
    return image


def _put_equipment(image: Dataset) -> None:
    image.Manufacturer = "Imaging CDS"
    image.ManufacturerModelName = "Breast phantom"
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
