"""Introspection in time: slow, gone, revoked, and the same token at two EHRs (SMART Imaging Access A2, A3, groups 6 and 23)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response, jsonify

from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import METADATA, STUDY_A, STUDY_B

KEPT_S = 1.5
CLIENT = {"introspection_client_id": "gateway of the north", "introspection_client_secret": "colon:percent% and space"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Both EHRs introspect; north names its endpoint in its SMART configuration only."""
    server = {"decision_cache_s": KEPT_S, "ehr_timeout_s": 2.0}
    with a_world(tmp_path_factory.mktemp("gateway"), server=server, north={"jwks_url": None, **CLIENT}) as world:
        yield world


def fresh_token() -> str:
    return f"opaque-{time.perf_counter_ns()}"


def alive(world: World, token: str, patient: str = "pat-a", **changes: Any) -> str:
    world.north.introspected[token] = {**world.north.claims(patient, **changes), "active": True}
    return token


def ask_south(world: World, token: str, path: str = METADATA) -> Answer:
    return world.send("GET", "/imaging/south/dicom-web/main" + path, {"Authorization": f"Bearer {token}"})


def introspections(world: World) -> int:
    return world.north.paths().count("/auth/introspect")


def test_discovered_endpoint_is_asked_with_our_own_credential(world: World) -> None:
    """RFC 6749 §2.3.1: both halves of Basic are form-encoded first."""
    token = alive(world, fresh_token())

    answer = world.get(METADATA, token)

    (asked,) = [one for one in world.north.asked if one.path == "/auth/introspect"]
    assert answer.status == 200
    assert asked.method == "POST"
    assert asked.headers["Authorization"] == "Basic Z2F0ZXdheStvZit0aGUrbm9ydGg6Y29sb24lM0FwZXJjZW50JTI1K2FuZCtzcGFjZQ=="
    assert token not in asked.target


def test_server_that_hangs_is_503_in_bounded_time(world: World) -> None:
    def hang() -> Response:
        time.sleep(12)
        return jsonify({"active": True})

    world.north.answers["/auth/introspect"] = hang
    began = time.monotonic()
    answer = world.get(METADATA, fresh_token())

    assert (answer.status, world.pacs.asked) == (503, [])
    assert time.monotonic() - began < 12
    assert world.audit()[0].reason == "authorization-unavailable"


def test_hanging_server_is_waited_for_once_by_all_requests_of_a_token(world: World) -> None:
    """A stampede while the server is down must not queue up one timeout after the other."""

    def hang() -> Response:
        time.sleep(2.8)
        return Response("", 500)

    world.north.answers["/auth/introspect"] = hang
    token, statuses = fresh_token(), []
    threads = [threading.Thread(target=lambda: statuses.append(world.get(METADATA, token).status)) for _ in range(6)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [503] * 6
    assert time.monotonic() - began < 12
    assert introspections(world) == 1


def test_outage_is_not_remembered_and_recovers_by_itself(world: World) -> None:
    token = alive(world, fresh_token())
    world.north.answers["/auth/introspect"] = lambda: Response("", 500)
    during = world.get(METADATA, token).status
    world.north.answers.clear()

    assert (during, world.get(METADATA, token).status) == (503, 200)


def test_outage_after_a_yes_fails_closed_once_the_yes_has_ended(world: World) -> None:
    token = alive(world, fresh_token())
    before = world.get(METADATA, token).status
    world.north.answers["/auth/introspect"] = lambda: Response("", 500)
    within = world.get(METADATA, token).status
    time.sleep(KEPT_S + 0.1)

    assert (before, within, world.get(METADATA, token).status) == (200, 200, 503)


@pytest.mark.parametrize(
    "later",
    [
        {"active": False},
        {"active": "true"},
        {},
    ],
    ids=str,
)
def test_revocation_is_seen_within_the_bound(world: World, later: dict[str, Any]) -> None:
    token = alive(world, fresh_token())
    before = world.get(METADATA, token).status
    world.north.introspected[token] = later
    time.sleep(KEPT_S + 0.1)
    answer = world.get(METADATA, token)

    assert (before, answer.status) == (200, 401 if later else 503)


def test_changed_patient_and_scopes_are_seen_within_the_bound(world: World) -> None:
    token = alive(world, fresh_token())
    before = world.get(METADATA, token).status
    alive(world, token, "pat-b")
    time.sleep(KEPT_S + 0.1)
    other_patient = world.get(METADATA, token)
    alive(world, token, scope="patient/Patient.r")
    time.sleep(KEPT_S + 0.1)
    fewer_scopes = world.get(METADATA, token)

    assert before == 200
    assert (other_patient.status, other_patient.problem) == (403, "study-not-of-patient")
    assert (fewer_scopes.status, fewer_scopes.problem) == (403, "insufficient-scope")


def test_inactive_token_is_remembered_shortly_so_that_a_storm_of_it_reaches_nobody(world: World) -> None:
    token = fresh_token()

    assert [world.get(METADATA, token).status for _ in range(10)] == [401] * 10
    assert introspections(world) == 1


def test_kept_answer_belongs_to_the_whole_token(world: World) -> None:
    """Two tokens that share all but their last character are two tokens."""
    stem = fresh_token() * 20
    alive(world, f"{stem}A")
    good, other = world.get(METADATA, f"{stem}A"), world.get(METADATA, f"{stem}B")

    assert (good.status, other.status) == (200, 401)
    assert introspections(world) == 2


def test_same_token_at_two_ehrs_is_asked_about_at_both(world: World) -> None:
    """The cache is keyed by EHR too: patient B of south must not become patient A of north, nor the other way round."""
    token = alive(world, fresh_token(), "pat-a")
    world.south.introspected[token] = {**world.south.claims("pat-b"), "active": True}

    north = [world.get(f"/studies/{study}/metadata", token).status for study in (STUDY_A, STUDY_B)]
    south = [ask_south(world, token, f"/studies/{study}/metadata").status for study in (STUDY_A, STUDY_B)]

    assert (north, south) == ([200, 403], [403, 200])
    assert world.north.paths().count("/auth/introspect") == world.south.paths().count("/auth/introspect") == 1


def test_answer_never_outlives_the_tokens_own_end(world: World) -> None:
    token = alive(world, fresh_token(), exp=int(time.time()) + 2)
    before = world.get(METADATA, token).status
    world.north.answers["/auth/introspect"] = lambda: Response("", 500)
    time.sleep(2.2)

    assert (before, world.get(METADATA, token).status) == (200, 503)
