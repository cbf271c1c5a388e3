"""Plain requests and answers are written and read as urllib3 does it, only at once (W1; group 17: one way to read answers)."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from hypothesis import assume, example, given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection
from urllib3.response import HTTPResponse

from imaging_server.archive_answers import PlainAnswer
from imaging_server.archive_connections import with_lean_answers
from imaging_server.archive_heads import plain_head
from tests.unit.test_archive_connections import BODY, LINES, MULTIPART

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
PLAIN = [OK, b"Connection: keep-alive\r\n", MULTIPART, LENGTH, b"\r\n", BODY]
HEADERS = {"User-Agent": "imaging-cds", "Accept-Encoding": "identity", "Accept": "*/*"}


@contextmanager
def connected(
    said: bytes, *, lean: bool, host: str = "archive.example", port: int = 8042
) -> Iterator[tuple[Any, socket.socket]]:
    """A pool whose connection is to somebody who says this and no more, and his end of it."""
    near, far = socket.socketpair()

    def connect(connection: HTTPConnection) -> None:
        connection.sock = near

    pool = urllib3.HTTPConnectionPool(host, port, maxsize=1, block=True)
    kind = (with_lean_answers(pool) if lean else pool).ConnectionCls
    pool.ConnectionCls = type("Connected", (kind,), {"connect": connect})
    far.sendall(said)
    far.shutdown(socket.SHUT_WR)
    try:
        yield pool, far
    finally:
        pool.close()
        near.close()
        far.close()


def ask(pool: Any, *, method: str = "GET", target: str = "/dicom-web/studies", headers: dict[str, str] = HEADERS) -> Any:
    return pool.urlopen(
        method,
        target,
        headers=headers,
        retries=False,
        redirect=False,
        timeout=5,
        preload_content=False,
        decode_content=False,
        pool_timeout=1,
    )


def told(said: bytes, *, lean: bool, piece: int | None) -> object:
    """All that can be told of an answer and of its connection afterwards, or the fault that it has."""
    with connected(said, lean=lean) as (pool, _):
        about: list[object] = []
        try:
            answer = ask(pool)
            about += [answer.status, sorted((name.lower(), value) for name, value in answer.headers.items())]
            if piece is None:
                about.append(answer.read(decode_content=True))
            else:
                while read := answer.read(piece, decode_content=True):
                    about.append(read)
            answer.close()
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, ValueError, OverflowError) as fault:
            answer = None
            about.append(type(fault))
        kept = None if answer is None else pool.pool.get(block=False)
        return about, kept is not None and kept.sock is not None


MORE_LINES = st.sampled_from(
    [
        OK,
        LENGTH,
        b"\r\n",
        b"Content-Length: 1%s\r\n" % (b"0" * 30),
        b"Content-Length:\t5\r\n",
        b"Content-Length: 5 \r\n",
        b"content-length: 0\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: identity\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: Keep-Alive, Upgrade\r\n",
        b"Keep-Alive: timeout=1\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"HTTP/1.1 404\r\n",
        b"HTTP/1.1 503 \r\n",
        b"HTTP/1.2 200 OK\r\n",
        b"HTTP/1.1 103 Early Hints\r\n",
        b"X-Empty:\r\n",
        b"X-Blank:  \t \r\n",
        b"X-Bell: \x07\r\n",
        b"X-Bare: a\nb\r\n",
        b"X-Return: a\rb\r\n",
        b"Content-Type: a/b\rX: y\r\n",
        b"Subject: =?utf-8?q?a?=\r\n",
        b"From nobody: a\r\n",
        b"X-Many: 1\r\n" * 101,
        b"5\r\nabcde\r\n0\r\n\r\n",
    ]
)

# Such as are nearly plain: lines at random seldom come to a whole head.
MESSAGES = st.builds(
    lambda fields, body: [OK, *fields, b"\r\n", *body],
    st.lists(st.just(LENGTH) | LINES | MORE_LINES, max_size=4, unique=True).map(lambda fields: [LENGTH, *fields]),
    st.sampled_from([[BODY], [BODY[:9]], [], [BODY, OK]]),
)


@given(st.lists(LINES | MORE_LINES, max_size=9) | MESSAGES, st.sampled_from([None, 1, 20, 4096]))
@example(PLAIN, None)
@example(PLAIN, 10)
@example([*PLAIN, OK, b"\r\n"], None)
@example(PLAIN[:-1], None)
@example([*PLAIN[:-1], BODY[:9]], 4)
@example([OK, LENGTH, b"\n", BODY], None)
@example([OK, b"X-Bare: a\n", LENGTH, b"\r\n", BODY], None)
@example([OK, LENGTH, b" folded\r\n", b"\r\n", BODY], None)
@example([OK, LENGTH, LENGTH, b"\r\n", BODY], None)
@example([OK, LENGTH, b"Content-Length: 1\r\n", b"\r\n", BODY], None)
@example([OK, LENGTH, b"Transfer-Encoding: chunked\r\n", b"\r\n", b"5\r\nabcde\r\n0\r\n\r\n"], None)
@example([OK, b"X-Return: a\rb\r\n", MULTIPART], None)
@example([OK, b"Content-Type: a/b\rX: y\r\n", LENGTH, b"\r\n", BODY], None)
@example([OK, LENGTH, b"Connection: close\r\n", b"\r\n", BODY], None)
@example([b"HTTP/1.1 100 Continue\r\n", b"\r\n", *PLAIN], None)
@example([b"HTTP/1.1 304 Not Modified\r\n", LENGTH, b"\r\n"], None)
@example([OK, b"content-length: 0\r\n", b"\r\n"], None)
def test_answer_is_what_urllib3_takes_it_for(lines: list[bytes], piece: int | None) -> None:
    said = b"".join(lines)
    assume(len(said) < 150_000)  # or nobody would take it while it is said

    assert told(said, lean=True, piece=piece) == told(said, lean=False, piece=piece)


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b": ", b"\r\n", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n"])))
def test_any_bytes_are_taken_for_what_urllib3_takes_them_for(said: list[bytes]) -> None:
    whole = b"".join([OK, *said])

    assert told(whole, lean=True, piece=None) == told(whole, lean=False, piece=None)


def sent(*, lean: bool, host: str, port: int, **asked: Any) -> object:
    """The bytes that a request is, or its fault."""
    with connected(OK + b"Content-Length: 0\r\n\r\n", lean=lean, host=host, port=port) as (pool, far):
        try:
            ask(pool, **asked).read()
        except (ValueError, UnicodeError, urllib3.exceptions.HTTPError) as fault:
            return type(fault)
        return far.recv(1 << 16)


NAMES = st.sampled_from(
    ["Accept", "Range", "Host", "user-agent", "Content-Length", "Transfer-Encoding", "X y", "X-ü", "", "a:b"]
)
VALUES = st.sampled_from(
    ["*/*", 'a; b="c"', "bytes=0-9", "", " ", "\x07", "ü", "€", "a\r\nX: b", "a\nb", "a\r\n b", "archive.example"]
)


@given(
    st.sampled_from(["GET", "HEAD", "OPTIONS", "G T"]),
    st.text(st.sampled_from("/.aZ09%2cC?&=#,ü \r\n~{[;"), max_size=12).map("/dicom-web".__add__),
    st.dictionaries(NAMES, VALUES, max_size=3),
    st.booleans(),
    st.sampled_from(["archive.example", "archive.example.", "127.0.0.1", "::1", "ARCHIVE", "a_b"]),
    st.sampled_from([80, 443, 8042]),
)
@example("GET", "/dicom-web/studies?PatientName=A%26b", {"Accept": "*/*"}, True, "archive.example", 8042)
@example("GET", "/dicom-web/studies", {"Accept": "a\r\nX: b"}, True, "archive.example", 8042)
def test_request_is_what_urllib3_sends(
    method: str, target: str, headers: dict[str, str], is_complete: bool, host: str, port: int
) -> None:
    asked = {"method": method, "target": target, "headers": {**(HEADERS if is_complete else {}), **headers}}

    assert sent(lean=True, host=host, port=port, **asked) == sent(lean=False, host=host, port=port, **asked)


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (PLAIN, PlainAnswer),
        ([OK, b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], HTTPResponse),
        ([OK, b"Content-Encoding: gzip\r\n", LENGTH, b"\r\n"], HTTPResponse),
        ([OK, b"Connection: close\r\n", LENGTH, b"\r\n"], HTTPResponse),
    ],
    ids=["plain", "chunked", "gzip", "close"],
)
def test_only_plain_answers_are_read_here(lines: list[bytes], kind: type) -> None:
    with connected(b"".join(lines), lean=True) as (pool, _):
        answer = ask(pool)

        assert type(answer) is kind
        answer.close()


def test_head_that_is_not_here_in_whole_is_not_read_here() -> None:
    said = b"".join(PLAIN)
    end = said.index(b"\r\n\r\n") + 4

    assert all(plain_head(said[:some]) is None for some in range(end))
    head = plain_head(said)
    assert head is not None
    assert (head.size, head.length, head.fields["CONTENT-LENGTH"]) == (end, len(BODY), str(len(BODY)))
    assert "Content-Type" in head.fields
    assert set(head.fields) == {"connection", "content-type", "content-length"}
