"""A small closed-loop load generator: threads with one kept connection each, bounded in number and time, loopback only.

Client and servers share the machine's cores, so absolute figures hold for nobody else; ratios within one run do.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

MAX_THREADS = 16
MAX_SECONDS = 20.0
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to be sent as it is."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    expect: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Client:
    """One kept connection to one server of this machine."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        if parts.hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("only this machine may be loaded")
        # IPv4 by number: resolving "localhost" is not what is measured.
        self._connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=TIMEOUT_S)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, request: Request) -> Answer:
        """The answer; AssertionError when its status is another than expected."""
        answer = self.send_any(request)
        assert answer.status == request.expect, (request.method, request.path, answer.status, answer.body[:500])
        return answer

    def send_any(self, request: Request) -> Answer:
        """The answer, whatever its status."""
        self._connection.request(request.method, request.path, request.body, dict(request.headers))
        response = self._connection.getresponse()
        return Answer(status=response.status, headers=response.getheaders(), body=response.read())

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long each unit of work took: milliseconds, and units per second of all threads together.

    ``cpu_ms`` is the processor time that the server's processes spent on one unit, where that was read: unlike the others it
    hardly depends on what else the machine does.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_s: float
    count: int
    cpu_ms: float | None = None

    @classmethod
    def of(cls, seconds: Iterable[float], elapsed_s: float, cpu_s: float | None = None) -> Timing:
        """The figures of single durations."""
        ordered = sorted(seconds)
        if not ordered:
            raise ValueError("nothing was measured")
        return cls(
            p50_ms=1000 * _quantile(ordered, 0.50),
            p95_ms=1000 * _quantile(ordered, 0.95),
            p99_ms=1000 * _quantile(ordered, 0.99),
            per_s=len(ordered) / elapsed_s,
            count=len(ordered),
            cpu_ms=None if cpu_s is None else 1000 * cpu_s / len(ordered),
        )


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run saw. Several runs in turns with others add up to one."""

    durations_s: tuple[float, ...]
    elapsed_s: float
    cpu_s: float | None = None

    def __add__(self, other: Sample) -> Sample:
        both = None if self.cpu_s is None or other.cpu_s is None else self.cpu_s + other.cpu_s
        durations = self.durations_s + other.durations_s
        return Sample(durations_s=durations, elapsed_s=self.elapsed_s + other.elapsed_s, cpu_s=both)

    @property
    def timing(self) -> Timing:
        """Its figures."""
        return Timing.of(self.durations_s, self.elapsed_s, self.cpu_s)


C = TypeVar("C", bound=AbstractContextManager[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Generic[C]):
    """A unit of work, done again and again over one connection in each of ``concurrency`` threads.

    ``cpu_s`` reads the processor time that the server has spent so far.
    """

    base_url: str
    connect: Callable[[str], C]
    unit: Callable[[C], object]
    concurrency: int = 1
    cpu_s: Callable[[], float] | None = None

    def run(self, *, seconds: float = 2.0, most: int = 100_000) -> Sample:
        """Until the time or ``most`` units are over."""
        if not (0 < self.concurrency <= MAX_THREADS and 0 < seconds <= MAX_SECONDS):
            raise ValueError("too much load for a shared machine")
        run = _Run(load=self, ends_at=time.perf_counter() + seconds, left=most)
        threads = [threading.Thread(target=run.work, daemon=True) for _ in range(self.concurrency)]
        spent_before = self.cpu_s() if self.cpu_s else 0.0
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - began
        if run.failures:
            raise run.failures[0]
        spent = self.cpu_s() - spent_before if self.cpu_s else None
        return Sample(durations_s=tuple(run.durations), elapsed_s=elapsed, cpu_s=spent)


Unit = Callable[[Client], object]


def drive(base_url: str, unit: Unit, *, concurrency: int = 1, seconds: float = 2.0, most: int = 100_000) -> Timing:
    """One run with the standard library's client."""
    load = Load(base_url=base_url, connect=Client, unit=unit, concurrency=concurrency)
    return load.run(seconds=seconds, most=most).timing


@dataclass(slots=True)
class _Run:
    load: Load[Any]
    ends_at: float
    left: int
    durations: list[float] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        try:
            with self.load.connect(self.load.base_url) as client:
                while self._may_go_on():
                    began = time.perf_counter()
                    self.load.unit(client)
                    self.durations.append(time.perf_counter() - began)
        except BaseException as failure:
            self.failures.append(failure)

    def _may_go_on(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0 and time.perf_counter() < self.ends_at and not self.failures


def timed(work: Callable[[], object], *, times: int) -> Timing:
    """Durations of a call in this process."""
    durations = []
    began = time.perf_counter()
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return Timing.of(durations, time.perf_counter() - began)
