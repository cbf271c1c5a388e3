"""Headers of the demo's CT images.

Everything that a slice's header says is computed from the examination and the calendar; only the pixels are expensive,
and they do not depend on dates.
Spec: DICOM PS3.3 §A.3 (CT Image IOD), §C.8.2.1 (CT Image Module), §C.7.6.2 (Image Plane Module).
"""

from datetime import date, datetime, timedelta

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, CTImageStorage

from ehr_sandbox.demo_study import (
    ACCESSION_SYSTEM,
    INSTITUTION,
    ISSUER_OF_PATIENT_ID,
    MRN_SYSTEM,
    DemoCalendar,
    DemoCtScan,
    DemoExamination,
)
from ehr_sandbox.phantom_scan import LOWEST_HU

REFERRING_PHYSICIAN = "Generalist^Gwen^^Dr"
_SCAN_SPEED_MM_S = 40.0


def dicom_date(day: date) -> str:
    """A DA value."""
    return day.strftime("%Y%m%d")


def dicom_time(moment: datetime) -> str:
    """A TM value of fixed length."""
    return moment.strftime("%H%M%S.%f")


def age_string(born: date, day: date) -> str:
    """An AS value: completed years."""
    years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return f"{years:03d}Y"


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def ct_header(ct: DemoCtScan, calendar: DemoCalendar, index: int) -> Dataset:
    """The complete data set of one slice without its PixelData."""
    image = Dataset()
    image.file_meta = file_meta(ct, index)
    image.SpecificCharacterSet = "ISO_IR 192"
    start = calendar.at(ct.days_ago, ct.clock)
    put_patient(image, ct, calendar)
    put_study(image, ct, start)
    _put_series(image, ct, start)
    _put_equipment(image, ct)
    _put_acquisition(image, ct, start, index)
    _put_plane(image, ct, index)
    _put_pixels(image, ct)
    return image


