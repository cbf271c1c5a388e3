"""Callers whose connection ends with their answer: they are told so, and given a moment to read it.

A connection that is closed while there is something unread on it is cut, and the end of the answer with it (RFC 9112 §9.6). So
its own half is closed first, and what still comes is dropped until the caller goes, for two seconds at most. gunicorn waits for
that in the thread that looks after all connections: whoever said "Connection: close" and stayed stopped everybody for so long.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from selectors import EVENT_READ, BaseSelector
from typing import Any

_AT_ONCE = 65536
MOST = 1024 * 1024
"""Bytes that are dropped of one caller, who may be sending a body that nobody wants."""


@dataclass(slots=True)
class _Leaving:
    until: float
    dropped: int = 0


class LeavingCallers:
    """Of one worker, in its main thread."""

    def __init__(self, poller: BaseSelector, gone: Callable[[Any], None]) -> None:
        """``gone`` is called with each connection that is to be closed now."""
        self._poller = poller
        self._gone = gone
        self._leaving: dict[Any, _Leaving] = {}

    def add(self, conn: Any, seconds: float) -> None:
        """From now on the caller has so many seconds."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self._poller.register(conn.sock, EVENT_READ, partial(self._drop, conn))
        except (OSError, ValueError, KeyError):  # it is gone already
            self._gone(conn)
            return
        self._leaving[conn] = _Leaving(time.monotonic() + seconds)

    def end_overdue(self) -> None:
        """Ends those whose time is over."""
        now = time.monotonic()
        for conn in [conn for conn, one in self._leaving.items() if one.until <= now]:
            self._end(conn)

    def _drop(self, conn: Any, client: Any) -> None:
        one = self._leaving[conn]
        try:
            came = len(client.recv(_AT_ONCE))
        except BlockingIOError:
            return
        except OSError:
            came = 0
        one.dropped += came
        if not came or one.dropped > MOST:
            self._end(conn)

    def _end(self, conn: Any) -> None:
        del self._leaving[conn]
        self._poller.unregister(conn.sock)
        self._gone(conn)
