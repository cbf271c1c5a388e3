"""The outbound judge on actions that delete, update or stand outside of a suggestion (R28, R29, R32, cds-resp-2)."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.validator import faults_of

ORDER = {"resourceType": "ServiceRequest", "id": "draft"}


def with_action(**action: Any) -> dict[str, Any]:
    suggestion = {"label": "Take it away", "uuid": "u2", "actions": [{"description": "d"} | action]}
    card = {
        "uuid": "u1",
        "summary": "The same examination is in these drafts twice",
        "indicator": "info",
        "source": {"label": "Orders"},
        "selectionBehavior": "any",
        "suggestions": [suggestion],
    }
    return {"cards": [card]}


def ids_of(response: object) -> list[str]:
    return [fault.split(" ")[0] for fault in faults_of(response)]


def test_cds_resp_2_a_delete_names_its_resource_by_id_alone() -> None:
    assert ids_of(with_action(type="delete", resourceId="ServiceRequest/draft")) == []
    assert ids_of(with_action(type="delete", resourceId="ServiceRequest/draft", resource=ORDER)) == ["cds-resp-2"]
    assert ids_of(with_action(type="delete", resource=ORDER)) == ["cds-resp-2"]


@pytest.mark.parametrize(
    ("action", "faults"),
    [
        ({"type": "update", "resource": ORDER}, []),
        ({"type": "update", "resource": {"resourceType": "ServiceRequest"}}, ["R29"]),
        ({"type": "update", "resource": {"resourceType": "ServiceRequest", "id": " "}}, ["R29"]),
        ({"type": "create", "resource": {"resourceType": "ServiceRequest"}}, []),
        ({"type": "create", "resource": "ServiceRequest/draft"}, ["R29"]),
        ({"type": "create"}, ["R29"]),
    ],
)
def test_r29_an_update_carries_the_whole_resource(action: dict[str, Any], faults: list[str]) -> None:
    assert ids_of(with_action(**action)) == faults


def test_r28_a_suggestion_and_an_action_are_objects() -> None:
    response = with_action(type="create", resource=ORDER)
    response["cards"][0]["suggestions"][0]["actions"] = ["create"]

    assert ids_of(response) == ["R29"]
    response["cards"][0]["suggestions"] = ["Take it away"]
    assert ids_of(response) == ["R28"]


def test_r32_system_actions_are_judged_like_actions_but_for_the_description() -> None:
    delete = {"type": "delete", "resourceId": "ServiceRequest/draft"}

    assert ids_of({"cards": [], "systemActions": [delete]}) == []
    assert ids_of({"cards": [], "systemActions": [delete | {"resource": ORDER}, "delete"]}) == ["cds-resp-2", "R29"]
