"""ImagingStudy for EHRs that have none: the IG's searches, what they answer, and what archives may do to them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fhir.resources.R4B.bundle import Bundle
from flask import Response

from fhir_imaging.settings import Ownership
from tests.contract.imaging_fhir_actors import (
    CT_A,
    CT_B,
    CT_IMAGE,
    DX_A,
    MR_A,
    SR_DOCUMENT,
    ImagingFhir,
    an_imaging_fhir,
    link,
    only_at,
    tagged,
    uids_of,
)
from tests.security.gateway_stubs import dicom_json

SUBSET_SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"


DESCRIBED_BY = [None, {}]
"""Who describes the studies: the archives, or a FHIR server that is kept equal to them."""
WAYS = [pytest.param((way, fed), id=f"{way}{'' if fed is None else ', fed'}") for way in Ownership for fed in DESCRIBED_BY]


@pytest.fixture(scope="module", params=WAYS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    """Both strategies of DESIGN §8: the EHR names the studies, or the archives do by the patient's number."""
    ownership, fed = request.param
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir"), ownership, fed=fed) as world:
        yield world


@pytest.fixture(scope="module", params=list(Ownership))
def running_by_archives(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir"), request.param) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    return running


@pytest.fixture
def archived(running_by_archives: ImagingFhir) -> ImagingFhir:
    """Where it is the archives that describe."""
    running_by_archives.start_anew()
    return running_by_archives


def entries(answer: Any, mode: str) -> list[dict[str, Any]]:
    return [one for one in answer.json().get("entry", []) if one["search"]["mode"] == mode]


def test_F1_search_by_patient_lists_that_patients_studies_newest_first(world: ImagingFhir) -> None:
    answer = world.search()

    assert uids_of(answer) == [CT_A, MR_A, DX_A]
    assert answer.headers["Content-Type"] == "application/fhir+json"
    assert answer.json()["total"] == 3


def test_F1_search_by_last_update_finds_what_is_new_since_then(world: ImagingFhir) -> None:
    world.listed()
    time.sleep(0.01)
    (newest,) = [max(one["resource"]["meta"]["lastUpdated"] for one in entries(world.search(), "match"))]
    nothing = world.listed(lastUpdated=f"gt{newest}")
    time.sleep(0.01)
    world.main.holds(MR_A, "MR", count=7)

    assert nothing == []
    assert world.listed(lastUpdated=f"gt{newest}") == [MR_A]
    assert world.listed(lastUpdated="gt2023-04-17T04:00:00Z") == [CT_A, MR_A, DX_A]
    assert world.listed(lastUpdated="lt2023-04-17T04:00:00Z") == []


@pytest.mark.parametrize("value", [f"urn:oid:{MR_A}", f"urn:dicom:uid|urn:oid:{MR_A}", f"urn:dicom:uid|{MR_A}"])
def test_F1_search_by_study_uid_asks_the_archives_about_that_study_only(archived: ImagingFhir, value: str) -> None:
    answer = archived.search(identifier=value)

    described = [one for one in archived.main.asked if "StudyInstanceUID" in one.query and "00081030" in one.target]
    assert uids_of(answer) == [MR_A]
    assert [one.query["StudyInstanceUID"] for one in described] == [[MR_A]]


def test_F1_include_brings_each_archives_endpoint_once(world: ImagingFhir) -> None:
    answer = world.search(include="ImagingStudy:endpoint")

    included = {one["fullUrl"]: one["resource"] for one in entries(answer, "include")}
    referred = [[one["reference"] for one in match["resource"]["endpoint"]] for match in entries(answer, "match")]
    assert sorted(included) == [f"{world.base}/Endpoint/main", f"{world.base}/Endpoint/second"]
    assert referred == [["Endpoint/main"], ["Endpoint/main", "Endpoint/second"], ["Endpoint/second"]]
    assert "include" not in {one["search"]["mode"] for one in world.search().json()["entry"]}


def test_F3_the_answer_is_a_valid_searchset_with_total_self_link_and_full_urls(world: ImagingFhir) -> None:
    answer = world.search(include="ImagingStudy:endpoint", count=2)

    bundle = Bundle.model_validate(answer.json())
    assert (bundle.type, bundle.total) == ("searchset", 3)
    assert link(answer, "self") == f"{world.base}/ImagingStudy?patient=pat-a&_include=ImagingStudy%3Aendpoint&_count=2"
    assert [one["fullUrl"] for one in entries(answer, "match")] == [f"{world.base}/ImagingStudy/{uid}" for uid in (CT_A, MR_A)]


def test_F3_a_study_says_what_the_profile_must_support(world: ImagingFhir) -> None:
    (entry,) = entries(world.search(identifier=f"urn:oid:{CT_A}"), "match")

    study = entry["resource"]
    instances = [
        [(one["uid"], one["number"], one["sopClass"]["code"]) for one in series.pop("instance")] for series in study["series"]
    ]
    updated = study.pop("meta")["lastUpdated"]
    assert updated.endswith("Z")
    dcm = "http://dicom.nema.org/resources/ontology/DCM"
    assert study == {
        "resourceType": "ImagingStudy",
        "id": CT_A,
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:{CT_A}"},
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]},
                "value": "ACC-1",
            },
        ],
        "status": "available",
        "subject": {"reference": f"{world.north.fhir_base}/Patient/pat-a"},
        "started": "2026-10-01T10:11:12.5+01:00",
        "description": "CT study",
        "modality": [{"system": dcm, "code": "CT"}, {"system": dcm, "code": "SR"}],
        "endpoint": [{"reference": "Endpoint/main"}],
        "numberOfSeries": 2,
        "numberOfInstances": 4,
        "series": [
            {"uid": f"{CT_A}.1", "number": 1, "modality": {"system": dcm, "code": "CT"}, "numberOfInstances": 3},
            {"uid": f"{CT_A}.2", "number": 2, "modality": {"system": dcm, "code": "SR"}, "numberOfInstances": 1},
        ],
    }
    assert instances == [
        [(f"{CT_A}.1.{number}", number, f"urn:oid:{CT_IMAGE}") for number in (1, 2, 3)],
        [(f"{CT_A}.2.1", 1, f"urn:oid:{SR_DOCUMENT}")],
    ]


