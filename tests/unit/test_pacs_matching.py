"""Attribute matching (PS3.4 §C.2.2.2, PS3.18 §8.3.4.1) and query parsing (PS3.18 §8.3.4, §10.6.1.2)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest

from ehr_sandbox.dicomweb_attributes import Level, level_of, tag_of
from ehr_sandbox.dicomweb_json import JsonDataset
from ehr_sandbox.dicomweb_match import MatchingKey, matches_wildcard
from ehr_sandbox.dicomweb_query import attribute_path, parse_search

STUDY: JsonDataset = {
    "00080020": {"vr": "DA", "Value": ["20260105"]},
    "00080030": {"vr": "TM", "Value": ["101530.25"]},
    "0008002A": {"vr": "DT", "Value": ["20260105101530+0100"]},
    "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
    "00081030": {"vr": "LO", "Value": ["CT Chest"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Synthetic^Alma^^", "Ideographic": "合成^アルマ"}]},
    "00100020": {"vr": "LO", "Value": ["DEMO-1001"]},
    "00100040": {"vr": "CS"},
    "0020000D": {"vr": "UI", "Value": ["2.25.1"]},
    "00200013": {"vr": "IS", "Value": [7]},
    "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["RP-1"]}}, {}]},
}


def matches(keyword: str, value: str) -> bool:
    path = attribute_path(keyword)
    assert path is not None
    return MatchingKey(path=path, value=value).matches(STUDY)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "DEMO-1001"),
        ("PatientID", ""),
        ("PatientID", "*"),
        ("PatientID", "DEMO*"),
        ("PatientID", "?EMO-100?"),
        ("PatientSex", ""),
        ("PatientName", "synthetic^ALMA"),
        ("PatientName", "Synthetic^Alma^"),
        ("PatientName", "*alma*"),
        ("PatientName", "合成*"),
        ("StudyInstanceUID", "2.25.9,2.25.1"),
        ("StudyInstanceUID", "2.25.9\\2.25.1"),
        ("ModalitiesInStudy", "CT"),
        ("ModalitiesInStudy", "MR,SR"),
        ("ModalitiesInStudy", "MR\\CT"),
        ("StudyDate", "20260105"),
        ("StudyDate", "20260101-20260131"),
        ("StudyDate", "20260105-"),
        ("StudyDate", "-20260105"),
        ("StudyTime", "10"),
        ("StudyTime", "1015-1016"),
        ("StudyTime", "101530.25"),
        ("AcquisitionDateTime", "20260105"),
        ("AcquisitionDateTime", "2025-2027"),
        ("AcquisitionDateTime", "20260105100000+0100-20260105110000+0100"),
        ("InstanceNumber", "7"),
        ("InstanceNumber", "007"),
        ("RequestAttributesSequence.RequestedProcedureID", "RP-?"),
        ("00400275.00401001", "RP-1"),
    ],
)
def test_c_2_2_2_value_matches(keyword: str, value: str) -> None:
    assert matches(keyword, value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "demo-1001"),
        ("PatientID", "DEMO"),
        ("PatientID", "DEMO-1001\n"),
        ("PatientID", "DEMO-1001,DEMO-1002"),
        ("PatientSex", "F"),
        ("PatientName", "Synthetic"),
        ("StudyInstanceUID", "2.25"),
        ("StudyInstanceUID", "2.25.*"),
        ("StudyInstanceUID", "2.25.1 "),
        ("ModalitiesInStudy", "ct"),
        ("StudyDate", "20260106-"),
        ("StudyDate", "20250105"),
        ("StudyTime", "1016"),
        ("AcquisitionDateTime", "2027-"),
        ("InstanceNumber", "70"),
        ("RequestAttributesSequence.RequestedProcedureID", "RP-2"),
        ("AccessionNumber", "A"),
    ],
)
def test_c_2_2_2_value_does_not_match(keyword: str, value: str) -> None:
    assert not matches(keyword, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("StudyDate", "2026-01-05"), ("StudyDate", "2026010"), ("StudyTime", "1"), ("InstanceNumber", "seven")],
)
def test_10_6_1_2_value_of_the_wrong_type_is_400_and_not_a_wider_answer(name: str, value: str) -> None:
    with pytest.raises(BadRequest):
        parse_search([(name, value)])


@pytest.mark.parametrize(
    "pairs",
    [
        [("PatientID", "A"), ("PatientID", "B")],
        [("PatientID", "A"), ("00100020", "B")],
        [("limit", "1"), ("limit", "2")],
        [("limit", "-1")],
        [("limit", "٣")],
        [("offset", "1.5")],
        [("fuzzymatching", "perhaps")],
    ],
)
def test_8_3_4_contradictory_or_malformed_parameter_is_400(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadRequest):
        parse_search(pairs)


def test_8_3_2_unknown_parameter_is_ignored_as_servers_do() -> None:
    query = parse_search([("patientid", "A"), ("PatientsName", "B"), ("x", ""), ("0010002", "C")])

    assert query.keys == ()


def test_8_3_4_3_includefield_takes_lists_keywords_tags_and_all() -> None:
    query = parse_search([("includefield", "StudyDescription,00100021"), ("includefield", "nothing")])

    assert query.include == {"00081030", "00100021"}
    assert not query.include_all
    assert parse_search([("includefield", "all")]).include_all


def test_8_3_4_4_paging_parameters() -> None:
    query = parse_search([("limit", "5"), ("offset", "10"), ("fuzzymatching", "true")])

    assert (query.limit, query.offset, query.fuzzy_matching) == (5, 10, True)


def test_10_6_3_3_attributes_belong_to_one_level() -> None:
    levels = [level_of(tag_of(keyword)) for keyword in ("PatientID", "ModalitiesInStudy", "Modality", "Rows")]

    assert levels == [Level.STUDY, Level.STUDY, Level.SERIES, Level.INSTANCE]


def test_wildcards_stay_fast_on_a_hostile_pattern() -> None:
    began = time.monotonic()

    assert not matches_wildcard("*a" * 200 + "b", "a" * 400)
    assert time.monotonic() - began < 1.0


@given(st.text(alphabet="ab*?", max_size=12), st.text(alphabet="ab", max_size=12))
def test_wildcard_agrees_with_the_shells(pattern: str, text: str) -> None:
    import fnmatch

    assert matches_wildcard(pattern, text) == fnmatch.fnmatchcase(text, pattern)
