"""Header of the demo's chest radiographs.

Spec: DICOM PS3.3 §A.26 (Digital X-Ray Image IOD, for presentation), §C.8.11 (DX modules); PS3.16 CID 4031 (anatomy).
"""

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import coded, file_meta, put_patient, put_study
from ehr_sandbox.demo_projection import BEGINS_AFTER, put_exposure, put_projection_series, put_twelve_bits
from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import INSTITUTION, DemoCalendar
from ehr_sandbox.phantom_radiograph import RadiographView


def dx_header(examination: DemoRadiograph, calendar: DemoCalendar, index: int) -> Dataset:
    """The complete data set of one view without its PixelData."""
    image = Dataset()
    image.file_meta = file_meta(examination, index)
    image.SpecificCharacterSet = "ISO_IR 192"
    start = calendar.at(examination.days_ago, examination.clock)
    put_patient(image, examination, calendar)
    put_study(image, examination, start)
    put_projection_series(image, examination, start, "CHEST")
    _put_equipment(image)
    put_exposure(image, examination, start + BEGINS_AFTER, index)
    view, phantom = examination.views[index], examination.phantom
    _put_view(image, examination, view)
    put_twelve_bits(image, (phantom.rows, phantom.columns_of(view)), phantom.pixel_spacing, ("2048", "4096"))
    return image


def _put_equipment(image: Dataset) -> None:
    image.Manufacturer = "Imaging CDS"
    image.ManufacturerModelName = "Chest phantom"
    image.InstitutionName = INSTITUTION
    image.StationName = "DEMODX1"
    image.DeviceSerialNumber = "0003"
    image.SoftwareVersions = "1"
    image.KVP = "110"
    image.DetectorType = "DIRECT"
    image.DetectorConfiguration = "AREA"


def _put_view(image: Dataset, examination: DemoRadiograph, view: RadiographView) -> None:
    """On the right of the image is the patient's left; from the side it is the back."""
    image.ImageLaterality = "U"
    image.PatientOrientation = ["P" if view is RadiographView.FROM_THE_SIDE else "L", "F"]
    image.AnatomicRegionSequence = [coded(examination.body_site.code, "SCT", examination.body_site.display)]
    image.ViewPosition = view.value
