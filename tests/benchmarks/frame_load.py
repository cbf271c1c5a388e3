"""The load generator for frames: one thread, ready requests, kept connections, bodies read into one buffer and dropped.

Threads of Python take turns on the interpreter's lock; at a thousand frames a second that is what would be measured.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import urlsplit

from tests.benchmarks.load import MAX_SECONDS, MAX_THREADS, TIMEOUT_S, Sample

_BUFFER = 1024 * 1024
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def got(path: str, headers: Mapping[str, str]) -> bytes:
    """A whole GET."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLoad:
    """Requests to one server of this machine, in turn, over so many connections at once.

    Each answer has to be a 200 of at least ``least`` bytes. ``cpu_s`` as in ``load.Load``.
    """

    base_url: str
    requests: Sequence[bytes]
    least: int
    cpu_s: Callable[[], float] | None = None

    def run(self, *, concurrency: int, seconds: float) -> Sample:
        """What was seen until the time was over; a request that is under way then is waited for."""
        parts = urlsplit(self.base_url)
        if parts.hostname not in ("127.0.0.1", "localhost") or parts.port is None:
            raise ValueError("only this machine may be loaded")
        if not (0 < concurrency <= MAX_THREADS and 0 < seconds <= MAX_SECONDS):
            raise ValueError("too much load for a shared machine")
        spent_before = self.cpu_s() if self.cpu_s else 0.0
        began = time.perf_counter()
        with _Run(port=parts.port, requests=cycle(self.requests), least=self.least, ends_at=began + seconds) as run:
            run.work(concurrency)
        elapsed = time.perf_counter() - began
        spent = self.cpu_s() - spent_before if self.cpu_s else None
        return Sample(durations_s=tuple(run.durations), elapsed_s=elapsed, cpu_s=spent)


class FrameConnection:
    """One connection with one request under way."""

    def __init__(self, port: int, least: int) -> None:
        self._port = port
        self._least = least
        self.socket = self._connected()
        self.began = 0.0
        self._head = b""
        self._length: int | None = None
        self._is_chunked = False
        self._came = 0
        self._end = b""
        self.is_kept = True

    def begin(self, request: bytes) -> None:
        """Sends the next request."""
        self._head, self._length, self._is_chunked, self._came, self._end = b"", None, False, 0, b""
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def take(self, buffer: memoryview) -> float | None:
        """Reads what came; the request's duration when its answer is complete."""
        number = self.socket.recv_into(buffer)
        if not number:
            raise ConnectionError(f"the server closed the connection: {self._head[:300]!r}")
        start = 0
        if self._length is None and not self._is_chunked:
            start = self._read_head(bytes(buffer[: min(number, 64 * 1024)]))
        self._came += number - start
        if self._is_chunked:
            self._end = (self._end + bytes(buffer[max(start, number - len(_LAST_CHUNK)) : number]))[-len(_LAST_CHUNK) :]
        if not self._is_complete:
            return None
        assert self._came >= self._least, f"the answer is too short: {self._head!r}"
        return time.perf_counter() - self.began

    @property
    def _is_complete(self) -> bool:
        if self._is_chunked:
            # Nothing is sent before the answer is complete, so what ends like this is its end; the images have no such bytes.
            return self._end == _LAST_CHUNK
        if self._length is not None and self._came > self._length:
            raise ValueError("the answer is longer than it says")
        return self._came == self._length

    def again(self) -> None:
        """A new connection instead of one that the server gave up."""
        self.socket.close()
        self.socket = self._connected()

    def _read_head(self, came: bytes) -> int:
        """How many of the bytes that came belong to the head."""
        before = len(self._head)
        self._head += came
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return len(came)
        self._head = self._head[:end].lower()
        assert self._head.startswith(b"http/1.1 200"), self._head[:600]
        _, name, rest = self._head.partition(b"\r\ncontent-length:")
        self._length = int(rest.partition(b"\r\n")[0]) if name else None
        self._is_chunked = b"\r\ntransfer-encoding: chunked" in self._head
        assert name or self._is_chunked, f"nobody can tell where the answer ends: {self._head!r}"
        self.is_kept = b"\r\nconnection: close" not in self._head
        return end + 4 - before

    def _connected(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


@dataclass(slots=True, kw_only=True)
class _Run:
    port: int
    requests: Iterator[bytes]
    least: int
    ends_at: float
    durations: list[float] = field(default_factory=list)
    _ready: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)
    _open: list[FrameConnection] = field(default_factory=list)

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._ready.close()
        for one in self._open:
            one.socket.close()

    def work(self, concurrency: int) -> None:
        """All connections until the end."""
        buffer = memoryview(bytearray(_BUFFER))
        for _ in range(concurrency):
            connection = FrameConnection(self.port, self.least)
            self._open.append(connection)
            self._begin(connection)
        while self._ready.get_map():
            events = self._ready.select(TIMEOUT_S)
            if not events:
                raise TimeoutError("no answer")
            for key, _ in events:
                self._go_on(key.data, buffer)

    def _begin(self, connection: FrameConnection) -> None:
        connection.begin(next(self.requests))
        self._ready.register(connection.socket, selectors.EVENT_READ, connection)

    def _go_on(self, connection: FrameConnection, buffer: memoryview) -> None:
        took = connection.take(buffer)
        if took is None:
            return
        self.durations.append(took)
        if time.perf_counter() >= self.ends_at:
            self._ready.unregister(connection.socket)
        elif connection.is_kept:
            connection.begin(next(self.requests))
        else:
            self._ready.unregister(connection.socket)
            connection.again()
            self._begin(connection)
