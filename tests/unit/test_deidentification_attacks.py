"""De-identification as a hostile security officer would try it (PS3.15 Annex E; clinical rules 11)."""

from __future__ import annotations

import json
import os
import stat
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from fhir_imaging.errors import InvalidRequest
from pacs_sync.confidential_attributes import Options, table
from pacs_sync.deidentification import Deidentifier
from pacs_sync.deidentified_export import ExportFolder
from pacs_sync.pseudonyms import Pseudonyms
from pacs_sync.telltales import identifying_words, leftovers, refusal
from tests.unit.test_deidentification import KEY, SECRET, an_image, everything

_NEEDED = frozenset({"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PixelData"})
_TEXT = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
_ALL = Options(retain_dates=True, retain_device=True)


def made(image: Dataset, options: Options | None = None) -> Dataset:
    return Deidentifier(Pseudonyms(KEY), options or Options()).apply(image)


def planted(tag: int) -> DataElement | None:
    """The attribute with the secret, or the day of birth, in it; None where its VR can hold neither."""
    vr = dictionary_VR(tag).split(" or ")[0]
    days = {"DA": "19640314", "DT": "19640314120000"}
    if vr in _TEXT:
        return DataElement(tag, vr, SECRET.upper() if vr in ("CS", "AE") else f"{SECRET}^Tina" if vr == "PN" else SECRET)
    if vr in days:
        return DataElement(tag, vr, days[vr])
    return DataElement(tag, vr, SECRET.encode() + b"!") if vr in ("OB", "UN") else None


def a_nest(depth: int, *elements: DataElement) -> Dataset:
    """An item with these elements, so many sequences deep."""
    inner = Dataset()
    for one in elements:
        inner.add(one)
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Sequence([inner])
        inner = outer
    return inner


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_every_attribute_of_the_table_loses_its_words_at_any_depth(depth: int) -> None:
    """Of the whole dictionary what the table names; with every option that keeps something, too."""
    tags = [tag for tag in table() if keyword_for_tag(tag) not in _NEEDED and tag in DicomDictionary]
    elements = [element for tag in tags if (element := planted(tag)) is not None and keyword_for_tag(tag) != "TextValue"]
    assert len(elements) > 400
    codes = {"LongCodeValue", "URNCodeValue"}  # looked through afterwards: a code may be anything
    image = an_image()
    image.ReferencedSeriesSequence = Sequence([a_nest(depth, *(one for one in elements if one.keyword not in codes))])

    said = everything(made(image))

    assert SECRET.lower() not in said.lower()
    assert "19640314" not in said


def test_words_of_people_go_where_the_table_is_silent() -> None:
    """Retired, new and rare attributes: all names, dates, addresses and long texts of the dictionary."""
    tags = [
        tag
        for tag, (vr, *_, keyword) in DicomDictionary.items()
        if Tag(tag) not in table() and vr in ("PN", "LT", "ST", "UT", "UC", "UR", "DA", "DT") and Tag(tag).group not in (0, 2)
        if keyword
    ]
    elements = [element for tag in tags if (element := planted(tag)) is not None]
    image = an_image()
    image.ReferencedSeriesSequence = Sequence([a_nest(2, *elements)])

    said = everything(made(image))

    assert len(elements) > 100
    assert SECRET.lower() not in said.lower()
    assert "19640314" not in said


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDateInAlternativeCalendar", "Reiwa 5"),
        ("SegmentLabel", SECRET),
        ("ROIName", SECRET),
        ("GraphicLayerDescription", SECRET),
        ("PlacerOrderNumberProcedure", "4711"),
        ("HangingProtocolCreator", SECRET),
        ("RadiationMachineName", SECRET),
        ("EncryptedAttributesSequence", Sequence([Dataset()])),
    ],
)
def test_attributes_that_the_table_forgets_go(keyword: str, value: object) -> None:
    inner = Dataset()
    setattr(inner, keyword, value)
    left = made(an_image(ReferencedSeriesSequence=Sequence([inner]))).ReferencedSeriesSequence[0]
    assert left.get(keyword) != value


def test_what_no_dictionary_can_read_goes() -> None:
    image = an_image()
    image.add_new(0x00086666, "LO", SECRET)
    image.add_new(0x00000600, "AE", SECRET)
    image.add_new(0x50000030, "SH", SECRET)
    image.add_new(0x60020022, "LO", SECRET)
    image.add_new(0xFFFCFFFC, "OB", SECRET.encode())
    left = made(image)
    assert SECRET not in everything(left)
    assert all(tag not in left for tag in (0x00086666, 0x00000600, 0x50000030, 0x60020022, 0xFFFCFFFC))


