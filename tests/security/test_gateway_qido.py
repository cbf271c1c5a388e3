"""Searches stay within the token's patient, whatever the caller writes and the archive answers (groups 14 and 15)."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Response, jsonify

from tests.security.gateway_actors import Answer, World
from tests.security.gateway_stubs import PRIOR_A, STUDY_A, STUDY_B, Asked, dicom_json, series_of


def found(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [one["0020000D"]["Value"][0] for one in answer.json()]


def test_search_without_a_filter_shows_the_patients_studies_only(world: World) -> None:
    answer = world.get("/studies", world.north.token())

    asked, *_ = world.pacs.asked
    assert found(answer) == [STUDY_A, PRIOR_A]
    assert asked.query["StudyInstanceUID"] == [f"{STUDY_A},{PRIOR_A}"]


def test_search_for_priors_by_patient_id_as_ohif_does(world: World) -> None:
    """DESIGN §5: ``studies?00100020={PatientID}``."""
    answer = world.get(
        "/studies?00100020=MRN-A&limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060", world.north.token()
    )

    asked, *_ = world.pacs.asked
    assert found(answer) == [STUDY_A, PRIOR_A]
    assert asked.query["PatientID"] == ["MRN-A"]
    assert "limit" not in asked.query


def test_search_by_another_patients_id_shows_nothing_of_that_patient(world: World) -> None:
    for value in ("MRN-B", "*", "MRN-%2A", "%3F%3F%3F%3F%3F"):
        answer = world.get(f"/studies?PatientID={value}", world.north.token())

        assert STUDY_B not in found(answer)


@pytest.mark.parametrize(
    ("others", "nobodys"),
    [
        ("PatientID=MRN-B", "PatientID=MRN-NOBODY"),
        ("00100020=MRN-B", "00100020=MRN-NOBODY"),
        ("PatientName=Synthetic%5EBruno", "PatientName=Nobody"),
        ("PatientID=MRN-B&IssuerOfPatientID=NORTH", "PatientID=MRN-B&IssuerOfPatientID=NOWHERE"),
        ("AccessionNumber=ACC-B", "AccessionNumber=ACC-0"),
    ],
)
def test_a_search_for_somebody_else_tells_nothing_of_whether_there_is_one(world: World, others: str, nobodys: str) -> None:
    """Group 15: the same answer, and the same questions to the archive, whoever is sought."""

    def the_naive_archives(asked: Asked) -> Response | None:
        number = asked.query.get("PatientID", [""])[0]
        held = [uid for uid, (person, _) in world.pacs.persons.items() if person == number]
        return dicom_json([world.pacs.study(uid) for uid in held]) if asked.path.endswith("/studies") else None

    world.pacs.answer = the_naive_archives

    def said(query: str) -> tuple[int, bytes, list[tuple[str, str]], int]:
        world.pacs.asked.clear()
        answer = world.get(f"/studies?{query}", world.north.token())
        told = [(name, value) for name, value in answer.headers.items() if name not in ("Date", "X-Request-Id")]
        return answer.status, answer.body, told, len(world.pacs.asked)

    assert said(others) == said(nobodys)


@pytest.mark.parametrize(
    "uids", [STUDY_B, f"{STUDY_A},{STUDY_B}", f"{STUDY_B}%2C{STUDY_A}", f"{STUDY_A}%5C{STUDY_B}", "2.25.99"]
)
def test_search_that_names_a_study_outside_is_refused_whole(world: World, uids: str) -> None:
    """Group 15: the same for another patient's study and an unknown one."""
    answer = world.get(f"/studies?StudyInstanceUID={uids}", world.north.token())

    assert (answer.status, answer.problem) == (403, "study-not-of-patient")
    assert world.pacs.asked == []
    assert world.audit()[0].reason == "study-not-of-patient"


