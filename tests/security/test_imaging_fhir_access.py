"""The imaging FHIR endpoint opens nobody's studies but the token's patient's, and the archives hear of nothing else.

Groups 1, 7, 8, 11, 12, 14 to 16, 21, 22, 34 and 35, for FHIR.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from flask import Response, jsonify

from fhir_imaging.audit import AuditAction
from fhir_imaging.settings import Ownership
from tests.contract.imaging_fhir_actors import (
    CT_A,
    CT_B,
    DX_A,
    MR_A,
    MRN,
    ImagingFhir,
    an_imaging_fhir,
    link,
    only_at,
    uids_of,
)
from tests.security.gateway_actors import VIEWER_ORIGIN, Answer
from tests.security.gateway_stubs import OTHER_RSA_KEY, dicom_json

SEARCH = "/ImagingStudy?patient=pat-a"


@pytest.fixture(scope="module", params=list(Ownership))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir"), request.param) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    return running


def is_denied(world: ImagingFhir, answer: Answer, reason: str, status: int = 403) -> bool:
    """Whether it is refused for this reason, recorded, without anything of a study, and no archive was asked."""
    record = world.audit()[0]
    assert (answer.status, record.outcome, record.reason) == (status, "denied", reason)
    assert answer.json()["resourceType"] == "OperationOutcome"
    return world.main.asked == [] and world.second.asked == []


@pytest.mark.parametrize("path", [SEARCH, f"/ImagingStudy/{CT_A}", "/Endpoint/main"])
def test_group_1_no_token_no_answer(world: ImagingFhir, path: str) -> None:
    """P4: no ``error`` where no credential came."""
    answer = world.ask(path)
    basic = world.ask(path, Authorization="Basic dTpw")

    assert is_denied(world, answer, "token-missing", 401)
    assert (answer.headers["WWW-Authenticate"], basic.status) == ("Bearer", 401)


@pytest.mark.parametrize("path", [SEARCH, f"/ImagingStudy/{CT_A}", "/Endpoint/main"])
def test_F5_a_token_that_does_not_hold_opens_nothing(world: ImagingFhir, path: str) -> None:
    now = int(time.time())
    for token in (
        world.north.token(key=OTHER_RSA_KEY),
        world.north.token(exp=now - 600),
        world.north.token(aud="https://other.example/fhir"),
        world.south.token(),
    ):
        answer = world.ask(path, token)

        assert is_denied(world, answer, "token-invalid", 401)
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_F5_a_token_for_the_imaging_endpoint_itself_holds(world: ImagingFhir) -> None:
    """D1: the EHR may name the associated endpoint as the audience."""
    assert world.search(world.north.token(aud=[world.base])).status == 200
    assert world.search(world.north.token(aud=f"{world.url}/imaging/south/fhir")).status == 401


def test_group_1_a_token_in_the_address_is_no_token_and_is_kept_nowhere(
    world: ImagingFhir, caplog: pytest.LogCaptureFixture
) -> None:
    """Group 34."""
    token = world.north.token()

    with caplog.at_level(logging.DEBUG, logger="imaging_cds"):
        answer = world.ask(f"{SEARCH}&access_token={token}")
        beside = world.ask(f"{SEARCH}&access_token={token}", token)

    assert (answer.status, beside.status) == (401, 400)
    assert not [one for one in world.audit() if token in (one.query or "")]
    assert token not in "".join(one.getMessage() for one in caplog.records if one.name.startswith("imaging_cds"))


@pytest.mark.parametrize(
    "params",
    [
        "patient=pat-b",
        "patient=Patient/pat-b",
        "subject=Patient/pat-b",
        "patient=pat-a&patient=pat-b",
        "patient=pat-b&patient=pat-a",
        "patient=pat-a&subject=Patient/pat-b",
        "patient=pat-a,pat-b",
        "patient=https://other.example/fhir/Patient/pat-a",
        "patient=pat-b&_lastUpdated=gt2020-01-01",
        f"patient=pat-b&identifier=urn:oid:{CT_B}",
        "patient:Patient=pat-b&patient=pat-a",
        "patient=Patient/pat-a/_history/1",
        "patient=pat-A",
        "patient=%20pat-a",
        "patient=*",
        "patient=,",
        "patient=pat-a,",
        "patient=Patient/",
    ],
)
def test_F6_a_search_for_anybody_else_is_403_and_no_empty_bundle(world: ImagingFhir, params: str) -> None:
    """M6 and group 8: repeated, listed, as another parameter, on another server; also by form."""
    token = world.north.token()
    answer = world.ask(f"/ImagingStudy?{params}", token)

    assert is_denied(world, answer, "other-patient")
    sent = {"Content_Type": "application/x-www-form-urlencoded"}
    assert is_denied(world, world.ask("/ImagingStudy/_search", token, "POST", params.encode(), **sent), "other-patient")
    mixed = world.ask("/ImagingStudy/_search?patient=pat-a", token, "POST", params.encode(), **sent)
    assert is_denied(world, mixed, "other-patient")


@pytest.mark.parametrize("claim", [None, "", ["pat-a"], "Patient/pat-a", {"id": "pat-a"}, 7, ".."])
def test_F8_without_a_patient_in_context_nothing_is_listed(world: ImagingFhir, claim: object) -> None:
    """Group 8: the claim decides, never the parameter."""
    answer = world.search(world.north.token(claim, scope="patient/ImagingStudy.rs system/ImagingStudy.rs user/*.rs"))

    assert is_denied(world, answer, "no-patient-in-context")


@pytest.mark.parametrize(
    ("scope", "search", "read", "endpoint"),
    [
        ("patient/ImagingStudy.rs", 200, 200, 200),
        ("patient/ImagingStudy.read", 200, 200, 200),
        ("patient/*.rs", 200, 200, 200),
        ("patient/*.read", 200, 200, 200),
        ("user/ImagingStudy.rs", 200, 200, 200),
        ("patient/ImagingStudy.cruds", 200, 200, 200),
        ("patient/ImagingStudy.s", 200, 403, 403),
        ("patient/ImagingStudy.r", 403, 200, 200),
        ("patient/Endpoint.r", 403, 403, 200),
        ("patient/ImagingStudy.s patient/Endpoint.rs", 200, 403, 200),
        ("patient/Patient.rs", 403, 403, 403),
        ("system/ImagingStudy.rs", 403, 403, 403),
        ("patient/Observation.rs system/ImagingStudy.rs", 403, 403, 403),
        ("patient/ImagingStudy.sr", 403, 403, 403),
        ("patient/ImagingStudyX.rs", 403, 403, 403),
        ("xpatient/ImagingStudy.rs", 403, 403, 403),
        ("patient/ImagingStudy.write", 403, 403, 403),
        ("patient/ImagingStudy.rs?_security=R", 403, 403, 200),
    ],
)
def test_group_7_searches_need_s_and_reads_need_r(
    world: ImagingFhir, scope: str, search: int, read: int, endpoint: int
) -> None:
    """F9: each scope keeps its own context; P6: a filter that cannot be enforced grants nothing."""
    token = world.north.token(scope=scope)

    answers = [world.search(token), world.ask(f"/ImagingStudy/{CT_A}", token), world.ask("/Endpoint/main", token)]

    assert [one.status for one in answers] == [search, read, endpoint]
    for one in answers:
        if one.status == 403:
            assert one.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'


def test_group_7_a_filtered_scope_narrows_lists_and_reads(world: ImagingFhir) -> None:
    token = world.north.token(scope="patient/ImagingStudy.rs?modality=CT")

    assert world.listed(token) == [CT_A]
    assert world.listed(token, modality="MR") == []
    assert world.listed(token, identifier=f"urn:oid:{MR_A}") == []
    assert world.ask(f"/ImagingStudy/{CT_A}", token).status == 200
    assert world.ask(f"/ImagingStudy/{MR_A}", token).status == 403
    assert world.listed(world.north.token(scope="patient/ImagingStudy.rs?modality=CT patient/ImagingStudy.s?modality=DX")) == [
        CT_A,
        DX_A,
    ]


def test_group_8_the_same_patient_id_at_two_ehrs_stays_apart(world: ImagingFhir) -> None:
    world.south.studies.clear()
    answer = world.send("GET", "/imaging/south/fhir" + SEARCH, {"Authorization": f"Bearer {world.south.token()}"})

    assert (answer.status, answer.json()["total"]) == (200, 0)
    assert not [one for one in world.north.asked if one.path != "/auth/jwks"]


def test_group_15_another_patients_study_and_an_unknown_one_look_the_same(world: ImagingFhir) -> None:
    token = world.north.token()

    def without_reference(answer: Answer) -> tuple[int, str]:
        return answer.status, answer.json()["issue"][0]["diagnostics"].partition(" (reference")[0]

    others, unknown = (without_reference(world.ask(f"/ImagingStudy/{uid}", token)) for uid in (CT_B, "2.25.999"))
    lists = [world.search(token, identifier=f"urn:oid:{uid}").json() for uid in (CT_B, "2.25.999")]

    assert others == unknown
    assert others[0] == 403
    assert [(one["total"], one.get("entry")) for one in lists] == [(0, None), (0, None)]


def test_group_14_an_archive_that_ignores_the_filter_shows_nothing_more(world: ImagingFhir) -> None:
    everything = [study for study, _ in world.main.index.values()]
    only_at(world.main, "/studies", lambda: dicom_json(everything))
    listed = world.listed()
    every_series = [{"0020000D": study["0020000D"]} | one for study, series in world.main.index.values() for one, _ in series]
    only_at(world.main, "/series", lambda: dicom_json(every_series))

    (entry,) = world.search(id=CT_A).json()["entry"]

    assert CT_B not in listed
    assert [one["uid"] for one in entry["resource"]["series"]] == [f"{CT_A}.1", f"{CT_A}.2"]


@pytest.mark.parametrize(
    "uid", ["2.25.11%0a", "2.25.11,2.25.22", "2.25.11%2C2.25.22", "2" * 65, "..", "..%2f", "2.25.11%00", "*"]
)
def test_group_12_what_is_no_uid_reaches_no_archive(world: ImagingFhir, uid: str) -> None:
    answer = world.ask(f"/ImagingStudy/{uid}", world.north.token())

    assert answer.status in (400, 404, 405)
    assert world.main.asked == []


@pytest.mark.parametrize("value", ["urn:oid:2.25.11%0a", "urn:dicom:uid|*", "urn:oid:2.25.*", "urn:oid:" + "9" * 65])
def test_group_12_identifiers_that_are_no_uid_reach_no_archive(world: ImagingFhir, value: str) -> None:
    answer = world.ask(f"{SEARCH}&identifier={value}", world.north.token())

    assert answer.status == 400 or answer.json()["total"] == 0
    assert not [one for one in world.main.asked if "2.25.*" in one.target or "%0a" in one.target.lower()]


@pytest.mark.parametrize("number", ["MRN-*", "MRN-?", "MRN\\A", ""])
def test_group_11_a_number_with_wild_cards_is_nobodys(world: ImagingFhir, number: str) -> None:
    """M10."""
    world.north.identifiers["pat-a"] = [{"system": MRN, "value": number}, {"system": "https://other.example", "value": "MRN-A"}]
    world.north.studies.clear()

    assert world.listed() == []
    assert not [one for one in world.main.asked if "MRN" in one.target]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_group_16_nothing_can_be_changed(world: ImagingFhir, method: str) -> None:
    token = world.north.token()

    answers = [world.ask(path, token, method, b"") for path in (SEARCH, f"/ImagingStudy/{CT_A}", "/Endpoint/main", "/metadata")]
    overridden = world.ask(SEARCH, token, X_HTTP_Method_Override=method)

    assert [one.status for one in answers] == [405] * 4
    assert overridden.status == 200
    assert world.ask("/ImagingStudy/_search", token).status == 405


def test_a_link_to_a_further_page_is_the_tokens_own(world: ImagingFhir) -> None:
    """M8."""
    token = world.north.token()
    further = (link(world.search(token, count=1), "next") or "").removeprefix(world.base)
    world.main.asked.clear()
    world.second.asked.clear()

    others = [world.north.token(), world.north.token("pat-b"), world.north.token(scope="patient/ImagingStudy.s")]
    for other in others:
        assert is_denied(world, world.ask(further, other), "other-tokens-page")
    assert is_denied(world, world.ask(further), "token-missing", 401)
    south = world.send("GET", "/imaging/south/fhir" + further, {"Authorization": f"Bearer {world.south.token()}"})
    assert south.status == 400
    for odd in (further[:-3] + "AAA", further + "&patient=pat-b", "/ImagingStudy?page=", "/ImagingStudy?page=%C3%A9"):
        assert world.ask(odd, token).status in (400, 403)
    assert uids_of(world.ask(further, token)) == [MR_A]


def test_group_21_and_22_nothing_is_kept_and_only_configured_pages_may_read(world: ImagingFhir) -> None:
    token = world.north.token()

    own = world.ask(SEARCH, token, Origin=VIEWER_ORIGIN)
    foreign = world.ask(SEARCH, token, Origin="https://evil.example")
    null = world.ask(SEARCH, token, Origin="null")
    asked_first = world.ask(
        "/ImagingStudy/_search", None, "OPTIONS", Origin=VIEWER_ORIGIN, Access_Control_Request_Method="POST"
    )

    assert own.headers["Cache-Control"] == "private, no-store"
    assert own.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN
    assert "Access-Control-Allow-Credentials" not in own.headers
    assert foreign.headers["Access-Control-Allow-Origin"] is None
    assert null.headers["Access-Control-Allow-Origin"] is None
    assert (asked_first.status, "POST" in asked_first.headers["Access-Control-Allow-Methods"]) == (204, True)
    assert "Prefer" in asked_first.headers["Access-Control-Allow-Headers"]


def test_group_35_searches_and_reads_are_recorded_as_what_they_are(world: ImagingFhir) -> None:
    token = world.north.token()
    world.search(token, modality="CT")
    world.ask(f"/ImagingStudy/{CT_A}", token)

    read, search = world.audit()[:2]
    assert (search.action, search.query) == (AuditAction.SEARCHED, "ImagingStudy?patient=pat-a&modality=CT")
    assert (read.action, read.study_instance_uid) == (AuditAction.STUDY_DESCRIBED, CT_A)
    assert (search.patient_id, read.patient_id, search.outcome) == ("pat-a", "pat-a", "allowed")


def test_F8_an_ehr_that_cannot_be_asked_lists_nothing(world: ImagingFhir) -> None:
    """Fails closed: 503, recorded."""
    world.north.answers["/fhir/"] = lambda: Response(status=500)

    answer = world.search()

    assert is_denied(world, answer, "authorization-unavailable", 503)
    assert "Retry-After" in answer.headers


def test_an_ehr_that_withdraws_its_word_lists_nothing(world: ImagingFhir) -> None:
    """Strategy ``fhir`` only: what the EHR no longer shows to this token is not listed, whatever the archives hold."""
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify({"resourceType": "Bundle", "type": "searchset", "total": 0})
    north = world.services.ehrs["north"]

    assert world.listed() == ([] if north.ownership is Ownership.FHIR else [CT_A, MR_A, DX_A])


def test_group_15_a_study_that_is_partly_elsewhere_is_refused_whole(world: ImagingFhir) -> None:
    """W5: one archive that holds the study under another person is enough."""
    world.second.holds(CT_A, x00100020="MRN-B")

    listed = world.listed()
    answer = world.ask(f"/ImagingStudy/{CT_A}", world.north.token())

    assert CT_A not in listed
    # Where the site names no identifier system the gateway cannot tell on a read; the two archives' numbers still can.
    assert answer.status in (403, 404)


def test_archives_that_the_ehr_may_not_reach_are_not_asked(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", server={"pacs_by_ehr": {"north": ("main",)}}) as world:
        listed, asked = world.listed(), list(world.second.asked)
        endpoint = world.ask("/Endpoint/second", world.north.token())

    assert (listed, asked, endpoint.status) == ([CT_A, MR_A], [], 404)


def test_the_self_link_holds_nothing_that_was_not_understood(world: ImagingFhir) -> None:
    token = world.north.token()
    hostile = quote("<script>\"'")

    answer = world.ask(f"{SEARCH}&modality={hostile}&{hostile}=1", token, Prefer="handling=lenient")

    assert (answer.status, b"<script>" in answer.body) == (200, False)
