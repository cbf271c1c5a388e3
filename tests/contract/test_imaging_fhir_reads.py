"""ImagingStudy and Endpoint read by id, what the server says of itself, and the shapes of its errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.endpoint import Endpoint
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask import Response

from fhir_imaging.settings import Ownership
from tests.contract.imaging_fhir_actors import CT_A, CT_IMAGE, DX_A, MR_A, SR_DOCUMENT, ImagingFhir, an_imaging_fhir, only_at
from tests.security.gateway_actors import VIEWER_ORIGIN

ARGONAUT_FLAG = "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"


WAYS = [pytest.param((way, fed), id=f"{way}{'' if fed is None else ', fed'}") for way in Ownership for fed in (None, {})]
"""Who says whose a study is, and whether a FHIR server describes it or the archives do."""


@pytest.fixture(scope="module", params=WAYS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    ownership, fed = request.param
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir"), ownership, fed=fed) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    return running


def test_F3_reading_a_study_brings_its_instances(world: ImagingFhir) -> None:
    answer = world.ask(f"/ImagingStudy/{CT_A}", world.north.token())

    study = answer.json()
    assert ImagingStudy.model_validate(study).id == CT_A
    assert study["subject"] == {"reference": f"{world.north.fhir_base}/Patient/pat-a"}
    assert [
        [(one["uid"], one["number"], one["sopClass"]["code"]) for one in series["instance"]] for series in study["series"]
    ] == [
        [(f"{CT_A}.1.{number}", number, f"urn:oid:{CT_IMAGE}") for number in (1, 2, 3)],
        [(f"{CT_A}.2.1", 1, f"urn:oid:{SR_DOCUMENT}")],
    ]
    assert study["series"][0]["instance"][0]["sopClass"]["system"] == "urn:ietf:rfc:3986"


def test_F3_a_study_in_two_archives_is_read_once(world: ImagingFhir) -> None:
    study = world.ask(f"/ImagingStudy/{MR_A}", world.north.token()).json()

    assert [one["reference"] for one in study["endpoint"]] == ["Endpoint/main", "Endpoint/second"]
    assert [one["number"] for one in study["series"][0]["instance"]] == [1, 2]


def test_F4_the_endpoint_is_the_gateway_for_this_ehr_and_wants_the_token(world: ImagingFhir) -> None:
    """P1: both generations of the flag."""
    token = world.north.token()

    endpoint = world.ask("/Endpoint/main", token).json()

    assert Endpoint.model_validate(endpoint).status == "active"
    assert endpoint["connectionType"]["code"] == "dicom-wado-rs"
    assert endpoint["payloadType"]
    assert {one["url"]: one["valueBoolean"] for one in endpoint["extension"]}[ARGONAUT_FLAG] is True
    assert endpoint["address"] == f"{world.url}/imaging/north/dicom-web/main"
    assert world.ask("/Endpoint/nowhere", token).status == 404


def test_W4_an_endpoints_address_serves_what_the_list_names(world: ImagingFhir) -> None:
    token = world.north.token()
    (entry,) = world.search(token, id=CT_A).json()["entry"]
    address = world.ask(f"/{entry['resource']['endpoint'][0]['reference']}", token).json()["address"]

    found = world.send("GET", f"{address.removeprefix(world.url)}/studies/{CT_A}/series", {"Authorization": f"Bearer {token}"})

    assert found.status == 200


def test_F1_the_capability_statement_is_open_and_names_the_ehrs_authorization(world: ImagingFhir) -> None:
    """P3: any page may read it."""
    answer = world.ask("/metadata", Origin="https://anybody.example")

    statement = CapabilityStatement.model_validate(answer.json())
    (rest,) = answer.json()["rest"]
    (uris,) = rest["security"]["extension"]
    assert statement.fhirVersion == "4.0.1"
    assert {one["url"]: one["valueUri"] for one in uris["extension"]} == {
        "authorize": f"{world.north.issuer}/authorize",
        "token": f"{world.north.issuer}/token",
    }
    assert answer.headers["Access-Control-Allow-Origin"] == "https://anybody.example"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    offered = {one["name"] for resource in rest["resource"] for one in resource.get("searchParam", [])}
    assert {"patient", "_lastUpdated", "identifier", "modality", "started"} <= offered


@pytest.mark.parametrize("ownership", list(Ownership))
def test_F10_reading_waits_for_every_archive(tmp_path: Any, ownership: Ownership) -> None:
    with an_imaging_fhir(tmp_path / "state", ownership) as world:
        only_at(world.second, "/studies", lambda: Response(status=500))

        answer = world.ask(f"/ImagingStudy/{CT_A}", world.north.token())

    assert (answer.status, answer.json()["resourceType"], "Retry-After" in answer.headers) == (503, "OperationOutcome", True)


def test_F13_what_archives_say_is_kept_apart_from_tokens(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state", server={"decision_cache_s": 60.0}) as world:
        for token in (world.north.token(), world.north.token(), world.north.token()):
            assert world.listed(token) == [CT_A, MR_A, DX_A]
        described = [one for one in world.main.asked if "00081030" in one.target or one.path.endswith("/series")]

    # One question about all studies, and one about the series of each of the two that this archive holds.
    assert len(described) == 3


def test_F11_the_number_comes_by_our_own_client_and_opens_nothing_more(tmp_path: Any) -> None:
    """F11 is the ownership's; here it must neither be needed nor widen what is listed: a token that may not read Patient lists
    nothing where nobody else may."""
    with an_imaging_fhir(tmp_path / "state") as world:
        world.north.answers["/fhir/Patient"] = lambda: Response(status=403)

        answer = world.search()

    assert (answer.status, answer.json()["total"]) == (200, 0)
    assert world.main.asked == []


@pytest.mark.parametrize(
    ("path", "status", "issue"),
    [
        ("/ImagingStudy", 400, "invalid"),
        ("/ImagingStudy?patient=", 400, "invalid"),
        ("/ImagingStudy?patient=pat-a&colour=blue", 400, "invalid"),
        ("/ImagingStudy?patient=pat-a&_lastUpdated=yesterday", 400, "invalid"),
        ("/ImagingStudy?patient=pat-a&_count=-1", 400, "invalid"),
        ("/ImagingStudy?patient=pat-a&_include=ImagingStudy:subject", 400, "invalid"),
        ("/ImagingStudy?patient=pat-a&_sort=modality", 400, "invalid"),
        ("/ImagingStudy?patient=pat-b", 403, "forbidden"),
        ("/ImagingStudy/2.25.99", 403, "forbidden"),
        ("/ImagingStudy/not-a-uid", 404, "not-found"),
        ("/ImagingStudy/2.25.11?_elements=id", 400, "invalid"),
        ("/Patient/pat-a", 404, "not-found"),
    ],
)
def test_errors_are_operation_outcomes_by_rfc_6750_and_fhir(world: ImagingFhir, path: str, status: int, issue: str) -> None:
    """P4, M13."""
    answer = world.ask(path, world.north.token(), Origin=VIEWER_ORIGIN)

    outcome = answer.json()
    assert (answer.status, outcome["issue"][0]["code"]) == (status, issue)
    assert OperationOutcome.model_validate(outcome)
    assert answer.headers["Content-Type"] == "application/fhir+json"
    assert answer.headers["Access-Control-Allow-Origin"] == VIEWER_ORIGIN


def test_an_unknown_parameter_is_named_and_falls_away_only_for_the_lenient(world: ImagingFhir) -> None:
    token = world.north.token()

    strict = world.search(token, colour="blue")
    lenient = world.ask("/ImagingStudy?patient=pat-a&colour=blue", token, Prefer="respond-async; handling=lenient")

    assert (strict.status, "colour" in strict.json()["issue"][0]["diagnostics"]) == (400, True)
    assert lenient.status == 200
    assert "colour" not in str(lenient.json()["link"])


def test_a_statement_is_given_also_while_the_ehr_is_down(tmp_path: Any) -> None:
    with an_imaging_fhir(tmp_path / "state") as world:
        world.north.answers["/fhir/"] = lambda: Response(status=500)

        answer = world.ask("/metadata")

    assert (answer.status, "extension" in answer.json()["rest"][0]["security"]) == (200, False)


def test_last_update_is_the_same_for_every_reader_until_the_study_changes(world: ImagingFhir) -> None:
    def updated() -> str:
        study = world.ask(f"/ImagingStudy/{CT_A}", world.north.token()).json()
        return str(study["meta"]["lastUpdated"])

    first = updated()
    time.sleep(0.01)

    assert updated() == first
    world.main.holds(CT_A, count=9)
    assert updated() > first
