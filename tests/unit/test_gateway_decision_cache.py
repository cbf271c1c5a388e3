"""Kept answers (groups 6 and 23): bounded in time and number, one question for many waiting, failures shared but never kept."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.errors import UpstreamTimeout


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Large:
    """Something that can be missed."""


def counting(answers: list[str]) -> Callable[[], str]:
    remaining = iter(answers)
    return lambda: next(remaining)


def keep(seconds: float) -> Callable[[object], float]:
    return lambda _: seconds


def test_value_is_kept_until_its_end() -> None:
    clock = Clock()
    cache: DecisionCache[str] = DecisionCache(monotonic=clock)
    ask = counting(["first", "second"])
    found = []
    for clock.now in (0.0, 9.9, 10.0):
        found.append(cache.get(("k",), ask, seconds=keep(10)))

    assert found == ["first", "first", "second"]


@pytest.mark.parametrize("seconds", [0, -5])
def test_value_without_time_left_is_not_kept(seconds: float) -> None:
    cache: DecisionCache[str] = DecisionCache()
    ask = counting(["first", "second"])

    assert [cache.get(("k",), ask, seconds=keep(seconds)) for _ in range(2)] == ["first", "second"]


def test_keys_stay_apart() -> None:
    cache: DecisionCache[str] = DecisionCache()

    assert cache.get(("a", "b"), lambda: "one", seconds=keep(10)) == "one"
    assert cache.get(("a b",), lambda: "two", seconds=keep(10)) == "two"


def test_oldest_goes_when_there_are_too_many() -> None:
    cache: DecisionCache[str] = DecisionCache(max_entries=2)
    for key in ("a", "b", "c"):
        cache.get((key,), lambda: "old", seconds=keep(10))

    found = [cache.get((key,), lambda: "new", seconds=keep(10)) for key in ("c", "b", "a")]
    assert found == ["old", "old", "new"]


def test_values_are_let_go_soon_after_their_end() -> None:
    """Some are large, and nobody may ask for them again."""
    clock, large = Clock(), [Large() for _ in range(20)]
    held = [weakref.ref(one) for one in large]
    cache: DecisionCache[Large] = DecisionCache(monotonic=clock)
    for number in range(20):
        cache.get((str(number),), large.pop, seconds=keep(100 if number == 7 else 10))

    clock.now = 60.0
    cache.get(("new",), Large, seconds=lambda _: 10)

    gc.collect()
    assert len([one for one in held if one() is not None]) == 1, "the one whose time is not over"


def test_failure_is_not_kept() -> None:
    cache: DecisionCache[str] = DecisionCache()

    def fail() -> str:
        raise ConnectionError("down")

    with pytest.raises(ConnectionError):
        cache.get(("k",), fail, seconds=keep(10))
    assert cache.get(("k",), lambda: "up", seconds=keep(10)) == "up"


@pytest.mark.parametrize("fails", [False, True])
def test_many_at_once_ask_once_and_share_the_answer_or_the_error(fails: bool) -> None:
    cache: DecisionCache[str] = DecisionCache()
    asked: list[int] = []
    found: list[str] = []

    def slow() -> str:
        asked.append(1)
        time.sleep(0.3)
        if fails:
            raise ConnectionError("down")
        return "answer"

    def get() -> None:
        try:
            found.append(cache.get(("k",), slow, seconds=keep(10)))
        except ConnectionError:
            found.append("error")

    threads = [threading.Thread(target=get) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(asked) == 1
    assert found == ["error" if fails else "answer"] * 10


def test_nobody_waits_without_end_for_an_answer_that_another_asked_for() -> None:
    cache: DecisionCache[str] = DecisionCache(patience_s=0.1)
    asked, may_end = threading.Event(), threading.Event()

    def hang() -> str:
        asked.set()
        may_end.wait(20)
        return "late"

    first = threading.Thread(target=lambda: cache.get(("k",), hang, seconds=keep(10)), daemon=True)
    first.start()
    asked.wait(20)
    with pytest.raises(UpstreamTimeout):
        cache.get(("k",), hang, seconds=keep(10))
    may_end.set()
    first.join(20)

    assert cache.get(("k",), hang, seconds=keep(10)) == "late"


def test_what_was_found_out_elsewhere_is_kept_like_any_other() -> None:
    clock = Clock()
    cache: DecisionCache[str] = DecisionCache(monotonic=clock)
    assert cache.kept(("a",)) is None
    cache.keep(("a",), "yes", 2)
    cache.keep(("b",), "no time", 0)

    assert (cache.kept(("a",)), cache.kept(("b",))) == ("yes", None)
    assert cache.get(("a",), counting([]), seconds=keep(1)) == "yes"
    clock.now = 2.0
    assert cache.kept(("a",)) is None