def test_F3_of_several_studies_the_list_leaves_instances_out_and_says_so(world: ImagingFhir) -> None:
    """FHIR R4: a resource that is not told whole is tagged; one alone, and one that is read, are."""
    listed = [one["resource"] for one in entries(world.search(), "match")]
    (alone,) = [one["resource"] for one in entries(world.search(id=MR_A), "match")]

    assert [study["meta"]["tag"] for study in listed] == [[{"system": SUBSET_SYSTEM, "code": "SUBSETTED"}]] * 3
    assert not [series for study in listed for series in study["series"] if "instance" in series]
    assert ("tag" in alone["meta"], len(alone["series"][0]["instance"])) == (False, 2)


def test_F3_a_study_without_zone_has_its_date_and_no_guessed_time(world: ImagingFhir) -> None:
    world.main.holds(MR_A, "MR", x00080030="235959")
    (entry,) = entries(world.search(id=MR_A), "match")

    assert entry["resource"]["started"] == "2026-09-15"


def test_F3_a_study_in_two_archives_is_one_and_a_series_in_one_of_them_says_where(archived: ImagingFhir) -> None:
    archived.second.adds_series(MR_A, 2, "PR", 1)

    (entry,) = entries(archived.search(id=MR_A), "match")

    first, second = entry["resource"]["series"]
    assert entry["resource"]["numberOfSeries"] == 2
    assert "endpoint" not in first
    assert second["endpoint"] == [{"reference": "Endpoint/second"}]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"modality": "MR"}, [MR_A]),
        ({"modality": "http://dicom.nema.org/resources/ontology/DCM|SR"}, [CT_A]),
        ({"modality": "MR,DX"}, [MR_A, DX_A]),
        ({"modality": ["CT", "SR"]}, [CT_A]),
        ({"modality": "http://other.example|CT"}, []),
        ({"started": "2026"}, [CT_A, MR_A]),
        ({"started": "ge2026-09-15", "modality": "CT"}, [CT_A]),
        ({"started": ["ge2025-01-01", "lt2026-10-01"]}, [MR_A, DX_A]),
        ({"started": "2026-10-01T09:11:12.5Z"}, [CT_A]),
        ({"started": "2026-10-01T10:11:12.5+01:00"}, [CT_A]),
        ({"identifier": "ACC-1"}, [CT_A]),
        ({"identifier": "|ACC-1"}, [CT_A]),
        ({"identifier": "http://other.example|ACC-1"}, []),
        ({"identifier": f"urn:oid:{CT_A},urn:oid:{DX_A}"}, [CT_A, DX_A]),
        ({"identifier": "urn:dicom:uid|nonsense"}, []),
        ({"id": f"{DX_A},{CT_A}"}, [CT_A, DX_A]),
        ({"status": "available"}, [CT_A, MR_A, DX_A]),
        ({"status": "cancelled"}, []),
        ({"sort": "started"}, [DX_A, MR_A, CT_A]),
        ({"sort": "-started"}, [CT_A, MR_A, DX_A]),
        ({"total": "accurate", "format": "application/fhir+json"}, [CT_A, MR_A, DX_A]),
    ],
)
def test_F1_further_parameters_narrow_and_sort(world: ImagingFhir, params: dict[str, Any], found: list[str]) -> None:
    assert world.listed(**params) == found


