"""The last look before an instance leaves: names, numbers, dates of birth in any spelling; hidden pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacs_sync.confidential_attributes import Options
from pacs_sync.deidentification import Deidentifier
from pacs_sync.deidentified_export import ExportFolder
from pacs_sync.pseudonyms import Pseudonyms
from pacs_sync.telltales import identifying_words, leftovers, refusal
from tests.unit.test_deidentification import KEY, SECRET, an_image

_ALL = Options(retain_dates=True, retain_device=True)


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
