"""An answer written at once is gunicorn's own, byte for byte; only the kernel is called less often."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, InvalidHeaderName
from gunicorn.http.wsgi import FileWrapper, Response
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_cds.one_write import OneWrite
from imaging_cds.plain_requests import plain_request
from tests.examples import examples

CONFIG = Config()
LARGE = bytes(range(256)) * 16 * 1024
Headers = list[tuple[str, str]]


def length(size: int) -> Headers:
    return [("Content-Type", "text/plain"), ("Content-Length", str(size))]


class Counted:
    """A socket that notes how often it is written to; ``at_most`` of what is sent at once is taken."""

    def __init__(self, sock: socket.socket, at_most: int | None = None) -> None:
        self._sock = sock
        self._at_most = at_most
        self.calls: list[tuple[str, int]] = []

    def sendmsg(self, pieces: tuple[bytes, ...]) -> int:
        whole = pieces if self._at_most is None else (b"".join(pieces)[: self._at_most],)
        sent = self._sock.sendmsg(whole)
        self.calls.append(("sendmsg", sent))
        return sent

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data)
        self.calls.append(("sendall", len(data)))


def answer(kind: type, sock: Any, status: str, headers: Headers, body: list[bytes], *, closing: bool = False) -> Any:
    """The answer, written and ended."""
    request = plain_request(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n")
    made = kind(request, sock, CONFIG)
    if closing:
        made.force_close()
    write = made.start_response(status, headers)
    for piece in body:
        write(piece)
    made.close()
    return made


def read_by(writes: Callable[[socket.socket], object], *, slowly: bool = False, timeout_s: float | None = None) -> bytes:
    """All that a reader gets of what is written to the other end of its connection, but for the time."""
    near, far = socket.socketpair()
    got = bytearray()

    def read() -> None:
        while piece := far.recv(1 << 16):
            got.extend(piece)
            if slowly:
                time.sleep(0.001)

    reader = threading.Thread(target=read)
    reader.start()
    with far:
        with near:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            near.settimeout(timeout_s)
            writes(near)
        reader.join()
    return re.sub(rb"\r\nDate: [^\r]*", b"", bytes(got), count=1)


def both_ways(status: str, headers: Headers, body: list[bytes], *, closing: bool = False) -> list[object]:
    """What a reader gets, and whether the connection stays: of gunicorn's answer and of ours."""
    told: list[object] = []
    for kind in (Response, OneWrite):
        made: list[Any] = []
        got = read_by(lambda sock: made.append(answer(kind, sock, status, headers, body, closing=closing)))  # noqa: B023
        told.append((got, made[0].should_close(), made[0].sent))
    return told


def date_of(kind: type) -> datetime:
    """The time that an answer says it is."""
    near, far = socket.socketpair()
    with near, far:
        answer(kind, near, "200 OK", length(6), [b"pixels"])
        head = far.recv(4096).partition(b"\r\n\r\n")[0].decode("ascii")
    return parsedate_to_datetime(head.partition("\r\nDate: ")[2].partition("\r\n")[0])


def test_an_answer_says_the_present_second_as_gunicorns_does() -> None:
    for _ in range(3):
        before, ours, after = date_of(Response), date_of(OneWrite), date_of(Response)
        assert before <= ours <= after
        time.sleep(0.6)


ANSWERS: dict[str, tuple[str, Headers, list[bytes]]] = {
    "in one piece": ("200 OK", length(6), [b"pixels"]),
    "in several pieces": ("200 OK", length(6), [b"pi", b"x", b"els"]),
    "with empty pieces": ("200 OK", length(6), [b"", b"pixels", b""]),
    "of no length": ("200 OK", length(0), []),
    "of no length, an empty piece": ("200 OK", length(0), [b""]),
    "of no length, and yet a body": ("200 OK", length(0), [b"pixels"]),
    "no content": ("204 No Content", [], []),
    "no content, and yet a body": ("204 No Content", length(6), [b"pixels"]),
    "not modified": ("304 Not Modified", [("ETag", '"1"')], []),
    "not modified, with a length": ("304 Not Modified", length(6), [b"pixels"]),
    "in chunks": ("200 OK", [], [b"pix", b"els"]),
    "in chunks, some empty": ("200 OK", [], [b"", b"pix", b"", b"els", b""]),
    "in no chunk": ("200 OK", [], []),
    "in an empty chunk": ("200 OK", [], [b""]),
    "longer than stated": ("200 OK", length(3), [b"pi", b"xe", b"ls"]),
    "longer than stated, in one piece": ("200 OK", length(3), [b"pixels"]),
    "shorter than stated": ("200 OK", length(7), [b"pixels"]),
    "nothing of what was stated": ("200 OK", length(6), []),
    "refused": ("404 Not Found", length(2), [b"no"]),
    "with headers beyond ASCII": ("200 \xc4h", [*length(2), ("X-A", " \xe9 "), ("Connection", "close"), ("X-A", "")], [b"ok"]),
}


@pytest.mark.parametrize("closing", [False, True], ids=["stays", "closes"])
@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
def test_answer_is_gunicorns(said: tuple[str, Headers, list[bytes]], closing: bool) -> None:
    gunicorns, ours = both_ways(*said, closing=closing)

    assert ours == gunicorns


@settings(max_examples=examples(60))
@given(
    st.sampled_from(["200 OK", "204 No Content", "304 Not Modified", "500 Oh"]),
    st.none() | st.integers(0, 30),
    st.lists(st.binary(max_size=9), max_size=4),
)
def test_any_answer_is_gunicorns(status: str, stated: int | None, body: list[bytes]) -> None:
    gunicorns, ours = both_ways(status, [] if stated is None else length(stated), body)

    assert ours == gunicorns


