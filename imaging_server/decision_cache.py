"""Answers of other servers, kept for seconds: bounded in time and number, asked once for many waiting requests.

Each worker has its own; nothing is lost with it. Spec: SMART Imaging Access groups 6 and 23 (single flight, bounded caching).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_ENTRIES = 10_000


@dataclass(slots=True)
class _Flight:
    """One question under way: its lock is held while the other server is asked."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    waiting: int = 0


class DecisionCache(Generic[T]):
    """Values by key, each with its own end. Failures are never kept: the next request asks again."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic, max_entries: int = MAX_ENTRIES) -> None:
        self._monotonic = monotonic
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], tuple[float, T]] = {}
        self._flights: dict[tuple[str, ...], _Flight] = {}

    def peek(self, key: tuple[str, ...]) -> T | None:
        """The value, when it is there and still counts."""
        with self._lock:
            entry = self._values.get(key)
        return entry[1] if entry is not None and entry[0] > self._monotonic() else None

    def put(self, key: tuple[str, ...], value: T, *, seconds: float) -> None:
        """Keeps a value; the oldest go when there are too many."""
        if seconds <= 0:
            return
        with self._lock:
            self._values.pop(key, None)
            while len(self._values) >= self._max_entries:
                self._values.pop(next(iter(self._values)))
            self._values[key] = (self._monotonic() + seconds, value)

    def forget(self, key: tuple[str, ...]) -> None:
        """Drops a value."""
        with self._lock:
            self._values.pop(key, None)

    def get(self, key: tuple[str, ...], ask: Callable[[], T], *, seconds: Callable[[T], float]) -> T:
        """The kept value, or what ``ask`` says, kept for ``seconds(value)`` (0 = not at all).

        Requests that want the same key meanwhile wait for the one that asks. What ``ask`` raises goes to its caller; the
        next in line then asks for itself.
        """
        found = self.peek(key)
        if found is not None:
            return found
        with self._lock:
            flight = self._flights.setdefault(key, _Flight())
            flight.waiting += 1
        try:
            with flight.lock:
                found = self.peek(key)
                if found is None:
                    found = ask()
                    self.put(key, found, seconds=seconds(found))
                return found
        finally:
            with self._lock:
                flight.waiting -= 1
                if not flight.waiting:
                    self._flights.pop(key, None)
