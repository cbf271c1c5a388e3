"""Callers that ask too often, and servers that are down: what the gateway answers, and whom it leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from fhir_imaging.clients.breaker import BreakerSettings, State
from imaging_server.rate_limit import RateLimitSettings
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import FRAME, PRIOR_A, STUDY_A


@contextmanager
def a_limited_world(path: Path, **limits: float) -> Iterator[World]:
    values = {"requests_per_second": 0.0, "refusals_per_minute": 0.0, **limits}
    with a_world(path, server={"rate_limit": RateLimitSettings(**values)}) as world:  # type: ignore[arg-type]
        yield world


def fhir(world: World, token: str) -> Answer:
    path = "/imaging/north/fhir/ImagingStudy?patient=pat-a"
    return world.send("GET", path, {"Authorization": f"Bearer {token}"})


def test_group_23_a_token_over_its_rate_is_told_when_to_come_back_and_nobody_else_is_asked(tmp_path: Path) -> None:
    with a_limited_world(tmp_path, requests_per_second=0.1, request_burst=2) as world:
        token = world.north.token()
        good = [world.get(FRAME, token).status for _ in range(2)]
        asked = len(world.north.asked), len(world.pacs.asked)
        held = [world.get(FRAME, token) for _ in range(3)]
        as_fhir = fhir(world, token)
        other = world.get(FRAME, world.north.token()).status
        reasons = [one.reason for one in world.audit() if one.outcome == "denied"]

        assert good == [200, 200]
        assert [one.status for one in held] == [429, 429, 429]
        assert 1 <= int(held[0].headers["Retry-After"]) <= 10
        assert held[0].problem == "too-many-requests"
        assert held[0].headers["Content-Type"] == "application/problem+json"
        assert asked == (2, 5), "the EHR's keys and study, the archive's index of study, series and instances, and frames"
        assert other == 200
        assert (as_fhir.status, as_fhir.json()["issue"][0]["code"]) == (429, "throttled")
        assert as_fhir.headers["Retry-After"].isdigit()
        assert reasons == ["too-many-requests"], "recorded once, or the flood would be the audit log's"


def test_group_23_an_address_that_tries_tokens_is_held_back_before_the_ehr_is_asked(tmp_path: Path) -> None:
    with a_limited_world(tmp_path, refusals_per_minute=3) as world:
        south = "/imaging/south/dicom-web/main" + FRAME
        known = world.north.token()
        assert world.get(FRAME, known).status == 200
        tried = [world.send("GET", south, {"Authorization": f"Bearer forged-{n}"}) for n in range(6)]

        assert [one.status for one in tried] == [401, 401, 401, 429, 429, 429]
        assert len(world.south.asked) == 3
        assert world.get(FRAME, known).status == 200, "a token found good goes on working"
        assert world.get(FRAME, world.north.token()).status == 429
        assert [one.reason for one in world.audit() if one.outcome == "denied"].count("too-many-requests") == 1


def test_group_23_requests_without_a_token_fill_neither_audit_log_nor_anybody_elses_time(tmp_path: Path) -> None:
    with a_limited_world(tmp_path, refusals_per_minute=2) as world:
        tried = [world.get(FRAME).status for _ in range(5)]

        assert tried == [401, 401, 429, 429, 429]
        assert len([one for one in world.audit() if one.outcome == "denied"]) == 3
        assert world.get(FRAME, world.north.token()).status == 200


def test_group_23_preflights_are_never_held_back(tmp_path: Path) -> None:
    with a_limited_world(tmp_path, requests_per_second=0.01, request_burst=1, refusals_per_minute=1) as world:
        assert {world.send("OPTIONS", world.root + FRAME).status for _ in range(5)} == {204}


@contextmanager
def a_world_with_breakers(path: Path, cool_down_s: float = 0.5) -> Iterator[World]:
    breaker = BreakerSettings(outages=2, window_s=30, cool_down_s=cool_down_s)
    with a_world(path, server={"breaker": breaker}) as world:
        yield world


def state_of(world: World, server: str) -> State:
    return next(one.state for one in world.services.breakers if one.server == server)


@pytest.mark.parametrize(
    ("server", "prefix", "times"),
    [
        # A GET is repeated once by itself before it counts as an outage.
        ("north-fhir", "/fhir/ImagingStudy", 4),
        ("south-authorization", "/auth/introspect", 2),
    ],
)
def test_f8_group_6_an_ehr_that_is_down_is_left_alone_and_nothing_is_served(
    tmp_path: Path, server: str, prefix: str, times: int
) -> None:
    ehr = server.partition("-")[0]
    with a_world_with_breakers(tmp_path, cool_down_s=60) as world:
        stub = world.north if ehr == "north" else world.south
        stub.answers[prefix] = lambda: Response(status=502)
        token = world.north.token() if ehr == "north" else "an-opaque-token"
        path = f"/imaging/{ehr}/dicom-web/main{FRAME}"
        answers = [world.send("GET", path, {"Authorization": f"Bearer {token}"}) for _ in range(5)]
        times_asked = len([one for one in stub.asked if one.path.startswith(prefix)])

        assert [one.status for one in answers] == [503] * 5
        assert state_of(world, server) is State.OPEN
        assert 50 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert times_asked == times
        assert world.pacs.asked == []
        assert [one.outcome for one in world.audit()] == ["denied"] * 5


def test_f8_one_ehr_that_is_left_alone_takes_no_other_with_it(tmp_path: Path) -> None:
    with a_world_with_breakers(tmp_path, cool_down_s=60) as world:
        world.north.answers["/fhir"] = lambda: Response(status=502)
        for _ in range(3):
            world.get(FRAME, world.north.token())
        world.south.introspected["opaque"] = {**world.south.claims(), "active": True}
        south = world.send("GET", f"/imaging/south/dicom-web/main{FRAME}", {"Authorization": "Bearer opaque"})

        assert state_of(world, "north-fhir") is State.OPEN
        assert south.status == 200


def test_group_23_a_storm_at_a_dead_ehr_asks_it_a_handful_of_times(tmp_path: Path) -> None:
    with a_world_with_breakers(tmp_path, cool_down_s=60) as world:
        world.south.answers["/auth/introspect"] = lambda: Response(status=503)
        path = f"/imaging/south/dicom-web/main{FRAME}"

        def ask(number: int) -> int:
            return world.send("GET", path, {"Authorization": f"Bearer viewer-{number}"}).status

        with ThreadPoolExecutor(8) as many:
            statuses = set(many.map(ask, range(80)))

        assert statuses == {503}
        assert len(world.south.asked) <= 10, "two, and those that were under way"


def test_w7_an_archive_behind_a_dead_gateway_is_left_alone_and_taken_up_again(tmp_path: Path) -> None:
    with a_world_with_breakers(tmp_path, cool_down_s=4) as world:
        token = world.north.token()
        paths = (FRAME, f"/studies/{PRIOR_A}/metadata")
        assert [world.get(path, token).status for path in paths] == [200, 200]
        world.pacs.answer = lambda asked: Response(status=504)
        failed = [world.get(path, token).status for path in paths]
        left_alone = world.get(FRAME, token)
        asked = len(world.pacs.asked)
        again = world.get(f"/studies/{STUDY_A}/series", token)
        world.pacs.answer = lambda asked: None

        assert failed == [504, 504]
        assert left_alone.status == 503
        assert 1 <= int(left_alone.headers["Retry-After"]) <= 4
        assert again.status == 503
        assert len(world.pacs.asked) == asked
        assert until(lambda: world.get(FRAME, token).status == 200)
        assert state_of(world, "main-archive") is State.CLOSED


def _too_late() -> Response:
    time.sleep(0.6)
    return Response(b"late")


@pytest.mark.parametrize("answer", [lambda: Response(status=502), lambda: Response(status=504), _too_late])
def test_w7_one_object_that_cannot_be_had_takes_no_other_study_with_it(tmp_path: Path, answer: Callable[[], Response]) -> None:
    """A corrupt or slow object: every viewer that has it open asks again and again."""
    breaker = BreakerSettings(outages=2, window_s=30, cool_down_s=60)
    with a_world(tmp_path, server={"breaker": breaker}, archive={"read_timeout_s": 0.3}) as world:
        token = world.north.token()
        world.pacs.answer = lambda asked: answer() if STUDY_A in asked.path and "frames" in asked.path else None
        failed = {world.get(FRAME, token).status for _ in range(2)}
        asked = len(world.pacs.asked)
        left_alone = [world.get(FRAME, token) for _ in range(3)]

        assert failed <= {502, 504}
        assert [(one.status, one.headers["Retry-After"].isdigit()) for one in left_alone] == [(503, True)] * 3
        assert len(world.pacs.asked) == asked, "no thread waits for it again"
        assert state_of(world, "main-archive") is State.CLOSED
        assert world.get(f"/studies/{PRIOR_A}/metadata", token).status == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 410, 413, 429, 500, 503])
def test_what_an_archive_says_of_one_study_is_no_outage(tmp_path: Path, status: int) -> None:
    with a_world_with_breakers(tmp_path) as world:
        token = world.north.token()
        world.pacs.answer = lambda asked: Response(status=status) if "frames" in asked.path else None
        for _ in range(4):
            world.get(FRAME, token)

        assert state_of(world, "main-archive") is State.CLOSED


def test_a_refusal_by_the_ehr_is_no_outage(tmp_path: Path) -> None:
    with a_world_with_breakers(tmp_path) as world:
        for status in (401, 403, 404, 400, 500):
            world.north.answers["/fhir/ImagingStudy"] = lambda status=status: Response(status=status)  # type: ignore[misc]
            world.get(FRAME, world.north.token())

        assert state_of(world, "north-fhir") is State.CLOSED


def until(holds: Any, tries: int = 600) -> bool:
    """Whether it comes true; half a minute is only there to end a test that fails."""
    for _ in range(tries):
        if holds():
            return True
        time.sleep(0.05)
    return False
