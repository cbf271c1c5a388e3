"""A worker of the product's server in a thread of the test's own process, so that a test sees which way a request took."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from gunicorn.config import Config
from gunicorn.glogging import Logger

from imaging_cds.at_once import AtOnce
from imaging_cds.plain_requests import PlainFields, PlainRequest
from imaging_cds.worker import Worker
from tests.security.gateway_actors import Answer

THREADS = 4
_ENDS_WITHIN_S = 10.0


class _Watched(AtOnce):
    """Notes of each request that came to the main thread whether it was answered there."""

    def __init__(self, seen: list[bool]) -> None:
        super().__init__()
        self._seen = seen

    def answer(self, begun: bytes, client: Any, last: PlainFields | None = None) -> tuple[bytes, Callable[[], None]] | None:
        try:
            told = super().answer(begun, client, last)
        except Exception:
            self._seen.append(False)
            raise
        self._seen.append(told is not None)
        return told


class _Here(Worker):
    """Signals are the test's own process's."""

    watched_by: list[bool]
    in_turn: list[bool]
    taken: list[Any]
    """Every connection that it had."""

    def enqueue_req(self, conn: Any) -> None:
        """Notes it."""
        if conn not in self.taken:
            self.taken.append(conn)
        super().enqueue_req(conn)

    def init_signals(self) -> None:
        """None."""

    def _told_in_turn(self, req: PlainRequest, conn: Any) -> Mapping[str, Any] | None:
        """Notes of each request whether it was answered so."""
        words = req.fields.words
        try:
            told = super()._told_in_turn(req, conn)
        except BaseException:
            self.in_turn.append(True)
            raise
        if words is not None and words.in_turn is not None:
            self.in_turn.append(told is None)
        return told

    def load_wsgi(self) -> None:
        """It is there already."""
        self.wsgi = self.app
        self._at_once = _Watched(self.watched_by)


@dataclass
class Caller:
    """One kept connection, as nginx has it."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, path: str, method: str = "GET", **changes: str | None) -> Answer:
        """One request with the caller's headers, changed or left out; names are written with underscores."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in changes.items()}  # type: ignore[operator]
        self.connection.request(method, path, headers={name: value for name, value in sent.items() if value is not None})
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())


@dataclass
class RunningWorker:
    """``at_once``: of each request that needed no thread at first, whether none was needed at all; ``in_turn``: of each in
    words that the server may answer in a thread, whether it did."""

    port: int
    worker: Worker
    at_once: list[bool]
    in_turn: list[bool]
    callers: list[Caller] = field(default_factory=list)

    def caller(self, headers: dict[str, str]) -> Caller:
        """One who says this with each request; hangs up when the worker ends."""
        self.callers.append(Caller(self.port, headers))
        return self.callers[-1]

    def raw(self, *pieces: bytes) -> socket.socket:
        """A connection on which these bytes were sent, each by itself."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        for piece in pieces:
            connection.sendall(piece)
        return connection


@contextmanager
def a_worker(app: Flask) -> Iterator[RunningWorker]:
    """Serves it until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    cfg = Config()
    for name, value in {"threads": THREADS, "keepalive": 30, "http_parser": "python", "graceful_timeout": 4}.items():
        cfg.set(name, value)
    cfg.set("forwarded_allow_ips", "")
    worker = _Here(1, os.getppid(), [listener], app, 30, cfg, Logger(cfg))
    seen: list[bool] = []
    worker.watched_by, worker.in_turn, worker.taken = seen, [], []
    thread = threading.Thread(target=worker.init_process, daemon=True)
    thread.start()
    running = RunningWorker(listener.getsockname()[1], worker, seen, worker.in_turn)
    try:
        yield running
    finally:
        for caller in running.callers:
            caller.connection.close()
        worker.alive = False
        thread.join(_ENDS_WITHIN_S)
        assert not thread.is_alive()
        for conn in worker.taken:  # the end of a process would close what is still open
            conn.close()
        worker.tmp.close()
        for descriptor in worker.PIPE:
            os.close(descriptor)
