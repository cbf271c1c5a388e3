"""An archive's answer with a plain head, in the words of urllib3's answers; its body is read straight into what is passed on.

Spec: RFC 9112 §6.3, §8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, Protocol

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError

from imaging_server.archive_heads import PlainHead

TAKES = 3.0
"""How many times of the time in which an archive may be silent the head of an answer may take, and a body that is read whole,
and each piece of one that is passed on: what drips is never silent."""


class ArchiveResponse(Protocol):
    """What the gateway uses of an answer; urllib3's own have it all."""

    @property
    def status(self) -> int:
        """Of HTTP."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, however it is written."""

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """That many bytes of the body, or all; none at its end."""

    def stream(self, amt: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """The body in such pieces."""

    def close(self) -> None:
        """Ends the connection, unless it was given back."""

    def release_conn(self) -> None:
        """Gives the connection back to its pool, unless that was done."""


class PlainAnswer:
    """Read to its end, it gives its connection back by itself. urllib3's pool sets what is none of the caller's business."""

    __slots__ = ("_connection", "_lines", "_pool", "headers", "length_remaining", "retries", "status", "version_string")

    def __init__(self, head: PlainHead, lines: BufferedReader) -> None:
        self.status = head.status
        self.headers: Mapping[str, str] = head.fields
        self.length_remaining = head.length
        self.version_string = "HTTP/1.1"
        self.retries: Any = None
        self._lines = lines
        self._pool: HTTPConnectionPool | None = None
        self._connection: HTTPConnection | None = None

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """ProtocolError when the archive ends the connection before the body's end. A plain body needs no decoding."""
        left = self.length_remaining
        wanted = left if amt is None else min(amt, left)
        read = self._lines.read(wanted) if wanted else b""
        self.length_remaining = left - len(read)
        if len(read) < wanted:
            raise ProtocolError(f"Connection broken: {self.length_remaining} bytes of the body are missing")
        if not self.length_remaining:
            self._lines.close()
            self.release_conn()
        return read

    def stream(self, amt: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Pieces of that size."""
        while piece := self.read(amt, decode_content):
            yield piece

    def close(self) -> None:
        """Ends the connection, if the body was not read to its end."""
        self._lines.close()
        if self._connection is not None:
            self._connection.close()

    def release_conn(self) -> None:
        """Gives the connection back to its pool, once."""
        if self._pool is not None and self._connection is not None:
            self._pool._put_conn(self._connection)
            self._connection = None
