"""Which sessions a browser is known to have opened (DESIGN §7): a renewal neither reorders the list nor shortens its life.

An upgrade of the app loses none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_imaging.store.sealed import SealedRecords
from smart_app.browser_sessions import BrowserSessions
from tests.contract.smart_actors import APP, STUDY_A, World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def opened_by(world: World, session: str) -> list[str]:
    """The sessions of the browser that opened this one."""
    services, now = world.app.services, world.app.services.now()
    found = services.sessions.find(session, now=now)
    assert found is not None
    return BrowserSessions(services.store).of(found.bindings[0], now=now)


def handed_over(world: World, session: str) -> None:
    """The session, to another browser's window too."""
    ticket = (world.clinician.post(f"/s/{session}/window-ticket").json or {})["ticket"]
    other = world.another_clinician()
    answer = other.post(f"/s/{session}/window/{STUDY_A}", data={"ticket": ticket}, headers={"Origin": APP})
    assert answer.status_code == 303


def test_an_older_session_that_renews_stays_behind_the_newer_one_and_does_not_end_it(world: World) -> None:
    world.clinician.launches(world.ehr)
    first = world.clinician.session
    handed_over(world, first)
    world.clock.passes(minutes=2)
    world.clinician.launches(world.ehr)
    second = world.clinician.session
    assert world.clinician.post(f"/s/{first}/token", json={"refused": True}).status_code == 200

    assert [asked["grant_type"] for asked in world.ehr.token_requests][-1] == "refresh_token"
    assert opened_by(world, second) == [second, first]
    world.clock.passes(hours=11, minutes=59)
    assert world.app.services.sessions.find(first, now=world.app.services.now()) is None
    assert opened_by(world, second)[0] == second


def test_an_older_session_that_is_handed_over_leaves_the_list_its_life(world: World) -> None:
    services = world.app.services
    world.clinician.launches(world.ehr)
    browsers, now = BrowserSessions(services.store), services.now()
    browsers.note("window", "long", now=now, expires_at=now + 7200)
    browsers.note("window", "short", now=now, expires_at=now + 3600)

    assert browsers.of("window", now=now + 7199) == ["short", "long"]
    assert browsers.of("window", now=now + 7200) == []


def test_a_session_that_an_earlier_version_has_stored_goes_on(world: World) -> None:
    """An upgrade signs nobody out: what this version does not know of a stored session is left."""
    world.clinician.launches(world.ehr)
    session, services = world.clinician.session, world.app.services
    records = SealedRecords(services.store, "session")
    record = records.get(session, now=services.now()) or {}
    earlier = {**record, "encounter": "e-1", "asked_scope": "launch patient/*.rs"}
    records.replace(session, earlier, expires_at=record["session_expires_at"])

    assert world.clinician.get(f"/s/{session}/studies").status_code == 200
    assert world.clinician.post(f"/s/{session}/token").status_code == 200
    assert set(earlier) - set(record) == {"encounter", "asked_scope"}
