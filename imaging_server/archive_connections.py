"""Connections to archives that write and read plain heads at once, and other heads of multipart answers at less cost.

Python reads HTTP headers with its parser for e-mail, which gets ready for the parts that a multipart Content-Type announces: it
compiles a pattern of the boundary, and each answer of an archive has a boundary of its own. That was a sixth of a frame's
processor time, for parts that this parser never sees. So where a head is not plain (``archive_heads``), the parser is not shown
its Content-Type; everything else it reads as ever.

Spec: RFC 9112 §5 (field syntax); DICOM PS3.18 §8.6 (multipart answers).
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Callable
from functools import partial
from http.client import HTTPResponse
from io import BufferedReader
from socket import socket
from typing import IO, Any, cast

import urllib3
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from fhir_imaging.clients.deadlines import lines_in_time, within
from imaging_server.archive_answers import TAKES, PlainAnswer
from imaging_server.archive_heads import plain_head, plain_host, plain_request
from imaging_server.slow_answers import listen

_NAME = b"content-type:"
_LONGEST = 4096
_FIELD = re.compile(rb"(?:[\x21-\x39\x3b-\x7e]*:|[\t ])[^\r]*\r?\n?\Z")
"""A line that Python's parser takes for one field or the continuation of one; a lone carriage return begins a line to it."""


class _WithoutType:
    """The lines of an answer's head but for the one that says its type, which is kept in ``withheld``.

    A type on several lines and a long one are left to the parser, with all further ones, and so is what comes after a line that
    is no field: there the parser sees no more fields.
    """

    def __init__(self, lines: IO[bytes]) -> None:
        self.lines = lines
        self.withheld: bytes | None = None
        self._next: bytes | None = None
        self._is_in_fields = False
        self._may_withhold = True

    def readline(self, limit: int) -> bytes:
        """The next line for the parser."""
        line, self._next = self._next or self.lines.readline(limit), None
        if not self._is_in_fields:
            # What stood in the head of an interim answer (1xx) is not the answer's.
            self.withheld, self._may_withhold = None, True
        elif self._may_withhold and line[: len(_NAME)].lower() == _NAME:
            self._may_withhold = False
            line = self._withheld(line, limit)
        self._may_withhold &= not self._is_in_fields or _FIELD.match(line) is not None
        self._is_in_fields = line not in (b"\r\n", b"\n", b"")
        return line

    def _withheld(self, line: bytes, limit: int) -> bytes:
        """The line after a type that is kept back; the type itself where it is left to the parser."""
        if not line.endswith(b"\n") or len(line) > _LONGEST or _FIELD.match(line) is None:
            return line
        following = self.lines.readline(limit)
        if following[:1] in (b" ", b"\t"):
            self._next = following
            return line
        self.withheld = line
        return following

    def close(self) -> None:
        """Of the connection, which the parser may give up."""
        self.lines.close()


class LeanAnswer(HTTPResponse):
    """An answer like any other; its headers are read in less time, and all of it by its reader's deadline.

    ``lines``: into which its first bytes have come already.
    """

    def __init__(self, sock: socket, *args: Any, lines: BufferedReader | None = None, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = lines or lines_in_time(sock)

    def begin(self) -> None:
        """Reads status and headers."""
        if self.headers is not None or self.fp is None:
            super().begin()
            return
        shown: Any = _WithoutType(self.fp)
        self.fp = shown
        try:
            super().begin()
        finally:
            if self.fp is shown:
                self.fp = shown.lines
        if shown.withheld is not None:
            further = self.headers.get_all("Content-Type", [])
            del self.headers["Content-Type"]
            first = shown.withheld[len(_NAME) :].decode("iso-8859-1").lstrip(" \t").rstrip("\r\n")
            for written in (first, *further):
                self.headers["Content-Type"] = written


class _Http(HTTPConnection):
    """Sends plain requests in one go and reads plain answers likewise; all others, and all faults, are urllib3's as ever."""

    response_class = LeanAnswer
    # Tells http.client of a request that was sent past it.
    _sent: Callable[[], None] | None = None
    _is_sent_already = False

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> None:
        """Sends a request."""
        host = plain_host(self.host, self.port, self.default_port)
        written = plain_request(method, url, host, headers or {}) if host and body is None else None
        if written is None:
            super().request(method, url, body=body, headers=headers, **options)
            return
        if self.sock is None:
            self.connect()
        else:
            self.sock.settimeout(self.timeout)
        self._sent = partial(super().request, method, url, headers=headers, **options)
        self.sock.sendall(written)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        """The answer to the request, its body not yet read."""
        sent, self._sent = self._sent, None
        listen(self.sock, self.timeout)
        with within(TAKES * (self.timeout or math.inf)):
            return super().getresponse() if sent is None else self._answer(sent)

    def _answer(self, sent: Callable[[], None]) -> urllib3.HTTPResponse:
        self.sock.settimeout(self.timeout)
        lines = lines_in_time(self.sock)
        try:
            head = plain_head(lines.peek(1))
        except BaseException:
            lines.close()  # it keeps the socket open
            raise
        if head is None:
            return self._in_the_usual_way(sent, lines)
        lines.read(head.size)
        # It has what the pool wants of an answer; the types say more than that.
        return cast("urllib3.HTTPResponse", PlainAnswer(head, lines))

    def send(self, data: Any) -> None:
        """Sends bytes, unless they went out before."""
        if not self._is_sent_already:
            super().send(data)

    def _in_the_usual_way(self, sent: Callable[[], None], lines: BufferedReader) -> urllib3.HTTPResponse:
        """The answer as Python reads it, from its first byte on."""
        self._is_sent_already = True
        try:
            sent()
        finally:
            self._is_sent_already = False
        setattr(self, "response_class", partial(LeanAnswer, lines=lines))  # noqa: B010
        try:
            return super().getresponse()
        finally:
            del self.response_class


class _Https(_Http, HTTPSConnection):
    """The same over TLS."""

    @property
    def is_connected(self) -> bool:
        """Whether it can be used again. What TLS has read beyond an answer does not show at the socket, and is nobody's."""
        return super().is_connected and not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())


def with_lean_answers(pool: HTTPConnectionPool) -> HTTPConnectionPool:
    """The pool, before its first connection, with connections that read heads as told above."""
    pool.ConnectionCls = _Https if pool.scheme == "https" else _Http
    return pool
