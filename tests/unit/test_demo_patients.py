"""The demo's patients: valid DICOM and FHIR that tell the same story (clinical.md §10.1, issue 2 item 5)."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fhir.resources.R4B
import fhirclient.models.bundle
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from ehr_sandbox.demo_files import DemoFiles, bring_up_to_date
from ehr_sandbox.demo_study import DemoCalendar, uid_of
from ehr_sandbox.patients import DemoData, build_demo, clara
from pacs_sync.ports import HoldReason
from tests.synced_studies import SyncedDemo, in_bundles, synced_demo

DEMO_DAY = date(2026, 11, 21)
GATEWAY = "http://localhost:8000/imaging/sandbox/dicom-web/demo"
FHIR_BASE = "http://127.0.0.1:8001/fhir"
SLICES = 6

CT_STUDIES = {
    "demo-a-ct-prior": ExplicitVRLittleEndian,
    "demo-a-ct-current": ExplicitVRLittleEndian,
    "demo-b-ct-current": JPEG2000Lossless,
    "demo-c-ct-current": JPEGLSLossless,
    "demo-d-ct-prior": ExplicitVRLittleEndian,
    "demo-e-ct-current": ExplicitVRLittleEndian,
}
MAMMOGRAPHIES = ["demo-f-mg-prior", "demo-f-mg-current"]
RADIOGRAPH = "demo-e-dx-current"
TWO_VIEWS = "demo-a-dx-archived"

# Type 1 of the CT Image IOD and of the modules that it mandates (PS3.3 §A.3): present and not empty.
TYPE_1 = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality FrameOfReferenceUID ImageType
    PixelSpacing ImageOrientationPatient ImagePositionPatient SamplesPerPixel PhotometricInterpretation Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation RescaleIntercept RescaleSlope PixelData"""
# The same of the Digital Mammography X-Ray Image IOD, for presentation (PS3.3 §A.27).
MG_TYPE_1 = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality PresentationIntentType ImageType
    ImageLaterality ImagerPixelSpacing PositionerType OrganExposed AnatomicRegionSequence ViewCodeSequence DetectorType
    SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    PixelIntensityRelationship PixelIntensityRelationshipSign RescaleIntercept RescaleSlope RescaleType
    PresentationLUTShape LossyImageCompression BurnedInAnnotation WindowCenter WindowWidth PatientOrientation
    BreastImplantPresent InstanceNumber RequestAttributesSequence PixelData"""
# The same of the Digital X-Ray Image IOD, for presentation (PS3.3 §A.26).
DX_TYPE_1 = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality PresentationIntentType ImageType
    ImageLaterality ImagerPixelSpacing AnatomicRegionSequence DetectorType SamplesPerPixel PhotometricInterpretation Rows
    Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelIntensityRelationship PixelIntensityRelationshipSign
    RescaleIntercept RescaleSlope RescaleType PresentationLUTShape LossyImageCompression BurnedInAnnotation WindowCenter
    WindowWidth PatientOrientation InstanceNumber RequestAttributesSequence PixelData"""
# Type 2: present.
TYPE_2 = """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID
    AccessionNumber SeriesNumber PositionReferenceIndicator Manufacturer InstanceNumber SliceThickness KVP
    AcquisitionNumber"""


def build(directory: Path, demo_day: date = DEMO_DAY, only: frozenset[str] | None = None) -> DemoData:
    return build_demo(directory, demo_day=demo_day, fhir_base=FHIR_BASE, only=only, slices=SLICES)


@pytest.fixture(scope="module")
def dicom_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo-dicom")


@pytest.fixture(scope="module")
def demo(dicom_dir: Path) -> DemoData:
    return build(dicom_dir)


@pytest.fixture(scope="module")
def record(demo: DemoData, dicom_dir: Path) -> SyncedDemo:
    """The charts with what comes from the archive."""
    return synced_demo(demo, dicom_dir, GATEWAY)


def resources(demo: DemoData | SyncedDemo) -> Iterator[dict[str, Any]]:
    yield from demo.resources if isinstance(demo, SyncedDemo) else in_bundles(demo.bundles)


def by_id(demo: DemoData | SyncedDemo, resource_type: str, logical_id: str) -> dict[str, Any]:
    return next(one for one in resources(demo) if (one["resourceType"], one["id"]) == (resource_type, logical_id))


