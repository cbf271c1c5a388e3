"""Who the demo's synthetic people are and which examinations they had: plain values for the DICOM and the FHIR writers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from typing import ClassVar, Self
from uuid import UUID, uuid5

from ehr_sandbox.phantom import ChestPhantom
from ehr_sandbox.phantom_breast import BreastPhantom
from ehr_sandbox.phantom_radiograph import ChestRadiographPhantom
from ehr_sandbox.phantom_scan import CtPhantom

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
class DemoExamination(ABC):
    """One examination of a person: a study with one series of images.

    `key` names its files and its records and is the root of all its UIDs. `transfer_syntax` is how the pixels
    are stored. `reason` is why it was asked for, of at most 64 characters (a DICOM LO). `minutes_to_report` lie between its
    start and the signed report. `patient_id` is the PatientID in the images where it is not the person's own: a study that
    nobody can be sure of. `is_on_tape`: the archive has since moved it to where a person has to fetch it from.
    """

    modality: ClassVar[str]  # (0008,0060), and in small letters the beginning of the files' names
    sop_class: ClassVar[str]

    key: str
    person: DemoPerson
    days_ago: int
    clock: time
    accession: str
    description: str
    procedure: Coding
    reason: str
    phantom: CtPhantom | BreastPhantom | ChestRadiographPhantom
    transfer_syntax: str
    minutes_to_report: int = 200
    patient_id: str | None = None
    is_on_tape: bool = False

    @property
    def study_instance_uid(self) -> str:
        """(0020,000D)"""
        return uid_of(self.key)

    @property
    def series_instance_uid(self) -> str:
        """(0020,000E) of the series of images."""
        return uid_of(f"{self.key}/{self.modality.lower()}")

    @property
    @abstractmethod
    def image_count(self) -> int:
        """How many images the series has."""

    @property
    @abstractmethod
    def series_description(self) -> str:
        """(0008,103E)"""

    @property
    @abstractmethod
    def body_site(self) -> Coding:
        """What was examined."""

    @abstractmethod
    def sop_instance_uid(self, index: int) -> str:
        """(0008,0018) of the image with this index."""

    @abstractmethod
    def shortened(self, slices: int | None) -> "DemoExamination":
        """The same examination at less cost, for tests that need no whole one; itself for None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDisplay:
    """A window for the display: what it shows best, its centre and its width in HU."""

    name: str
    centre: int
    width: int


_LUNG, SOFT_TISSUE = DemoDisplay(name="LUNG", centre=-600, width=1500), DemoDisplay(name="SOFT TISSUE", centre=40, width=400)
CHEST = Coding(system="http://snomed.info/sct", code="816094009", display="Chest")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCtScan(DemoExamination):
    """One CT of a person. `body_part` is (0018,0015), `contrast` whether contrast was injected into a vein."""

    modality: ClassVar[str] = "CT"
    sop_class: ClassVar[str] = "1.2.840.10008.5.1.4.1.1.2"

    phantom: CtPhantom
    dose: DemoDose = DemoDose()
    region: Coding = CHEST
    body_part: str = "CHEST"
    contrast: bool = False
    windows: tuple[DemoDisplay, ...] = (_LUNG, SOFT_TISSUE)

    @property
    def frame_of_reference_uid(self) -> str:
        """(0020,0052), a new one for every time the patient lay down."""
        return uid_of(f"{self.key}/frame-of-reference")

    @property
    def image_count(self) -> int:
        """Number of slices."""
        return self.phantom.grid.slices

    @property
    def series_description(self) -> str:
        """Region, plane and distance of the slices."""
        return f"{self.region.display} axial {self.phantom.grid.slice_spacing:.1f} mm"

    @property
    def body_site(self) -> Coding:
        """What was examined."""
        return self.region

    @property
    def focus_slice(self) -> int:
        """Index of the slice through what the study is shown for."""
        return self.phantom.grid.nearest_slice(self.phantom.focus_z)

    def sop_instance_uid(self, index: int) -> str:
        """(0008,0018) of the slice with this index. It follows the slice's height, so a shortened series keeps its UIDs."""
        return uid_of(f"{self.key}/ct/{self.phantom.grid.z(index):.1f}")

    def shortened(self, slices: int | None) -> Self:
        """The same examination with only so many slices around its focus."""
        grid = self.phantom.grid
        if slices is None or slices >= grid.slices:
            return self
        first = min(max(self.focus_slice - slices // 2, 0), grid.slices - slices)
        short = replace(grid, slices=slices, first_z=grid.z(first))
        return replace(self, phantom=replace(self.phantom, grid=short))


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCt(DemoCtScan):
    """One plain chest CT with a nodule.

    `with_ai_report` adds a TID 1500 SR series; `with_marks` the radiologist's key images (KO) and a segmentation (SEG).
    """

    phantom: ChestPhantom
    with_ai_report: bool = False
    with_marks: bool = False

    @property
    def nodule_slice(self) -> int:
        """Index of the slice through the middle of the nodule."""
        return self.focus_slice


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