def headers_taken(kind: type, headers: list[tuple[Any, Any]]) -> object:
    """What an answer makes of an application's headers; the kind of error where it takes none of them."""
    made = kind(plain_request(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"), None, CONFIG)
    try:
        made.process_headers(headers)
    except (TypeError, ValueError, InvalidHeader, InvalidHeaderName) as refused:
        return type(refused), made.headers
    return made.headers, made.response_length, made.upgrade


NAMES = ("X-A", "vary", "Content-Length", "CONTENT-LENGTH", "Connection", "Upgrade", "TE", "", "X A", "X-\xe9", "X:", 1)
VALUES = (
    "a",
    " a\t",
    "",
    "5",
    " 7 ",
    "websocket",
    "Upgrade",
    "close",
    "\xe9",
    "\u20ac",
    "a\r\nX: b",
    "a\n",
    "\0",
    5,
    None,
    b"a",
)
NAMED = st.tuples(st.sampled_from(NAMES) | st.text(max_size=5), st.sampled_from(VALUES) | st.text(max_size=5))


@settings(max_examples=examples(200))
@given(st.lists(NAMED, max_size=5))
def test_any_headers_are_taken_or_refused_as_gunicorn_does(headers: list[tuple[Any, Any]]) -> None:
    """Also what would end a head before its end, and what belongs to the connection."""
    first, again = headers_taken(OneWrite, headers), headers_taken(OneWrite, headers)

    assert first == again == headers_taken(Response, headers)


@pytest.mark.parametrize("body", [[LARGE], [b"", LARGE], [LARGE[:100], LARGE[100:]], [LARGE[:-100], LARGE[-100:]]])
@pytest.mark.parametrize("timeout_s", [None, 30.0], ids=["as the worker waits", "with a time to end"])
def test_large_answer_to_a_slow_reader_comes_in_whole(body: list[bytes], timeout_s: float | None) -> None:
    wires: list[Counted] = []

    def write(sock: socket.socket) -> None:
        wires.append(Counted(sock))
        answer(OneWrite, wires[0], "200 OK", length(len(LARGE)), body)

    got = read_by(write, slowly=True, timeout_s=timeout_s)
    head, _, rest = got.partition(b"\r\n\r\n")

    assert b"Content-Length: 4194304" in head
    assert rest == LARGE
    kind, sent = wires[0].calls[0]
    assert kind == "sendmsg"
    assert timeout_s is None or sent < len(LARGE), "the kernel takes no more at once"


def test_whatever_the_kernel_takes_at_once_the_rest_follows() -> None:
    """Cut in the head, between head and body, in the body, and not at all."""
    whole = read_by(lambda sock: answer(Response, sock, "200 OK", length(6), [b"pixels"]))
    size = len(whole) + len("\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT")

    for taken in range(1, size + 1):
        got = read_by(lambda sock: answer(OneWrite, Counted(sock, taken), "200 OK", length(6), [b"pixels"]))  # noqa: B023

        assert got == whole, taken


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("in one piece", ["sendmsg"]),
        ("in several pieces", ["sendmsg", "sendall", "sendall"]),
        ("of no length", ["sendall"]),
        ("no content", ["sendall"]),
        ("not modified", ["sendall"]),
        ("refused", ["sendmsg"]),
    ],
)
def test_small_answer_goes_out_at_once(name: str, calls: list[str]) -> None:
    wires: list[Counted] = []

    def write(sock: socket.socket) -> None:
        wires.append(Counted(sock))
        answer(OneWrite, wires[0], *ANSWERS[name])

    read_by(write)

    assert [call for call, _ in wires[0].calls] == calls


def test_head_and_first_bytes_are_there_before_the_answer_is_over() -> None:
    """A reader of a long answer does not wait for its end."""
    near, far = socket.socketpair()
    with near, far:
        made = OneWrite(plain_request(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"), near, CONFIG)
        made.start_response("200 OK", length(6))(b"pix")
        far.settimeout(5)

        assert far.recv(65536).endswith(b"\r\n\r\npix")
        made.write(b"els")
        assert far.recv(65536) == b"els"


def test_nothing_is_sent_before_there_is_something_to_send() -> None:
    """What fails until then can still be answered as a fault."""
    near, far = socket.socketpair()
    with near, far:
        made = OneWrite(plain_request(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"), near, CONFIG)
        made.start_response("200 OK", length(6))
        far.setblocking(False)

        assert not made.headers_sent
        with pytest.raises(BlockingIOError):
            far.recv(1)


@pytest.mark.parametrize("body", [[b"pixels"], [b"pi", b"xels"], []])
def test_a_reader_who_is_gone_is_noticed_as_before(body: list[bytes]) -> None:
    near, far = socket.socketpair()
    far.close()
    with near, pytest.raises(BrokenPipeError):
        answer(OneWrite, near, "200 OK", length(6), body)


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
@pytest.mark.parametrize("is_on_disk", [True, False], ids=["a file", "what only looks like one"])
def test_a_file_is_written_as_gunicorn_writes_it_its_head_first(size: int, is_on_disk: bool, tmp_path: Path) -> None:
    """By the kernel where it is one, as whoever uses ``wsgi.file_wrapper`` expects."""
    (tmp_path / "a").write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))

    def written(kind: type) -> bytes:
        def write(sock: socket.socket) -> None:
            with (tmp_path / "a").open("rb") as file:
                made = kind(plain_request(b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"), sock, CONFIG)
                made.start_response("200 OK", length(size))
                made.write_file(FileWrapper(file if is_on_disk else BytesIO(file.read())))
                made.close()

        return read_by(write)

    assert written(OneWrite) == written(Response)
    assert written(OneWrite).startswith(b"HTTP/1.1 200 OK\r\n")
