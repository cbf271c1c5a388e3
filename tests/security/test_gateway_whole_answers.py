"""Evidence that is cut off, too large, or not to be had: it proves nothing, and every refusal for it is recorded.

Spec: SMART Imaging Access F8, W4, W5; groups 10, 11, 15 and 35; DICOM PS3.18 §8.3.4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from fhir_imaging.settings import Ownership
from imaging_server.settings import PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier, retrieve
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import (
    FRAME,
    INSTANCE,
    METADATA,
    PRIOR_A,
    STUDY_A,
    Asked,
    dicom_json,
    instance_of,
    series_of,
)

COMPARED = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}}
SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
MORE = '299 pacs "There are additional results that can be requested"'


@pytest.fixture(scope="module", params=["fhir", "identifier"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both ways of learning whose study it is; persons are compared in both. What is in a study is asked anew each time."""
    server = {**COMPARED, "max_json_bytes": 20_000, "decision_cache_s": 0.001}
    with a_world(tmp_path_factory.mktemp("gateway"), server=server, north={"ownership": Ownership(request.param)}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    PatientRecord(running.north, [identifier("MRN-A")])
    return running


@pytest.fixture
def index(world: World) -> Index:
    made = Index(world.pacs)
    made.holds(a_study(STUDY_A, "MRN-A"), a_study(PRIOR_A, "MRN-A"))
    return made


def paged(index: Index, size: int, *, status: int = 206, knows_offset: bool = True) -> None:
    """The archive gives its studies in pages; an older one repeats its first."""

    def answer(asked: Asked) -> Response | None:
        if not asked.path.endswith("/studies"):
            return None
        start = int(asked.query.get("offset", ["0"])[0]) if knows_offset else 0
        found = [one for one in index.studies if _is_asked_for(one, asked)]
        more = start + size < len(found)
        page = dicom_json(found[start : start + size])
        page.status_code = status if more else 200
        if more:
            page.headers["Warning"] = MORE
        return page

    index.instead = answer


def _is_asked_for(study: dict[str, Any], asked: Asked) -> bool:
    uids, numbers = asked.query.get("StudyInstanceUID"), asked.query.get("PatientID")
    return (uids is None or study["0020000D"]["Value"][0] in uids[0].split(",")) and (
        numbers is None or study["00100020"]["Value"] == numbers
    )


def is_denied(world: World, path: str = METADATA) -> bool:
    """403, recorded as such, and nothing but the index was asked."""
    answer = world.get(path, world.north.token())
    recorded = world.audit()[0]
    reasons = ("study-not-of-patient", "identity-conflict")
    return (
        (answer.status, answer.problem in reasons) == (403, True)
        and (recorded.outcome, recorded.reason) == ("denied", answer.problem)
        and world.pacs.retrievals() == []
    )


# Whose study it is


@pytest.mark.parametrize("status", [206, 200])
def test_group_11_a_second_owner_on_a_further_page_is_seen(world: World, index: Index, status: int) -> None:
    index.holds(a_study(STUDY_A, "MRN-B"))
    paged(index, 1, status=status)

    assert is_denied(world)
    assert STUDY_A not in world.found("/studies?PatientID=MRN-A", world.north.token())


@pytest.mark.parametrize("status", [206, 200])
def test_group_11_an_answer_that_stays_cut_off_is_nobodys(world: World, index: Index, status: int) -> None:
    """The archive says that there is more, and gives the same again: the second owner may stand there."""
    index.holds(a_study(STUDY_A, "MRN-B"))
    paged(index, 1, status=status, knows_offset=False)

    assert is_denied(world)
    assert retrieve(world, PRIOR_A).status == 200, "one that is alone in its answer"


def test_answers_in_pages_open_what_is_the_patients(world: World, index: Index) -> None:
    index.holds(*(a_study(f"2.25.30{number}", "MRN-A") for number in range(7)))
    paged(index, 2)

    assert [retrieve(world, study).status for study in (STUDY_A, PRIOR_A)] == [200, 200]
    if world.services.ehrs["north"].ownership is Ownership.IDENTIFIER:
        assert len(world.found("/studies", world.north.token())) == 9


# Each series


def series_said(*persons: dict[str, Any]) -> Callable[[Asked], Response | None]:
    """The series of STUDY_A, with what the archive says of persons in each."""

    def answer(asked: Asked) -> Response | None:
        if not asked.path.endswith(f"{STUDY_A}/series"):
            return None
        held = [
            {
                **one,
                "0020000D": {"vr": "UI", "Value": [STUDY_A]},
                "0020000E": {"vr": "UI", "Value": [series_of(STUDY_A, number)]},
            }
            for number, one in enumerate(persons, 1)
        ]
        named = asked.query.get("SeriesInstanceUID")
        return dicom_json([one for one in held if named is None or one["0020000E"]["Value"] == named])

    return answer


def of(number: object, issuer: str | None = None) -> dict[str, Any]:
    return {
        "00100020": {"vr": "LO", "Value": [number]},
        **({"00100021": {"vr": "LO", "Value": [issuer]}} if issuer else {}),
    }


@pytest.mark.parametrize(
    "other",
    [of("MRN-B"), of("MRN-B", "NORTH"), of("MRN-A", "SOUTH"), of(7), of("")],
    ids=["other number", "other number, issuer", "other issuer", "no text", "empty"],
)
@pytest.mark.parametrize(
    "path",
    [f"/studies/{STUDY_A}", METADATA, SERIES, FRAME, f"/studies/{STUDY_A}/series", f"{SERIES}/instances"],
)
def test_w5_a_study_with_a_series_of_somebody_else_is_denied_whole(
    world: World, index: Index, path: str, other: dict[str, Any]
) -> None:
    """Group 15: not even the series that is the patient's; no part of it is a success."""
    index.instead = series_said(of("MRN-A"), other)

    answer = world.get(path, world.north.token())

    assert (answer.status, answer.problem) == (403, "identity-conflict")
    assert world.pacs.retrievals() == []
    assert (world.audit()[0].outcome, world.audit()[0].reason) == ("denied", "identity-conflict")


@pytest.mark.parametrize("said", [{}, of("MRN-A"), of("MRN-A", "NORTH"), of("MRN-A ", "NORTH "), {"00100020": {"vr": "LO"}}])
def test_a_study_whose_series_name_the_patient_or_nobody_opens(world: World, index: Index, said: dict[str, Any]) -> None:
    index.instead = series_said(of("MRN-A"), said)

    assert retrieve(world).status == 200


def test_w5_a_series_that_the_list_left_out_is_looked_at_too(world: World, index: Index) -> None:
    whole = series_said(of("MRN-A"), of("MRN-B"))
    index.instead = lambda asked: whole(asked) if "SeriesInstanceUID" in asked.query else series_said(of("MRN-A"))(asked)

    answer = world.get(f"/studies/{STUDY_A}/series/{series_of(STUDY_A, 2)}/metadata", world.north.token())

    assert (answer.status, answer.problem) == (403, "identity-conflict")
    assert world.pacs.retrievals() == []


def test_other_patient_ids_never_count(world: World, index: Index) -> None:
    """M10: a number that a study had once, or elsewhere, is not whose it is, also where the archive finds it by that."""
    others = {"00101000": {"vr": "LO", "Value": ["MRN-A"]}, "00101002": {"vr": "SQ", "Value": [of("MRN-A", "NORTH")]}}
    index.studies[0] = {**a_study(STUDY_A, "MRN-B"), **others}
    index.matches = lambda asked, held: True

    assert is_denied(world)
    assert world.found("/studies", world.north.token()) == [PRIOR_A]


# What is in it


def too_much(ending: str, *, how: str) -> Callable[[Asked], Response | None]:
    """The archive's list is too much, for itself or for us; exact questions are answered."""

    def answer(asked: Asked) -> Response | None:
        is_exact = {"SeriesInstanceUID", "SOPInstanceUID"} & set(asked.query)
        if not asked.path.endswith(ending) or is_exact:
            return None
        return Response(status=413) if how == "for the archive" else dicom_json([{"00081030": {"Value": ["x" * 30_000]}}])

    return answer


@pytest.mark.parametrize("how", ["for the archive", "for us"])
@pytest.mark.parametrize("ending", ["/series", "/instances"])
def test_group_10_a_list_that_is_too_long_is_narrowed_to_what_is_asked_for(
    world: World, index: Index, ending: str, how: str
) -> None:
    index.instead = too_much(ending, how=how)
    token = world.north.token()

    frames = [world.get(FRAME, token).status for _ in range(3)]
    strange = world.get(f"{SERIES}/instances/2.25.99/frames/1", token)

    assert frames == [200] * 3
    assert (strange.status, strange.problem) == (403, "not-in-study")


def test_group_23_a_list_that_is_too_long_is_not_asked_for_with_each_frame(tmp_path: Path) -> None:
    with a_world(tmp_path, server={**COMPARED, "decision_cache_s": 60.0}) as world:
        PatientRecord(world.north, [identifier("MRN-A")])
        index = Index(world.pacs)
        index.holds(a_study(STUDY_A, "MRN-A"))
        index.instead = lambda asked: too_much("s", how="for the archive")(asked) if "/series" in asked.path else None
        token = world.north.token()
        assert [world.get(FRAME, token).status for _ in range(5)] == [200] * 5

        below = [one for one in world.pacs.asked if "/series" in one.path and "frames" not in one.path]
        assert len(below) == 4, "each list once, and one exact question in place of it"


@pytest.mark.parametrize("status", [400, 401, 403, 413, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("path", [FRAME, INSTANCE, f"{SERIES}/instances"])
def test_f8_an_archive_that_cannot_say_what_is_in_a_study_is_an_outage_that_is_recorded(
    world: World, index: Index, path: str, status: int
) -> None:
    def refused(asked: Asked) -> Response | None:
        return Response("at pacs.internal", status) if asked.path.endswith("/series") else None

    index.instead = refused
    answer = world.get(path, world.north.token())

    assert answer.status == 503
    assert b"internal" not in answer.body
    assert int(answer.headers["Retry-After"]) > 0
    assert world.pacs.retrievals() == []
    assert [(one.outcome, one.reason) for one in world.audit()[:1]] == [("denied", "authorization-unavailable")]


# Refusals in the middle


def test_group_35_an_ehr_that_refuses_the_token_in_the_middle_of_a_search_is_a_denial(world: World, index: Index) -> None:
    """Never first "allowed" and then refused."""
    before = len(world.audit())
    PatientRecord(world.north, [identifier("MRN-A")], readers=lambda token: False, refusal=401)
    answer = world.get("/studies", world.north.token())
    recorded = world.audit()[: len(world.audit()) - before]

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert [(one.outcome, one.reason) for one in recorded] == [("denied", "token-refused-by-ehr")]


def test_group_35_an_ehr_that_is_down_in_the_middle_of_a_search_is_a_denial(world: World, index: Index) -> None:
    before = len(world.audit())
    PatientRecord(world.north, [identifier("MRN-A")], readers=lambda token: False, refusal=500)
    answer = world.get("/studies", world.north.token())
    recorded = world.audit()[: len(world.audit()) - before]

    assert answer.status == 503
    assert [(one.outcome, one.reason) for one in recorded] == [("denied", "authorization-unavailable")]


@pytest.mark.parametrize("reads", range(1, 7))
@pytest.mark.parametrize(
    "target",
    [
        "/dicom-web/main/studies",
        f"/dicom-web/main{METADATA}",
        "/fhir/ImagingStudy?patient=pat-a",
        f"/fhir/ImagingStudy/{STUDY_A}",
    ],
)
def test_group_35_what_is_on_record_is_what_was_answered_whenever_a_token_ends(
    world: World, index: Index, target: str, reads: int
) -> None:
    """The EHR takes the token that often, and then no more: nothing is refused that was recorded as allowed."""
    record = PatientRecord(world.north, [identifier("MRN-A")], refusal=401)
    record.readers = lambda token: len(record.reads) <= reads
    before = len(world.audit())

    answer = world.send("GET", f"/imaging/north{target}", {"Authorization": f"Bearer {world.north.token()}"})

    recorded = world.audit()[: len(world.audit()) - before]
    assert [(answer.status, one.outcome) for one in recorded] in ([(200, "allowed")], [(401, "denied")])


def test_instances_of_one_series_are_told_from_anothers(world: World, index: Index) -> None:
    answer = world.get(f"{SERIES}/instances/{instance_of(STUDY_A, series=2)}/frames/1", world.north.token())

    assert (answer.status, answer.problem) == (403, "not-in-study")