@pytest.mark.parametrize(
    "query",
    [
        "patientid=MRN-A",
        "PATIENTID=MRN-A",
        "Patient_ID=MRN-A",
        "PatientId=MRN-A",
        "0010,0020=MRN-A",
        "%280010,0020%29=MRN-A",
        "0x00100020=MRN-A",
        "PatientID%00=MRN-A",
        "PatientID%20=MRN-A",
        "PatientID=MRN-A&PatientID=MRN-B",
        "PatientID=MRN-A&00100020=MRN-B",
        "00100020=MRN-A&00100020=MRN-B",
        f"StudyInstanceUID={STUDY_A}&StudyInstanceUID={STUDY_B}",
        f"StudyInstanceUID={STUDY_A}&0020000D={STUDY_B}",
        f"StudyInstanceUID={STUDY_A}&0020000d={STUDY_B}",
        f"StudyInstanceUID={STUDY_A}%0a",
        f"StudyInstanceUID={STUDY_A}%20",
        "StudyInstanceUID=*",
        "StudyInstanceUID=2.25.1*",
        f"studyinstanceuid={STUDY_A}",
        "includefield=PatientName;DROP",
        "includefield=..%2f",
        "includefield=",
        "limit=-1",
        "limit=ten",
        "limit=1&limit=2",
        "limit=%D9%A1",
        "offset=1e3",
        "fuzzymatching=yes",
        "query=*",
        "_method=DELETE",
        "PatientName=a%0ab",
        "PatientName=%ff%fe",
        "PatientName=" + "x" * 500,
        "&".join(f"includefield={number:08d}" for number in range(150)),
        "PatientID",
        "=x",
        "a=1&" * 4000,
        "StudyInstanceUID=" + ",".join(f"2.25.{n}" for n in range(1000, 1400)),
        "Modality=CT",
        "SeriesInstanceUID=2.25.22.1",
        "SOPInstanceUID=2.25.22.1.1",
        "OtherPatientIDs=MRN-B",
    ],
    ids=lambda query: query[:40],
)
def test_unknown_repeated_and_odd_parameters_are_refused(world: World, query: str) -> None:
    """Group 14: archives ignore names that they do not know, which removes the filter silently."""
    answer = world.get(f"/studies?{query}", world.north.token())

    assert answer.status == 400
    assert world.pacs.asked == []


def test_archive_that_ignores_the_filter_shows_nothing_of_others(world: World) -> None:
    """The answer is filtered again by ownership; a match that names no study goes too."""
    everything = [world.pacs.study(uid) for uid in (STUDY_A, PRIOR_A, STUDY_B)]
    nameless = [{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nobody"}]}}, {"0020000D": {"vr": "UI"}}, {"0020000D": 7}]
    world.pacs.answer = lambda asked: dicom_json([*everything, *nameless])

    answer = world.get(f"/studies?StudyInstanceUID={STUDY_A}", world.north.token())

    assert found(answer) == [STUDY_A]


def test_study_that_the_archive_lists_for_two_persons_is_left_out(world: World) -> None:
    """Group 11: one UID for two patients is nobody's."""
    twice = [world.pacs.study(STUDY_A), {**world.pacs.study(STUDY_A), "00100020": {"vr": "LO", "Value": ["MRN-B"]}}]
    world.pacs.answer = lambda asked: dicom_json([*twice, world.pacs.study(PRIOR_A)])

    assert found(world.get("/studies", world.north.token())) == [PRIOR_A]


@pytest.mark.parametrize(
    "path",
    [
        f"/studies/{STUDY_A}/series",
        f"/studies/{STUDY_A}/instances",
        f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}/instances",
    ],
)
def test_nested_search_drops_what_the_archive_mixes_in(world: World, path: str) -> None:
    own = world.pacs.instance(STUDY_A)
    mixed = [own, world.pacs.instance(STUDY_B), {"0020000E": {"vr": "UI", "Value": [series_of(STUDY_A)]}}]
    world.pacs.answer = lambda asked: dicom_json(mixed)

    answer = world.get(path, world.north.token())

    assert found(answer) == [STUDY_A]


@pytest.mark.parametrize("level", ["series", "instances"])
def test_root_search_for_series_and_instances_must_name_its_one_study(world: World, level: str) -> None:
    token = world.north.token()

    wide = world.get(f"/{level}", token)
    by_patient = world.get(f"/{level}?PatientID=MRN-A", token)
    two = world.get(f"/{level}?StudyInstanceUID={STUDY_A},{PRIOR_A}", token)
    one = world.get(f"/{level}?StudyInstanceUID={STUDY_A}", token)

    assert [wide.status, by_patient.status, two.status, one.status] == [400, 400, 400, 200]
    assert {asked.path for asked in world.pacs.asked} == {f"/archive/dicom-web/studies/{STUDY_A}/{level}"}


def test_nested_search_that_names_another_study_than_its_path_is_refused(world: World) -> None:
    answer = world.get(f"/studies/{STUDY_A}/series?StudyInstanceUID={STUDY_B}", world.north.token())

    assert (answer.status, answer.problem) == (400, "two-studies")


def test_values_are_encoded_again_and_cannot_add_parameters(world: World) -> None:
    world.get("/studies?PatientName=A%26StudyInstanceUID%3D2.25.22%23x%2Fy", world.north.token())

    asked, *_ = world.pacs.asked
    assert asked.query["PatientName"] == [f"A&StudyInstanceUID={STUDY_B}#x/y"]
    assert asked.query["StudyInstanceUID"] == [f"{STUDY_A},{PRIOR_A}"]


def test_paging_is_done_after_filtering(world: World) -> None:
    token = world.north.token()
    world.pacs.answer = lambda asked: dicom_json([world.pacs.study(uid) for uid in (STUDY_B, STUDY_A, PRIOR_A)])

    pages = [found(world.get(f"/studies?limit=1&offset={offset}", token)) for offset in (0, 1, 2)]

    assert pages == [[STUDY_A], [PRIOR_A], []]


def test_patient_without_studies_finds_nothing_and_the_archive_is_not_asked(world: World) -> None:
    answer = world.get("/studies", world.north.token("pat-c"))

    assert found(answer) == []
    assert world.pacs.asked == []


def test_many_studies_are_asked_for_in_several_requests(world: World) -> None:
    many = [f"2.25.5{number:03d}" for number in range(100)]
    world.north.studies.update(dict.fromkeys(many, "pat-a"))
    world.pacs.persons.update(dict.fromkeys(many, ("MRN-A", None)))

    answer = world.get("/studies", world.north.token())

    assert len(found(answer)) == 102
    assert len(world.pacs.asked) == 3


def test_more_studies_than_the_ehr_lists_are_announced(world: World) -> None:
    """No silent gap: the answer carries a Warning when the EHR had further pages."""
    page = {
        "resourceType": "Bundle",
        "entry": [{"resource": world.north.imaging_study(STUDY_A)}],
        "link": [{"relation": "next", "url": f"{world.north.fhir_base}/ImagingStudy?page=next"}],
    }
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify(page)

    answer = world.get("/studies", world.north.token())

    assert found(answer) == [STUDY_A]
    assert answer.headers["Warning"].startswith("299 ")


def remark(severity: str, code: str) -> dict[str, Any]:
    """What a server says among its matches."""
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}
    return {"resource": outcome, "search": {"mode": "outcome"}}