def test_an_annotation_of_a_presentation_state_and_a_waveform_say_nothing() -> None:
    text, layer = Dataset(), Dataset()
    text.UnformattedTextValue = f"{SECRET} here"
    layer.TextObjectSequence = Sequence([text])
    assert SECRET not in everything(made(an_image(GraphicAnnotationSequence=Sequence([layer]))))


def an_item(value_type: str, meaning: str = "Something", scheme: str = "DCM", **values: object) -> Dataset:
    item, concept = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "1", scheme, meaning
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", value_type, Sequence([concept])
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def a_code(meaning: str, scheme: str) -> Sequence[Dataset]:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "x-1", scheme, meaning
    return Sequence([code])


@pytest.mark.parametrize("place", ["ContentSequence", "AcquisitionContextSequence", "ProtocolContextSequence"])
def test_content_items_of_every_type_say_nothing(place: str) -> None:
    items = [
        an_item("TEXT", TextValue=SECRET),
        an_item("PNAME", PersonName=f"{SECRET}^Tina"),
        an_item("DATE", Date="19640314"),
        an_item("DATETIME", DateTime="19640314101500"),
        an_item("UIDREF", UID="1.2.3.4.2"),
        an_item("CODE", ConceptCodeSequence=a_code(SECRET, "99SITE")),
        an_item("CODE", f"asked by {SECRET}", "99SITE", ConceptCodeSequence=a_code("Chest", "SCT")),
        an_item("TCOORD", ReferencedDateTime=["19640314101500"]),
        an_item("NUM", MeasurementUnitsCodeSequence=a_code(SECRET, "L")),
        an_item("CONTAINER", ContentSequence=Sequence([an_item("TEXT", TextValue=SECRET)])),
    ]
    said = everything(made(an_image(**{place: Sequence(items)})))
    assert SECRET not in said
    assert "19640314" not in said
    assert "1.2.3.4.2" not in said


@pytest.mark.parametrize(
    ("meaning", "value_type", "values"),
    [
        ("Subject Birth Date", "DATE", {"Date": "19640314"}),
        ("Date of death", "DATETIME", {"DateTime": "20260314101500"}),
        ("Subject Age", "NUM", {"MeasuredValueSequence": Sequence([Dataset()])}),
        ("Subject Sex", "CODE", {"ConceptCodeSequence": a_code("Female", "DCM")}),
    ],
)
def test_dates_and_measures_of_the_person_go_also_where_dates_are_kept(
    meaning: str, value_type: str, values: dict[str, Any]
) -> None:
    report = an_image(ContentSequence=Sequence([an_item(value_type, meaning, **values)]))
    left = made(report, _ALL).ContentSequence[0]
    assert all(left.get(keyword) != value for keyword, value in values.items())


def test_dates_of_the_examination_in_a_report_stay_where_dates_are_kept() -> None:
    report = an_image(ContentSequence=Sequence([an_item("DATE", "Study Date", Date="20260315")]))
    assert made(report, _ALL).ContentSequence[0].Date == "20260315"


def test_places_and_descriptions_are_no_devices() -> None:
    left = made(an_image(ScheduledStudyLocation=SECRET, DeviceDescription=SECRET), _ALL)
    assert SECRET not in str(left.get("ScheduledStudyLocation")) + str(left.get("DeviceDescription"))


def test_a_segment_and_a_report_still_name_the_same_finding() -> None:
    tracking = an_item("TEXT", "Tracking Identifier", TextValue="Nodule of Tina")
    tracking.ConceptNameCodeSequence[0].CodeValue = "112039"
    segment = Dataset()
    segment.TrackingID, segment.TrackingUID, segment.SegmentLabel = "Nodule of Tina", "1.2.3.77", "A"
    other = Dataset()
    other.SegmentLabel = "B"
    report = made(an_image(ContentSequence=Sequence([tracking, an_item("UIDREF", UID="1.2.3.77")])))
    segments = made(an_image(SegmentSequence=Sequence([segment, other]))).SegmentSequence

    assert segments[0].TrackingID == report.ContentSequence[0].TextValue != "Nodule of Tina"
    assert segments[0].TrackingUID == report.ContentSequence[1].UID != "1.2.3.77"
    assert segments[0].SegmentLabel != segments[1].SegmentLabel


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Müller^Jörg", "MUELLER"),
        ("Müller^Jörg", "muller, jorg"),
        ("Telltale^Tina", "Tina_Telltale"),
        ("Telltale^Tina", "TELLTALETINA"),
        ("Li^Xu", "XU LI"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "患者山田太郎様"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "やまだ たろう"),
        ("Zhang^San=张^三", "张三"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "홍길동"),
        ("Telltale-Smith^Tina", "smith"),
        ("Łukasz^Ærø", "lukasz"),
    ],
)
def test_a_name_is_found_however_it_is_written(name: str, said: str) -> None:
    words = identifying_words(an_image(PatientName=name))
    left = Dataset()
    left.Manufacturer = said
    assert list(leftovers(left, words)) == ["Manufacturer"]


