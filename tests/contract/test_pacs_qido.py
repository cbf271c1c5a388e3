"""QIDO-RS of the sandbox PACS (PS3.18 §10.6) over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pacs_actors import STUDY_A, STUDY_B, STUDY_C, RunningPacs, a_running_pacs, write_demo


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    directory = tmp_path_factory.mktemp("pacs")
    write_demo(directory / "dicom")
    with a_running_pacs(directory / "data", directory / "dicom") as running:
        yield running


def values(pacs: RunningPacs, path: str, tag: str) -> list[object]:
    answer = pacs.get(path)
    if answer.status_code == 204:
        assert answer.content == b""
        return []
    assert answer.status_code == 200, answer.text
    return [one[tag]["Value"][0] for one in answer.json()]


STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"


@pytest.mark.parametrize(
    ("path", "tag", "expected"),
    [
        ("/studies", STUDY_UID, [STUDY_A, STUDY_B, STUDY_C]),
        (f"/studies/{STUDY_A}/series", SERIES_UID, [f"{STUDY_A}.1", f"{STUDY_A}.2", f"{STUDY_A}.9"]),
        ("/series?Modality=SR", SERIES_UID, [f"{STUDY_A}.9"]),
        (f"/studies/{STUDY_C}/instances", SOP_UID, [f"{STUDY_C}.{n}.1" for n in (1, 2, 3)]),
        (f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances", SOP_UID, [f"{STUDY_A}.1.{n}" for n in (1, 2, 3)]),
        ("/instances?PatientID=DEMO-1002", SOP_UID, [f"{STUDY_B}.1.1"]),
    ],
)
def test_10_6_1_every_form_of_search(pacs: RunningPacs, path: str, tag: str, expected: list[str]) -> None:
    assert values(pacs, path, tag) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PatientID=DEMO-1001", [STUDY_A]),
        ("00100020=DEMO-1001", [STUDY_A]),
        ("PatientID=", [STUDY_A, STUDY_B, STUDY_C]),
        ("PatientID=demo-1001", []),
        ("PatientID=DEMO-100?", [STUDY_A, STUDY_B, STUDY_C]),
        ("PatientID=DEMO-1001,DEMO-1002", []),
        ("patientid=DEMO-1001", [STUDY_A, STUDY_B, STUDY_C]),
        ("PatientName=synthetic%5Eb*", [STUDY_B]),
        (f"StudyInstanceUID={STUDY_A},{STUDY_C}", [STUDY_A, STUDY_C]),
        (f"StudyInstanceUID={STUDY_A}%20", []),
        ("StudyDate=20240101-20251231", [STUDY_B, STUDY_C]),
        ("ModalitiesInStudy=SR", [STUDY_A]),
        ("ModalitiesInStudy=MR", []),
        ("IssuerOfPatientID=DEMO&PatientID=DEMO-1003", [STUDY_C]),
        ("AccessionNumber=ACC-2001", [STUDY_B]),
        ("NumberOfStudyRelatedInstances=5", [STUDY_A]),
        ("Modality=SR", [STUDY_A]),
        (f"SeriesInstanceUID={STUDY_C}.2", [STUDY_C]),
        (f"SOPInstanceUID={STUDY_B}.1.1", [STUDY_B]),
        ("SeriesNumber=9&Modality=CT", []),
        ("RequestAttributesSequence.RequestedProcedureID=RP-9", [STUDY_A]),
    ],
)
def test_8_3_4_1_matching_at_study_level(pacs: RunningPacs, query: str, expected: list[str]) -> None:
    assert values(pacs, f"/studies?{query}", STUDY_UID) == expected


def test_10_6_3_3_study_result_holds_the_required_attributes(pacs: RunningPacs) -> None:
    (study,) = pacs.get(f"/studies?StudyInstanceUID={STUDY_A}").json()

    assert study == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080020": {"vr": "DA", "Value": ["20260105"]},
        "00080030": {"vr": "TM", "Value": ["101500"]},
        "00080050": {"vr": "SH", "Value": ["ACC-1001"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Grün"}]},
        "00080201": {"vr": "SH", "Value": ["+0100"]},
        "00081030": {"vr": "LO", "Value": ["CT chest"]},
        "00081190": {"vr": "UR", "Value": [f"{pacs.url}/studies/{STUDY_A}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Synthetic^Alma"}]},
        "00100020": {"vr": "LO", "Value": ["DEMO-1001"]},
        "00100030": {"vr": "DA", "Value": ["19640101"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "0020000D": {"vr": "UI", "Value": [STUDY_A]},
        "00200010": {"vr": "SH", "Value": ["S1"]},
        "00201206": {"vr": "IS", "Value": [3]},
        "00201208": {"vr": "IS", "Value": [5]},
    }


def test_10_6_3_3_series_and_instance_results_add_the_study_when_the_path_does_not_name_it(pacs: RunningPacs) -> None:
    nested = pacs.get(f"/studies/{STUDY_B}/series").json()[0]
    relational = pacs.get("/series?PatientID=DEMO-1002").json()[0]
    instance = pacs.get("/instances?PatientID=DEMO-1002").json()[0]

    assert "00100020" not in nested
    assert nested["00201209"]["Value"] == [1]
    assert nested["00081190"]["Value"] == [f"{pacs.url}/studies/{STUDY_B}/series/{STUDY_B}.1"]
    assert relational["00100020"]["Value"] == ["DEMO-1002"]
    assert instance["00080060"]["Value"] == ["CT"]
    assert instance["00083002"]["Value"] == ["1.2.840.10008.1.2.4.90"]


def test_8_3_4_3_includefield_adds_the_issuer_and_all_adds_everything_of_the_level(pacs: RunningPacs) -> None:
    plain = pacs.get(f"/studies?StudyInstanceUID={STUDY_A}").json()[0]
    issuer = pacs.get(f"/studies?StudyInstanceUID={STUDY_A}&includefield=IssuerOfPatientID").json()[0]
    instance = pacs.get(f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances?includefield=all&limit=1").json()[0]

    assert "00100021" not in plain
    assert issuer["00100021"]["Value"] == ["DEMO"]
    assert instance["00281050"]["Value"] == [-600.0]
    assert instance["7FE00010"]["BulkDataURI"].startswith(f"{pacs.url}/studies/{STUDY_A}/")


def test_8_3_4_4_pages_follow_each_other_without_gap(pacs: RunningPacs) -> None:
    pages = [values(pacs, f"/instances?limit=4&offset={offset}", SOP_UID) for offset in (0, 4, 8, 12)]

    assert [len(page) for page in pages] == [4, 4, 1, 0]
    assert [uid for page in pages for uid in page] == values(pacs, "/instances", SOP_UID)
    assert values(pacs, "/studies?limit=0", STUDY_UID) == []


def test_8_3_4_2_fuzzy_matching_is_literal_and_says_so(pacs: RunningPacs) -> None:
    fuzzy = pacs.get("/studies?PatientName=Sintetic&fuzzymatching=true")

    assert fuzzy.status_code == 204
    assert fuzzy.headers["Warning"].startswith("299 ")
    assert "Warning" not in pacs.get("/studies?fuzzymatching=false").headers


@pytest.mark.parametrize(
    "query", ["PatientID=A&PatientID=B", "PatientID=A&00100020=B", "limit=x", "offset=-1", "StudyDate=yesterday"]
)
def test_10_6_3_1_query_that_cannot_be_understood_is_400(pacs: RunningPacs, query: str) -> None:
    answer = pacs.get(f"/studies?{query}")

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 400


def test_8_7_5_json_is_served_and_xml_is_406(pacs: RunningPacs) -> None:
    assert pacs.get("/studies", "application/json").headers["Content-Type"] == "application/json"
    assert pacs.get("/studies", "application/dicom+json, application/json").headers["Content-Type"] == (
        "application/dicom+json"
    )
    assert pacs.get("/studies", 'multipart/related; type="application/dicom+xml"').status_code == 406
    assert pacs.get("/studies?accept=application/dicom%2Bjson", "text/html").status_code == 200


def test_search_within_an_unknown_study_finds_nothing(pacs: RunningPacs) -> None:
    assert pacs.get("/studies/2.25.999/series").status_code == 204


def test_rfc_9110_head_answers_as_get_without_a_body(pacs: RunningPacs) -> None:
    answer = pacs.session.head(f"{pacs.url}/studies", timeout=20)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "application/dicom+json"
