"""No finding is coded, and the reports did not come whole: an embolism may stand in a conclusion, so no answer stays silent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response

from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    SCT,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_report,
    a_store,
    concept,
    whole_prefetch,
)

FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
EMBOLISM = a_report("See above.", conclusionCode=[concept(SCT, "59282003")], issued="2026-11-21T07:00:00Z")
FOREIGN_PAGE = "https://elsewhere.example.org/fhir?page=2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def summaries(cards: list[dict[str, Any]]) -> list[str]:
    return [card["summary"].split(",")[0] for card in cards]


GAP = ["Some imaging findings could not be read"]


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        (FAILED, "radiology reports"),
        (a_bundle(a_report("No finding."), FAILED), "radiology reports"),
        (a_bundle(a_report("No finding."), next_url=FOREIGN_PAGE), "radiology reports"),
        ({"resourceType": "Patient", "id": "p"}, "radiology reports"),
    ],
    ids=["failed", "beside an error", "a first page", "something else"],
)
def test_t11_reports_that_did_not_come_whole_are_told(cds: CdsActor, reports: dict[str, Any], says: str) -> None:
    """Gd, T11: what could not be looked at is said, never passed over."""
    cards = cds.cards(a_hook(whole_prefetch(reports=reports)))

    assert summaries(cards) == GAP
    assert says in cards[0]["detail"]
    assert cards[0]["indicator"] == "info"


def test_reports_that_the_client_never_sends_are_no_news(cds: CdsActor) -> None:
    prefetch = whole_prefetch()
    del prefetch["reports"]

    assert cds.cards(a_hook(prefetch)) == []
    assert cds.cards(a_hook(whole_prefetch())) == []


def test_a_card_of_its_own_leaves_the_gap_to_its_detail(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(reports=a_bundle(EMBOLISM, next_url=FOREIGN_PAGE))))

    assert card["summary"].startswith("Pulmonary embolism")
    assert "radiology reports" in card["detail"]


def granted(base: str, scope: str) -> dict[str, Any]:
    grant = {"access_token": "t0ken", "token_type": "Bearer", "expires_in": 300, "scope": scope, "subject": "c", "patient": "p"}
    prefetch = whole_prefetch()
    del prefetch["reports"]
    return a_hook(prefetch, fhirServer=base, fhirAuthorization=grant)


Asked = Callable[[str, int, float], list[dict[str, Any]]]


@pytest.fixture
def asked(store: Store, tmp_path: Path, serve: Callable[[Flask, int], str], free_port: int) -> Asked:
    """The cards where the token has a scope, and the server answers for reports with a status after so many seconds."""

    def ask(scope: str, status: int, delay_s: float) -> list[dict[str, Any]]:
        app = Flask("fhir")

        @app.get("/fhir/DiagnosticReport")
        def answer() -> Response:
            time.sleep(delay_s)
            return Response(json.dumps(a_bundle()), status=status, mimetype="application/fhir+json")

        base = f"{serve(app, free_port)}/fhir"
        cds = a_cds_service(store, tmp_path, trust={"fhir_servers": (base,)}, soft_budget_ms=500)
        return cds.cards(granted(base, scope))

    return ask


@pytest.mark.parametrize(
    ("scope", "status", "delay_s", "told"),
    [
        ("patient/*.rs", 200, 0.0, []),
        ("patient/*.rs", 500, 0.0, GAP),
        ("patient/*.rs", 200, 2.0, GAP),
        ("patient/Observation.rs", 500, 0.0, []),
        ("patient/DiagnosticReport.rs?category=RAD", 200, 0.0, []),
    ],
    ids=["came", "server error", "too late", "not granted", "granted in part"],
)
def test_t11_reports_that_could_not_be_fetched_are_told_where_they_are_granted(
    asked: Asked, scope: str, status: int, delay_s: float, told: list[str]
) -> None:
    assert summaries(asked(scope, status, delay_s)) == told
