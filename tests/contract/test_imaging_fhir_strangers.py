"""One answer to callers who take no JSON, wherever they ask, and what strangers may ask (FHIR R4 "Content types"; group 23)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from flask import Response, jsonify

from imaging_server.fhir_views import MAX_WAITING_STRANGERS
from imaging_server.rate_limit import RateLimitSettings
from tests.contract.imaging_fhir_actors import CT_A, ImagingFhir, an_imaging_fhir
from tests.security.gateway_actors import Answer

PLACES = ("/ImagingStudy?patient=pat-a", f"/ImagingStudy/{CT_A}", "/Endpoint/main", "/metadata")
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImagingFhir]:
    with an_imaging_fhir(tmp_path_factory.mktemp("fhir-formats")) as world:
        yield world


@pytest.fixture
def world(running: ImagingFhir) -> ImagingFhir:
    running.start_anew()
    return running


def asked_for(world: ImagingFhir, place: str, form: str | None, accept: str | None) -> Answer:
    path = place if form is None else f"{place}{'&' if '?' in place else '?'}_format={form}"
    sent = {"Authorization": f"Bearer {world.north.token()}", **({} if accept is None else {"Accept": accept})}
    return world.send("GET", f"/imaging/north/fhir{path}", sent)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("form", "accept"), [("xml", None), ("application/fhir%2Bxml", "application/json"), (None, "application/fhir+xml")]
)
def test_what_is_not_json_is_not_acceptable(world: ImagingFhir, place: str, form: str | None, accept: str | None) -> None:
    answer = asked_for(world, place, form, accept)

    outcome = answer.json()
    assert (answer.status, answer.headers["Content-Type"]) == (406, "application/fhir+json")
    assert OperationOutcome.model_validate(outcome).issue[0].code == "not-supported"
    assert "_format" in outcome["issue"][0]["diagnostics"]
    assert world.main.asked == world.north.asked == [], "nobody is asked for an answer that would not be taken"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("form", "accept"),
    [
        ("json", "application/fhir+xml"),
        ("application/fhir%2Bjson", None),
        ("application/fhir+json", None),
        ("*/*", None),
        (None, "*/*"),
        (None, "application/fhir+json; fhirVersion=4.0"),
        (None, "application/fhir+xml, */*;q=0.1"),
    ],
)
def test_json_by_any_name_is_served(world: ImagingFhir, place: str, form: str | None, accept: str | None) -> None:
    answer = asked_for(world, place, form, accept)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/fhir+json")


@pytest.mark.parametrize(("form", "status"), [("json", 200), ("xml", 406)])
def test_a_search_by_form_states_its_format_there(world: ImagingFhir, form: str, status: int) -> None:
    body = f"patient=pat-a&_format={form}".encode()

    answer = world.ask("/ImagingStudy/_search", world.north.token(), "POST", body, Content_Type=FORM)

    assert answer.status == status


def test_group_23_an_address_may_read_the_statement_so_often_and_tokens_go_on(tmp_path: Path) -> None:
    limits = RateLimitSettings(refusals_per_minute=3)
    with an_imaging_fhir(tmp_path / "state", server={"rate_limit": limits}) as world:
        read = [world.ask("/metadata") for _ in range(6)]
        asked = world.north.paths().count("/fhir/.well-known/smart-configuration")
        preflights = {world.ask("/metadata", method="OPTIONS").status for _ in range(6)}

        assert [one.status for one in read] == [200] * 3 + [429] * 3
        assert (read[-1].json()["issue"][0]["code"], read[-1].headers["Retry-After"].isdigit()) == ("throttled", True)
        assert asked == 1
        assert preflights == {204}
        assert world.search().status == 200


def test_group_23_an_ehr_that_hangs_takes_no_other_ehrs_addresses_out_of_its_statement(tmp_path: Path) -> None:
    let_go, asked = threading.Event(), threading.Event()

    def slowly() -> Response:
        asked.set()
        assert let_go.wait(20)
        return Response(status=503)

    def north_names_its_ehr() -> bool:
        answer = world.send("GET", "/imaging/north/fhir/metadata", {})
        return "extension" in answer.json()["rest"][0]["security"]

    with an_imaging_fhir(tmp_path / "state", server={"ehr_timeout_s": 30.0}) as world, ThreadPoolExecutor(8) as strangers:
        world.south.answers["/fhir/.well-known"] = slowly
        waiting = [
            strangers.submit(world.send, "GET", "/imaging/south/fhir/metadata", {}) for _ in range(MAX_WAITING_STRANGERS + 2)
        ]
        assert asked.wait(20)
        assert next(as_completed(waiting)).result().status == 200, "as many wait as may; this one gave up"
        named = [north_names_its_ehr() for _ in range(3)]
        let_go.set()

        assert named == [True] * 3
        assert {one.result().status for one in waiting} == {200}


def test_group_23_strangers_do_not_queue_up_at_a_slow_ehr(tmp_path: Path) -> None:
    """A few wait; the rest are told at once what does not depend on the EHR."""
    let_go = threading.Event()

    def slowly() -> Response:
        assert let_go.wait(20)
        return jsonify({"authorization_endpoint": "https://ehr.example/a", "token_endpoint": "https://ehr.example/t"})

    def names_the_ehr(answer: Answer) -> bool:
        assert answer.status == 200, answer.body
        return "extension" in answer.json()["rest"][0]["security"]

    with an_imaging_fhir(tmp_path / "state", server={"ehr_timeout_s": 30.0}) as world, ThreadPoolExecutor(8) as strangers:
        world.north.answers["/fhir/.well-known"] = slowly
        answers = as_completed([strangers.submit(world.ask, "/metadata") for _ in range(8)])
        at_once = [next(answers).result() for _ in range(8 - MAX_WAITING_STRANGERS)]
        let_go.set()
        later = [one.result() for one in answers]

        assert not any(names_the_ehr(one) for one in at_once), "while the EHR has not answered yet"
        assert all(names_the_ehr(one) for one in later)
        assert world.north.paths().count("/fhir/.well-known/smart-configuration") == 1
