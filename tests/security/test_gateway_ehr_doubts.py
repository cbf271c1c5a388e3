"""An EHR's no, or its silence, is about the studies that it names: never a yes, and no no for all the others of a patient.

Spec: SMART Imaging Access F5, F8, W4; group 11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import jsonify

from tests.security.archive_index import retrieve
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import PRIOR_A, STUDY_A, STUDY_B


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 0.001}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    return running


def identifiers(*uids: str) -> dict[str, Any]:
    return {"identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"} for uid in uids]}


WITHDRAWN: dict[str, Any] = {"status": "entered-in-error"}
STRANGE: dict[str, Any] = {"subject": {"reference": "Patient/pat-b"}}
CANCELLED: dict[str, Any] = {"status": "cancelled"}
INACTIVE: dict[str, Any] = {"status": "inactive"}
"""Ours writes the first of a study that moved before it was available, and the last on R6."""
DOUBTS = pytest.mark.parametrize(
    "doubt", [WITHDRAWN, CANCELLED, INACTIVE, STRANGE], ids=["in error", "cancelled", "inactive", "other subject"]
)


def lists(world: World, *resources: dict[str, Any]) -> None:
    """The EHR answers with these to any search, as one does that overlooks ``identifier``."""
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify(bundle)


@pytest.fixture
def circle(world: World) -> dict[str, Any]:
    """The EHR's only page, which is its own next one."""
    url = f"{world.north.fhir_base}/ImagingStudy?page=1"
    bundle: dict[str, Any] = {"resourceType": "Bundle", "link": [{"relation": "next", "url": url}]}
    world.north.answers["/fhir/ImagingStudy"] = lambda: jsonify(bundle)
    return bundle


def opened(world: World) -> list[tuple[str, int]]:
    return [(study, retrieve(world, study).status) for study in (STUDY_A, PRIOR_A)]


@DOUBTS
def test_group_11_a_no_about_one_study_is_none_about_another(world: World, doubt: dict[str, Any]) -> None:
    lists(world, world.north.imaging_study(STUDY_A), world.north.imaging_study(PRIOR_A, **doubt))

    assert opened(world) == [(STUDY_A, 200), (PRIOR_A, 403)]
    assert world.found("/studies", world.north.token()) == [STUDY_A]


@pytest.mark.parametrize("naming", [identifiers(), identifiers("no UID")], ids=["without identifier", "unreadable"])
def test_group_11_one_that_names_no_study_closes_none_of_those_that_come_along(world: World, naming: dict[str, Any]) -> None:
    lists(world, *map(world.north.imaging_study, (STUDY_A, PRIOR_A)), world.north.imaging_study(STUDY_A, **naming))

    assert opened(world) == [(STUDY_A, 200), (PRIOR_A, 200)]


@DOUBTS
def test_group_11_a_no_stands_against_a_yes_about_the_same_study(world: World, doubt: dict[str, Any]) -> None:
    studies = [world.north.imaging_study(uid) for uid in (STUDY_A, PRIOR_A)]
    lists(world, *studies, world.north.imaging_study(STUDY_A, **doubt))

    assert opened(world) == [(STUDY_A, 403), (PRIOR_A, 200)]
    assert world.found("/studies", world.north.token()) == [PRIOR_A]


def test_group_11_one_that_names_two_studies_is_a_no_about_both(world: World) -> None:
    studies = [world.north.imaging_study(uid) for uid in (STUDY_A, PRIOR_A)]
    lists(world, *studies, world.north.imaging_study(STUDY_A, **identifiers(STUDY_A, STUDY_B)))

    assert opened(world) == [(STUDY_A, 403), (PRIOR_A, 200)]


@pytest.mark.parametrize("changes", [{}, WITHDRAWN, STRANGE])
def test_f8_one_that_names_no_study_denies_where_the_ehr_answers_about_one_only(world: World, changes: dict[str, Any]) -> None:
    """It may well be the study that was asked for."""
    unnamed = world.north.imaging_study(STUDY_A, **identifiers(), **changes)
    for told in ([unnamed], [world.north.imaging_study(STUDY_A), unnamed]):
        lists(world, *told)

        assert opened(world) == [(STUDY_A, 403), (PRIOR_A, 403)]


def test_f8_what_is_not_in_a_list_without_an_end_cannot_be_known(world: World, circle: dict[str, Any]) -> None:
    """It is refused all the same; what the EHR has said by then counts."""
    circle["entry"] = [{"resource": world.north.imaging_study(STUDY_A)}]

    assert opened(world) == [(STUDY_A, 200), (PRIOR_A, 503)]
    assert len(world.north.paths()) < 8, "no page is asked for again and again"
