"""IHE IUA claims at the gateway: a person who contradicts the patient closes, and none opens (group 8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.gateway_actors import World
from tests.security.gateway_stubs import METADATA, STUDY_B


def iua(**claims: Any) -> dict[str, Any]:
    return {"extensions": {"ihe_iua": claims}}


@pytest.mark.parametrize("person", ["pat-b", "Patient/pat-b", "pat-b^^^", "", 7, ["pat-a"], {"id": "pat-a"}], ids=repr)
def test_person_that_contradicts_the_patient_is_refused(world: World, person: Any) -> None:
    assert world.is_refused(world.get(METADATA, world.north.token(**iua(person_id=person))))


@pytest.mark.parametrize("person", ["pat-a", "Patient/pat-a", "8000^^^&2.16.756.5.30.1.127.3.10.3&ISO"])
def test_person_of_the_same_patient_or_of_another_register_changes_nothing(world: World, person: str) -> None:
    token = world.north.token(**iua(person_id=person))

    assert world.get(METADATA, token).status == 200
    assert world.get(f"/studies/{STUDY_B}/metadata", token).status == 403


@pytest.mark.parametrize("person", ["pat-a", "8000^^^&2.16.756.5.30.1.127.3.10.3&ISO"])
def test_person_never_stands_in_for_the_patient(world: World, person: str) -> None:
    answer = world.get(METADATA, world.north.token(None, **iua(person_id=person)))

    assert answer.status in (401, 403)
    assert world.pacs.asked == world.north.asked[1:] == []
