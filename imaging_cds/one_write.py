"""An answer whose head goes out together with the first bytes of its body: one call to the kernel and one packet less for each.

Two writes wake a reader twice on the same machine; and where the reader is nginx, it reads, parses and waits again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gunicorn import SERVER
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE, Response
from gunicorn.util import http_date, is_hoppish

from imaging_cds.patience import PATIENCE_S


class OneWrite(Response):  # type: ignore[misc]
    """gunicorn's answer in every other way."""

    headers_sent: bool
    _head = b""

    @property
    def has_begun(self) -> bool:
        """Whether the caller has been sent anything: until then another answer can be given."""
        return self.headers_sent and not self._head

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Takes an answer's headers as gunicorn does. All answers have the same names: each is held against its rules once."""
        for name, value in headers:
            if _is_passed_on(name) and HEADER_VALUE_RE.fullmatch(value):
                self.headers.append((name, value.strip(" \t")))
            else:
                super().process_headers([(name, value)])

    def send_headers(self) -> None:
        """Makes the head ready; the first bytes of the body take it along, or the end where there are none."""
        if self.headers_sent:
            return
        lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
        self._head = "".join(lines).encode("latin-1")
        self.headers_sent = True

    def default_headers(self) -> list[str]:
        """What each answer says of itself, as gunicorn has it; the time is written once a second."""
        lines = [
            f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}\r\n",
            f"Server: {self.version}\r\n",
            f"Date: {_date(int(time.time()))}\r\n",
            f"Connection: {'upgrade' if self.upgrade else 'close' if self.should_close() else 'keep-alive'}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines

    def close(self) -> None:
        """Says what is left to say."""
        self.send_headers()
        self._emit_head()
        super().close()

    def sendfile(self, respiter: Any) -> bool:
        """Whether the kernel has copied a file to the caller; the head goes first, by itself."""
        self.send_headers()
        self._emit_head()
        self.sock.settimeout(PATIENCE_S)  # Python waits by itself here, and would for ever
        try:
            return bool(super().sendfile(respiter))
        finally:
            self.sock.settimeout(None)

    def _emit_body(self, data: bytes) -> None:
        if not data:
            return  # and so a fault right behind it can still be told as one
        if not self._head or self.chunked:
            self._emit_head()
            super()._emit_body(data)
            return
        head, self._head = self._head, b""
        send_all(self.sock, (head, data))

    def _emit_head(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self.sock.sendall(head)


def head_of(lines: str) -> bytes:
    """The head of an answer of 200, of which an application has said these lines, on a connection that stays."""
    head = f"HTTP/1.1 200 OK\r\nServer: {SERVER}\r\nDate: {_date(int(time.time()))}\r\nConnection: keep-alive\r\n{lines}\r\n"
    return head.encode("latin-1")


@lru_cache(maxsize=2)
def _date(now_s: int) -> str:
    """A second, in UTC, as HTTP writes it."""
    return str(http_date(now_s))


@lru_cache(maxsize=256)
def _is_passed_on(name: object) -> bool:
    """Whether a header of this name goes to the caller as it is, and means nothing to the server itself."""
    return (
        isinstance(name, str)
        and TOKEN_RE.fullmatch(name) is not None
        and name.lower() != "content-length"
        and not is_hoppish(name)
    )


def send_all(sock: Any, pieces: Sequence[bytes | memoryview]) -> None:
    """All in one go, without a copy, as far as the kernel takes them at once."""
    sent = sock.sendmsg(pieces)
    for piece in pieces:
        if sent < len(piece):
            sock.sendall(memoryview(piece)[sent:])
        sent = max(sent - len(piece), 0)