def images(dicom_dir: Path, study: str) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted((dicom_dir / study).glob("??-*.dcm")) if path.stem != "ai-sr"]


def test_every_bundle_is_valid_r4_for_two_validators(demo: DemoData) -> None:
    for bundle in demo.bundles:
        fhir.resources.R4B.get_fhir_model_class("Bundle").model_validate(bundle)
        fhirclient.models.bundle.Bundle(bundle, strict=True)


def test_what_comes_from_the_archive_is_valid_r4(record: SyncedDemo) -> None:
    written = [one for one in resources(record) if one["resourceType"] in ("ImagingStudy", "Endpoint", "Device", "Observation")]
    for one in written:
        fhir.resources.R4B.get_fhir_model_class(one["resourceType"]).model_validate(one)


def test_every_reference_meets_a_resource_of_the_same_or_an_earlier_bundle_or_the_archive(
    demo: DemoData, record: SyncedDemo
) -> None:
    known: set[str] = set()
    studies = {f"ImagingStudy/{one['id']}" for one in record.of("ImagingStudy")}
    for bundle in demo.bundles:
        known |= {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in bundle["entry"]}
        wanted = set(_references(bundle))

        assert wanted <= (known if bundle in demo.charts else known | studies)
    assert set(_references(list(record.resources))) <= {f"{one['resourceType']}/{one['id']}" for one in resources(record)}


def test_no_chart_says_anything_of_a_study_in_the_archive_or_of_what_a_program_found_there(demo: DemoData) -> None:
    """They arrive by DICOM alone."""
    of_archive = ("ImagingStudy", "Endpoint", "Device", "Provenance")
    written = [f"{one['resourceType']}/{one['id']}" for one in resources(demo) if one["resourceType"] in of_archive]
    uids = {one.study_instance_uid for one in (*demo.studies.values(), *demo.strays)}

    assert written == []
    assert not [one for one in resources(demo) if one["resourceType"] == "Observation" and "device" in one]
    assert not [uid for uid in uids if uid in str(demo.charts)]


def test_every_study_of_the_archive_is_in_the_record_but_the_one_that_is_nobodys(demo: DemoData, record: SyncedDemo) -> None:
    wanted = {one.study_instance_uid: one.person.key for one in demo.studies.values()}
    found = {one["id"]: one["subject"]["reference"].removeprefix("Patient/") for one in record.of("ImagingStudy")}
    (endpoint,), (held,) = record.of("Endpoint"), record.held

    assert found == wanted
    assert endpoint["address"] == GATEWAY
    assert (held.reason, held.patient and held.patient.number) == (HoldReason.NO_PATIENT, "DEMO-106")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_every_entry_is_put_at_its_stable_id(demo: DemoData) -> None:
    urls = [entry["request"]["url"] for bundle in demo.bundles for entry in bundle["entry"]]

    assert max(Counter(urls).values()) == 1
    assert {f"Patient/demo-{letter}" for letter in "abcdef"} == {url for url in urls if url.startswith("Patient/")}
    assert "Practitioner/demo-gp" in urls
    assert {entry["request"]["method"] for bundle in demo.bundles for entry in bundle["entry"]} == {"PUT"}


def test_nothing_has_happened_later_than_the_first_moment_of_the_demo_day(record: SyncedDemo) -> None:
    """The demo may start just after midnight UTC: only what is planned lies ahead."""
    began = datetime(DEMO_DAY.year, DEMO_DAY.month, DEMO_DAY.day, tzinfo=UTC)
    stated = [pair for resource in resources(record) for pair in _moments(resource, resource["id"])]
    ahead = [(where, told) for where, told in stated if (told > began if isinstance(told, datetime) else told > DEMO_DAY)]

    assert len(stated) > 40
    assert [where for where, _ in ahead if "occurrence" not in where and "Appointment" not in where] == []


