"""Answers that an archive takes its time to begin: so many at once for one token, and nobody else notices (group 23)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Response

from imaging_server import slow_answers
from imaging_server.rate_limit import RateLimitSettings
from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import BULK, FRAME, INSTANCE, METADATA, STUDY_A, Asked

PICTURE = f"{INSTANCE}/rendered"
SLOW_S, READ_TIMEOUT_S = 0.6, 4.0
PLACES = 2
PIECE = bytes(1 << 20)


class SlowArchive:
    """It begins with pictures, descriptions and large values when it is let, and counts those that wait for that."""

    def __init__(self, world: World) -> None:
        self._usual = world.pacs.usual
        self._may_begin = threading.Event()
        self._asked = threading.Semaphore(0)
        world.pacs.answer = self._answer

    def begin(self) -> None:
        self._may_begin.set()

    def has_been_asked(self, times: int) -> None:
        """Waits for so many questions, and until they count as slow."""
        assert all(self._asked.acquire(timeout=10) for _ in range(times))
        time.sleep(1.5 * SLOW_S)

    def _answer(self, asked: Asked) -> Response | None:
        if not asked.path.endswith(("rendered", "metadata", "7FE00010")):
            return None
        self._asked.release()
        self._may_begin.wait(20)
        if asked.path.endswith("7FE00010"):
            return Response((PIECE for _ in range(8)), content_type="application/octet-stream")
        return self._usual(asked)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(slow_answers, "SLOW_S", SLOW_S)
    limits = RateLimitSettings(requests_per_second=0.0, open_downloads=PLACES)
    with a_world(tmp_path, server={"rate_limit": limits}, archive={"read_timeout_s": READ_TIMEOUT_S}) as running:
        yield running


@contextmanager
def waiting(world: World, token: str, path: str, *, times: int = PLACES) -> Iterator[list[Future[Answer]]]:
    """So many callers with this token who ask for that at once."""
    with ThreadPoolExecutor(times) as callers:
        yield [callers.submit(world.get, path, token) for _ in range(times)]


@pytest.mark.parametrize("path", [PICTURE, METADATA, BULK])
def test_group_23_one_more_slow_answer_of_a_token_is_refused_and_nobody_else_notices(world: World, path: str) -> None:
    archive, token, other = SlowArchive(world), world.north.token(), world.north.token()
    with waiting(world, token, path) as first:
        archive.has_been_asked(PLACES)
        began = time.monotonic()
        refused = world.get(PICTURE, token)
        took_s = time.monotonic() - began
        frames = [world.get(FRAME, one).status for one in (token, other)]
        with waiting(world, other, path, times=1) as others:
            archive.has_been_asked(1)
            archive.begin()

    assert (refused.status, refused.problem, refused.headers["Retry-After"]) == (429, "too-many-requests", "2")
    assert took_s < SLOW_S, "it holds no thread until it is known to be slow"
    assert (frames, [one.result().status for one in (*first, *others)]) == ([200, 200], [200] * 3)
    assert [one.reason for one in world.audit() if one.outcome == "denied"] == ["too-many-requests"]
    assert world.get(path, token).status == 200


def test_group_23_of_many_at_once_those_without_a_place_are_given_up(world: World) -> None:
    archive, token = SlowArchive(world), world.north.token()
    with waiting(world, token, PICTURE, times=6) as asked:
        archive.has_been_asked(6)
        archive.begin()

    assert sorted(one.result().status for one in asked) == [200, 200, 429, 429, 429, 429]


def test_group_23_what_begins_soon_needs_no_place(world: World) -> None:
    archive, token = SlowArchive(world), world.north.token()
    archive.begin()
    with waiting(world, token, PICTURE, times=12) as asked:
        pass

    assert {one.result().status for one in asked} == {200}


def test_group_23_an_archive_that_says_nothing_at_all_keeps_no_place(world: World) -> None:
    SlowArchive(world)
    token, began = world.north.token(), time.monotonic()
    with waiting(world, token, f"/studies/{STUDY_A}/metadata") as asked:
        pass
    took_s = time.monotonic() - began
    world.pacs.answer = lambda asked: None

    assert [one.result().status for one in asked] == [504] * PLACES
    assert took_s < READ_TIMEOUT_S + SLOW_S, "no later than without"
    assert [world.get(path, token).status for path in (PICTURE, METADATA, PICTURE)] == [200] * 3


def test_group_23_head_holds_a_thread_as_get_does(world: World) -> None:
    archive, token = SlowArchive(world), world.north.token()
    with waiting(world, token, PICTURE) as asked:
        archive.has_been_asked(PLACES)
        head = world.send("HEAD", world.root + PICTURE, {"Authorization": f"Bearer {token}"})
        archive.begin()

    assert (head.status, [one.result().status for one in asked]) == (429, [200] * PLACES)