@pytest.mark.parametrize(
    "said", ["14.03.1964", "3/14/1964", "1964-03-14", "14 MAR 1964", "March 14, 1964", "14.03" + "1964", "DOB19640314"]
)
def test_a_date_of_birth_is_found_however_it_is_written(said: str) -> None:
    left = Dataset()
    left.Manufacturer = said
    assert list(leftovers(left, identifying_words(an_image()))) == ["Manufacturer"]


def test_a_newborns_date_of_birth_does_not_leave_as_a_date_of_the_examination(tmp_path: Path) -> None:
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), _ALL))
    folder.add(an_image(StudyDate="19640314", AcquisitionDateTime="19640314101500"))
    assert "StudyDate" in next(iter(folder.exported.refused.values()))
    assert "AcquisitionDateTime" in next(iter(folder.exported.refused.values()))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ICCProfile", b"..." + SECRET.encode() + b"-1 .."),
        ("ICCProfile", f"{SECRET} Tina".encode("utf-16-le")),
        ("Manufacturer", f"for {SECRET}-1"),
        ("SoftwareVersions", ["1.0", f"{SECRET}_4"]),
        ("RetrieveURL", "1.2.3"),
    ],
)
def test_numbers_and_uids_are_found_in_texts_and_bytes(keyword: str, value: object) -> None:
    left = Dataset()
    setattr(left, keyword, value)
    assert list(leftovers(left, identifying_words(an_image()))) == [keyword]


def test_a_name_inside_a_sequence_is_looked_for_too() -> None:
    item = Dataset()
    item.PersonName = "Hidden^Hilda"
    left = Dataset()
    left.ContentLabel = "HIDDEN"
    assert list(leftovers(left, identifying_words(an_image(ContentSequence=Sequence([item]))))) == ["ContentLabel"]


def test_what_stands_for_no_name_and_times_hold_nothing_back() -> None:
    words = identifying_words(
        an_image(
            PatientName="REMOVED", ReferringPhysicianName="Unknown^Prof", AccessionNumber="101500", PatientBirthDate="00010101"
        )
    )
    left = Dataset()
    left.ContentLabel, left.StudyTime, left.StudyDate = "UNKNOWN", "101500", "00010101"
    assert list(leftovers(left, words)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "Modality": ""},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4", "Modality": "MR"},
        {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
        {"EncapsulatedDocument": b"%PDF"},
        {"SeriesInstanceUID": ""},
    ],
    ids=["ultrasound", "photograph", "screen", "document", "no-series"],
)
def test_pictures_that_hide_what_they_are_are_refused(values: dict[str, object]) -> None:
    assert refusal(an_image(**values)) is not None


def test_a_segmentation_and_a_nuclear_image_are_no_screenshots() -> None:
    for sop_class in ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.20"):
        assert refusal(an_image(SOPClassUID=sop_class, Modality="SEG")) is None


def test_bad_files_are_refused_by_themselves_and_leave_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = ExportFolder(out, Deidentifier(Pseudonyms(KEY), Options()))
    no_class, no_syntax = an_image(SOPInstanceUID="1.2.3.4.5"), an_image(SOPInstanceUID="1.2.3.4.6")
    del no_class.SOPClassUID
    del no_syntax.file_meta.TransferSyntaxUID
    for one in (no_class, no_syntax, an_image(), an_image()):
        folder.add(one)
    for content in (b"", b"<html>no such page</html>", b"\0" * 128 + b"DICM" + b"\x08\x00\x10\x00XX"):
        folder.add_file(content)
    exported = folder.finish(lambda _: [])

    assert (exported.instances, len(exported.refused), exported.is_whole) == (1, 6, False)
    assert "another instance of the study has the same UID" in exported.refused.values()
    assert not list(out.glob(".*"))
    about = (out / "ABOUT.txt").read_text()
    assert "1 instances written, 6 refused" in about
    assert not any(word in about for word in (SECRET, "1.2.3.4", "19640314"))


