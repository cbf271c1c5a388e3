"""The golden scenarios of `tests/data/scenarios`: request, cards and clinical reason of each demo patient.

What a card says is a set of words and codes that must (or must never) be there, so that wording may be polished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from cds_service.evaluate import SERVICES
from cds_service.validator import faults_of
from ehr_sandbox.demo_stories import STORIES
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.patients import build_demo
from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, FHIR, NOW, CdsActor, a_bundle, a_cds_service, a_hook, a_store
from tests.conftest import CHECKOUT
from tests.synced_studies import synced_demo

SCENARIOS = CHECKOUT / "tests" / "data" / "scenarios"
LETTERS = "abcdef"


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> FhirStore:
    """The demo's records, searched as the sandbox EHR searches them."""
    gateway = f"{APP}/imaging/sandbox/dicom-web/demo"
    directory = tmp_path_factory.mktemp("scenarios")
    demo = build_demo(directory / "dicom", demo_day=NOW.date(), fhir_base=FHIR, slices=1)
    records = FhirStore(directory / "fhir.sqlite3")
    for resource in synced_demo(demo, directory / "dicom", gateway).resources:
        records.put(resource)
    return records


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


def request_for(ehr: FhirStore, patient_id: str, call: Mapping[str, Any]) -> dict[str, Any]:
    """The hook request with the prefetch that an EHR makes of the service's own templates."""
    prefetch: dict[str, Any] = {}
    for query in SERVICES[call["service"]].queries:
        path, _, parameters = query.path_for(patient_id, call.get("encounter", "")).partition("?")
        if parameters:
            prefetch[query.key] = a_bundle(*ehr.search(query.resource_type, dict(parse_qsl(parameters))))
        else:
            prefetch[query.key] = ehr.read(*path.split("/"))
    context: dict[str, Any] = {"userId": "Practitioner/demo-gp", "patientId": patient_id}
    context |= {"encounterId": call["encounter"]} if "encounter" in call else {}
    if "draft" in call:
        (draft,) = ehr.search("ServiceRequest", {"_id": call["draft"]})
        context["draftOrders"] = a_bundle(draft)
    if "appointment" in call:
        context["appointments"] = a_bundle(proposed(call["appointment"], patient_id))
    return a_hook(prefetch, hook=call["hook"], context=context)


def proposed(stated: Mapping[str, Any], patient_id: str) -> dict[str, Any]:
    """An Appointment for an order on record or for a coded service."""
    made: dict[str, Any] = {"resourceType": "Appointment", "id": "proposed", "status": "proposed", "start": stated["start"]}
    made["participant"] = [{"actor": {"reference": f"Patient/{patient_id}"}, "status": "needs-action"}]
    if "order" in stated:
        return made | {"basedOn": [{"reference": f"ServiceRequest/{stated['order']}"}]}
    return made | {"serviceType": [{"coding": [stated["service"]]}]}


def cards_of(cds: CdsActor, request: Mapping[str, Any], service: str) -> list[dict[str, Any]]:
    answer = cds.call(request, service)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert faults_of(answer.get_json()) == ()
    return list(answer.get_json()["cards"])


@pytest.mark.parametrize("letter", LETTERS)
def test_patient_gets_the_cards_of_the_scenario(letter: str, ehr: FhirStore, store: Store, tmp_path: Path) -> None:
    scenario = json.loads((SCENARIOS / f"{letter}.json").read_text(encoding="utf-8"))
    cds = a_cds_service(store, tmp_path)

    for call in scenario["calls"]:
        cards = cards_of(cds, request_for(ehr, scenario["patient"], call), call["service"])
        assert_cards(cards, call["cards"])


def assert_cards(cards: list[dict[str, Any]], expected: list[Mapping[str, Any]]) -> None:
    assert len(cards) == len(expected), [card["summary"] for card in cards]
    for card, wanted in zip(cards, expected, strict=True):
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
    ehr: FhirStore, store: Store, tmp_path: Path
) -> None:
    call = {"service": "imaging-findings", "hook": "patient-view"}
    cards = cards_of(a_cds_service(store, tmp_path), request_for(ehr, "demo-f", call), call["service"])

    assert {one["id"] for one in ehr.search("Patient", {})} == set(STORIES)
    assert "DEMO-106" not in json.dumps(cards)
