"""De-identified export: what goes, what stays, what is refused (clinical rules 11; PS3.15 Annex E)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EncapsulatedPDFStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_study import DemoCalendar
from ehr_sandbox.patients import alma
from fhir_imaging.errors import InvalidRequest
from pacs_sync.confidential_attributes import Options
from pacs_sync.deidentification import NOT_DONE, Deidentifier
from pacs_sync.deidentified_export import ExportFolder
from pacs_sync.pseudonyms import Pseudonyms
from pacs_sync.telltales import identifying_words, leftovers, refusal

KEY = b"a key of a test, not a secret"
SECRET = "Telltale"
PLANTED = {
    "PatientName": f"{SECRET}^Tina",
    "PatientID": f"{SECRET}-1",
    "PatientBirthDate": "19640314",
    "OtherPatientIDs": f"{SECRET}-2",
    "PatientAddress": f"{SECRET} Street 1",
    "PatientTelephoneNumbers": f"{SECRET}-3",
    "PatientComments": f"{SECRET} comment",
    "ImageComments": f"{SECRET} image",
    "AccessionNumber": f"{SECRET}-4",
    "StudyID": f"{SECRET}-5",
    "InstitutionName": f"{SECRET} Hospital",
    "InstitutionAddress": f"{SECRET} Road",
    "StationName": f"{SECRET}-CT",
    "DeviceSerialNumber": f"{SECRET}-6",
    "ReferringPhysicianName": f"{SECRET}^Rita",
    "PerformingPhysicianName": f"{SECRET}^Paul",
    "OperatorsName": f"{SECRET}^Olga",
    "StudyDescription": f"{SECRET} CT",
    "SeriesDescription": f"{SECRET} series",
    "ProtocolName": f"{SECRET} protocol",
    "RequestedProcedureDescription": f"{SECRET} asked",
    "AdditionalPatientHistory": f"{SECRET} history",
}


@pytest.fixture
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(KEY)


def an_image(**values: object) -> Dataset:
    """A CT image with something in every place that may tell whose it is."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, "1.2.3.4.1"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.9"
    image.Modality, image.BodyPartExamined, image.IssuerOfPatientID = "CT", "CHEST", "DEMO"
    image.StudyDate, image.StudyTime, image.TimezoneOffsetFromUTC = "20260315", "101500", "+0100"
    image.Rows, image.Columns, image.BitsAllocated = 2, 2, 16
    image.PixelData = b"\0" * 8
    for keyword, value in PLANTED.items():
        setattr(image, keyword, value)
    request = Dataset()
    request.ReasonForTheRequestedProcedure = f"{SECRET} nested"
    image.RequestAttributesSequence = Sequence([request])
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.4.2"
    image.ReferencedImageSequence = Sequence([reference])
    image.add_new(0x00091001, "LO", f"{SECRET} private")
    image.add_new(0x00090010, "LO", "MAKER")
    image.add_new(0x60004000, "LT", f"{SECRET} overlay")
    for keyword, value in values.items():
        setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.SourceApplicationEntityTitle = "TELLTALE"
    image.preamble = SECRET.encode().ljust(128, b"\0")
    return image


def everything(dataset: Dataset) -> str:
    return str(dataset) + str(dataset.file_meta) + repr(dataset.preamble)


