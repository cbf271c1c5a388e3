"""When a study's state was first seen, on PostgreSQL: many workers that see it at once agree (SMART Imaging Access F1)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.study_states import StudyStates

pytestmark = pytest.mark.interop
THREADS = 8
STUDIES = [StudyInstanceUID(f"1.2.{number}") for number in range(60)]


def test_workers_that_see_a_state_at_once_say_the_same_of_it_afterwards(store: Store) -> None:
    """In whatever order they have the studies: none waits for another in a circle."""

    def sees(number: int) -> dict[StudyInstanceUID, int]:
        order = STUDIES[number:] + STUDIES[:number]
        return StudyStates(store).seen_at("north", "main", dict.fromkeys(order, "new"))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(sees, range(THREADS)))
    settled = sees(0)
    time.sleep(0.01)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(sees, range(THREADS))) == [settled] * THREADS


def test_a_change_is_dated_anew(store: Store) -> None:
    def at(second: float, state: str) -> int:
        return StudyStates(store, clock=lambda: second).seen_at("north", "main", {STUDIES[0]: state})[STUDIES[0]]

    assert [at(1.5, "a"), at(2.5, "a"), at(3.5, "b"), at(4.5, "b")] == [1500, 1500, 3500, 3500]
