"""A FHIR server that answers, but not with what was asked for: required data is 412, the rest is named (R19)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response

from fhir_imaging.store.engine import Store
from tests.cds_actors import CdsActor, a_bundle, a_cds_service, a_hook, a_lung_rads, a_patient, a_store, a_study

ERROR = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing", "diagnostics": "secret"}]}
WARNING = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing"}]}


def with_outcome(outcome: dict[str, Any], *resources: dict[str, Any]) -> dict[str, Any]:
    bundle = a_bundle(*resources)
    return bundle | {"entry": [*bundle["entry"], {"resource": outcome, "search": {"mode": "outcome"}}]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def answers() -> dict[str, Any]:
    """What the server answers, by the path of the request; statuses as numbers."""
    return {"Patient/p": a_patient(), "Observation": a_bundle(a_lung_rads("3")), "ImagingStudy": a_bundle(a_study())}


@pytest.fixture
def ask(
    store: Store, tmp_path: Path, serve: Callable[[Flask, int], str], free_port: int, answers: dict[str, Any]
) -> Callable[[], Any]:
    app = Flask("fhir")

    @app.get("/fhir/<path:path>")
    def answer(path: str) -> Response:
        found = answers.get(path, a_bundle())
        return (
            Response(status=found) if isinstance(found, int) else Response(json.dumps(found), mimetype="application/fhir+json")
        )

    base = f"{serve(app, free_port)}/fhir"
    cds: CdsActor = a_cds_service(store, tmp_path, trust={"fhir_servers": (base,)}, soft_budget_ms=1500)
    grant = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "imaging-cds"}
    return lambda: cds.call(a_hook(fhirServer=base, fhirAuthorization=grant | {"patient": "p"}))


@pytest.mark.parametrize(
    ("patient", "reason"),
    [
        (404, "The FHIR server does not hold it"),
        (a_bundle(a_patient()), "The FHIR server answered with something else"),
        ({"resourceType": "OperationOutcome"}, "The FHIR server answered with something else"),
    ],
    ids=["not found", "a Bundle", "an outcome"],
)
def test_r19_a_patient_that_cannot_be_read_is_412_with_its_reason(
    ask: Callable[[], Any], answers: dict[str, Any], patient: object, reason: str
) -> None:
    answers["Patient/p"] = patient

    response = ask()

    assert response.status_code == 412
    assert f"patient: {reason}" in response.get_data(as_text=True)


def test_r19_an_error_among_the_matches_makes_a_part_of_them(ask: Callable[[], Any], answers: dict[str, Any]) -> None:
    answers["ImagingStudy"] = with_outcome(ERROR, a_study())

    (card,) = ask().get_json()["cards"]

    assert "**Only a part came:** imaging studies." in card["detail"]
    assert "secret" not in card["detail"]


def test_r19_a_warning_among_the_matches_takes_nothing_away(ask: Callable[[], Any], answers: dict[str, Any]) -> None:
    answers["ImagingStudy"] = with_outcome(WARNING, a_study())

    (card,) = ask().get_json()["cards"]

    assert "Only a part came" not in card["detail"]


@pytest.mark.parametrize("link", ["http://[", "javascript:1", "http://h:port/"])
def test_r19_a_paging_link_that_is_no_address_keeps_the_first_page_and_is_never_taken_for_the_end(
    ask: Callable[[], Any], answers: dict[str, Any], link: str
) -> None:
    answers["ImagingStudy"] = a_bundle(a_study(), next_url=link)

    response = ask()

    assert response.status_code == 200
    lines = response.get_json()["cards"][0]["detail"].split("\n\n")
    assert "**Only a part came:** imaging studies." in lines
    assert not any(line.startswith("**Not available:**") for line in lines)
