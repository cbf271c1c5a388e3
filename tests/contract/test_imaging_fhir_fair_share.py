"""An archive that takes its time, and callers who share it (SMART Imaging Access F10, group 23)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flask import Response

from imaging_server.archive_workers import KEPT_FREE, REQUESTS_AT_ONCE, WORKERS
from tests.contract.imaging_fhir_actors import CT_B, ImagingFhir, an_imaging_fhir
from tests.security.gateway_stubs import Asked

MANY = tuple(f"2.25.7{number:02}" for number in range(30))


@dataclass
class SlowSeries:
    """Holds back the series of some studies until it is told to let go."""

    let_go: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    under_way: int = 0

    def __call__(self, asked: Asked) -> Response | None:
        if asked.path.endswith("/series") and any(f"/{study}/" in asked.path for study in MANY):
            with self.changed:
                self.under_way += 1
                self.changed.notify_all()
            assert self.let_go.wait(20)
        return None

    def has(self, number: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.under_way >= number, 15)


@contextmanager
def a_slow_archive(path: Path) -> Iterator[tuple[ImagingFhir, SlowSeries]]:
    """Patient A has many studies there, and patient B one."""
    with an_imaging_fhir(path, archive={"read_timeout_s": 30.0}) as world:
        slow = SlowSeries()
        world.main.index.clear()
        for study in MANY:
            world.main.holds(study)
        world.main.holds(CT_B, x00100020="MRN-B")
        world.north.studies.update({**dict.fromkeys(MANY, "pat-a"), CT_B: "pat-b"})
        world.main.answer = slow
        try:
            yield world, slow
        finally:
            slow.let_go.set()


def test_group_23_one_token_at_a_slow_archive_leaves_room_for_another(tmp_path: Path) -> None:
    with a_slow_archive(tmp_path / "state") as (world, slow), ThreadPoolExecutor(1) as greedy:
        one, other = world.north.token(), world.north.token("pat-b")
        waiting = greedy.submit(world.search, one)
        assert slow.has(WORKERS - KEPT_FREE)
        meanwhile = world.ask("/ImagingStudy?patient=pat-b", other)
        still_waiting = not waiting.done()
        slow.let_go.set()

        assert (meanwhile.status, meanwhile.json()["total"]) == (200, 1)
        assert still_waiting
        assert waiting.result().status == 200


def test_group_23_a_token_with_too_many_searches_waiting_is_told_to_wait(tmp_path: Path) -> None:
    with a_slow_archive(tmp_path / "state") as (world, slow), ThreadPoolExecutor(REQUESTS_AT_ONCE + 2) as greedy:
        one = world.north.token()
        answers = as_completed([greedy.submit(world.search, one) for _ in range(REQUESTS_AT_ONCE + 2)])
        refused = [next(answers).result() for _ in range(2)]
        slow.let_go.set()
        served = [answer.result().status for answer in answers]

        assert [answer.status for answer in refused] == [429, 429], "at once, while the others wait"
        assert all(answer.headers["Retry-After"].isdigit() for answer in refused)
        assert refused[0].json()["issue"][0]["code"] == "throttled"
        assert served == [200] * REQUESTS_AT_ONCE