@pytest.mark.parametrize(
    ("more", "is_said"),
    [
        ({"total": 2}, True),
        ({"entry": [remark("warning", "incomplete")]}, True),
        ({"entry": [remark("error", "exception")]}, True),
        ({"total": 1}, False),
        ({"entry": [remark("information", "informational")]}, False),
    ],
    ids=["counts more", "could not look everywhere", "something failed", "counts what it gave", "a remark"],
)
def test_f8_a_list_that_the_ehr_says_is_not_all_is_announced(world: World, more: dict[str, Any], is_said: bool) -> None:
    """Also by a server that links no further page."""
    entries = [{"resource": world.north.imaging_study(STUDY_A)}, *more.get("entry", [])]
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify({"resourceType": "Bundle", **more, "entry": entries})

    answer = world.get("/studies", world.north.token())

    assert found(answer) == [STUDY_A]
    assert answer.headers.get("Warning", "").startswith("299 ") is is_said


def test_paging_link_to_another_server_is_not_followed_with_the_token(world: World) -> None:
    page = {
        "resourceType": "Bundle",
        "entry": [{"resource": world.north.imaging_study(STUDY_A)}],
        "link": [{"relation": "next", "url": f"{world.south.fhir_base}/ImagingStudy?patient=pat-a"}],
    }
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify(page)

    answer = world.get("/studies", world.north.token())

    assert answer.status == 503
    assert world.south.asked == []


# The archive's own remarks


@pytest.mark.parametrize("path", ["/studies", f"/studies/{STUDY_A}/series"])
@pytest.mark.parametrize(
    ("status", "warning"), [(206, ""), (200, '299 pacs.internal.example "There are 7 additional results"')], ids=["206", "299"]
)
def test_archive_that_has_more_is_announced_in_our_words(world: World, path: str, status: int, warning: str) -> None:
    def partly() -> Response:
        response = dicom_json([world.pacs.series(STUDY_A)], **({"Warning": warning} if warning else {}))
        response.status_code = status
        return response

    world.pacs.answer = lambda asked: partly()

    answer = world.get(path, world.north.token())

    assert found(answer) == [STUDY_A]
    assert answer.headers["Warning"].startswith("299 imaging-cds ")
    assert "internal" not in str(answer.headers)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(204, 200), (404, 200), (400, 400), (413, 413), (401, 502), (403, 502), (500, 502), (503, 503), (302, 502)],
)
def test_archive_status_of_a_search_is_carried_or_explained(world: World, status: int, expected: int) -> None:
    world.pacs.answer = lambda asked: Response("pacs.internal.example", status, headers={"Location": world.south.base})

    for path in ("/studies", f"/studies/{STUDY_A}/series"):
        answer = world.get(path, world.north.token())

        assert answer.status == expected
        assert b"internal" not in answer.body
    assert world.south.asked == []
