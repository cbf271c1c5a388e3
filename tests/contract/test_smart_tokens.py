"""The session's token over HTTP: handover to our own page, renewal ahead of time, and its end (APP-A18, A38, A39; group 33)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from tests.contract.smart_actors import APP, World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.clinician.launches(made.ehr)
        yield made


def token_of(world: World, **more: object) -> TestResponse:
    return world.clinician.post(f"/s/{world.clinician.session}/token", **more)


def refreshes(world: World) -> list[dict[str, str]]:
    return [asked for asked in world.ehr.token_requests if asked["grant_type"] == "refresh_token"]


def test_our_own_page_gets_the_token_and_its_remaining_life(world: World) -> None:
    answer = token_of(world)

    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["access_token"].startswith("access-")
    assert 290 <= answer.json["expires_in"] <= 300
    assert set(answer.json) == {"access_token", "expires_in"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_origin_header_counts_where_the_browser_sends_no_fetch_metadata(world: World) -> None:
    path = f"/s/{world.clinician.session}/token"

    allowed = world.clinician.post(path, from_own_page=False, headers={"Origin": APP})
    foreign = world.clinician.post(path, from_own_page=False, headers={"Origin": "http://127.0.0.1:8001"})
    neither = world.clinician.post(path, from_own_page=False)

    assert [allowed.status_code, foreign.status_code, neither.status_code] == [200, 403, 403]


def test_a_form_of_a_page_without_referrer_is_our_own_page_too(world: World) -> None:
    """Browsers write ``Origin: null`` then; alone, or from another site, it opens nothing."""
    path = f"/s/{world.clinician.session}/token"
    sent = [
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Origin": "null"},
    ]
    answers = [world.clinician.post(path, from_own_page=False, headers=headers) for headers in sent]

    assert [answer.status_code for answer in answers] == [200, 403, 403]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_sites_page_gets_no_token(world: World, site: str) -> None:
    path = f"/s/{world.clinician.session}/token"
    answer = world.clinician.post(path, from_own_page=False, headers={"Sec-Fetch-Site": site, "Origin": APP})

    assert answer.status_code == 403
    assert "access-" not in answer.text


def test_a_get_yields_no_token(world: World) -> None:
    assert world.clinician.get(f"/s/{world.clinician.session}/token").status_code == 405


def test_a38_the_token_is_renewed_at_four_fifths_of_its_life(world: World) -> None:
    first = token_of(world).json
    world.clock.passes(seconds=239)
    kept = token_of(world).json
    world.clock.passes(seconds=2)
    renewed = token_of(world).json

    assert first is not None
    assert kept is not None
    assert renewed is not None
    assert kept["access_token"] == first["access_token"]
    assert renewed["access_token"] != first["access_token"]
    assert renewed["expires_in"] > 290
    assert len(refreshes(world)) == 1


def test_a18_a_refresh_asks_no_scope(world: World) -> None:
    world.clock.passes(seconds=250)
    token_of(world)

    (asked,) = refreshes(world)
    assert "scope" not in asked
    assert asked["client_id"] == "imaging-cds"


def test_a38_a_new_refresh_token_replaces_the_old(world: World) -> None:
    for _ in range(3):
        world.clock.passes(seconds=250)
        assert token_of(world).status_code == 200

    assert len({asked["refresh_token"] for asked in refreshes(world)}) == 3


def test_a38_the_old_refresh_token_stays_when_none_comes(world: World) -> None:
    world.ehr.dropped = {"refresh_token"}
    world.clock.passes(seconds=250)
    token_of(world)
    (used,) = {asked["refresh_token"] for asked in refreshes(world)}
    world.ehr.live_refresh_tokens.add(used)
    world.clock.passes(seconds=250)

    assert token_of(world).status_code == 200
    assert refreshes(world)[-1]["refresh_token"] == used


def test_a38_concurrent_requests_refresh_once(world: World) -> None:
    world.ehr.refresh_delay_s = 0.3
    world.clock.passes(seconds=301)
    answers: list[TestResponse] = []
    path = f"/s/{world.clinician.session}/token"
    cookie = world.clinician.client.get_cookie("imaging_cds_window", domain="localhost")
    assert cookie is not None

    def ask() -> None:
        with world.app.flask.test_client(use_cookies=False) as client:
            headers = {"Sec-Fetch-Site": "same-origin", "Cookie": f"{cookie.key}={cookie.value}"}
            answers.append(client.post(path, base_url=APP, headers=headers))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.json["access_token"] for answer in answers if answer.json}) == 1
    assert len(refreshes(world)) == 1


def test_a38_another_patient_on_refresh_stops_the_session(world: World) -> None:
    world.ehr.refresh_changes = {"patient": "demo-b"}
    world.clock.passes(seconds=250)

    assert token_of(world).status_code == 401
    page = world.clinician.get(f"/s/{world.clinician.session}/studies")
    assert "the patient changed" in page.text
    assert "SYNTHETIC" not in page.text


def test_a39_a_refused_refresh_ends_the_session_and_says_how_to_go_on(world: World) -> None:
    world.ehr.live_refresh_tokens.clear()
    world.clock.passes(seconds=250)

    answer = token_of(world)
    page = world.clinician.get(f"/s/{world.clinician.session}/studies")
    state = world.clinician.get(f"/s/{world.clinician.session}/state")

    assert answer.status_code == 401
    assert answer.json == {"error": "session-ended", "error_description": answer.json["error_description"]}
    assert page.status_code == 403
    assert "Go back to the patient" in page.text
    assert state.json is not None
    assert state.json["alive"] is False


def test_a39_without_a_refresh_token_the_session_lives_as_long_as_its_token(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.ehr.dropped = {"refresh_token"}
        world.clinician.launches(world.ehr)
        before = token_of(world)
        world.clock.passes(seconds=301)
        after = token_of(world)

    assert [before.status_code, after.status_code] == [200, 401]
    assert refreshes(world) == []


def test_a27_without_expires_in_a_short_life_is_assumed(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.ehr.dropped = {"expires_in"}
        world.clinician.launches(world.ehr)
        answer = token_of(world)

    assert answer.json is not None
    assert answer.json["expires_in"] <= 300


def test_a_refused_token_is_renewed_once_on_the_viewers_word(world: World) -> None:
    world.clock.passes(seconds=30)
    first = token_of(world, json={"refused": False})
    second = token_of(world, json={"refused": True})
    third = token_of(world, json={"refused": True})

    assert first.json is not None
    assert second.json is not None
    assert first.json["access_token"] != second.json["access_token"]
    assert third.json == second.json
    assert len(refreshes(world)) == 1


def test_an_ehr_that_is_away_for_a_moment_ends_nothing_while_the_token_lives(world: World) -> None:
    world.ehr.token_error = ("temporarily", 503)
    world.clock.passes(seconds=250)
    kept = token_of(world)
    world.clock.passes(seconds=60)
    away = token_of(world)
    world.ehr.token_error = None
    back = token_of(world)

    assert [kept.status_code, away.status_code, back.status_code] == [200, 503, 200]


def test_logout_revokes_at_the_ehr_and_wipes(world: World) -> None:
    session = world.clinician.session
    page = world.clinician.post(f"/s/{session}/logout")

    assert page.status_code == 200
    assert len(world.ehr.revoked) == 2
    assert world.clinician.get(f"/s/{session}/studies").status_code == 403
    assert token_of(world).status_code == 401


def test_logout_from_another_site_ends_nothing(world: World) -> None:
    session = world.clinician.session
    answer = world.clinician.post(f"/s/{session}/logout", from_own_page=False, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert world.clinician.get(f"/s/{session}/studies").status_code == 200


def test_the_session_ends_at_its_longest_life(world: World) -> None:
    world.clock.passes(hours=13)

    assert token_of(world).status_code == 401


def test_while_another_worker_renews_the_living_token_is_given(world: World) -> None:
    first = token_of(world)
    world.clock.passes(seconds=250)
    world.app.services.sessions.lease(world.clinician.session, now=world.app.services.now())

    assert token_of(world).json == {**(first.json or {}), "expires_in": 50}
    assert refreshes(world) == []


def test_a_renewal_that_never_ends_is_not_waited_for_for_ever(world: World) -> None:
    waits: list[float] = []
    object.__setattr__(world.app.services, "sleep", waits.append)
    world.clock.passes(seconds=301)
    world.app.services.sessions.lease(world.clinician.session, now=world.app.services.now())
    answer = token_of(world)

    assert answer.status_code == 503
    assert 10 < sum(waits) < 20


def test_opening_a_study_waits_for_a_renewal_and_loses_nothing_of_it(world: World) -> None:
    session = world.clinician.session
    sessions = world.app.services.sessions
    object.__setattr__(world.app.services, "sleep", lambda _seconds: sessions.release(session))
    sessions.lease(session, now=world.app.services.now())
    page = world.clinician.get(f"/s/{session}/viewer/2.25.1001")

    assert page.status_code == 200
    assert world.clinician.get(f"/s/{session}/ohif/app-config.js").status_code == 200


def test_a_session_that_stays_busy_is_said_to_be(world: World) -> None:
    object.__setattr__(world.app.services, "sleep", lambda _seconds: None)
    world.app.services.sessions.lease(world.clinician.session, now=world.app.services.now())
    page = world.clinician.get(f"/s/{world.clinician.session}/viewer/2.25.1001")

    assert page.status_code == 503


def test_logout_wipes_even_when_the_ehr_is_away(world: World) -> None:
    world.app.services.outbound.timeout_s = 0.2
    world.ehr.revoke_delay_s = 1.0
    session = world.clinician.session

    assert world.clinician.post(f"/s/{session}/logout").status_code == 200
    assert world.clinician.get(f"/s/{session}/studies").status_code == 403


def test_an_ehr_that_is_no_longer_configured_ends_its_sessions(world: World) -> None:
    object.__setattr__(world.app.services, "ehrs", ())
    listed = world.clinician.get(f"/s/{world.clinician.session}/studies")
    world.clock.passes(seconds=250)
    renewed = token_of(world)

    assert [listed.status_code, renewed.status_code] == [403, 401]
    assert world.ehr.revoked == []
