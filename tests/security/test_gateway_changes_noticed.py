"""What changes while a decision is kept is noticed within its bound, with the same token and by both strategies.

Spec: SMART Imaging Access W3, W4, W5; groups 8, 11 and 15; issue 5 ("merged or moved studies noticed; decisions … revocable").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response

from fhir_imaging.settings import Ownership
from imaging_server.settings import PatientIdentifierRule
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier, retrieve
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import FRAME, STUDY_A, Asked, dicom_json

KEPT_S = 0.3
COMPARED = {"patient_identifiers": {"north": PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")}}


@pytest.fixture(scope="module", params=["fhir", "identifier"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    server = {**COMPARED, "decision_cache_s": KEPT_S}
    with a_world(tmp_path_factory.mktemp("gateway"), server=server, north={"ownership": Ownership(request.param)}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    time.sleep(KEPT_S)  # what is in a study is kept for all tokens
    return running


Change = Callable[[World, Index, PatientRecord], None]


def moved_in_the_archive(_world: World, index: Index, _record: PatientRecord) -> None:
    index.studies[0] = a_study(STUDY_A, "MRN-B")


def of_another_issuer(_world: World, index: Index, _record: PatientRecord) -> None:
    index.studies[0] = a_study(STUDY_A, "MRN-A", "SOUTH")


def taken_in_for_a_second_patient(_world: World, index: Index, _record: PatientRecord) -> None:
    index.holds(a_study(STUDY_A, "MRN-B"))


def cut_off(_world: World, index: Index, _record: PatientRecord) -> None:
    index.instead = lambda asked: _cut(asked, index)


def _cut(asked: Asked, index: Index) -> Response | None:
    if not asked.path.endswith("/studies"):
        return None
    found = dicom_json([index.studies[0]])
    found.status_code = 206
    return found


def merged_in_the_ehr(_world: World, _index: Index, record: PatientRecord) -> None:
    record.changes["link"] = [{"other": {"reference": "Patient/pat-c"}, "type": "replaced-by"}]


def numbered_anew_in_the_ehr(_world: World, _index: Index, record: PatientRecord) -> None:
    record.identifiers[:] = [identifier("MRN-A", use="old"), identifier("MRN-NEW")]


def with_a_series_of_another(world: World, index: Index, _record: PatientRecord) -> None:
    number: dict[str, Any] = {"00100020": {"vr": "LO", "Value": ["MRN-B"]}}
    strange = {**world.pacs.series(STUDY_A), "0020000E": {"vr": "UI", "Value": ["2.25.77"]}, **number}
    held = [world.pacs.series(STUDY_A), strange]
    index.instead = lambda asked: dicom_json(held) if asked.path.endswith("/series") else None


@pytest.mark.parametrize(
    "change",
    [
        moved_in_the_archive,
        of_another_issuer,
        taken_in_for_a_second_patient,
        cut_off,
        merged_in_the_ehr,
        numbered_anew_in_the_ehr,
        with_a_series_of_another,
    ],
)
@pytest.mark.parametrize("path", [FRAME, f"/studies/{STUDY_A}", f"/studies/{STUDY_A}/series"])
def test_a_change_is_noticed_within_the_bound(world: World, change: Change, path: str) -> None:
    index, record = Index(world.pacs), PatientRecord(world.north, [identifier("MRN-A")])
    index.holds(a_study(STUDY_A, "MRN-A"))
    token = world.north.token()
    before = world.get(path, token).status
    change(world, index, record)
    time.sleep(KEPT_S)
    world.pacs.asked.clear()

    after = world.get(path, token)

    assert (before, after.status) == (200, 403)
    assert after.problem in ("study-not-of-patient", "identity-conflict")
    assert (world.audit()[0].outcome, world.audit()[0].reason) == ("denied", after.problem)
    assert world.pacs.retrievals() == []


def test_a_moved_study_comes_back_within_the_bound(world: World) -> None:
    """A refusal is not kept."""
    index, _ = Index(world.pacs), PatientRecord(world.north, [identifier("MRN-A")])
    index.holds(a_study(STUDY_A, "MRN-B"))
    token = world.north.token()
    before = retrieve(world, STUDY_A, token).status
    index.studies[0] = a_study(STUDY_A, "MRN-A")

    assert (before, retrieve(world, STUDY_A, token).status) == (403, 200)


def test_a_decision_is_of_one_token_and_serves_no_other(world: World) -> None:
    """Kept by EHR, issuer, patient and token: another token of the same patient asks anew, one of B never profits."""
    index, _ = Index(world.pacs), PatientRecord(world.north, [identifier("MRN-A")])
    index.holds(a_study(STUDY_A, "MRN-A"))
    assert retrieve(world, STUDY_A, world.north.token("pat-a")).status == 200
    PatientRecord(world.north, [identifier("MRN-B")])

    assert retrieve(world, STUDY_A, world.north.token("pat-b")).status == 403


@pytest.mark.parametrize("running", ["fhir"], indirect=True)
@pytest.mark.parametrize("changes", [{"studies": {STUDY_A: "pat-b"}}, {"studies": {}}], ids=["other subject", "gone"])
def test_a_study_that_moved_in_the_ehr_is_noticed_with_the_same_token(world: World, changes: dict[str, Any]) -> None:
    index, _ = Index(world.pacs), PatientRecord(world.north, [identifier("MRN-A")])
    index.holds(a_study(STUDY_A, "MRN-A"))
    token = world.north.token()
    before = retrieve(world, STUDY_A, token).status
    world.north.studies.clear()
    world.north.studies.update(changes["studies"])
    time.sleep(KEPT_S)

    after = retrieve(world, STUDY_A, token)

    assert (before, after.status, after.problem) == (200, 403, "study-not-of-patient")
