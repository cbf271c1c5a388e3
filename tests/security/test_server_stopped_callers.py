"""Callers who stop in the middle of what they say or are told hold a thread for a minute and no longer (groups 19 and 23)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Flask, Response, request, send_file

from fhir_imaging.web import ErrorShape, ErrorSurface, install
from tests.ward_in_turn import wait_for
from tests.worker_here import THREADS, RunningWorker, a_worker

PATIENCE_S = 0.6
PIECE = bytes(256 * 1024)
PIECES = 120
LENGTH = len(PIECE) * PIECES


@dataclass
class Served:
    """A worker, and how many of its long answers were ended."""

    running: RunningWorker
    ended: list[float] = field(default_factory=list)

    def stopped(self, words: bytes) -> socket.socket:
        """A caller who says this, and then neither reads nor says anything."""
        caller = socket.socket()
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        caller.connect(("127.0.0.1", self.running.port))
        caller.sendall(words)
        return caller


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("imaging_cds.patience.PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr("imaging_cds.one_write.PATIENCE_S", PATIENCE_S)
    app = Flask("slow", static_folder=None)
    install(app, [ErrorSurface("/", ErrorShape.PROBLEM_JSON)])
    file, ended = tmp_path / "file", []
    file.write_bytes(bytes(LENGTH))

    def pieces() -> Iterator[bytes]:
        try:
            yield from (PIECE for _ in range(PIECES))
        finally:
            ended.append(time.monotonic())

    app.add_url_rule("/long", "long", lambda: Response(pieces(), headers={"Content-Length": str(LENGTH)}))
    app.add_url_rule("/chunks", "chunks", lambda: Response(pieces()))
    app.add_url_rule("/file", "file", lambda: send_file(file, mimetype="text/plain"))
    app.add_url_rule("/body", "body", lambda: f"{len(request.get_data())}", methods=["POST"])
    app.add_url_rule("/quick", "quick", lambda: "here")
    with a_worker(app) as running:
        yield Served(running, ended)


STOPPED = {
    "half a line": b"GET /qui",
    "half a head": b"GET /quick HTTP/1.1\r\nHost: h\r\nAccept",
    "no body": b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n",
    "half a body": b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\nsome",
    "half a chunk": b"POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nsome",
    "a long answer": b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n",
    "a long answer, not plainly asked for": b"GET /long HTTP/1.0\r\nHost: h\r\n\r\n",
    "an answer in chunks": b"GET /chunks HTTP/1.1\r\nHost: h\r\n\r\n",
    "a file": b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n",
}


@pytest.mark.parametrize("words", STOPPED.values(), ids=STOPPED)
def test_group_23_one_who_stops_in_the_middle_gives_his_thread_back(served: Served, words: bytes) -> None:
    began = time.monotonic()
    with ExitStack() as stack:
        for _ in range(THREADS):
            stack.enter_context(served.stopped(words))
        time.sleep(PATIENCE_S / 3)
        answer = served.running.caller({}).ask("/quick")

        assert (answer.status, answer.body) == (200, b"here")
        assert time.monotonic() - began >= PATIENCE_S, "or nobody held a thread"
        if b"/long" in words or b"/chunks" in words:
            assert wait_for(lambda: len(served.ended) == THREADS), "and whatever it took from an archive"


def test_a_body_that_does_not_come_is_the_callers_fault(served: Served) -> None:
    with served.stopped(STOPPED["half a body"]) as caller:
        caller.settimeout(10)
        told = b"".join(iter(lambda: caller.recv(65536), b""))

    assert told.startswith(b"HTTP/1.1 400 ")
    assert b"did not come" in told


@pytest.mark.parametrize("path", ["/long", "/chunks", "/file"])
def test_group_19_a_slow_caller_gets_the_whole(served: Served, path: str) -> None:
    """He takes several times as long as anybody may take nothing."""
    caller = served.stopped(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
    began, came = time.monotonic(), 0
    with caller:
        while piece := caller.recv(1 << 20):
            came += len(piece)
            time.sleep(max(0.0, began + 2.5 * PATIENCE_S * came / LENGTH - time.monotonic()))

    assert came > LENGTH
    assert time.monotonic() - began > 2 * PATIENCE_S
