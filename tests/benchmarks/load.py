"""A small closed-loop load generator: threads with one kept connection each, bounded in number and time, loopback only.

Client and servers share the machine's cores, so absolute figures hold for nobody else; ratios within one run do.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
    """How long each unit of work took: milliseconds, and units per second of all threads together."""

    p50_ms: float
    p95_ms: float
    per_s: float
    count: int

    @classmethod
    def of(cls, seconds: Iterable[float], elapsed_s: float) -> Timing:
        """The figures of single durations."""
        ordered = sorted(seconds)
        if not ordered:
            raise ValueError("nothing was measured")
        return cls(
            p50_ms=1000 * _quantile(ordered, 0.50),
            p95_ms=1000 * _quantile(ordered, 0.95),
            per_s=len(ordered) / elapsed_s,
            count=len(ordered),
        )


def _quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


Unit = Callable[[Client], object]


def drive(base_url: str, unit: Unit, *, concurrency: int = 1, seconds: float = 2.0, most: int = 100_000) -> Timing:
    """Does the unit of work again and again in each of ``concurrency`` threads until the time or ``most`` is over."""
    if not (0 < concurrency <= MAX_THREADS and 0 < seconds <= MAX_SECONDS):
        raise ValueError("too much load for a shared machine")
    run = _Run(unit=unit, ends_at=time.perf_counter() + seconds, left=most)
    threads = [threading.Thread(target=run.work, args=(base_url,), daemon=True) for _ in range(concurrency)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if run.failures:
        raise run.failures[0]
    return Timing.of(run.durations, time.perf_counter() - began)


@dataclass(slots=True)
class _Run:
    unit: Unit
    ends_at: float
    left: int
    durations: list[float] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self, base_url: str) -> None:
        try:
            with Client(base_url) as client:
                while self._may_go_on():
                    began = time.perf_counter()
                    self.unit(client)
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