def file_meta(ct: DemoExamination, index: int) -> FileMetaDataset:
    """The file meta information of one image."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(ct.sop_class)
    meta.MediaStorageSOPInstanceUID = UID(ct.sop_instance_uid(index))
    meta.TransferSyntaxUID = UID(ct.transfer_syntax)
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return meta


def put_patient(image: Dataset, ct: DemoExamination, calendar: DemoCalendar) -> None:
    """Patient and Patient Study modules."""
    person = ct.person
    born = calendar.birth_date(person.age, person.birthday)
    image.PatientName = person.dicom_name
    image.PatientID = ct.patient_id or person.mrn
    image.IssuerOfPatientID = ISSUER_OF_PATIENT_ID
    issuer = Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = MRN_SYSTEM, "URI"
    image.IssuerOfPatientIDQualifiersSequence = [issuer]
    image.PatientBirthDate = dicom_date(born)
    image.PatientSex = person.sex
    image.PatientAge = age_string(born, calendar.at(ct.days_ago, ct.clock).date())
    image.PatientSize = f"{person.height_m:.2f}"
    image.PatientWeight = f"{person.weight_kg:.0f}"
    image.PatientIdentityRemoved = "NO"


def put_study(image: Dataset, ct: DemoExamination, start: datetime) -> None:
    """General Study module, with the issuer of the accession number, and the zone of all times."""
    image.TimezoneOffsetFromUTC = start.strftime("%z")
    image.StudyInstanceUID = ct.study_instance_uid
    image.StudyDate, image.StudyTime = dicom_date(start), dicom_time(start)
    image.StudyID = ct.accession.rpartition("-")[2]
    image.StudyDescription = ct.description
    image.AccessionNumber = ct.accession
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = ISSUER_OF_PATIENT_ID
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = ACCESSION_SYSTEM, "URI"
    image.IssuerOfAccessionNumberSequence = [issuer]
    image.ReferringPhysicianName = REFERRING_PHYSICIAN
    image.ProcedureCodeSequence = [coded(ct.procedure.code, ct.procedure.dicom_scheme, ct.procedure.display)]


def _put_series(image: Dataset, ct: DemoCtScan, start: datetime) -> None:
    begun = start + timedelta(minutes=2)
    image.Modality = "CT"
    image.SeriesInstanceUID = ct.series_instance_uid
    image.SeriesNumber = "2"
    image.SeriesDescription = ct.series_description
    image.SeriesDate, image.SeriesTime = dicom_date(begun), dicom_time(begun)
    image.ProtocolName = ct.description.title()
    image.BodyPartExamined = ct.body_part
    image.PatientPosition = "HFS"
    image.FrameOfReferenceUID = ct.frame_of_reference_uid
    image.PositionReferenceIndicator = ""
    put_request(image, ct)


def put_request(image: Dataset, ct: DemoExamination) -> None:
    """What was asked for, in the series."""
    request = Dataset()
    request.RequestedProcedureID = ct.accession
    request.RequestedProcedureDescription = ct.description
    request.ReasonForTheRequestedProcedure = ct.reason
    request.ScheduledProcedureStepID = ct.accession
    image.RequestAttributesSequence = [request]


def _put_equipment(image: Dataset, ct: DemoCtScan) -> None:
    image.Manufacturer = "Imaging CDS"
    image.ManufacturerModelName = f"{ct.region.display.capitalize()} phantom"
    image.InstitutionName = INSTITUTION
    image.StationName = "DEMOCT1"
    image.DeviceSerialNumber = "0001"
    image.SoftwareVersions = "1"
    image.KVP = str(ct.dose.kvp)
    image.XRayTubeCurrent = str(ct.dose.tube_current_ma)
    image.Exposure = str(ct.dose.exposure_mas)
    image.ExposureTime = "500"
    image.CTDIvol = ct.dose.ctdi_vol_mgy
    image.ConvolutionKernel = ct.dose.kernel
    image.FilterType = "BODY"
    image.GantryDetectorTilt = "0"
    image.ReconstructionDiameter = f"{ct.phantom.grid.columns * ct.phantom.grid.pixel_spacing:.1f}"
    image.DataCollectionDiameter = "500"
    image.RotationDirection = "CW"
    if ct.contrast:
        image.ContrastBolusAgent = "Iodinated contrast medium"
        image.ContrastBolusRoute = "IV"


def _put_acquisition(image: Dataset, ct: DemoCtScan, start: datetime, index: int) -> None:
    scanned = start + timedelta(minutes=2, seconds=index * ct.phantom.grid.slice_spacing / _SCAN_SPEED_MM_S)
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = ct.sop_instance_uid(index)
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.InstanceNumber = str(index + 1)
    image.AcquisitionNumber = "1"
    image.AcquisitionDate, image.AcquisitionTime = dicom_date(scanned), dicom_time(scanned)
    image.ContentDate, image.ContentTime = dicom_date(scanned), dicom_time(scanned)
    image.InstanceCreationDate, image.InstanceCreationTime = dicom_date(scanned), dicom_time(scanned)
    image.ImageComments = "Synthetic phantom, no real person"
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"


def _put_plane(image: Dataset, ct: DemoCtScan, index: int) -> None:
    grid = ct.phantom.grid
    z = grid.z(index)
    image.ImagePositionPatient = [f"{grid.first_x:.6f}", f"{grid.first_y:.6f}", f"{z:.3f}"]
    image.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    image.PixelSpacing = [f"{grid.pixel_spacing:.6f}", f"{grid.pixel_spacing:.6f}"]
    image.SliceThickness = f"{grid.slice_spacing:.2f}"
    image.SpacingBetweenSlices = f"{grid.slice_spacing:.2f}"
    image.SliceLocation = f"{z:.3f}"


def _put_pixels(image: Dataset, ct: DemoCtScan) -> None:
    """Twelve bits unsigned, the representation that every lossless codec takes."""
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = ct.phantom.grid.rows, ct.phantom.grid.columns
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = str(LOWEST_HU), "1", "HU"
    image.WindowCenter = [str(window.centre) for window in ct.windows]
    image.WindowWidth = [str(window.width) for window in ct.windows]
    image.WindowCenterWidthExplanation = [window.name for window in ct.windows]
