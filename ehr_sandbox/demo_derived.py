"""Series of the demo that were derived from images, one object each: the AI's result, the key images, the segmentation."""

from dataclasses import dataclass
from datetime import timedelta

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import dicom_date, dicom_time
from ehr_sandbox.demo_marks import key_object, segmentation
from ehr_sandbox.demo_sr import AI_MINUTES_AFTER_SCAN, ai_report
from ehr_sandbox.demo_study import DemoCalendar, DemoCt, DemoExamination, uid_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDerived:
    """A derived series of one object. `name` is the stem of its file and the label of its UIDs."""

    name: str
    modality: str
    series_number: int
    description: str
    minutes_after_scan: int
    sop_class: str

    def series_instance_uid(self, ct: DemoExamination) -> str:
        """(0020,000E)"""
        return uid_of(f"{ct.key}/{self.name}")

    def sop_instance_uid(self, ct: DemoExamination) -> str:
        """(0008,0018)"""
        return uid_of(f"{ct.key}/{self.name}/1")


AI_RESULT = DemoDerived(
    name="ai-sr",
    modality="SR",
    series_number=100,
    description="AI lung nodule result",
    minutes_after_scan=AI_MINUTES_AFTER_SCAN,
    sop_class="1.2.840.10008.5.1.4.1.1.88.33",
)
SEGMENTATION = DemoDerived(
    name="nodule-seg",
    modality="SEG",
    series_number=101,
    description="AI lung nodule segmentation",
    minutes_after_scan=AI_MINUTES_AFTER_SCAN,
    sop_class="1.2.840.10008.5.1.4.1.1.66.4",
)
KEY_IMAGES = DemoDerived(
    name="key-images",
    modality="KO",
    series_number=200,
    description="Key images of the radiologist",
    minutes_after_scan=170,
    sop_class="1.2.840.10008.5.1.4.1.1.88.59",
)


def derived_series(examination: DemoExamination) -> tuple[DemoDerived, ...]:
    """The derived series of an examination, in the order of their numbers."""
    if not isinstance(examination, DemoCt):
        return ()
    ai = (AI_RESULT,) if examination.with_ai_report else ()
    return (*ai, SEGMENTATION, KEY_IMAGES) if examination.with_marks else ai


def derived_object(which: DemoDerived, ct: DemoCt, calendar: DemoCalendar, lung_rads: str) -> Dataset:
    """The data set of a derived series; `lung_rads` is what the AI claims."""
    match which.modality:
        case "SR":
            made = ai_report(ct, calendar, lung_rads)
        case "SEG":
            made = segmentation(ct, calendar)
        case _:
            made = key_object(ct, calendar)
    _date(made, which, ct, calendar)
    return made


def _date(document: Dataset, which: DemoDerived, ct: DemoCt, calendar: DemoCalendar) -> None:
    """Replace the clock's time, which the library writes, by the story's."""
    made = calendar.at(ct.days_ago, ct.clock) + timedelta(minutes=which.minutes_after_scan)
    for name in ("Series", "Content", "InstanceCreation"):
        setattr(document, f"{name}Date", dicom_date(made))
        setattr(document, f"{name}Time", dicom_time(made))
    for equipment in document.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = dicom_date(made) + dicom_time(made)
    document.TimezoneOffsetFromUTC = made.strftime("%z")
