"""Under which number the archives know the patient: of the one configured system, in use, and no pattern (M10; group 11)."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.archive_index import MRN, Index, PatientRecord, a_study, by_number, identifier, is_denied, retrieve
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import PRIOR_A, STUDY_A, STUDY_B

KEPT_S = 2.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), **by_number(kept_s=KEPT_S)) as world:
        yield world


@pytest.mark.parametrize(
    "number",
    [
        "MRN*",
        "*",
        "?RN-A",
        "MRN-?",
        "MRN\\A",
        "MRN-A\\MRN-B",
        "",
        " ",
        " MRN-A",
        "MRN-A\n",
        "MRN\0A",
        "M" * 65,
        7,
        None,
        ["MRN-A"],
    ],
    ids=repr,
)
def test_number_that_an_archive_would_read_as_a_pattern_is_not_used(
    world: World, index: Index, record: PatientRecord, number: Any
) -> None:
    """M10: an archive takes ``*`` and ``?`` as wild cards and a backslash as "or"."""
    record.identifiers = [identifier(number)]
    index.matches = lambda asked, held: fnmatch.fnmatch(held, asked)

    assert is_denied(world, STUDY_A)
    assert is_denied(world, STUDY_B)
    assert world.pacs.asked == []


def test_number_with_letters_beyond_ascii_is_compared_as_it_stands(world: World, record: PatientRecord) -> None:
    record.identifiers = [identifier("MRN-Ä&x=1;%2A")]
    index = Index(world.pacs)
    index.holds(a_study(STUDY_A, "MRN-Ä&x=1;%2A"))

    assert world.found("/studies", world.north.token()) == [STUDY_A]
    assert index.searched()[0].query["PatientID"] == ["MRN-Ä&x=1;%2A"]


@pytest.mark.parametrize(
    "identifiers",
    [
        [],
        [identifier("MRN-A", "https://other.example")],
        [identifier("MRN-A", MRN + "/")],
        [identifier("MRN-A", MRN.upper())],
        [{"value": "MRN-A"}],
        [identifier("MRN-A", use="old")],
        [identifier("MRN-A", period={"end": "2001"})],
        [identifier("MRN-A", period={"end": "2001-07-01T00:00:00Z"})],
        [identifier("MRN-A", period={"start": "2001", "end": 7})],
        [identifier("MRN-B", "https://other.example"), identifier("MRN-C")],
    ],
    ids=str,
)
def test_identifier_that_is_not_in_use_under_the_sites_system_does_not_count(
    world: World, index: Index, record: PatientRecord, identifiers: list[dict[str, Any]]
) -> None:
    """No falling back to "the first identifier" (M10)."""
    record.identifiers = identifiers

    assert is_denied(world, STUDY_A)


@pytest.mark.parametrize(
    "more", [{"use": "official"}, {"use": "secondary"}, {"period": {"start": "2001", "end": "2999"}}], ids=str
)
def test_identifier_in_use_counts(world: World, index: Index, record: PatientRecord, more: dict[str, Any]) -> None:
    record.identifiers = [identifier("foreign", "https://other.example"), identifier("MRN-A", **more)]

    assert retrieve(world).status == 200


def test_both_numbers_of_a_patient_with_two_count(world: World, record: PatientRecord) -> None:
    """After a merge in the EHR the archives may still hold one study under each number."""
    record.identifiers = [identifier("MRN-A"), identifier("MRN-A9", use="secondary"), identifier("MRN-OLD", use="old")]
    Index(world.pacs).holds(a_study(STUDY_A, "MRN-A"), a_study(PRIOR_A, "MRN-A9"), a_study("2.25.13", "MRN-OLD"))

    assert sorted(world.found("/studies", world.north.token())) == [STUDY_A, PRIOR_A]
    assert is_denied(world, "2.25.13")


@pytest.mark.parametrize(
    "changes",
    [
        {"link": [{"type": "replaced-by", "other": {"reference": "Patient/pat-c"}}]},
        {"id": "pat-b"},
        {"id": None},
        {"resourceType": "Person"},
        {"identifier": "MRN-A"},
        {"identifier": [["MRN-A"]]},
    ],
    ids=["merged away", "other id", "no id", "other type", "text", "lists"],
)
def test_record_that_is_not_the_patients_own_gives_no_number(
    world: World, index: Index, record: PatientRecord, changes: dict[str, Any]
) -> None:
    record.changes = changes

    assert is_denied(world, STUDY_A)


def test_surviving_record_of_a_merge_counts(world: World, index: Index, record: PatientRecord) -> None:
    record.changes = {"link": [{"type": "replaces", "other": {"reference": "Patient/pat-c"}}]}

    assert retrieve(world).status == 200


def test_changed_number_is_noticed_within_the_bound_whenever_the_study_was_asked_for(
    world: World, index: Index, record: PatientRecord
) -> None:
    """A kept number must not lend its age to the decision that is made by it."""
    token = world.north.token()
    world.get(f"/studies/{STUDY_B}/metadata", token)
    record.identifiers = [identifier("MRN-C")]
    changed = time.monotonic()
    time.sleep(KEPT_S * 0.4)
    with_the_kept_number = retrieve(world, STUDY_A, token).status
    time.sleep(max(0.0, changed + KEPT_S + 0.1 - time.monotonic()))

    assert (with_the_kept_number, retrieve(world, STUDY_A, token).status) == (200, 403)


@pytest.mark.parametrize(
    ("refusal", "expected"), [(401, 401), (403, 403), (404, 403), (410, 403), (400, 503), (500, 503), (429, 503)]
)
def test_ehr_that_refuses_or_fails_opens_nothing(
    world: World, index: Index, record: PatientRecord, refusal: int, expected: int
) -> None:
    record.readers, record.refusal = (lambda token: False), refusal

    answer = retrieve(world)

    assert answer.status == expected
    assert world.pacs.retrievals() == []
    assert world.audit()[0].outcome == "denied"
    if expected == 401:
        assert answer.problem == world.audit()[0].reason == "token-refused-by-ehr"
