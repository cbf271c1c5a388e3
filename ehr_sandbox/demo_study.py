"""Who the demo's synthetic people are and which examinations they had: plain values for the DICOM and the FHIR writers."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from uuid import UUID, uuid5

from ehr_sandbox.phantom import ChestPhantom

MRN_SYSTEM = "https://imaging-cds.example/demo/mrn"
ACCESSION_SYSTEM = "https://imaging-cds.example/demo/accession"
ISSUER_OF_PATIENT_ID = "DEMO"
INSTITUTION = "Imaging CDS Demo Hospital"
SITE_ZONE = timezone(timedelta(hours=1))

_NAMESPACE = UUID("6f0e6b5e-6f6e-5d1c-9d49-7a5d0b7f3c11")


def uid_of(label: str) -> str:
    """The UID below 2.25 that belongs to a label for ever. Spec: DICOM PS3.5 §B.2 (UUID derived UID)."""
    return f"2.25.{uuid5(_NAMESPACE, label).int}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCalendar:
    """Moments of the demo, told in days before the demo day; all in the zone of the demo's hospital (UTC+1).

    The demo may start at any moment of its day (UTC), so what has happened has happened by the first of them, 00:00 UTC.
    "A few hours ago" therefore means "in the night before 00:00 UTC": at most 24 hours old as long as the day lasts, and
    never still to come.
    """

    demo_day: date

    def at(self, days_ago: int, clock: time) -> datetime:
        """The moment on that day."""
        return datetime.combine(self.demo_day - timedelta(days=days_ago), clock, tzinfo=SITE_ZONE)

    def birth_date(self, age: int, birthday: tuple[int, int]) -> date:
        """Date of birth of somebody who is `age` years old on the demo day and was born on (month, day)."""
        had_birthday = (self.demo_day.month, self.demo_day.day) >= birthday
        return date(self.demo_day.year - age - (0 if had_birthday else 1), *birthday)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """One code as it stands in FHIR and, by `dicom_scheme`, in DICOM."""

    system: str
    code: str
    display: str
    dicom_scheme: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPerson:
    """A fictional person. `key` is the FHIR logical id, `mrn` the PatientID within the issuer DEMO."""

    key: str
    mrn: str
    family: str
    given: str
    sex: str  # F or M
    age: int  # whole years on the demo day
    birthday: tuple[int, int]  # month, day
    height_m: float
    weight_kg: float

    @property
    def dicom_name(self) -> str:
        """Value of PatientName."""
        return f"{self.family}^{self.given}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDose:
    """How the scan was exposed: kV, mA, mAs per rotation and CTDIvol in mGy (32 cm phantom)."""

    kvp: int = 120
    tube_current_ma: int = 220
    exposure_mas: int = 110
    ctdi_vol_mgy: float = 7.4
    kernel: str = "SOFT-B30"


LOW_DOSE = DemoDose(kvp=100, tube_current_ma=50, exposure_mas=25, ctdi_vol_mgy=1.1, kernel="SOFT-B31")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCt:
    """One chest CT of a person: a study with one series of axial slices.

    `key` is the FHIR logical id of the ImagingStudy and the root of all its UIDs. `transfer_syntax` is how the pixels
    are stored. `with_ai_report` adds a TID 1500 SR series.
    """

    key: str
    person: DemoPerson
    days_ago: int
    clock: time
    accession: str
    description: str
    procedure: Coding
    phantom: ChestPhantom
    transfer_syntax: str
    dose: DemoDose = DemoDose()
    with_ai_report: bool = False

    @property
    def study_instance_uid(self) -> str:
        """(0020,000D)"""
        return uid_of(self.key)

    @property
    def series_instance_uid(self) -> str:
        """(0020,000E) of the axial series."""
        return uid_of(f"{self.key}/ct")

    @property
    def frame_of_reference_uid(self) -> str:
        """(0020,0052), a new one for every time the patient lay down."""
        return uid_of(f"{self.key}/frame-of-reference")

    @property
    def report_series_instance_uid(self) -> str:
        """(0020,000E) of the AI's structured report."""
        return uid_of(f"{self.key}/ai-sr")

    @property
    def report_sop_instance_uid(self) -> str:
        """(0008,0018) of the AI's structured report."""
        return uid_of(f"{self.key}/ai-sr/1")

    def sop_instance_uid(self, index: int) -> str:
        """(0008,0018) of the slice with this index. It follows the slice's height, so a shortened series keeps its UIDs."""
        return uid_of(f"{self.key}/ct/{self.phantom.grid.z(index):.1f}")

    @property
    def nodule_slice(self) -> int:
        """Index of the slice through the middle of the nodule."""
        return self.phantom.grid.nearest_slice(self.phantom.nodule.z)

    def shortened(self, slices: int | None) -> "DemoCt":
        """The same examination with only so many slices around the nodule, for tests that need no whole chest."""
        grid = self.phantom.grid
        if slices is None or slices >= grid.slices:
            return self
        first = min(max(self.nodule_slice - slices // 2, 0), grid.slices - slices)
        short = replace(grid, slices=slices, first_z=grid.z(first))
        return replace(self, phantom=replace(self.phantom, grid=short))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleMark:
    """Where a nodule is seen: the instance and the pixel of its centre.

    `column` and `row` count from 0.0 at the centre of the top left pixel.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    column: float
    row: float
    diameter_mm: float


def nodule_mark(ct: DemoCt) -> NoduleMark:
    """Where the nodule of an examination is seen best."""
    grid, nodule = ct.phantom.grid, ct.phantom.nodule
    return NoduleMark(
        study_instance_uid=ct.study_instance_uid,
        series_instance_uid=ct.series_instance_uid,
        sop_instance_uid=ct.sop_instance_uid(ct.nodule_slice),
        column=grid.column_of(nodule.x),
        row=grid.row_of(nodule.y),
        diameter_mm=nodule.diameter_mm,
    )


def nodule_marks(cts: Iterable[DemoCt]) -> dict[str, NoduleMark]:
    """The marks of several examinations by their key."""
    return {ct.key: nodule_mark(ct) for ct in cts}