def test_a_value_that_is_none_is_not_quoted_by_a_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))
    image = an_image()
    image._dict[Tag("PatientBirthDate")] = DataElement("PatientBirthDate", "DA", "born 14 March 1964", validation_mode=0)
    folder.add(image)
    captured = capfd.readouterr()
    assert "1964" not in captured.out + captured.err


def test_a_full_disk_ends_the_export_without_a_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    folder = ExportFolder(out, Deidentifier(Pseudonyms(KEY), Options()))
    folder.add(an_image())
    monkeypatch.setattr("pacs_sync.deidentified_export.dcmwrite", fails)
    with pytest.raises(OSError, match="No space"):
        folder.add(an_image(SOPInstanceUID="1.2.3.4.9"))
    folder.break_off()

    assert sorted(path.suffix for path in out.iterdir()) == [".dcm", ".txt"]
    assert "ended early" in (out / "ABOUT.txt").read_text()
    assert stat.S_IMODE(os.stat(out / "ABOUT.txt").st_mode) == 0o600


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InvalidRequest):
        ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))


def test_an_image_in_other_letters_goes_through_a_file_without_its_name(tmp_path: Path) -> None:
    for number, (charset, name) in enumerate(
        (("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"), ("GB18030", "Zhang^San=张^三丰"), ("ISO_IR 144", "Люкceмбypг^Ян"))
    ):
        image = an_image(SpecificCharacterSet=charset.split("\\"), PatientName=name)
        image.ContentLabel = "OK"
        image.Manufacturer = name.split("=")[-1].replace("^", "")
        folder = ExportFolder(tmp_path / str(number), Deidentifier(Pseudonyms(KEY), Options()))
        folder.add(image)
        assert list(folder.exported.refused.values()) == ["a name, number or date of birth still stands in Manufacturer"]
        again = an_image(SpecificCharacterSet=charset.split("\\"), PatientName=name)
        folder.add(again)
        written = dcmread(next((tmp_path / str(number)).glob("*.dcm")))
        assert json.dumps(written.to_json_dict()).find(name.split("=")[-1].split("^")[0]) == -1


def test_pixels_are_not_written_out_as_words(tmp_path: Path) -> None:
    """A volume of gigabytes needs a few times its own size, not ten times."""
    image = an_image(PixelData=b"\0" * (16 << 20))
    file = BytesIO()
    dcmwrite(file, image, enforce_file_format=True)
    content = file.getvalue()
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), Options()))
    tracemalloc.start()
    folder.add_file(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert folder.exported.instances == 1
    assert peak < 3 * len(content)


@pytest.mark.parametrize(
    ("keyword", "written", "instead"),
    [("SliceThickness", "1.50", b"Tina"), ("SeriesNumber", "1234", b"Olga"), ("StudyDate", "20260315", b"born1964")],
)
def test_words_in_place_of_a_number_or_a_date_go(tmp_path: Path, keyword: str, written: str, instead: bytes) -> None:
    file = BytesIO()
    dcmwrite(file, an_image(**{keyword: written}), enforce_file_format=True)
    assert file.getvalue().count(written.encode()) == 1
    folder = ExportFolder(tmp_path / "out", Deidentifier(Pseudonyms(KEY), _ALL))
    folder.add_file(file.getvalue().replace(written.encode(), instead))
    left = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert instead not in left


def test_a_row_of_numbers_stays() -> None:
    left = made(an_image(PixelSpacing=["0.5", "-1.5e-3"], SliceThickness="2.50", SeriesNumber=7, StudyDate="20260315"), _ALL)
    assert [float(one) for one in left.PixelSpacing] == [0.5, -0.0015]
    assert (float(left.SliceThickness), int(left.SeriesNumber), left.StudyDate) == (2.5, 7, "20260315")


@pytest.mark.parametrize("issuers", [("DEMO", ""), ("", "DEMO"), ("", "")])
def test_a_report_that_leaves_the_issuer_out_is_of_the_same_patient(issuers: tuple[str, str]) -> None:
    deidentifier = Deidentifier(Pseudonyms(KEY), Options())
    image, report = (deidentifier.apply(an_image(IssuerOfPatientID=one)) for one in issuers)
    assert image.PatientID == report.PatientID