def test_nothing_that_was_planted_is_left_at_any_depth(pseudonyms: Pseudonyms) -> None:
    made = Deidentifier(pseudonyms, Options()).apply(an_image())

    assert SECRET.lower() not in everything(made).lower()
    assert "1964" not in everything(made)
    assert (made.PatientIdentityRemoved, made.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
    assert [one.CodeValue for one in made.DeidentificationMethodCodeSequence] == ["113100"]
    assert made.StudyDate in ("", "00010101")
    assert (made.Modality, made.BodyPartExamined, made.Rows, made.PixelData) == ("CT", "CHEST", 2, b"\0" * 8)


def test_the_person_is_one_pseudonym_everywhere_and_another_issuer_is_another_person(pseudonyms: Pseudonyms) -> None:
    deidentifier = Deidentifier(pseudonyms, Options())
    first, again = deidentifier.apply(an_image()), deidentifier.apply(an_image(SOPInstanceUID="1.2.3.4.7"))
    stranger = deidentifier.apply(an_image(IssuerOfPatientID="ELSEWHERE"))

    assert first.PatientID == again.PatientID == str(first.PatientName) != stranger.PatientID
    assert Pseudonyms(b"another key of another site").patient(f"{SECRET}-1", "DEMO") != first.PatientID


def test_references_still_lead_where_they_led_in_another_run_too(pseudonyms: Pseudonyms) -> None:
    image = Deidentifier(pseudonyms, Options()).apply(an_image())
    other = Deidentifier(Pseudonyms(KEY), Options()).apply(an_image(SOPInstanceUID="1.2.3.4.2"))

    assert image.ReferencedImageSequence[0].ReferencedSOPInstanceUID == other.SOPInstanceUID
    assert image.StudyInstanceUID == other.StudyInstanceUID != "1.2.3"
    assert image.ReferencedImageSequence[0].ReferencedSOPClassUID == image.SOPClassUID == CTImageStorage
    assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID


def test_dates_stay_where_the_option_says_so_and_the_birth_date_never(pseudonyms: Pseudonyms) -> None:
    made = Deidentifier(pseudonyms, Options(retain_dates=True)).apply(an_image())

    assert (made.StudyDate, made.StudyTime, made.TimezoneOffsetFromUTC) == ("20260315", "101500", "+0100")
    assert made.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert "19640314" not in everything(made)
    assert [one.CodeValue for one in made.DeidentificationMethodCodeSequence] == ["113100", "113106"]


def test_the_device_stays_where_the_option_says_so(pseudonyms: Pseudonyms) -> None:
    made = Deidentifier(pseudonyms, Options(retain_device=True)).apply(an_image(StationName="CT-7", DeviceSerialNumber="4711"))

    assert (made.StationName, made.DeviceSerialNumber) == ("CT-7", "4711")
    assert [one.CodeValue for one in made.DeidentificationMethodCodeSequence] == ["113100", "113109"]


def test_a_structured_report_keeps_its_numbers_and_loses_its_words(pseudonyms: Pseudonyms) -> None:
    report = derived_object(next(one for one in _derived() if one.modality == "SR"), alma.CURRENT, _calendar(), "4A")
    report.ContentSequence[0].TextValue = f"{SECRET} was seen here"
    image_uid = alma.CURRENT.sop_instance_uid(alma.CURRENT.nodule_slice)
    made = Deidentifier(pseudonyms, Options()).apply(report)

    said = everything(made)
    assert SECRET not in said
    assert "Alma" not in said
    assert "DEMO-1001" not in said
    assert "Nodule 1" not in said
    assert pseudonyms.label("Finding", "Nodule 1") in said
    assert pseudonyms.uid(image_uid) in said, "the measurement still names its image"
    assert image_uid not in said
    assert "9.0" in said, "the diameter"
    assert "113104" in [one.CodeValue for one in made.DeidentificationMethodCodeSequence]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"Modality": "US"}, "does not say NO"),
        ({"Modality": "US", "BurnedInAnnotation": "YES"}, "burned into"),
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "does not say NO"),
        ({"SOPClassUID": EncapsulatedPDFStorage}, "document"),
        ({"SOPClassUID": ""}, "does not say what it is"),
    ],
    ids=["ultrasound", "ultrasound-yes", "ct-yes", "screenshot", "pdf", "nothing"],
)
def test_pixels_that_may_name_somebody_are_refused(values: dict[str, object], why: str) -> None:
    assert why in str(refusal(an_image(**values)))


def test_an_ultrasound_that_says_no_and_a_plain_ct_go(pseudonyms: Pseudonyms) -> None:
    assert refusal(an_image(Modality="US", BurnedInAnnotation="NO")) is None
    assert refusal(an_image()) is None


def test_a_name_that_hides_where_the_table_does_not_look_is_found(pseudonyms: Pseudonyms, tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "out", Deidentifier(pseudonyms, Options()))
    folder.add(an_image())
    folder.add(an_image(SOPInstanceUID="1.2.3.4.8", ContentLabel=f"{SECRET} TINA".upper()))
    exported = folder.finish(lambda _: [])

    assert exported.instances == 1
    assert list(exported.refused.values()) == ["a name, number or date of birth still stands in ContentLabel"]
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".dcm", ".json", ".txt"]


def test_an_export_says_what_it_is_and_its_files_can_be_read(pseudonyms: Pseudonyms, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = ExportFolder(out, Deidentifier(pseudonyms, Options()))
    folder.add(an_image())
    identifier = [{"system": "urn:ietf:rfc:3986", "value": "urn:oid:2.25.1"}]
    folder.finish(lambda path: [{"resourceType": "Basic", "identifier": identifier, "id": str(len(list(path.glob("*.dcm"))))}])

    assert all(one in (out / "ABOUT.txt").read_text() for one in NOT_DONE)
    assert [one["resource"]["id"] for one in json.loads((out / "fhir.json").read_text())["entry"]] == ["1"]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in out.iterdir())
    assert dcmread(next(out.glob("*.dcm"))).PatientIdentityRemoved == "YES"
    assert (out.stat().st_mode & 0o777, next(out.glob("*.dcm")).stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_folder_that_holds_something_is_refused(pseudonyms: Pseudonyms, tmp_path: Path) -> None:
    (tmp_path / "old.dcm").touch()
    with pytest.raises(InvalidRequest, match="not empty"):
        ExportFolder(tmp_path, Deidentifier(pseudonyms, Options()))


@given(st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){1,5}", fullmatch=True))
def test_a_mapped_uid_is_one_and_is_not_the_old_one(uid: str) -> None:
    made = Pseudonyms(KEY).uid(uid)
    assert made == Pseudonyms(KEY).uid(uid) != uid
    assert made.startswith("2.25.")
    assert len(made) <= 64


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Pseudonyms(b"short")


def test_short_words_do_not_hold_an_export_back() -> None:
    assert identifying_words(an_image(PatientName="Li^Xu", PatientID="7")) & {"li", "xu", "7"} == set()
    assert list(leftovers(an_image(), frozenset())) == []


def _calendar() -> DemoCalendar:
    from datetime import date

    return DemoCalendar(demo_day=date(2026, 11, 21))


def _derived() -> tuple[object, ...]:
    from ehr_sandbox.demo_derived import derived_series

    return tuple(derived_series(alma.CURRENT))