def test_F2_patient_may_be_written_as_a_reference_into_the_clinical_server(world: ImagingFhir) -> None:
    for value in ("pat-a", "Patient/pat-a", f"{world.north.fhir_base}/Patient/pat-a"):
        assert world.listed(patient=value) == [CT_A, MR_A, DX_A]


def test_search_by_modality_asks_for_series_where_the_archive_keeps_no_summary(archived: ImagingFhir) -> None:
    archived.second.holds(DX_A, "DX", x00080061=None)

    assert archived.listed(modality="DX") == [DX_A]


def test_F1_sorted_by_last_update_what_changed_last_comes_first(world: ImagingFhir) -> None:
    world.listed()
    time.sleep(0.01)
    world.second.holds(DX_A, "DX", x00080020="20250101", count=5)

    assert world.listed(sort="-_lastUpdated")[0] == DX_A
    assert world.listed(sort="_lastUpdated")[-1] == DX_A


def test_a_link_to_a_further_page_stands_alone(world: ImagingFhir) -> None:
    token = world.north.token()
    further = (link(world.search(token, count=1), "next") or "").removeprefix(world.base)

    assert world.ask(f"{further}&patient=pat-a", token).status == 400


def test_an_ehr_that_is_not_configured_has_no_endpoint(world: ImagingFhir) -> None:
    for path in ("metadata", "ImagingStudy?patient=pat-a"):
        assert world.send("GET", f"/imaging/nowhere/fhir/{path}").status == 404


def test_count_of_zero_says_how_many_there_are(world: ImagingFhir) -> None:
    answer = world.search(count=0)

    assert (answer.json()["total"], answer.json().get("entry"), link(answer, "next")) == (3, None, None)


def test_pages_follow_sealed_links_that_name_no_patient_and_no_study(world: ImagingFhir) -> None:
    token = world.north.token()
    answer, pages = world.search(token, count=1, modality="CT,MR,DX"), []
    while True:
        pages.append(uids_of(answer))
        further = link(answer, "next")
        if further is None:
            break
        assert not [word for word in ("pat-a", CT_A, MR_A, DX_A, "modality") if word in further]
        answer = world.ask(further.removeprefix(world.base), token)
        assert link(answer, "self") == further

    assert pages == [[CT_A], [MR_A], [DX_A]]


def test_a_study_that_arrives_between_two_pages_moves_nothing(world: ImagingFhir) -> None:
    token = world.north.token()
    first = world.search(token, count=1)
    world.main.holds("2.25.14", x00080020="20261101")
    world.north.studies["2.25.14"] = "pat-a"

    second = world.ask((link(first, "next") or "").removeprefix(world.base), token)

    assert (uids_of(first), uids_of(second)) == ([CT_A], [MR_A])


def test_search_by_form_is_the_search_by_address(world: ImagingFhir) -> None:
    body = f"patient=pat-a&identifier={quote('urn:dicom:uid|urn:oid:' + CT_A)}".encode()
    sent = {"Content_Type": "application/x-www-form-urlencoded"}

    answer = world.ask("/ImagingStudy/_search", world.north.token(), "POST", body, **sent)
    otherwise = world.ask("/ImagingStudy/_search", world.north.token(), "POST", b"{}", Content_Type="application/json")
    too_long = world.ask("/ImagingStudy/_search", world.north.token(), "POST", b"patient=" + b"a" * 9000, **sent)

    assert uids_of(answer) == [CT_A]
    assert (otherwise.status, too_long.status) == (415, 413)


def test_head_says_what_get_would(world: ImagingFhir) -> None:
    answer = world.ask("/ImagingStudy?patient=pat-a", world.north.token(), "HEAD")

    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "application/fhir+json", b"")


