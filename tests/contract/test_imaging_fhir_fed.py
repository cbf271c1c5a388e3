"""Studies described by a FHIR server that ``pacs_sync`` feeds: how it is asked, what it may say, and what it may not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.imagingstudy import ImagingStudy
from flask import Response

from fhir_imaging.settings import Ownership
from tests.contract.fed_actors import lacks_something, only_for
from tests.contract.imaging_fhir_actors import (
    CT_A,
    CT_B,
    DX_A,
    MR_A,
    ImagingFhir,
    an_imaging_fhir,
    by_reference_and_number,
    uids_of,
)


@pytest.fixture(scope="module", params=list(Ownership))
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fed"), request.param, fed={}) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    running.fed.subject = lambda number: by_reference_and_number(running.north, number)
    return running


def test_C3_the_callers_token_never_reaches_that_server(world: ImagingFhir) -> None:
    token = world.north.token()
    assert world.listed(token) == [CT_A, MR_A, DX_A]

    assert world.fed.asked
    assert not [headers for _, headers in world.fed.asked if "Authorization" in headers or token in str(headers)]


def test_F2_the_patient_is_named_as_the_ehr_names_them_and_no_other_way(world: ImagingFhir) -> None:
    world.listed()

    asked = [parse_qs(urlsplit(path).query) for path, _ in world.fed.asked if path.startswith("/fhir/ImagingStudy")]
    named = {key: value for query in asked for key, value in query.items() if key.startswith("patient")}
    assert named["patient"] == [f"{world.north.fhir_base}/Patient/pat-a"]
    assert set(named) == (
        {"patient", "patient:identifier"} if "north" in world.services.settings.patient_identifiers else {"patient"}
    )


def test_F4_its_endpoints_become_the_gateway_and_its_own_ids_and_addresses_stay_inside(world: ImagingFhir) -> None:
    world.fed.address_of = lambda archive: (world.main if archive == "main" else world.second).root  # the archive's own address
    answer = world.search(include="ImagingStudy:endpoint")
    world.fed.address_of = lambda archive: f"{world.url}/imaging/north/dicom-web/{archive}"

    included = [one["resource"] for one in answer.json()["entry"] if one["search"]["mode"] == "include"]
    assert uids_of(answer) == [CT_A, MR_A, DX_A]
    assert {one["address"] for one in included} == {
        f"{world.url}/imaging/north/dicom-web/{name}" for name in ("main", "second")
    }
    assert [word for word in (world.fed.base, world.main.root, "at-main", "study-2-25") if word in answer.body.decode()] == []


def test_F7_what_is_not_the_patients_by_the_ownership_stays_away_whatever_the_server_says(world: ImagingFhir) -> None:
    """It describes and never decides: here it gives patient A a study of patient B."""
    world.fed.subject = lambda number: by_reference_and_number(world.north, "MRN-A")

    answer = world.search()

    assert uids_of(answer) == [CT_A, MR_A, DX_A]
    assert CT_B not in answer.body.decode()
    assert world.ask(f"/ImagingStudy/{CT_B}", world.north.token()).status == 403


def test_F7_a_scope_for_one_modality_narrows_that_servers_list_too(world: ImagingFhir) -> None:
    token = world.north.token(scope="patient/ImagingStudy.rs?modality=MR")

    assert world.listed(token) == [MR_A]
    assert world.ask(f"/ImagingStudy/{CT_A}", token).status == 403


@pytest.mark.parametrize(
    "change",
    [
        lambda study: [{**study, "identifier": [{"value": "no-uid"}]}],
        lambda study: [{**study, "subject": {"reference": "Patient/pat-a"}}],
        lambda study: [{**study, "subject": {"display": "Alma"}}],
        lambda study: [{**study, "subject": {**study["subject"], "reference": _other(study)}}],
        lambda study: [study, {**study, "id": f"{study['id']}-again"}],
        lambda study: [],
    ],
    ids=[
        "no UID",
        "a patient of that server",
        "nobody named",
        "number of one patient, reference to another",
        "twice",
        "not there yet",
    ],
)
def test_group_11_what_is_in_doubt_is_left_out_singly_and_the_list_says_so(world: ImagingFhir, change: Any) -> None:
    world.fed.change = only_for(CT_A, change)

    answer = world.search()

    assert uids_of(answer) == [MR_A, DX_A]
    assert lacks_something(answer.json())
    assert world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).status == 404


def _other(study: dict[str, Any]) -> str:
    return str(study["subject"]["reference"]).replace("pat-a", "pat-b")


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "registered"])
def test_what_is_taken_back_is_not_shown(world: ImagingFhir, status: str) -> None:
    world.fed.change = only_for(CT_A, lambda study: [{**study, "status": status}])

    assert world.listed() == [MR_A, DX_A]


def test_odd_parts_of_a_study_fall_away_and_the_rest_is_told(world: ImagingFhir) -> None:
    def odd(study: dict[str, Any]) -> list[dict[str, Any]]:
        series = [*study["series"], {"uid": "urn:oid:not-a-uid", "modality": {"code": "CT"}}]
        return [{**study, "series": series, "description": "a\tb"}]

    world.fed.change = only_for(CT_A, odd)
    answer = world.ask(f"/ImagingStudy/{CT_A}", world.north.token())

    study = answer.json()
    assert (len(study["series"]), study["description"]) == (2, "a b")
    assert study["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert ImagingStudy.model_validate(study)
    assert lacks_something(world.search().json())


def test_last_update_is_that_servers_word(world: ImagingFhir) -> None:
    world.listed()
    (stored,) = [one for one in world.fed.records.search("ImagingStudy", {}) if CT_A in json.dumps(one["identifier"])]

    study = world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).json()

    shown, said = (one["meta"]["lastUpdated"][:22] for one in (study, stored))
    assert shown == said


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=500),
        Response(status=503, headers={"Retry-After": "7"}),
        Response(status=401),
        Response(status=403),
        Response(status=404),
        Response("<html>SYNTHETIC^Alma at fed.internal.example</html>", 200, content_type="text/html"),
        Response('{"resourceType": "OperationOutcome"}', 200, content_type="application/fhir+json"),
        Response('{"resourceType": "Bundle", "entry": 7, "link": [{"relation": "next", "url": "http://elsewhere.example/"}]}'),
    ],
    ids=["500", "503", "401", "403", "404", "a page", "no Bundle", "a link elsewhere"],
)
@pytest.mark.parametrize("path", ["/ImagingStudy?patient=pat-a", f"/ImagingStudy/{CT_A}"])
def test_F10_while_it_cannot_be_asked_callers_wait_and_no_list_looks_empty(
    world: ImagingFhir, answer: Response, path: str
) -> None:
    world.fed.instead = lambda: answer

    said = world.ask(path, world.north.token())

    assert (said.status, said.json()["resourceType"]) == (503, "OperationOutcome")
    assert int(said.headers["Retry-After"]) > 0
    assert b"internal" not in said.body
    world.fed.instead = lambda: None
    assert world.search().status == 200


def test_its_pages_are_read_to_the_end(world: ImagingFhir) -> None:
    for number in range(120):
        world.main.holds(f"2.25.14{number:03}", count=1)
        world.north.studies[f"2.25.14{number:03}"] = "pat-a"

    assert world.search(count=1).json()["total"] == 123
