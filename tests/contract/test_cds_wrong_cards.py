"""A card that breaks a rule never leaves, the others do, and the log says what was wrong (R2-R31, cds-resp-1 to -7)."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from cds_service.card_parts import IssuedCard
from cds_service.evaluate import SERVICES
from cds_service.validator import faults_of
from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from tests.cds_actors import (
    APP,
    CdsActor,
    a_hook,
    a_lung_rads,
    whole_prefetch,
)

FINDINGS = SERVICES["imaging-findings"]
PATH = f"/cds-services/{FINDINGS.service_id}"


def that_says(cds: CdsActor, cards: list[dict[str, Any]], *, checked: bool = True) -> CdsActor:
    """A service that makes just these cards, behind the real protocol."""
    issued = tuple(IssuedCard(card=card, rule_id="test/row") for card in cards)
    service = replace(FINDINGS, evaluate=lambda *_given: issued)
    settings = replace(cds.services.settings, validate_responses=checked)
    services = replace(cds.services, settings=settings)
    app = Flask("wrong")
    app.register_blueprint(create_blueprint(services, {service.service_id: service}))
    web.install(app, [error_surface(services)])
    return CdsActor(app=app, services=services, ehr=cds.ehr)


Bend = Callable[[dict[str, Any]], object]


def _two_recommended(card: dict[str, Any]) -> None:
    card["suggestions"] = [dict(card["suggestions"][0]), dict(card["suggestions"][0])]


def _to_delete(card: dict[str, Any]) -> None:
    card["suggestions"][0]["actions"][0]["type"] = "delete"


WRONG: dict[str, Bend] = {
    "R2": lambda card: card.update(detail=""),
    "R3": lambda card: card.update(extension=["x"]),
    "R25": lambda card: card.update(summary="s" * 140),
    "R26": lambda card: card["source"].pop("label"),
    "R28": lambda card: card["suggestions"][0].pop("label"),
    "R29": lambda card: card["suggestions"][0]["actions"][0].pop("resource"),
    "R30": lambda card: card["links"][0].update(url="relative"),
    "cds-resp-1": _two_recommended,
    "cds-resp-2": _to_delete,
    "cds-resp-3": lambda card: card["links"][-1].update(type="absolute", appContext="2.25.1"),
    "cds-resp-4": lambda card: card["overrideReasons"][0].pop("display"),
    "cds-resp-5": lambda card: card["suggestions"][0]["actions"][0].pop("description"),
    "cds-resp-6": lambda card: card.pop("selectionBehavior"),
    "cds-resp-7": lambda card: card["suggestions"][0].update(actionSelectionBehavior="some"),
}


@pytest.fixture
def right_card(cds: CdsActor) -> dict[str, Any]:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"))))
    return copy.deepcopy(card) | {"uuid": str(uuid.uuid4())}


@pytest.mark.parametrize("requirement", WRONG)
def test_a_card_that_breaks_a_rule_never_leaves(
    cds: CdsActor, right_card: dict[str, Any], requirement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in words for the client, the requirement and the place for the log, and nothing of the card for either."""
    assert that_says(cds, [right_card]).call(a_hook(whole_prefetch())).status_code == 200
    right_card["uuid"] = str(uuid.uuid4())
    WRONG[requirement](right_card)

    response = that_says(cds, [right_card]).call(a_hook(whole_prefetch()))

    assert response.status_code == 500
    assert sum(one.shown for one in cds.services.feedback.by_rule() if one.rule_id == "test/row") == 1, "only what left counts"
    assert json.loads(response.get_data(as_text=True))["resourceType"] == "OperationOutcome"
    (line,) = [record.getMessage() for record in caplog.records if "outgoing cards are invalid" in record.getMessage()]
    assert f"{requirement} cards[0]" in line or f"{requirement} response.cards[0]" in line
    assert "Lung-RADS" not in line


@pytest.mark.parametrize("requirement", WRONG)
def test_r25_a_wrong_card_does_not_hide_the_others(
    cds: CdsActor, right_card: dict[str, Any], requirement: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = copy.deepcopy(right_card) | {"uuid": str(uuid.uuid4())}
    WRONG[requirement](wrong)
    actor = that_says(cds, [wrong, right_card])
    signed = {"Authorization": f"Bearer {actor.ehr.jwt_for(f'{APP}{PATH}')}"}

    answer = actor.client.post(PATH, json=a_hook(whole_prefetch()), headers=signed)

    assert answer.status_code == 200
    assert faults_of(answer.get_json()) == ()
    kept, notice = answer.get_json()["cards"]
    assert kept == right_card
    assert notice["summary"] == "1 card could not be shown, so this check is incomplete"
    assert notice["indicator"] == "warning"
    assert "outgoing cards are invalid" in caplog.text
    assert sum(one.shown for one in cds.services.feedback.by_rule() if one.rule_id == "test/row") == 1


def test_the_check_at_run_time_can_be_switched_off(cds: CdsActor, right_card: dict[str, Any]) -> None:
    WRONG["R25"](right_card)

    assert that_says(cds, [right_card], checked=False).call(a_hook(whole_prefetch())).status_code == 200
    assert cds.services.settings.validate_responses, "on unless the site says otherwise"


def test_cds_resp_1_two_cards_of_one_uuid_never_leave(cds: CdsActor, right_card: dict[str, Any]) -> None:
    assert that_says(cds, [right_card, right_card]).call(a_hook(whole_prefetch())).status_code == 500


def test_another_service_path_is_not_answered_by_this_one(cds: CdsActor, right_card: dict[str, Any]) -> None:
    """Dispatch is by the id in the address, never by the hook's name."""
    assert that_says(cds, [right_card]).post(f"{PATH}-2", a_hook(whole_prefetch())).status_code == 404
