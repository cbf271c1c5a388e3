"""The golden scenarios of `tests/data/scenarios`: request, cards and clinical reason of each demo patient.

What a card says is a set of words and codes that must (or must never) be there, so that wording may be polished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ehr_sandbox.demo_stories import STORIES
from ehr_sandbox.patients import build_demo
from fhir_imaging.store.engine import Store
from imaging_findings.facts import QUERIES
from tests.cds_actors import APP, FHIR, NOW, CdsActor, a_bundle, a_cds_service, a_hook, a_store
from tests.conftest import CHECKOUT

SCENARIOS = CHECKOUT / "tests" / "data" / "scenarios"
LETTERS = "abcdef"


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Any]]:
    gateway = f"{APP}/imaging/sandbox/dicom-web/demo"
    directory = tmp_path_factory.mktemp("scenarios")
    demo = build_demo(directory, demo_day=NOW.date(), gateway_address=gateway, fhir_base=FHIR, slices=1)
    return [entry["resource"] for bundle in demo.bundles for entry in bundle["entry"]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def patient_view(charts: list[Mapping[str, Any]], patient_id: str) -> dict[str, Any]:
    """The hook request when this chart is opened, with the whole prefetch."""
    prefetch: dict[str, Any] = {}
    for query in QUERIES:
        own = [one for one in charts if one["resourceType"] == query.resource_type]
        if query.resource_type == "Patient":
            prefetch[query.key] = next(one for one in own if one["id"] == patient_id)
        else:
            prefetch[query.key] = a_bundle(*[one for one in own if one["subject"]["reference"] == f"Patient/{patient_id}"])
    return a_hook(prefetch, context={"userId": "Practitioner/demo-gp", "patientId": patient_id})


@pytest.mark.parametrize("letter", LETTERS)
def test_patient_gets_the_cards_of_the_scenario(
    letter: str, charts: list[Mapping[str, Any]], store: Store, tmp_path: Path
) -> None:
    scenario = json.loads((SCENARIOS / f"{letter}.json").read_text(encoding="utf-8"))
    cds = a_cds_service(store, tmp_path)

    for call in scenario["calls"]:
        assert_cards(cds, patient_view(charts, scenario["patient"]), call["cards"])


def assert_cards(cds: CdsActor, request: Mapping[str, Any], expected: list[Mapping[str, Any]]) -> None:
    cards = cds.cards(request)
    optional = sum(bool(one.get("may_be_missing")) for one in expected)

    assert len(expected) - optional <= len(cards) <= len(expected)
    for card, wanted in zip(cards, expected, strict=False):
        said = f"{card['summary']}\n{card['detail']}"
        assert card["indicator"] == wanted["indicator"]
        assert [words for words in wanted["says"] if words not in said] == []
        assert [words for words in wanted["never"] if words in said] == []
        assert ordered(card) == wanted["orders"]
        if "smart_links" in wanted:
            assert sum(link["type"] == "smart" for link in card["links"]) == wanted["smart_links"]


def ordered(card: Mapping[str, Any]) -> list[str]:
    """Codes of the orders that the card suggests."""
    actions = [action for suggestion in card.get("suggestions", []) for action in suggestion["actions"]]
    return [action["resource"]["code"]["coding"][0]["code"] for action in actions if action["type"] == "create"]


@pytest.mark.parametrize("letter", LETTERS)
def test_scenario_gives_request_reason_and_cards_and_the_reason_is_the_chart_s(letter: str) -> None:
    text = (SCENARIOS / f"{letter}.md").read_text(encoding="utf-8")
    parts = dict(part.strip().split("\n", 1) for part in text.split("\n## ")[1:])

    assert set(parts) == {"Request", "Clinical reason", "Cards"}
    assert " ".join(parts["Clinical reason"].split()) == STORIES[f"demo-{letter}"]
    assert f"Patient/demo-{letter}" in " ".join(parts["Request"].split())


def test_every_demo_patient_has_a_story_and_no_card_speaks_of_the_study_of_nobody(
    charts: list[Mapping[str, Any]], store: Store, tmp_path: Path
) -> None:
    cds = a_cds_service(store, tmp_path)
    patients = {one["id"] for one in charts if one["resourceType"] == "Patient"}

    assert patients == set(STORIES)
    assert "DEMO-106" not in json.dumps(cds.cards(patient_view(charts, "demo-f")))
