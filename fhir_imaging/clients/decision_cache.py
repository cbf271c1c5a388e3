"""Answers of other servers, kept for seconds: bounded in time and number, asked once for many waiting requests.

Each worker has its own; nothing is lost with it. Spec: SMART Imaging Access groups 6 and 23 (single flight, bounded caching).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fhir_imaging.errors import UpstreamTimeout

T = TypeVar("T")

MAX_ENTRIES = 10_000
PATIENCE_S = 90.0
"""How long an answer that somebody else asked for is waited for: longer than servers are usually given for one."""
SWEEP_S = 5.0
"""How often at most all values are looked through for those whose time is over; only when a new one is kept."""


@dataclass(slots=True)
class _Flight(Generic[T]):
    """One question under way. Whoever wants the same waits for ``landed``, and then has ``value`` or ``error`` too."""

    landed: threading.Event = field(default_factory=threading.Event)
    value: T | None = None
    error: BaseException | None = None


class DecisionCache(Generic[T]):
    """Values by key, each with its own end. Failures are never kept: the next request asks again. Values are never None."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        max_entries: int = MAX_ENTRIES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._monotonic = monotonic
        self._max_entries = max_entries
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._values: dict[tuple[str, ...], tuple[float, T]] = {}
        self._flights: dict[tuple[str, ...], _Flight[T]] = {}
        self._swept_at = monotonic()

    def get(self, key: tuple[str, ...], ask: Callable[[], T], *, seconds: Callable[[T], float]) -> T:
        """The kept value, or what ``ask`` says, kept for ``seconds(value)`` (0 or less = not at all).

        Requests that want the same key meanwhile get the same answer or the same error: a server that is down must not be
        waited for by one request after the other. UpstreamTimeout for those that would wait too long.
        """
        with self._lock:
            kept = self.kept(key)
            if kept is not None:
                return kept
            flight = self._flights.get(key)
            if flight is None:
                mine = self._flights[key] = _Flight()
        return self._wait(flight) if flight is not None else self._fly(key, mine, ask, seconds)

    def kept(self, key: tuple[str, ...]) -> T | None:
        """The kept value; None where there is none, and nobody is asked."""
        kept = self._values.get(key)
        return kept[1] if kept is not None and kept[0] > self._monotonic() else None

    def keep(self, key: tuple[str, ...], value: T, seconds: float) -> None:
        """Keeps a value (0 seconds or less = not at all). Those go whose time is over, and the oldest of too many."""
        if seconds <= 0:
            return
        with self._lock:
            now = self._monotonic()
            if now - self._swept_at >= SWEEP_S:
                self._swept_at = now
                self._values = {one: kept for one, kept in self._values.items() if kept[0] > now}
            self._values.pop(key, None)
            while len(self._values) >= self._max_entries:
                self._values.pop(next(iter(self._values)))
            self._values[key] = (now + seconds, value)

    def _wait(self, flight: _Flight[T]) -> T:
        if not flight.landed.wait(self._patience_s):
            raise UpstreamTimeout("An answer that another request asked for did not come in time.", server="", retryable=True)
        if flight.error is not None:
            raise flight.error
        assert flight.value is not None  # nosec B101 # noqa: S101 - a flight lands with one or the other
        return flight.value

    def _fly(self, key: tuple[str, ...], flight: _Flight[T], ask: Callable[[], T], seconds: Callable[[T], float]) -> T:
        try:
            flight.value = value = ask()
            self.keep(key, value, seconds(value))
        except BaseException as exc:
            flight.error = exc
            raise
        finally:
            with self._lock:
                del self._flights[key]
            flight.landed.set()
        return value
