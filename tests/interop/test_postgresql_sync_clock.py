"""Machines whose clocks are minutes apart share a synchronisation: no study is at two workers at once (issue 6)."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Task
from pacs_sync.run import Runner, Summary
from pacs_sync.settings import PaceSettings
from pacs_sync.shared_clock import AGREED_FOR_S, SharedClock
from pacs_sync.workers import Working
from tests.contract.sync_memory_actors import a_sighting
from tests.contract.sync_run_actors import ArchiveInMemory
from tests.interop.postgresql_actors import PostgresqlServer

pytestmark = pytest.mark.interop
APART_S = 300.0
LEASE_S = 3.0
STUDIES = 24
PACE = PaceSettings(workers=3, first_retry_s=0.05, longest_retry_s=0.2)


def behind() -> float:
    return time.time() - APART_S / 2


def ahead() -> float:
    return time.time() + APART_S / 2


@dataclass
class Watched:
    """Which studies are under way, in whichever machine, and how many were at two workers at once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: Counter[str] = field(default_factory=Counter)
    twice: int = 0

    def work(self, task: Task) -> None:
        with self.lock:
            self.twice += self.under_way[task.study] > 0
            self.under_way[task.study] += 1
        time.sleep(0.25)
        with self.lock:
            self.under_way[task.study] -= 1


def a_machine(store: Store, clock: Callable[[], float], watched: Watched) -> Summary:
    """Brings over what there is, by this clock."""
    memory = StoredMemory(store, "demo", lease_s=LEASE_S)

    def bring(task: Task) -> None:
        watched.work(task)
        memory.done(task, now=clock())

    return Runner(ArchiveInMemory(), Working(memory=memory, process=bring, pace=PACE, clock=clock)).once(settle_s=1)


def two_machines(settings: StateSettings, clocks: list[Callable[[Store], Callable[[], float]]]) -> tuple[Watched, int]:
    """What was at two workers at once, and how many studies were brought over."""
    watched, stores = Watched(), [Store.open(settings) for _ in clocks]
    try:
        news = [a_sighting(number) for number in range(STUDIES)]
        StoredMemory(stores[0], "demo").note(news, cursor=None, now=time.time() - APART_S)
        with ThreadPoolExecutor(len(clocks)) as pool:
            made = [pool.submit(a_machine, store, clock(store), watched) for store, clock in zip(stores, clocks, strict=True)]
            return watched, sum(one.result().done for one in made)
    finally:
        for store in stores:
            store.close()


def test_machines_whose_clocks_are_apart_agree_on_the_database_s_time(store: Store) -> None:
    clocks = [SharedClock(store, wall=wall) for wall in (behind, ahead)]
    one, other = (clock() for clock in clocks)
    assert abs(one - other) < 1
    assert abs(one - time.time()) < 5, "the database is on this machine"


def test_no_study_is_at_two_workers_of_machines_whose_clocks_are_apart(settings: StateSettings, store: Store) -> None:
    shared = [lambda opened, wall=wall: SharedClock(opened, wall=wall) for wall in (behind, ahead)]
    watched, done = two_machines(settings, shared)
    assert watched.twice == 0
    assert done == STUDIES


def test_by_their_own_clocks_two_would_have_one_study_and_still_only_one_has_a_say(store: Store) -> None:
    """Why the clock is shared. What the one that lost the study says of it does not count."""
    memory = StoredMemory(store, "demo", lease_s=LEASE_S)
    memory.note([a_sighting(1)], cursor=None, now=behind())
    (first,) = memory.take(now=behind(), limit=1)
    (second,) = memory.take(now=ahead(), limit=1)
    memory.done(first, now=behind())
    assert memory.pending(now=ahead()) == 1
    memory.done(second, now=ahead())
    assert memory.pending(now=ahead()) == 0

    memory.note([a_sighting(2)], cursor=None, now=behind())
    one, other = (SharedClock(store, wall=wall) for wall in (behind, ahead))
    assert len(memory.take(now=one(), limit=1)) == 1
    assert memory.take(now=other(), limit=1) == []


def test_the_time_goes_on_while_the_database_is_away(server: PostgresqlServer, settings: StateSettings) -> None:
    opened, passed = Store.open(settings), [0.0]
    opened.migrate()
    clock = SharedClock(opened, wall=ahead, steady=lambda: time.monotonic() + passed[0])
    before = clock()
    server.stop()
    try:
        passed[0] = 2 * AGREED_FOR_S
        assert clock() - before == pytest.approx(2 * AGREED_FOR_S, abs=10)
        assert SharedClock(opened, wall=ahead)() == pytest.approx(ahead(), abs=10), "there is no other time yet"
    finally:
        server.start()
        opened.close()
