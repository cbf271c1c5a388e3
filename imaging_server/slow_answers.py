"""Answers that an archive takes its time to begin: whoever asks for them is told of that, and may give up.

Spec: SMART Imaging Access group 23.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from socket import socket

SLOW_S = 2.0
"""What is not there by then is slow: a film that is made for the occasion, metadata that are read out of a thousand files."""

_told: ContextVar[Callable[[], None] | None] = ContextVar("told of silence", default=None)


@contextmanager
def told_of_silence(tell: Callable[[], None]) -> Iterator[None]:
    """In the block ``tell`` is called when an archive has said nothing for ``SLOW_S``; what it raises ends the wait."""
    before = _told.set(tell)
    try:
        yield
    finally:
        _told.reset(before)


def listen(sock: socket, silence_s: float | None) -> None:
    """Called with an archive's connection when a request was sent. The first byte of the answer is left to be read.

    TimeoutError where there is none in ``silence_s``, as when it is read.
    """
    tell = _told.get()
    if tell is None or silence_s is None:
        return
    heard = select.poll()
    heard.register(sock, select.POLLIN)
    if silence_s <= SLOW_S or heard.poll(SLOW_S * 1000):
        return
    tell()
    if not heard.poll((silence_s - SLOW_S) * 1000):
        raise TimeoutError
