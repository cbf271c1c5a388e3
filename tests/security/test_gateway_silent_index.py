"""What an archive's index does not say proves nothing: no data sets for a study, no series in it, or two persons under one UID.

Spec: SMART Imaging Access F8, W4, W5; groups 10, 11, 15 and 35; DICOM PS3.18 §10.6.3.2 (204), §8.3.4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response

from fhir_imaging.settings import Ownership
from imaging_server.settings import PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import FRAME, METADATA, STUDY_A, STUDY_B, Asked, dicom_json, only_for, series_of

COMPARED = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}}
SERIES = f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}"
SEARCHED = f"/studies/{STUDY_A}/series"
RETRIEVED = [f"/studies/{STUDY_A}", METADATA, f"/studies/{STUDY_A}/rendered"]
WHOLE = [*RETRIEVED, SEARCHED]
PARTS = [SERIES, f"{SERIES}/metadata", FRAME, f"{SERIES}/instances"]
NOTHING: dict[str, Callable[[], Response]] = {
    "404": lambda: Response("nothing at pacs.internal", 404),
    "204": lambda: Response(status=204),
    "empty list": lambda: dicom_json([]),
    "empty body": lambda: Response(b"", content_type="application/dicom+json"),
    "of another study": lambda: dicom_json([{"0020000D": {"vr": "UI", "Value": [STUDY_B]}}]),
}
SILENCE = pytest.mark.parametrize("silence", NOTHING.values(), ids=NOTHING)
STRATEGIES = ["fhir", "identifier"]


@pytest.fixture(scope="module", params=[*STRATEGIES, "uncompared"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both ways of learning whose study it is with persons compared, and a site that does not compare them."""
    compared = COMPARED if request.param != "uncompared" else {}
    ownership = Ownership(request.param) if compared else Ownership.FHIR
    server = {**compared, "decision_cache_s": 0.001}
    with a_world(tmp_path_factory.mktemp("gateway"), server=server, north={"ownership": ownership}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    PatientRecord(running.north, [identifier("MRN-A")])
    return running


@pytest.fixture
def index(world: World) -> Index:
    made = Index(world.pacs)
    made.holds(a_study(STUDY_A, "MRN-A"))
    return made


def is_denied(world: World, answer: Answer, *problems: tuple[int, str]) -> bool:
    """Refused like one of ``problems``, recorded as such, and nothing but the index was asked."""
    recorded = world.audit()[0]
    return (
        (answer.status, answer.problem) in problems
        and (recorded.outcome, recorded.reason) == ("denied", answer.problem)
        and b"internal" not in answer.body
        and world.pacs.retrievals() == []
    )


# Nothing is said


@SILENCE
@pytest.mark.parametrize("path", [*WHOLE, *PARTS])
def test_w5_an_index_that_says_nothing_opens_nothing(
    world: World, index: Index, path: str, silence: Callable[[], Response]
) -> None:
    """F8: the images may be there all the same, and of anybody."""
    index.studies[:] = [a_study(STUDY_A, "MRN-OF-B")]
    index.instead = lambda asked: silence() if asked.path.endswith(("/studies", "/series")) else None

    answer = world.get(path, world.north.token())

    assert is_denied(world, answer, (404, "not-in-archive"), (403, "not-in-study"), (403, "study-not-of-patient"))


@SILENCE
@pytest.mark.parametrize("path", [*WHOLE, *PARTS])
def test_w5_a_study_that_is_not_listed_is_not_opened_by_its_series(
    world: World, index: Index, path: str, silence: Callable[[], Response]
) -> None:
    index.instead = only_for("/studies", silence)

    answer = world.get(path, world.north.token())

    assert is_denied(world, answer, (404, "not-in-archive"), (403, "study-not-of-patient"))


@SILENCE
@pytest.mark.parametrize("path", [*RETRIEVED, *PARTS])
def test_w5_a_study_without_any_series_is_not_opened(
    world: World, index: Index, path: str, silence: Callable[[], Response]
) -> None:
    index.instead = only_for("/series", silence)

    answer = world.get(path, world.north.token())

    assert is_denied(world, answer, (404, "no-images-yet") if path in RETRIEVED else (403, "not-in-study"))


@SILENCE
@pytest.mark.parametrize("below", ["series", "instances"])
def test_w5_a_search_of_a_study_without_any_series_finds_nothing(
    world: World, index: Index, below: str, silence: Callable[[], Response]
) -> None:
    """The archive is not asked for it: what it has of nobody's series may be anybody's. Only its index was asked."""
    index.instead = only_for("/series", silence)

    answer = world.get(f"/studies/{STUDY_A}/{below}", world.north.token())

    assert (answer.status, answer.body) == (200, b"[]")
    below_it = [one.path.rpartition("/")[2] for one in world.pacs.asked if not one.path.endswith("/studies")]
    assert below_it == ["series"]
    assert (world.audit()[0].outcome, world.audit()[0].reason) == ("allowed", None)


@pytest.mark.parametrize("running", ["fhir", "uncompared"], indirect=True)
def test_group_15_what_is_not_in_the_archive_is_told_to_its_patient_only(world: World, index: Index) -> None:
    """404 is said after the EHR's yes: to anybody else an absent study is what a present one is."""
    index.studies.clear()
    own, other = (world.get(METADATA, world.north.token(patient)) for patient in ("pat-a", "pat-b"))
    asked = len(world.pacs.asked)
    index.holds(a_study(STUDY_A, "MRN-A"))
    present = world.get(METADATA, world.north.token("pat-b"))

    assert (own.status, own.problem) == (404, "not-in-archive")
    assert (other.status, other.problem) == (present.status, present.problem) == (403, "study-not-of-patient")
    assert len(world.pacs.asked) == asked == 1


# Two persons


def said_of_series(*numbers: str | None, cut: bool = False) -> Callable[[Asked], Response | None]:
    """The series of STUDY_A with the numbers that the archive says of them."""

    def answer(asked: Asked) -> Response | None:
        if not asked.path.endswith("/series"):
            return None
        held: list[dict[str, Any]] = [
            {
                "0020000D": {"vr": "UI", "Value": [STUDY_A]},
                "0020000E": {"vr": "UI", "Value": [series_of(STUDY_A, place)]},
                **({"00100020": {"vr": "LO", "Value": number.split("\\")}} if number else {}),
            }
            for place, number in enumerate(numbers, 1)
        ]
        more = {"Warning": '299 pacs "There are additional results that can be requested"'} if cut else {}
        return dicom_json(held, **more)

    return answer


def said_by_one_series(asked: Asked, tag: str, value: object) -> Response | None:
    """The one series of STUDY_A with a value of PatientID or its issuer."""
    if not asked.path.endswith("/series"):
        return None
    uids = {"0020000D": {"vr": "UI", "Value": [STUDY_A]}, "0020000E": {"vr": "UI", "Value": [series_of(STUDY_A)]}}
    return dicom_json([{**uids, tag: {"vr": "LO", "Value": [value]}}])


def a_study_of(issuer: str) -> dict[str, Any]:
    """STUDY_A, whose PatientID is of an issuer that has no name but a Universal Entity ID."""
    qualifiers = {"00100024": {"vr": "SQ", "Value": [{"00400032": {"vr": "UT", "Value": [issuer]}}]}}
    return {**a_study(STUDY_A, "MRN-A", None), **qualifiers}


@pytest.mark.parametrize("path", WHOLE)
@pytest.mark.parametrize(
    ("studies", "series"),
    [
        ([a_study(STUDY_A, "MRN-A")], said_of_series("MRN-A", cut=True)),
        ([a_study(STUDY_A, "MRN-A")], said_of_series(None, cut=True)),
        ([a_study(STUDY_A, "MRN-A")], lambda asked: Response(status=413) if asked.path.endswith("/series") else None),
        ([a_study(STUDY_A, "MRN-A")], said_of_series("MRN-A", "MRN-B")),
        ([a_study(STUDY_A, "MRN-A")], said_of_series(None, "MRN-B")),
        ([a_study(STUDY_A, "MRN-A")], said_of_series("MRN-A\\MRN-B")),
        ([a_study(STUDY_A, "MRN-A"), a_study(STUDY_A, "MRN-B")], said_of_series(None, None)),
        ([a_study(STUDY_A, "MRN-A"), a_study(STUDY_A, "MRN-A", "SOUTH")], said_of_series(None)),
        ([a_study_of("1.2.840.99.1"), a_study_of("1.2.840.99.2")], said_of_series(None)),
        ([a_study(STUDY_A, None), a_study(STUDY_A, None)], said_of_series(None)),
        ([a_study(STUDY_A, ["MRN-A", "MRN-B"])], said_of_series(None)),
        ([a_study(STUDY_A, "MRN-A")], lambda asked: said_by_one_series(asked, "00100020", 5)),
        ([a_study(STUDY_A, "MRN-A")], lambda asked: said_by_one_series(asked, "00100020", ["MRN-B"])),
    ],
    ids=[
        "series cut off",
        "silent series cut off",
        "series too many",
        "two series",
        "study and series",
        "two in one series",
        "listed twice",
        "two issuers",
        "two universal entities",
        "listed twice, unnamed",
        "two numbers",
        "number that is no text",
        "list in place of a text",
    ],
)
def test_w5_a_study_that_may_be_of_two_persons_is_denied_whole(
    world: World, index: Index, path: str, studies: list[dict[str, Any]], series: Callable[[Asked], Response | None]
) -> None:
    """Group 11: also where the site does not say by which number persons are compared."""
    index.studies[:] = studies
    index.instead = series

    answer = world.get(path, world.north.token())

    assert is_denied(world, answer, (403, "identity-conflict"), (403, "study-not-of-patient"))


@pytest.mark.parametrize("path", [*WHOLE, FRAME])
def test_w5_a_list_of_studies_that_is_cut_off_opens_none(world: World, index: Index, path: str) -> None:
    cut = {"Warning": '299 pacs "There are additional results that can be requested"'}
    index.instead = only_for("/studies", lambda: dicom_json([a_study(STUDY_A, "MRN-A")], **cut))

    answer = world.get(path, world.north.token())

    assert is_denied(world, answer, (403, "identity-conflict"), (403, "study-not-of-patient"))


@pytest.mark.parametrize("running", ["uncompared"], indirect=True)
@pytest.mark.parametrize("studies", [[a_study(STUDY_A, "X")], [a_study(STUDY_A, None, None)], [a_study(STUDY_A, "X")] * 2])
@pytest.mark.parametrize("series", [said_of_series(None, None), said_of_series("X", "X"), said_of_series("X ", None)])
def test_one_person_opens_where_nothing_is_compared(
    world: World, index: Index, studies: list[dict[str, Any]], series: Callable[[Asked], Response | None]
) -> None:
    index.studies[:] = studies
    index.instead = series

    assert [world.get(path, world.north.token()).status for path in (METADATA, FRAME)] == [200, 200]


@pytest.mark.parametrize("running", ["uncompared"], indirect=True)
@pytest.mark.parametrize("tag", ["00100020", "00100021"])
@pytest.mark.parametrize("value", ["", " ", "\0", None])
def test_a_series_that_names_nobody_by_an_empty_value_is_no_other_persons(
    world: World, index: Index, tag: str, value: str | None
) -> None:
    index.instead = lambda asked: said_by_one_series(asked, tag, value)

    assert [world.get(path, world.north.token()).status for path in (METADATA, FRAME)] == [200, 200]


@pytest.mark.parametrize("running", ["uncompared"], indirect=True)
@pytest.mark.parametrize("value", ["", None])
def test_a_study_that_names_nobody_by_an_empty_value_is_its_series_persons(
    world: World, index: Index, value: str | None
) -> None:
    index.studies[:] = [a_study(STUDY_A, [value])]
    index.instead = said_of_series("X", "X")

    assert world.get(METADATA, world.north.token()).status == 200
