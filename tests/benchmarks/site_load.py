"""A site's day in little: readers who look at a frame a second and think in between, while an EHR fires hooks.

Open loop: whoever waits does not ask less. A frame that could not be asked for when its time came, since the one before was
still on its way, has waited from then on; one that was never asked for has waited until the end.
"""

from __future__ import annotations

import heapq
import random
import selectors
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from tests.benchmarks.frame_load import FrameConnection
from tests.benchmarks.load import TIMEOUT_S, Timing

THINKING = (0.5, 1.5)
"""Seconds from one frame to the next, at random: one a second each."""
MOST_READERS, MOST_SECONDS = 2000, 1200.0
LOOK_S = 1.0
"""How often somebody looks whether a request is left without an answer."""
_BUFFER = 1024 * 1024
_FAULT_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Readers come one after another until ``counts_from``; what was due before then is counted apart, its faults with all."""

    begins: float
    counts_from: float
    ends: float

    @classmethod
    def from_now(cls, coming_s: float, seconds: float) -> Span:
        """``seconds`` that count, after ``coming_s`` in which everybody comes."""
        if not (0 <= coming_s <= MOST_SECONDS and 0 < seconds <= MOST_SECONDS):
            raise ValueError("too much load for a shared machine")
        begins = time.perf_counter()
        return cls(begins=begins, counts_from=begins + coming_s, ends=begins + coming_s + seconds)

    @property
    def counted_s(self) -> float:
        return self.ends - self.counts_from


@dataclass(slots=True)
class Seen:
    """What was asked and how long it took from the time that it was meant to be asked at.

    ``faults`` says of each that was not answered as it should what happened; it has no duration. ``late_s`` is how late the
    load generator itself was. ``unasked`` were due but not asked before the end: each waited until then, and counts so.
    ``coming_s`` are the durations of what was due while everybody came.
    """

    span: Span
    durations_s: list[float] = field(default_factory=list)
    coming_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    unasked: int = 0

    def answered(self, due: float, at: float) -> None:
        (self.durations_s if due >= self.span.counts_from else self.coming_s).append(at - due)

    def never_asked(self, due: float) -> None:
        self.unasked += 1
        self.answered(due, self.span.ends)

    def failed(self, fault: Exception) -> None:
        self.faults.append(f"{type(fault).__name__}: {fault}"[:_FAULT_LENGTH])

    @property
    def timing(self) -> Timing:
        """Their figures; with nothing but faults, of the time that everybody waited in vain."""
        was_any_answered = len(self.durations_s) + len(self.coming_s) > self.unasked
        durations = self.durations_s if was_any_answered else []
        return Timing.of(durations or [self.span.counted_s], self.span.counted_s)

    @property
    def timing_while_coming(self) -> Timing:
        """Of what was due before it counted."""
        return Timing.of(self.coming_s or [0.0], self.span.counts_from - self.span.begins)


@dataclass(slots=True)
class _Reader:
    """Somebody in front of a viewer. ``due`` is when the next frame is wanted, ``free_at`` when the last one was there.

    Connects with the first frame, as a viewer does: connections that say nothing are another load than this.
    """

    requests: Iterator[bytes]
    due: float
    free_at: float = 0.0
    connected: FrameConnection | None = None

    @property
    def connection(self) -> FrameConnection:
        assert self.connected, "nobody reads without a connection"
        return self.connected


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """``requests`` has for each reader the requests that are made in turn; an answer has at least ``least`` bytes."""

    port: int
    requests: Sequence[Iterator[bytes]]
    least: int

    def read(self, span: Span) -> Seen:
        """Everybody, for so long; frames under way at the end are waited for."""
        if not 0 < len(self.requests) <= MOST_READERS:
            raise ValueError("too much load for a shared machine")
        with selectors.DefaultSelector() as ready:
            reading = _Reading(self, ready, span)
            try:
                return reading.run()
            finally:
                reading.close()


class _Reading:
    def __init__(self, readers: Readers, ready: selectors.DefaultSelector, span: Span) -> None:
        self._readers = readers
        self._chance = random.Random(len(readers.requests))  # noqa: S311 - nobody's secret
        self._ready = ready
        self._span = span
        self._seen = Seen(span)
        self._buffer = memoryview(bytearray(_BUFFER))
        self._number = count()
        self._next: list[tuple[float, int, _Reader]] = []
        self._looks_at = span.begins + LOOK_S
        coming_s = max(1.0, span.counts_from - span.begins)
        self._all = [_Reader(requests, span.begins + self._chance.random() * coming_s) for requests in readers.requests]
        for reader in self._all:
            self._plan(reader)

    def close(self) -> None:
        for reader in self._all:
            if reader.connected:
                reader.connected.socket.close()

    def run(self) -> Seen:
        while self._next or self._ready.get_map():
            while self._next and self._next[0][0] <= time.perf_counter():
                self._ask(heapq.heappop(self._next)[2])
            pause = self._next[0][0] - time.perf_counter() if self._next else LOOK_S
            for key, _ in self._ready.select(min(max(0.0, pause), LOOK_S)):
                self._take(key.data)
            self._give_up_the_unanswered()
        return self._seen

    def _plan(self, reader: _Reader) -> None:
        if reader.due < self._span.ends:
            heapq.heappush(self._next, (reader.due, next(self._number), reader))

    def _ask(self, reader: _Reader) -> None:
        now = time.perf_counter()
        while now >= self._span.ends > reader.due:  # nobody asks any more
            self._seen.never_asked(reader.due)
            reader.due += self._chance.uniform(*THINKING)
        if reader.due >= self._span.ends:
            return
        self._seen.late_s.append(now - max(reader.due, reader.free_at))
        if not reader.connected:
            reader.connected = FrameConnection(self._readers.port, self._readers.least)
        try:
            reader.connection.begin(next(reader.requests))
        except OSError as fault:
            self._fails(reader, fault)
            return
        self._ready.register(reader.connection.socket, selectors.EVENT_READ, reader)

    def _take(self, reader: _Reader) -> None:
        try:
            if reader.connection.take(self._buffer) is None:
                return
        except (AssertionError, OSError, ValueError) as fault:
            self._ready.unregister(reader.connection.socket)
            self._fails(reader, fault)
            return
        self._ready.unregister(reader.connection.socket)
        self._seen.answered(reader.due, time.perf_counter())
        if not reader.connection.is_kept:
            reader.connection.again()
        self._goes_on(reader)

    def _fails(self, reader: _Reader, fault: Exception) -> None:
        """Counted, and tried with a new connection when the next frame's time comes; no server at all ends the run."""
        self._seen.failed(fault)
        reader.connection.again()
        self._goes_on(reader)

    def _goes_on(self, reader: _Reader) -> None:
        reader.free_at = time.perf_counter()
        reader.due += self._chance.uniform(*THINKING)
        self._plan(reader)

    def _give_up_the_unanswered(self) -> None:
        now = time.perf_counter()
        if now < self._looks_at:
            return
        self._looks_at = now + LOOK_S
        for reader in [key.data for key in self._ready.get_map().values()]:
            if now - reader.connection.began > TIMEOUT_S:
                self._ready.unregister(reader.connection.socket)
                self._fails(reader, TimeoutError(f"no whole answer in {TIMEOUT_S:.0f} s"))