def _moments(value: Any, where: str) -> Iterator[tuple[str, date | datetime]]:
    """Every FHIR date, dateTime and instant below a value, with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _moments(inner, f"{where}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _moments(inner, where)
    elif isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d(T.*)?", value):
        yield where, datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)


@pytest.mark.parametrize("study", [*CT_STUDIES, *MAMMOGRAPHIES, RADIOGRAPH, TWO_VIEWS, "demo-f-mg-stray"])
def test_every_file_of_a_study_says_whose_it_is_and_what_was_asked_for(demo: DemoData, dicom_dir: Path, study: str) -> None:
    """All that a study's FHIR description is made from, in images and in what was derived from them alike (clinical.md 7.2)."""
    told = [_told(pydicom.dcmread(path, stop_before_pixels=True)) for path in sorted((dicom_dir / study).glob("*.dcm"))]
    (examination,) = [one for one in (*demo.studies.values(), *demo.strays) if one.key == study]

    assert all(one == told[0] for one in told)
    assert told[0]["reason"] == examination.reason
    assert len(examination.reason) <= 64
    assert all(told[0].values())


def _told(file: Dataset) -> dict[str, str]:
    (patient_issuer,), (accession_issuer,) = file.IssuerOfPatientIDQualifiersSequence, file.IssuerOfAccessionNumberSequence
    (procedure,) = file.ProcedureCodeSequence
    (request,) = file.get("RequestAttributesSequence") or file.ReferencedRequestSequence
    return {
        "patient": f"{file.PatientID} {file.IssuerOfPatientID} {patient_issuer.UniversalEntityID} {file.PatientName}",
        "born": file.PatientBirthDate + file.PatientSex,
        "accession": f"{file.AccessionNumber} {accession_issuer.UniversalEntityID}",
        "procedure": f"{procedure.CodingSchemeDesignator} {procedure.CodeValue} {file.StudyDescription}",
        "referrer": str(file.ReferringPhysicianName),
        "reason": request.ReasonForTheRequestedProcedure,
        "moment": file.StudyDate + file.StudyTime + file.TimezoneOffsetFromUTC,
    }


@pytest.mark.parametrize("study", [*CT_STUDIES, *MAMMOGRAPHIES, RADIOGRAPH])
def test_imaging_study_says_what_the_files_say(demo: DemoData, record: SyncedDemo, dicom_dir: Path, study: str) -> None:
    resource = by_id(record, "ImagingStudy", demo.studies[study].study_instance_uid)
    files = [pydicom.dcmread(path, stop_before_pixels=True) for path in (dicom_dir / study).glob("*.dcm")]
    started = datetime.fromisoformat(resource["started"])
    patient = by_id(record, "Patient", resource["subject"]["reference"].partition("/")[2])

    assert {f"urn:oid:{file.StudyInstanceUID}" for file in files} == {resource["identifier"][0]["value"]}
    assert {file.AccessionNumber for file in files} == {resource["identifier"][1]["value"]}
    assert {file.PatientID for file in files} == {patient["identifier"][0]["value"]}
    assert {file.PatientBirthDate for file in files} == {patient["birthDate"].replace("-", "")}
    assert {file.StudyDate + file.StudyTime[:6] + file.TimezoneOffsetFromUTC for file in files} == {
        started.strftime("%Y%m%d%H%M%S%z")
    }
    assert Counter(file.SeriesInstanceUID for file in files) == {
        series["uid"]: series["numberOfInstances"] for series in resource["series"]
    }
    assert resource["numberOfInstances"] == len(files)
    assert {modality["code"] for modality in resource["modality"]} == {file.Modality for file in files}
    assert resource["procedureCode"] == [by_id(record, "ServiceRequest", f"{study}-order")["code"]]
    assert resource["reasonCode"] == by_id(record, "ServiceRequest", f"{study}-order")["reasonCode"]
    assert resource["basedOn"][0]["reference"] == f"ServiceRequest/{study}-order"
    assert resource["status"] == "available"
    assert resource["endpoint"] == [{"reference": "Endpoint/demo"}]
    assert resource["referrer"] == {"display": "Dr Gwen Generalist"}
    assert {series["bodySite"]["code"] for series in resource["series"] if series["number"] == 2} == {
        demo.studies[study].body_site.code
    }


