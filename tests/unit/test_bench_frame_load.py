"""The load generator for frames counts whole answers, and nothing that is no answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.benchmarks.frame_load import FrameLoad, got
from tests.listening import listening

SAID = bytes(3000)
STATED = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + SAID
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n" + SAID + b"\r\n0\r\n\r\n"


@contextmanager
def answering(answer: bytes, *, cut: int) -> Iterator[str]:
    """A server that gives each request this answer, in two pieces."""

    def talk(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while connection.recv(4096):
                connection.sendall(answer[:cut])
                connection.sendall(answer[cut:])

    with listening(talk) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("answer", [STATED, CHUNKED], ids=["stated", "chunked"])
@pytest.mark.parametrize("cut", [3, 20, 60, 1500, -2])
def test_whole_answers_are_counted(answer: bytes, cut: int) -> None:
    with answering(answer, cut=cut) as url:
        seen = FrameLoad(base_url=url, requests=[got("/", {})], least=3000).run(concurrency=1, seconds=0.1)

    assert len(seen.durations_s) > 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Busy\r\nContent-Length: 3000\r\n\r\n" + SAID,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_anything_else_ends_the_run(answer: bytes) -> None:
    with answering(answer, cut=5) as url, pytest.raises(AssertionError):
        FrameLoad(base_url=url, requests=[got("/", {})], least=3000).run(concurrency=1, seconds=0.1)
