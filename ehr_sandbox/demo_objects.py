"""Makes the objects of the demo that were derived from images, as demo_derived describes them."""

from datetime import timedelta

from pydicom.dataset import Dataset

from ehr_sandbox.demo_ct import dicom_date, dicom_time, put_patient, put_study
from ehr_sandbox.demo_derived import DemoDerived
from ehr_sandbox.demo_marks import key_object, segmentation
from ehr_sandbox.demo_sr import ai_report
from ehr_sandbox.demo_study import DemoCalendar, DemoCt


def derived_object(which: DemoDerived, ct: DemoCt, calendar: DemoCalendar, lung_rads: str) -> Dataset:
    """The data set of a derived series; `lung_rads` is what the AI claims."""
    match which.modality:
        case "SR":
            made = ai_report(which, ct, calendar, lung_rads)
        case "SEG":
            made = segmentation(which, ct, calendar)
        case _:
            made = key_object(which, ct, calendar)
    # The library copies some of what says whose study it is, and which; a document must say all of it, as its images do.
    put_patient(made, ct, calendar)
    put_study(made, ct, calendar.at(ct.days_ago, ct.clock))
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