@pytest.mark.parametrize(("study", "syntax"), CT_STUDIES.items())
def test_ct_images_are_complete_and_decode_in_their_transfer_syntax(
    demo: DemoData, dicom_dir: Path, study: str, syntax: UID
) -> None:
    slices = images(dicom_dir, study)

    assert len(slices) == SLICES
    for image in slices:
        assert image.file_meta.TransferSyntaxUID == syntax
        assert all(image.get(keyword) not in (None, "") for keyword in TYPE_1.split())
        assert all(keyword in image for keyword in TYPE_2.split())
        assert image.pixel_array.shape == (512, 512)
        assert image.pixel_array.max() < 4096
        assert image.LossyImageCompression == "00"


@pytest.mark.parametrize("study", [*MAMMOGRAPHIES, "demo-f-mg-stray"])
def test_mammograms_are_complete_and_name_side_and_view(demo: DemoData, dicom_dir: Path, study: str) -> None:
    views = images(dicom_dir, study)

    assert [(one.ImageLaterality, one.ViewPosition) for one in views] == [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]
    for image in views:
        assert all(image.get(keyword) not in (None, "") for keyword in MG_TYPE_1.split())
        assert image.ViewCodeSequence[0].CodeValue == {"CC": "399162004", "MLO": "399368009"}[image.ViewPosition]
        assert "ViewModifierCodeSequence" in image.ViewCodeSequence[0]
        assert image.pixel_array.shape == (image.Rows, image.Columns)
        # The breast lies at the chest wall: at the right edge of a right breast's image.
        nipple, wall = image.pixel_array[:, :20].mean(), image.pixel_array[:, -20:].mean()
        assert (nipple < wall) == (image.ImageLaterality == "R")


def test_radiograph_is_complete_and_its_lungs_are_darker_than_the_spine(demo: DemoData, dicom_dir: Path) -> None:
    (image,) = images(dicom_dir, RADIOGRAPH)
    pixels = image.pixel_array
    middle, lung = pixels.shape[1] // 2, round(0.28 * pixels.shape[1])
    chest = slice(round(0.4 * pixels.shape[0]), round(0.6 * pixels.shape[0]))

    assert all(image.get(keyword) not in (None, "") for keyword in DX_TYPE_1.split())
    assert (image.ViewPosition, image.PatientOrientation) == ("AP", ["L", "F"])
    assert pixels.shape == (image.Rows, image.Columns)
    assert pixels.max() < 4096
    assert pixels[chest, middle].mean() > 2 * pixels[chest, lung].mean()


def test_two_views_show_the_chest_from_behind_and_from_the_side(demo: DemoData, dicom_dir: Path) -> None:
    back, side = images(dicom_dir, TWO_VIEWS)

    assert [(one.ViewPosition, list(one.PatientOrientation)) for one in (back, side)] == [
        ("PA", ["L", "F"]),
        ("LL", ["P", "F"]),
    ]
    for image in (back, side):
        assert all(image.get(keyword) not in (None, "") for keyword in DX_TYPE_1.split())
        assert image.pixel_array.shape == (image.Rows, image.Columns)
        assert image.PatientAge == "056Y"
    assert (side.Rows, back.ImagerPixelSpacing) == (back.Rows, side.ImagerPixelSpacing)
    assert side.Columns < back.Columns
    # The spine is at the back: on the right of the view from the side.
    level = side.pixel_array[round(0.5 * side.Rows)]
    assert level[round(0.8 * side.Columns) :].max() > level[: round(0.2 * side.Columns)].mean()


def test_what_is_on_tape_is_in_the_record_as_offline_without_an_address(demo: DemoData, record: SyncedDemo) -> None:
    (on_tape,) = [one for one in demo.studies.values() if one.is_on_tape]
    study = by_id(record, "ImagingStudy", on_tape.study_instance_uid)

    assert [one["valueCode"] for one in study["extension"]] == ["OFFLINE"]
    assert "endpoint" not in study
    assert (study["numberOfInstances"], study["series"][0]["description"]) == (2, "Chest PA and lateral")
    assert study["procedureCode"][0]["coding"][0]["code"] == "24647-0"


def test_slices_lie_evenly_below_each_other_in_one_frame_of_reference(demo: DemoData, dicom_dir: Path) -> None:
    slices = images(dicom_dir, "demo-a-ct-current")
    heights = [float(image.ImagePositionPatient[2]) for image in slices]

    assert [int(image.InstanceNumber) for image in slices] == list(range(1, SLICES + 1))
    assert np.allclose(np.diff(heights), -2.5)
    assert [float(image.SliceLocation) for image in slices] == heights
    assert len({image.FrameOfReferenceUID for image in slices}) == 1
    assert all(list(image.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0] for image in slices)


