"""Until when an answer has to be there, to the last byte of its body.

A socket's own timeout begins anew with every byte that a slow server drips; a deadline does not, and questions may share one.
Both hold: a server that has fallen silent is not waited for until the deadline.

Spec: SMART Imaging Access groups 6 and 23 (fail closed, and within a time).
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token
from http.client import HTTPResponse
from typing import Any

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""By ``time.monotonic``; each thread has its own."""


class _Within:
    """No generator, which costs several times as much: two of these are around each image."""

    __slots__ = ("_before", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before: Token[float | None]

    def __enter__(self) -> None:
        outer, mine = _deadline.get(), time.monotonic() + self._seconds
        self._before = _deadline.set(mine if outer is None or mine < outer else outer)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._before)


def within(seconds: float) -> AbstractContextManager[None]:
    """All questions that are asked in the block share this time; what is left of an outer block holds if it is less."""
    return _Within(seconds)


@contextmanager
def without() -> Iterator[None]:
    """Outer blocks do not count in it: others wait for the same answer, who have time when the one that asks has none left."""
    before = _deadline.set(None)
    try:
        yield
    finally:
        _deadline.reset(before)


def seconds_left() -> float | None:
    """Until the deadline, below 0 when it has passed; None where there is none."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()


class _ReadsInTime(io.RawIOBase):
    """A socket's bytes until a deadline, none of them waited for longer than the socket's own timeout."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        super().__init__()
        self._sock = sock
        self._bytes = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self._silence_s = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left if self._silence_s is None else min(left, self._silence_s))
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


def lines_in_time(sock: socket.socket) -> io.BufferedReader:
    """A socket's bytes, by the deadline under which each is read; the last one may be late by the socket's own timeout.

    For an answer in many pieces, between which others take their time. It costs no system call.
    """
    return io.BufferedReader(_ReadsByTheReadersTime(sock))


class _ReadsByTheReadersTime(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._bytes = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        deadline = _deadline.get()
        if deadline is not None and deadline < time.monotonic():
            raise TimeoutError("the deadline has passed")
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


class AnswerInTime(HTTPResponse):
    """An answer whose status line, headers and body keep the deadline under which it was asked for, if there is one."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        deadline = _deadline.get()
        if deadline is not None:
            self.fp.close()
            self.fp = io.BufferedReader(_ReadsInTime(sock, deadline))
