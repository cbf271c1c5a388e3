"""Connections to archives that read the head of a multipart answer at a quarter of its usual cost.

Python reads HTTP headers with its parser for e-mail, which gets ready for the parts that a multipart Content-Type announces: it
compiles a pattern of the boundary, and each answer of an archive has a boundary of its own. That was a sixth of a frame's
processor time, for parts that this parser never sees. So it is not shown the Content-Type; everything else it reads as ever.

Spec: RFC 9112 §5 (field syntax); DICOM PS3.18 §8.6 (multipart answers).
"""

from __future__ import annotations

import re
from http.client import HTTPResponse
from typing import IO, Any

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_NAME = b"content-type:"
_LONGEST = 4096
_FIELD = re.compile(rb"[\x21-\x39\x3b-\x7e]*:|[\t ]")
"""How a line begins that Python's parser takes for a field or the continuation of one."""


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
        if not line.endswith(b"\n") or len(line) > _LONGEST:
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
    """An answer like any other; its headers are read in less time."""

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
    response_class = LeanAnswer


class _Https(HTTPSConnection):
    response_class = LeanAnswer


def with_lean_answers(pool: HTTPConnectionPool) -> HTTPConnectionPool:
    """The pool, before its first connection, with connections that read heads as told above."""
    pool.ConnectionCls = _Https if pool.scheme == "https" else _Http
    return pool