@pytest.mark.parametrize("study", ["demo-a-ct-prior", "demo-a-ct-current", "demo-b-ct-current", "demo-c-ct-current"])
def test_nodule_is_where_the_mark_says_and_as_large(demo: DemoData, dicom_dir: Path, study: str) -> None:
    mark = demo.nodules[study]
    image = next(one for one in images(dicom_dir, study) if one.SOPInstanceUID == mark.sop_instance_uid)
    hu = image.pixel_array.astype(int) + int(image.RescaleIntercept)
    column, row = round(mark.column), round(mark.row)
    reach = round(mark.diameter_mm / float(image.PixelSpacing[0])) + 1
    around = hu[row - reach : row + reach + 1, column - reach : column + reach + 1]
    x, y = np.meshgrid(np.arange(512) - mark.column, np.arange(512) - mark.row)
    distance_mm = np.hypot(x, y) * float(image.PixelSpacing[0]) - mark.diameter_mm / 2
    outside = np.median(hu[(distance_mm > 2) & (distance_mm < 5)])
    # Area above the half-way value; its circle has the mean diameter.
    area = float((around > -410).sum()) * float(image.PixelSpacing[0]) ** 2

    assert hu[row - 1 : row + 2, column - 1 : column + 2].mean() > -60
    assert outside < -600
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(mark.diameter_mm, abs=0.8)


def test_story_a_screening_nodule_grew_by_3_mm_within_a_year(demo: DemoData, record: SyncedDemo) -> None:
    now, before = (by_id(demo, "Observation", f"demo-a-ct-{name}-lung-rads") for name in ("current", "prior"))
    (ai,) = [one for one in record.of("Observation") if "device" in one]
    days = datetime.fromisoformat(now["effectiveDateTime"]) - datetime.fromisoformat(before["effectiveDateTime"])

    assert days.days < 365
    assert (_category(now), _category(before), _category(ai)) == ("4B", "3", "4A")
    assert (now["status"], ai["status"]) == ("final", "preliminary")
    assert "performer" not in ai
    assert by_id(record, *ai["device"]["reference"].split("/"))["deviceName"][0]["name"] == "Demo Nodule AI"
    assert ai["derivedFrom"][0]["reference"] == now["derivedFrom"][0]["reference"]
    assert (_diameter(now), _diameter(before)) == (9.0, 6.0)


def test_story_d_draft_is_the_ct_of_20_days_ago_and_the_kidneys_have_got_worse_since(
    demo: DemoData, record: SyncedDemo
) -> None:
    draft, done = by_id(demo, "ServiceRequest", "demo-d-ct-again"), by_id(record, "ImagingStudy", uid_of("demo-d-ct-prior"))
    kidneys, metformin = by_id(demo, "Observation", "demo-d-egfr-10"), by_id(demo, "MedicationRequest", "demo-d-metformin")

    assert (draft["status"], draft["authoredOn"]) == ("draft", DEMO_DAY.isoformat())
    assert draft["code"] == done["procedureCode"][0]
    assert days_before(done["started"]) == 20
    assert (kidneys["status"], kidneys["valueQuantity"]["value"], kidneys["valueQuantity"]["code"]) == (
        "final",
        27,
        "mL/min/{1.73_m2}",
    )
    assert days_before(kidneys["effectiveDateTime"]) == 10
    assert (metformin["status"], metformin["medicationCodeableConcept"]["coding"][1]["code"]) == ("active", "A10BA02")


def days_before(moment: str) -> int:
    return (DEMO_DAY - datetime.fromisoformat(moment).date()).days


def test_story_e_embolism_is_signed_within_24_hours_all_day_long_and_nobody_is_on_record_as_told(demo: DemoData) -> None:
    """CID 7035: category 1 is a matter of minutes."""
    report, finding = (
        by_id(demo, "DiagnosticReport", "demo-e-ct-current-report"),
        by_id(demo, "Observation", "demo-e-ct-current-actionable"),
    )
    coded = {code["code"] for concept in report["conclusionCode"] for code in concept["coding"]}

    assert datetime.fromisoformat(report["issued"]) == datetime(2026, 11, 21, tzinfo=UTC)
    assert report["issued"] == finding["issued"]
    assert (report["status"], finding["status"]) == ("final", "final")
    assert coded == {"59282003", "RID49480"}
    assert finding["interpretation"][0]["coding"][0]["code"] == "RID49480"
    assert not [one for one in resources(demo) if one["resourceType"] == "Communication"]


