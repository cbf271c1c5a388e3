"""Every resource of the imaging FHIR endpoint against the profiles of SMART Imaging Access, whoever describes the studies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_imaging.settings import Ownership
from tests.contract.imaging_fhir_actors import CT_A, DX_A, MR_A, ImagingFhir, an_imaging_fhir
from tests.imaging_profiles import MUST_SUPPORT, MUST_SUPPORT_INSTANCES, SMART_IMAGING_STUDY, SMART_WADO_ENDPOINT, broken


@pytest.fixture(scope="module", params=[None, {}], ids=["archives", "fed"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir"), Ownership.IDENTIFIER, fed=request.param) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    return running


def resources(bundle: dict[str, Any], mode: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == mode]


def test_F3_every_listed_study_is_a_smart_imaging_study(world: ImagingFhir) -> None:
    studies = resources(world.search().json(), "match")

    assert [broken(one, SMART_IMAGING_STUDY, MUST_SUPPORT) for one in studies] == [[], [], []]


@pytest.mark.parametrize("uid", [CT_A, MR_A, DX_A])
def test_F3_a_study_that_is_read_supports_everything_that_the_profile_must(world: ImagingFhir, uid: str) -> None:
    study = world.ask(f"/ImagingStudy/{uid}", world.north.token()).json()

    assert broken(study, SMART_IMAGING_STUDY, MUST_SUPPORT, MUST_SUPPORT_INSTANCES) == []


def test_F3_a_study_that_is_searched_by_its_uid_supports_it_too(world: ImagingFhir) -> None:
    (study,) = resources(world.search(identifier=f"urn:oid:{CT_A}").json(), "match")

    assert broken(study, SMART_IMAGING_STUDY, MUST_SUPPORT, MUST_SUPPORT_INSTANCES) == []


def test_F3_an_index_that_says_next_to_nothing_still_makes_a_smart_imaging_study(world: ImagingFhir) -> None:
    """No date, no modality, no counts."""
    bare = dict.fromkeys(("x00080061", "x00201206", "x00201208", "x00081030"))
    world.main.holds(MR_A, "", **bare, x00080020="20260101")
    world.second.holds(MR_A, "", **bare, x00080020="20260101")
    if world.server is not None:
        world.fed.change = lambda study: [_bare(study)]

    study = world.ask(f"/ImagingStudy/{MR_A}", world.north.token()).json()

    assert broken(study, SMART_IMAGING_STUDY) == []


def _bare(study: dict[str, Any]) -> dict[str, Any]:
    kept = {name: study[name] for name in ("resourceType", "id", "identifier", "status", "subject", "endpoint")}
    return kept if "2.25.12" in study["identifier"][0]["value"] else study


def test_F4_every_endpoint_is_a_smart_wado_endpoint(world: ImagingFhir) -> None:
    included = resources(world.search(include="ImagingStudy:endpoint").json(), "include")
    read = world.ask("/Endpoint/main", world.north.token()).json()

    assert [broken(one, SMART_WADO_ENDPOINT) for one in (*included, read)] == [[], [], []]


def test_the_rules_find_what_breaks_them(world: ImagingFhir) -> None:
    study = world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).json()
    endpoint = world.ask("/Endpoint/main", world.north.token()).json()
    told = {
        **study,
        "identifier": study["identifier"] * 2,
        "modality": [],
        "subject": {"reference": "Patient/pat-a"},
        "series": [{**one, "instance": []} for one in study["series"]],
    }

    assert set(broken(told, SMART_IMAGING_STUDY, MUST_SUPPORT_INSTANCES)) >= {
        "exactly one Study Instance UID",
        "a modality at least",
        "one subject, a Patient of the clinical server",
        "what is told in part says so",
        "series.instance",
    }
    assert broken({**endpoint, "extension": [], "payloadType": []}, SMART_WADO_ENDPOINT) == [
        "a payload type",
        "wants the token (P1)",
    ]
