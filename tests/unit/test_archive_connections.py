"""Heads of archives' answers are read as Python reads them, only in less time (W1; group 17: one way to read an answer)."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

import pytest
import urllib3
from hypothesis import example, given
from hypothesis import strategies as st

from imaging_server.archive_connections import LeanAnswer, with_lean_answers

MULTIPART = b'Content-Type: multipart/related; type="application/dicom"; boundary=b-1\r\n'
BODY = b"--b-1\r\nContent-Type: application/dicom\r\n\r\nx\r\n--b-1--\r\n"


class _Bytes:
    """A socket whose other side has said all it will say."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, _mode: str, buffering: int | None = None) -> io.RawIOBase | io.BufferedReader:
        said = cast("io.RawIOBase", io.BytesIO(self._said))
        return said if buffering == 0 else io.BufferedReader(said)


def read_as(kind: type[HTTPResponse], said: bytes) -> object:
    """All that can be told of an answer, or the fault that it has."""
    answer = kind(cast("Any", _Bytes(said)), method="GET")
    try:
        answer.begin()
        fields = sorted((name.lower(), value) for name, value in answer.headers.items())
        about = (answer.status, answer.reason, answer.version, answer.will_close, answer.chunked, answer.length)
        return about, fields, answer.headers.get("Content-Type"), answer.read()
    except HTTPException as fault:
        return type(fault)
    finally:
        answer.close()


LINES = st.sampled_from(
    [
        MULTIPART,
        b"content-type:application/dicom+json\r\n",
        b"CONTENT-TYPE: \t text/html; charset=utf-8 \t\r\n",
        b"Content-Type: multipart/related;\r\n",
        b" boundary=folded\r\n",
        b"\tfolded\r\n",
        b"Content-Type : text/plain\r\n",
        b"Content-Type: a/b\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: multipart/mixed; boundary=" + b"x" * 5000 + b"\r\n",
        b"Content-Type: multipart/mixed; boundary=" + b"x" * 70000 + b"\r\n",
        b"Content-Type:\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: -3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Set-Cookie: a=b\r\n",
        b"no colon\r\n",
        b"\xff\xfe: \xe4\r\n",
        b"\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.0 404 Not Found\r\n",
        BODY,
    ]
)


@given(st.lists(LINES, max_size=8))
@example([b"HTTP/1.1 200 OK\r\n", MULTIPART, b"\r\n", BODY])
@example([b"HTTP/1.1 200 OK\r\n", MULTIPART, b"\tfolded\r\n", b"\r\n"])
@example([b"HTTP/1.1 100 Continue\r\n", MULTIPART, b"\r\n", b"HTTP/1.1 200 OK\r\n", b"\r\n"])
@example([MULTIPART, b"HTTP/1.1 200 OK\r\n", b"\r\n"])
@example([b"HTTP/1.1 200 OK\r\n", MULTIPART])
@example([b"HTTP/1.1 200 OK\r\n", MULTIPART, b"Content-Type: text/plain\r\n", b"\r\n"])
@example([b"HTTP/1.1 200 OK\r\n", b"no colon\r\n", MULTIPART])
@example([b"HTTP/1.1 200 OK\r\n", MULTIPART, b" boundary=folded\r\n", MULTIPART])
def test_lean_head_says_what_the_usual_one_says(lines: list[bytes]) -> None:
    said = b"".join(lines)

    assert read_as(LeanAnswer, said) == read_as(HTTPResponse, said)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pool_uses_it(scheme: str) -> None:
    with with_lean_answers(urllib3.connection_from_url(f"{scheme}://archive.example")) as pool:
        assert pool.ConnectionCls.response_class is LeanAnswer
