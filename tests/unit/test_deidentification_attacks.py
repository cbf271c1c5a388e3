"""De-identification as a hostile security officer would try it (PS3.15 Annex E; clinical rules 11)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmwrite
from pydicom.datadict import DicomDictionary, dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from pacs_sync.confidential_attributes import Options, table
from pacs_sync.deidentification import Deidentifier
from pacs_sync.deidentified_export import ExportFolder
from pacs_sync.pseudonyms import Pseudonyms
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