def test_story_e_radiograph_of_the_same_visit_is_not_reported(record: SyncedDemo) -> None:
    study, visit = by_id(record, "ImagingStudy", uid_of(RADIOGRAPH)), by_id(record, "Encounter", "demo-e-encounter")
    order = by_id(record, *study["basedOn"][0]["reference"].split("/"))
    naming = [one for one in resources(record) if one["resourceType"] == "DiagnosticReport" and uid_of(RADIOGRAPH) in str(one)]

    assert naming == []
    assert "interpreter" not in study
    assert order["encounter"]["reference"] == "Encounter/demo-e-encounter"
    assert (visit["status"], visit["period"]["start"]) == ("in-progress", "2026-11-20")


def test_story_c_has_an_order_that_can_be_booked_and_does_not_answer_her_follow_up(demo: DemoData) -> None:
    order = by_id(demo, "ServiceRequest", "demo-c-xr-order")

    assert (order["status"], order["code"]["coding"][0]["display"]) == ("active", "XR Chest PA upright")
    assert "occurrenceDateTime" not in order


def test_story_f_category_stands_in_words_only(demo: DemoData) -> None:
    own = [one for one in resources(demo) if one.get("subject", {}).get("reference") == "Patient/demo-f"]
    report = by_id(demo, "DiagnosticReport", "demo-f-mg-current-report")

    assert not [one for one in own if one["resourceType"] == "Observation"]
    assert "Now BI-RADS 3, probably benign" in report["conclusion"]
    assert "conclusionCode" not in report
    assert "result" not in report


def test_story_f_has_a_study_in_the_archive_whose_patient_id_is_nobodys(demo: DemoData, dicom_dir: Path) -> None:
    (stray,) = demo.strays
    files = images(dicom_dir, stray.key)
    numbers = {one["identifier"][0]["value"] for one in resources(demo) if one["resourceType"] == "Patient"}

    assert len(files) == 4
    assert {file.PatientID for file in files} == {"DEMO-106"}
    assert "DEMO-106" not in numbers
    assert stray.key not in demo.studies
    assert stray.study_instance_uid not in str(demo.bundles)


def _category(observation: dict[str, Any]) -> str:
    return str(observation["valueCodeableConcept"]["coding"][0]["code"])


def _diameter(observation: dict[str, Any]) -> float:
    values = {one["code"]["coding"][0]["code"]: one for one in observation["component"]}
    return float(values["81827009"]["valueQuantity"]["value"])


def test_ai_report_is_tid_1500_on_the_nodules_slice(demo: DemoData, dicom_dir: Path) -> None:
    report = pydicom.dcmread(dicom_dir / "demo-a-ct-current" / "ai-sr.dcm")
    mark = demo.nodules["demo-a-ct-current"]
    items = list(_content(report))
    by_code = {item.ConceptNameCodeSequence[0].CodeValue: item for item in items if "ConceptNameCodeSequence" in item}
    region = by_code["111030"]

    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert region.GraphicType == "ELLIPSE"
    assert np.mean(region.GraphicData[0::2]) == pytest.approx(mark.column + 0.5)
    assert np.mean(region.GraphicData[1::2]) == pytest.approx(mark.row + 0.5)
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == mark.sop_instance_uid
    assert float(by_code["81827009"].MeasuredValueSequence[0].NumericValue) == 9.0
    assert by_code["1362105002"].ConceptCodeSequence[0].CodeValue == "4A"
    assert by_code["111001"].TextValue == "Demo Nodule AI"
    assert "111028" in by_code  # image library


def _content(item: Dataset) -> Iterator[Dataset]:
    for inner in item.get("ContentSequence", []):
        yield inner
        yield from _content(inner)


