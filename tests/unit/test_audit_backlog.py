"""Whether too many audit records wait: asked once for all threads, and never under a lock (group 34)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from fhir_imaging.audit import AuditLog
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import LOOK_EVERY_S, Backlog, OutboxRules
from fhir_imaging.store.engine import Store
from tests.audit_actors import an_access

RULES = OutboxRules(sinks=("file",), max_pending=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StateSettings(state_dir=tmp_path), RULES)
    opened.migrate()
    yield opened
    opened.close()


class Looks:
    """How often the database was asked, and what happens to it meanwhile."""

    def __init__(self, store: Store) -> None:
        self.number = 0
        self.meanwhile: Callable[[], None] = lambda: None
        event.listen(store.engine, "before_cursor_execute", self._note)

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT count"):
            self.number += 1
            self.meanwhile()


@pytest.fixture
def looks(store: Store) -> Looks:
    return Looks(store)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backlog(clock: Clock) -> Backlog:
    return Backlog(RULES, monotonic=clock)


def fill(store: Store) -> None:
    for number in range(3):
        AuditLog(store).append(an_access(f"2.25.{number}"))


def test_it_is_looked_up_once_a_second(store: Store, looks: Looks, backlog: Backlog, clock: Clock) -> None:
    before = [backlog.is_full(store) for _ in range(3)]
    asked = looks.number
    fill(store)
    clock.now += LOOK_EVERY_S

    assert (before, asked) == ([False] * 3, 1)
    assert backlog.is_full(store) is True


def test_threads_that_come_first_wait_for_one_look(store: Store, looks: Looks, backlog: Backlog) -> None:
    fill(store)
    looks.number = 0
    looks.meanwhile = lambda: time.sleep(0.2)
    begin = threading.Barrier(6)

    def ask(_: int) -> bool:
        begin.wait()
        return backlog.is_full(store)

    with ThreadPoolExecutor(6) as many:
        found = list(many.map(ask, range(6)))

    assert found == [True] * 6
    assert looks.number == 1


def test_a_slow_database_holds_one_thread_and_the_others_go_by_the_last_look(
    store: Store, looks: Looks, backlog: Backlog, clock: Clock
) -> None:
    backlog.is_full(store)
    fill(store)
    clock.now += LOOK_EVERY_S
    is_asked, may_answer = threading.Event(), threading.Event()

    def wait() -> None:
        is_asked.set()
        may_answer.wait(10)

    looks.meanwhile = wait
    with ThreadPoolExecutor(1) as slow:
        under_way = slow.submit(backlog.is_full, store)
        assert is_asked.wait(10)
        meanwhile = [backlog.is_full(store) for _ in range(5)]
        may_answer.set()

        assert under_way.result(10) is True
    assert meanwhile == [False] * 5
    assert backlog.is_full(store) is True


def test_a_look_that_fails_is_made_again_by_the_next(store: Store, looks: Looks, backlog: Backlog) -> None:
    def fail() -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    looks.meanwhile = fail
    for _ in range(2):
        with pytest.raises(OperationalError):
            backlog.is_full(store)
    looks.meanwhile = lambda: None

    assert backlog.is_full(store) is False
    assert looks.number == 3
