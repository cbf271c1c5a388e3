"""Whose study it is by PatientID and issuer, where the EHR has no ImagingStudy (F2, W4, W5, M10; groups 10, 11 and 15)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response

from imaging_server.settings import PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, by_number, identifier, is_denied, retrieve
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import PRIOR_A, STUDY_A, STUDY_B, dicom_json, instance_of, series_of

KEPT_S = 2.0
ONLY = PatientIdentifierRule(system=MRN, is_only_issuer=True)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), **by_number(kept_s=KEPT_S)) as world:
        yield world


@pytest.fixture(scope="module")
def running_only_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), **by_number(ONLY, kept_s=KEPT_S)) as world:
        yield world


@pytest.fixture
def only_issuer(running_only_issuer: World) -> World:
    running_only_issuer.start_anew()
    return running_only_issuer


# What it opens


def test_patients_studies_open_and_anothers_do_not(world: World, index: Index, record: PatientRecord) -> None:
    assert [retrieve(world, study).status for study in (STUDY_A, PRIOR_A)] == [200, 200]
    assert is_denied(world, STUDY_B)
    assert sorted(world.found("/studies", world.north.token())) == [STUDY_A, PRIOR_A]
    assert "/fhir/ImagingStudy" not in world.north.paths()


def test_other_patients_study_and_unknown_study_have_the_same_answer(world: World, index: Index, record: PatientRecord) -> None:
    """Group 15."""
    other, unknown = retrieve(world, STUDY_B), retrieve(world, "2.25.99")

    assert (other.status, other.problem) == (unknown.status, unknown.problem) == (403, "study-not-of-patient")


def test_search_asks_the_archive_by_the_patients_number(world: World, index: Index, record: PatientRecord) -> None:
    world.get("/studies", world.north.token())

    assert index.searched()[0].query["PatientID"] == ["MRN-A"]
    assert all("PatientID" in one.query or "StudyInstanceUID" in one.query for one in index.searched())


@pytest.mark.parametrize("path", ["/studies?PatientID=MRN-B", "/studies?00100020=MRN-B", "/studies?PatientID=*", "/studies"])
def test_archive_that_ignores_the_filter_gives_nothing_away(
    world: World, index: Index, record: PatientRecord, path: str
) -> None:
    """Group 14: servers ignore parameters; each match must say itself whose it is."""
    index.matches = lambda asked, held: True

    assert set(world.found(path, world.north.token())) <= {STUDY_A, PRIOR_A}


def test_series_of_b_under_a_study_of_a_is_refused(world: World, index: Index, record: PatientRecord) -> None:
    """Group 10."""
    token = world.north.token()
    below = f"/studies/{STUDY_A}/series/{series_of(STUDY_B)}/instances/{instance_of(STUDY_B)}/frames/1"
    answer = world.get(below, token)

    assert (answer.status, answer.problem) == (403, "not-in-study")
    assert world.pacs.retrievals() == []


def test_filtered_scope_counts_here_too(world: World, index: Index, record: PatientRecord) -> None:
    token = world.north.token(scope="patient/ImagingStudy.rs?modality=MR")

    assert [retrieve(world, study, token).status for study in (STUDY_A, PRIOR_A)] == [403, 200]
    assert world.found("/studies", token) == [PRIOR_A]


@pytest.mark.parametrize("scope", ["patient/Patient.r", "system/ImagingStudy.rs", "patient/ImagingStudy.c", ""])
def test_scope_that_does_not_cover_it_asks_nobody(world: World, index: Index, record: PatientRecord, scope: str) -> None:
    answer = retrieve(world, token=world.north.token(scope=scope))

    assert (answer.status, answer.problem) == (403, "insufficient-scope")
    assert (record.reads, world.pacs.asked) == ([], [])


# Group 11: any doubt denies


@pytest.mark.parametrize(
    "held",
    [
        [a_study(STUDY_A, "MRN-A"), a_study(STUDY_A, "MRN-B")],
        [a_study(STUDY_A, "MRN-A"), a_study(STUDY_A, "MRN-A", "SOUTH")],
        [a_study(STUDY_A, "MRN-A"), a_study(STUDY_A, "MRN-A", None)],
        [a_study(STUDY_A, "MRN-A", "SOUTH")],
        [a_study(STUDY_A, "MRN-A", "north")],
        [a_study(STUDY_A, "MRN-A", None)],
        [a_study(STUDY_A, "MRN-A", "")],
        [a_study(STUDY_A, "mrn-a")],
        [a_study(STUDY_A, "MRN-A2")],
        [a_study(STUDY_A, "MRN-")],
        [a_study(STUDY_A, "")],
        [a_study(STUDY_A, None)],
        [a_study(STUDY_A, 7)],
        [a_study(STUDY_A, ["MRN-A", "MRN-B"])],
        [a_study(STUDY_A, ["MRN-B", "MRN-A"])],
        [{**a_study(STUDY_A, "MRN-A"), "00100021": {"vr": "LO", "Value": ["NORTH", "SOUTH"]}}],
        [{**a_study(STUDY_A, "MRN-A"), "0020000D": {"vr": "UI", "Value": [STUDY_B]}}],
        [],
    ],
    ids=[
        "one UID for two patients",
        "one UID of two issuers",
        "one UID with and without issuer",
        "other issuer",
        "issuer in other case",
        "no issuer",
        "empty issuer",
        "number in other case",
        "longer number",
        "shorter number",
        "empty number",
        "no number",
        "number that is no text",
        "two numbers",
        "two numbers, the other first",
        "two issuers",
        "match that says it is another study",
        "not held",
    ],
)
def test_study_that_is_not_clearly_the_patients_is_nobodys(
    world: World, record: PatientRecord, held: list[dict[str, Any]]
) -> None:
    index = Index(world.pacs)
    world.pacs.persons.clear()
    index.holds(*held)
    world.pacs.persons[STUDY_A] = ("of the stub", None)

    assert is_denied(world)


@pytest.mark.parametrize("path", ["/studies", "/studies?PatientID=MRN-A", "/studies?00100020=MRN-A"])
def test_study_that_two_patients_share_is_in_no_list(world: World, record: PatientRecord, path: str) -> None:
    """W5: not even the half of it that a search by PatientID shows, which is how viewers look for priors."""
    index = Index(world.pacs)
    index.holds(a_study(STUDY_A, "MRN-A"), a_study(PRIOR_A, "MRN-A"), a_study(PRIOR_A, "MRN-B"))

    assert world.found(path, world.north.token()) == [STUDY_A]


def test_number_without_issuer_counts_where_there_is_one_issuer_only(only_issuer: World) -> None:
    PatientRecord(only_issuer.north, [identifier("MRN-A")])
    Index(only_issuer.pacs).holds(a_study(STUDY_A, "MRN-A", None), a_study(STUDY_B, "MRN-B", None))

    assert [retrieve(only_issuer, study).status for study in (STUDY_A, STUDY_B)] == [200, 403]


@pytest.mark.parametrize(
    "named",
    [
        {"00100021": {"vr": "LO", "Value": ["SOUTH"]}},
        {"00100021": {"vr": "LO", "Value": [7]}},
        {"00100024": {"vr": "SQ", "Value": [{"00400032": {"vr": "UT", "Value": ["1.2.840.99.1"]}}]}},
        {"00100024": {"vr": "SQ", "Value": [{"00400031": {"vr": "UT", "Value": ["SOUTH"]}}]}},
    ],
    ids=["another", "no text", "universal entity", "local entity"],
)
def test_number_with_an_issuer_is_anothers_where_the_only_one_has_no_name(only_issuer: World, named: dict[str, Any]) -> None:
    """M10: an import from another hospital, whose numbers mean other patients."""
    PatientRecord(only_issuer.north, [identifier("MRN-A")])
    Index(only_issuer.pacs).holds(a_study(STUDY_A, "MRN-A", None), {**a_study(STUDY_B, "MRN-A", None), **named})

    assert [retrieve(only_issuer, study).status for study in (STUDY_A, STUDY_B)] == [200, 403]
    assert only_issuer.found("/studies", only_issuer.north.token()) == [STUDY_A]


@pytest.mark.parametrize("tag", ["00400032", "00400031"], ids=["universal entity", "local entity"])
def test_W5_a_series_with_an_issuer_is_anothers_where_the_only_one_has_no_name(only_issuer: World, tag: str) -> None:
    """Group 11: a series of an import from another hospital, among those of the patient with the same number here."""
    PatientRecord(only_issuer.north, [identifier("MRN-A")])
    study, index = f"2.25.90{tag}", Index(only_issuer.pacs)  # what is in a study is kept for all tests
    index.holds(a_study(study, "MRN-A", None))
    own = {**only_issuer.pacs.series(study), "00100020": {"vr": "LO", "Value": ["MRN-A"]}}
    issuer = {"00100024": {"vr": "SQ", "Value": [{tag: {"vr": "UT", "Value": ["SOUTH"]}}]}}
    imported = {**own, "0020000E": {"vr": "UI", "Value": [series_of(study, 2)]}, **issuer}
    index.instead = lambda asked: dicom_json([own, imported]) if asked.path.endswith("/series") else None

    answer = retrieve(only_issuer, study)

    assert (answer.status, answer.problem) == (403, "identity-conflict")
    assert only_issuer.pacs.retrievals() == []


@pytest.mark.parametrize(("entity", "status"), [("NORTH", 200), ("1.2.840.99.1", 403)])
def test_universal_entity_counts_where_no_issuer_is_named_in_words(
    world: World, record: PatientRecord, entity: str, status: int
) -> None:
    qualifiers = {"00100024": {"vr": "SQ", "Value": [{"00400032": {"vr": "UT", "Value": [entity]}}]}}
    Index(world.pacs).holds({**a_study(STUDY_A, "MRN-A", None), **qualifiers})

    assert retrieve(world).status == status


def test_padding_is_not_part_of_a_number(world: World, record: PatientRecord) -> None:
    """VR LO is padded to even length; some archives leave that in their JSON."""
    Index(world.pacs).holds(a_study(STUDY_A, "MRN-A ", "NORTH "))

    assert retrieve(world).status == 200


# Changes are noticed


def test_moved_study_is_noticed_within_the_bound(world: World, index: Index, record: PatientRecord) -> None:
    token = world.north.token()
    before = retrieve(world, STUDY_A, token).status
    index.studies[0] = a_study(STUDY_A, "MRN-B")
    time.sleep(KEPT_S + 0.1)

    assert (before, retrieve(world, STUDY_A, token).status) == (200, 403)


def test_study_that_arrives_is_found_at_once(world: World, index: Index, record: PatientRecord) -> None:
    """A no is not kept."""
    token = world.north.token()
    before = retrieve(world, "2.25.14", token).status
    index.holds(a_study("2.25.14", "MRN-A"))

    assert (before, retrieve(world, "2.25.14", token).status) == (403, 200)


# Outages fail closed


@pytest.mark.parametrize("status", [400, 401, 403, 413, 500, 503])
def test_archive_that_cannot_say_whose_it_is_is_an_outage(
    world: World, index: Index, record: PatientRecord, status: int
) -> None:
    index.instead = lambda asked: Response("at pacs.internal.example", status) if asked.path.endswith("/studies") else None

    retrieved, searched = retrieve(world), world.get("/studies", world.north.token())

    assert (retrieved.status, searched.status) == (503, 503)
    assert b"internal" not in retrieved.body + searched.body
    assert world.pacs.retrievals() == []
    assert {one.reason for one in world.audit()[:2]} == {"authorization-unavailable"}
