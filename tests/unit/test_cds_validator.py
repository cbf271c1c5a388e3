"""The outbound judge: each requirement by its id, one fault at a time (R2, R3, R24-R31, cds-resp-1 to cds-resp-7)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.validator import faults_of
from tests.examples import examples

RIGHT: dict[str, Any] = {
    "cards": [
        {
            "uuid": "u1",
            "summary": "s" * 139,
            "indicator": "warning",
            "detail": "**Finding:** 4 &lt; 6 mm",
            "source": {
                "label": "Pack",
                "url": "https://example.org",
                "icon": "https://example.org/i.png",
                "topic": {"system": "https://example.org/t", "code": "c"},
            },
            "selectionBehavior": "at-most-one",
            "suggestions": [
                {
                    "label": "Draft",
                    "uuid": "u2",
                    "isRecommended": True,
                    "actions": [{"type": "create", "description": "d", "resource": {"resourceType": "ServiceRequest"}}],
                }
            ],
            "links": [
                {"label": "Open", "url": "https://example.org/launch", "type": "smart", "appContext": "2.25.1"},
                {"label": "Open", "url": "https://example.org/open", "type": "absolute"},
            ],
            "overrideReasons": [{"system": "s", "code": "c", "display": "d"}],
            "extension": {"org.example.x": 1},
        }
    ]
}


def bent(path: str, value: object) -> dict[str, Any]:
    """The right response with one member replaced (or removed by ``...``); digits in the path are positions."""
    response = copy.deepcopy(RIGHT)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = response
    for step in steps:
        place = place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return response


def test_a_right_response_has_no_fault() -> None:
    assert faults_of(RIGHT) == ()


def test_r2_an_empty_cards_array_is_permitted() -> None:
    assert faults_of({"cards": []}) == ()


@pytest.mark.parametrize("response", [None, [], {}, {"cards": {}}, {"cards": None}])
def test_r24_a_response_is_an_object_with_cards(response: object) -> None:
    assert faults_of(response)[0].startswith("R24")


CARD = "cards.0."
SUGGESTION = CARD + "suggestions.0."
ACTION = SUGGESTION + "actions.0."


@pytest.mark.parametrize(
    ("path", "value", "requirement"),
    [
        (CARD + "detail", "", "R2"),
        (CARD + "links", [], "R2"),
        (SUGGESTION + "uuid", None, "R2"),
        ("systemActions", [], "R2"),
        (CARD + "extension", [1], "R3"),
        (CARD + "extension", {"org.example.x": float("nan")}, "R1"),
        (ACTION + "resource.quantity", float("inf"), "R1"),
        ("systemActions", {"type": "create"}, "R24"),
        ("cards.0", "card", "R25"),
        (CARD + "uuid", 7, "R25"),
        (CARD + "summary", ..., "R25"),
        (CARD + "summary", "s" * 140, "R25"),
        (CARD + "indicator", "hard-stop", "R25"),
        (CARD + "indicator", ["info"], "R25"),
        (CARD + "detail", "a <b>bold</b> word", "R25"),
        (CARD + "links", {"a": 1}, "R25"),
        (CARD + "source", ..., "R26"),
        (CARD + "source.label", ..., "R26"),
        (CARD + "source.url", "/relative", "R26"),
        (CARD + "source.url", "http://[", "R26"),
        (CARD + "source.topic", {"code": "c"}, "R26"),
        (SUGGESTION + "label", ..., "R28"),
        (SUGGESTION + "isRecommended", "yes", "R28"),
        (SUGGESTION + "uuid", ["u"], "R28"),
        (SUGGESTION + "actions", {"type": "create"}, "R28"),
        (CARD + "selectionBehavior", "all", "cds-resp-6"),
        (ACTION + "type", "upsert", "R29"),
        (ACTION + "resource", {"id": "1"}, "R29"),
        (ACTION + "resource", ..., "R29"),
        (ACTION + "type", "update", "R29"),
        (CARD + "links.0.url", "launch", "R30"),
        (CARD + "links.0.type", "ehr", "R30"),
        (CARD + "links.1.label", ..., "R30"),
        (CARD + "links.0.autolaunchable", "yes", "R30"),
        (CARD + "links.1.appContext", "2.25.1", "cds-resp-3"),
        (CARD + "links.0.appContext", {"uid": 1}, "cds-resp-3"),
        (CARD + "overrideReasons.0.display", ..., "cds-resp-4"),
        (ACTION + "description", ..., "cds-resp-5"),
        (CARD + "selectionBehavior", ..., "cds-resp-6"),
        (SUGGESTION + "actionSelectionBehavior", "some", "cds-resp-7"),
        (ACTION + "type", "delete", "cds-resp-2"),
    ],
)
def test_one_fault_is_found_under_its_requirement(path: str, value: object, requirement: str) -> None:
    assert requirement in {fault.split(" ")[0] for fault in faults_of(bent(path, value))}


def test_cds_resp_1_one_recommendation_at_most() -> None:
    response = copy.deepcopy(RIGHT)
    response["cards"][0]["suggestions"] *= 2

    assert any(fault.startswith("cds-resp-1 ") for fault in faults_of(response))


def test_two_cards_never_share_a_uuid() -> None:
    assert any("used 2 times" in fault for fault in faults_of({"cards": RIGHT["cards"] * 2}))


def test_extensions_inside_fhir_resources_are_fhirs() -> None:
    resource = {"resourceType": "ServiceRequest", "extension": [{"url": "https://example.org/x", "valueBoolean": True}]}

    assert faults_of(bent(ACTION + "resource", resource)) == ()


def test_r32_system_actions_need_no_description() -> None:
    resource = {"resourceType": "ServiceRequest", "id": "1"}

    assert faults_of(RIGHT | {"systemActions": [{"type": "update", "resource": resource}]}) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=examples(60), deadline=None)
@given(st.sampled_from(sorted(RIGHT["cards"][0])), JSON)
def test_nothing_breaks_the_judge(member: str, value: object) -> None:
    assert isinstance(faults_of(bent(CARD + member, value)), tuple)