@pytest.mark.parametrize("ending", ["/studies", "/series"])
@pytest.mark.parametrize("status", [500, 503, 401, 400])
def test_F10_one_archive_that_cannot_search_makes_the_answer_wait(archived: ImagingFhir, ending: str, status: int) -> None:
    """No list that lacks an archive in silence."""
    only_at(archived.second, ending, lambda: Response("at pacs.internal.example", status))

    answer = archived.search()

    assert (answer.status, answer.json()["resourceType"]) == (503, "OperationOutcome")
    assert int(answer.headers["Retry-After"]) > 0
    assert b"internal" not in answer.body
    only_at(archived.second, ending, lambda: Response("[]", content_type="application/dicom+json"))
    assert archived.search().status == 200


def test_F10_a_slow_archive_makes_the_answer_wait(archived: ImagingFhir) -> None:
    def late() -> Response:
        time.sleep(6)
        return dicom_json([])

    only_at(archived.second, "/series", late)

    answer = archived.search()

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


def test_an_archive_that_gives_its_index_in_pieces_is_read_to_its_end(archived: ImagingFhir) -> None:
    pages = [[(archived.main.index[CT_A][0])], [archived.main.index[MR_A][0]]]

    def in_pieces(asked: Any) -> Response | None:
        if not asked.path.endswith("/studies") or "00081030" not in asked.target:
            return None
        at = int(asked.query.get("offset", ["0"])[0])
        more = {"Warning": '299 pacs "There are more"'} if at == 0 else {}
        return dicom_json(pages[at] if at < len(pages) else [], **more)

    archived.main.answer = in_pieces

    assert archived.listed() == [CT_A, MR_A, DX_A]


def test_a_list_that_an_archive_cuts_off_says_so(archived: ImagingFhir) -> None:
    only_at(
        archived.main,
        "/series",
        lambda: dicom_json([tagged(x0020000D=CT_A, x0020000E="2.25.5")], Warning='299 x "There is more"'),
    )

    bundle = archived.search(id=CT_A).json()

    (told,) = [one for one in bundle["entry"] if one["search"]["mode"] == "outcome"]
    assert (told["resource"]["issue"][0]["severity"], "total" in bundle) == ("warning", False)
    assert told["fullUrl"].startswith("urn:uuid:")


def test_group_11_a_study_under_two_patients_is_left_out(archived: ImagingFhir) -> None:
    """W4: within one archive, and between two."""
    twice = [archived.main.index[CT_A][0], archived.main.index[CT_A][0] | tagged(x00100020="MRN-B")]
    archived.second.holds(MR_A, "MR", x00100020="MRN-B")
    kept = archived.main.answer
    archived.main.answer = lambda asked: (
        dicom_json([*twice, archived.main.index[MR_A][0]]) if asked.path.endswith("/studies") else kept(asked)
    )

    assert archived.listed() == [DX_A]
    assert archived.ask(f"/ImagingStudy/{CT_B}", archived.north.token()).status == 403


@pytest.mark.parametrize("second", ["2.25.22", "", None])
def test_group_11_a_study_that_names_two_uids_is_left_out_singly_and_the_list_says_so(
    archived: ImagingFhir, second: str | None
) -> None:
    archived.main.index[CT_A][0]["0020000D"]["Value"] = [CT_A, second]

    answer = archived.search()

    assert uids_of(answer) == [MR_A, DX_A]
    assert [one["search"]["mode"] for one in answer.json()["entry"]].count("outcome") == 1
    assert "total" not in answer.json()
    assert archived.ask(f"/ImagingStudy/{CT_A}", archived.north.token()).status == 404


def test_a_link_to_a_further_page_answers_in_the_form_that_the_search_asked_for(world: ImagingFhir) -> None:
    """FHIR R4 RESTful API: ``_format`` outranks Accept, on every page; the link itself can hold nothing beside."""
    page, token = "text/html,application/xhtml+xml", world.north.token()
    first = world.ask("/ImagingStudy?patient=pat-a&_count=1&_format=json", token, Accept=page)
    plain = world.ask("/ImagingStudy?patient=pat-a&_count=1", token)

    second = world.ask(str(link(first, "next")).removeprefix(world.base), token, Accept=page)

    assert uids_of(first) + uids_of(second) == [CT_A, MR_A]
    assert world.ask(str(link(plain, "next")).removeprefix(world.base), token, Accept=page).status == 406