def test_two_builds_of_one_day_are_the_same_bytes(demo: DemoData, dicom_dir: Path, tmp_path: Path) -> None:
    build(tmp_path, only=frozenset({"demo-c"}))
    again = sorted(tmp_path.rglob("*.dcm"))

    assert len(again) >= SLICES
    for path in again:
        assert path.read_bytes() == (dicom_dir / path.relative_to(tmp_path)).read_bytes()


def test_nothing_is_written_again_on_the_same_day(tmp_path: Path) -> None:
    build(tmp_path, only=frozenset({"demo-c"}))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    build(tmp_path, only=frozenset({"demo-c"}))

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_new_day_moves_every_date_and_leaves_pixels_and_uids(tmp_path: Path) -> None:
    only = frozenset({"demo-a"})
    build(tmp_path, only=only)
    first = images(tmp_path, "demo-a-ct-current")

    again = build(tmp_path, date(2026, 12, 1), only=only)
    second = images(tmp_path, "demo-a-ct-current")
    report = pydicom.dcmread(tmp_path / "demo-a-ct-current" / "ai-sr.dcm")

    assert [image.StudyDate for image in first] == ["20261118"] * SLICES
    assert [image.StudyDate for image in second] == ["20261128"] * SLICES
    assert [image.SOPInstanceUID for image in first] == [image.SOPInstanceUID for image in second]
    assert all(one.PixelData == other.PixelData for one, other in zip(first, second, strict=True))
    assert report.StudyDate == report.ContentDate == "20261128"
    assert by_id(synced_demo(again, tmp_path), "ImagingStudy", uid_of("demo-a-ct-current"))["started"].startswith(
        "2026-11-28T09:12:00+01:00"
    )


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    only = frozenset({"demo-c"})
    build(tmp_path, only=only)
    lost = tmp_path / "demo-c-ct-current" / "ct-003.dcm"
    content = lost.read_bytes()
    lost.unlink()

    build(tmp_path, only=only)

    assert lost.read_bytes() == content


def test_a_longer_header_moves_the_pixels_behind_it(tmp_path: Path) -> None:
    """A changed program may write longer headers; the pixels must survive that."""
    only = frozenset({"demo-c"})
    build(tmp_path, only=only)
    path = tmp_path / "demo-c-ct-current" / "ct-001.dcm"
    wanted = path.read_bytes()
    image = pydicom.dcmread(path)
    image.ImageComments = "an older and much longer remark than today's program would write into this header"
    image.save_as(path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("2026-11-21", "2026-11-20"))

    build(tmp_path, only=only)

    assert path.read_bytes() == wanted


def test_two_processes_make_the_same_files_and_report_their_progress(demo: DemoData, dicom_dir: Path, tmp_path: Path) -> None:
    short = clara.CURRENT.shortened(SLICES)
    files = DemoFiles(directory=tmp_path, cts=(short,), calendar=DemoCalendar(demo_day=DEMO_DAY), claims={})
    told: list[tuple[str, int, int]] = []

    bring_up_to_date(files, lambda *step: told.append(step), workers=2, inline_images=0)

    assert told[-1] == ("demo-c-ct-current", SLICES, SLICES)
    for path in sorted(tmp_path.rglob("*.dcm")):
        assert path.read_bytes() == (dicom_dir / path.relative_to(tmp_path)).read_bytes()


def test_a_damaged_manifest_makes_the_files_anew(tmp_path: Path) -> None:
    build(tmp_path, only=frozenset({"demo-c"}))
    (tmp_path / "manifest.json").write_text("[]")

    build(tmp_path, only=frozenset({"demo-c"}))

    assert '"demo_day": "2026-11-21"' in (tmp_path / "manifest.json").read_text()


def test_ages_and_birth_dates_fit_the_demo_day(demo: DemoData, dicom_dir: Path) -> None:
    ages = {
        "demo-a-ct-prior": "061Y",
        "demo-a-ct-current": "062Y",
        "demo-b-ct-current": "045Y",
        "demo-c-ct-current": "058Y",
        "demo-d-ct-prior": "071Y",
        "demo-e-ct-current": "054Y",
        "demo-f-mg-current": "052Y",
    }

    assert {study: images(dicom_dir, study)[0].PatientAge for study in ages} == ages
    assert by_id(demo, "Patient", "demo-a")["birthDate"] == "1964-03-14"
