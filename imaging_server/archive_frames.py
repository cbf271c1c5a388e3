"""One frame after the other from an archive, over a kept connection: asked for and read with nothing in between.

A viewer asks for thousands of frames that differ by their number alone, and of each the archive's client did what it does for
any request: made and checked its words, looked for a connection, made objects of the answer. Here all that is the same is done
once for a series. What is not as plain as nearly all frames are, is left to the archive's client.

Spec: RFC 9112 §6.3, §9.3; DICOM PS3.18 §10.4.1.1.3; docs/decisions/0007.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import urllib3
from urllib3 import HTTPConnectionPool

from fhir_imaging.clients.archive_credentials import ArchiveCredential
from fhir_imaging.clients.breaker import Breaker, Outcome
from imaging_server.archive_answers import TAKES
from imaging_server.archive_heads import PlainHead, plain_head, plain_host, plain_request
from imaging_server.archive_outcomes import NOT_READY, TooLate, broke_off, not_ready, outcome_of

LONGEST = 1024 * 1024
"""Bytes of an answer that has room here; larger ones go the usual way, where they may be passed on in pieces."""
_LONGEST_HEAD = 4096
LONGEST_FRAME = LONGEST - 2 * _LONGEST_HEAD
"""Bytes of a body that has room with whatever head it has."""
_LEAST_S = 0.001
_ROOMS = 4
"""So many of those stay for the next frames when nobody needs them."""


class NotPlain(Exception):
    """The archive answered, and not as frames usually are, or had ended the connection: whoever asks in the usual way gets to
    know what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLine:
    """What all questions to one archive share. Thread-safe."""

    server: str
    pool: HTTPConnectionPool
    breaker: Breaker
    credential: ArchiveCredential
    read_timeout_s: float
    _rooms: deque[bytearray] = field(default_factory=lambda: deque(maxlen=_ROOMS))

    def connection(self) -> Any:
        """One that was used before and is free; None when it would be new, or had to be waited for."""
        try:
            taken: Any = self.pool._get_conn(timeout=0)
        except urllib3.exceptions.PoolError:
            return None
        if taken.sock is not None:
            return taken
        self.pool._put_conn(taken)
        return None

    def room(self) -> bytearray:
        """Where an answer can be read to, until it is given back. Whatever was there before still is."""
        try:
            return self._rooms.pop()
        except IndexError:
            return bytearray(LONGEST)

    def give_back(self, connection: Any) -> None:
        """For the next question."""
        self.pool._put_conn(connection)

    def give_room_back(self, room: bytearray) -> None:
        """For the next answer."""
        self._rooms.append(room)


@dataclass(frozen=True, slots=True)
class Asked:
    """What all questions about a series have in common: the first part of their addresses, what is said beside the credential,
    and what they are about, as the breaker has it."""

    target: str
    headers: Mapping[str, str] = field(repr=False)
    about: frozenset[str]


class FrameQuestions:
    """Questions about the frames of one series, in one form. Thread-safe."""

    def __init__(self, line: ArchiveLine, series: Asked, *, longest: int) -> None:
        """``longest``: the bytes of a body that may be held."""
        self.line = line
        self.about = series.about
        self.longest = longest
        self._series = series
        self._words: tuple[Mapping[str, str], tuple[bytes, bytes] | None] | None = None

    def begin(self) -> FrameQuestion | None:
        """A question that has its connection; None when there is none yet, or none is free: the usual way waits for one."""
        connection = self.line.connection()
        return None if connection is None else FrameQuestion(self, connection)

    def written(self, tail: str) -> bytes:
        """A request for what stands at ``tail``, which is plain. NotPlain, or UpstreamError where there is no credential."""
        credential = self.line.credential.headers()
        if self._words is None or self._words[0] != credential:  # made again when the credential is new
            self._words = (credential, self._halves(credential))
        halves = self._words[1]
        if halves is None:
            raise NotPlain
        return halves[0] + tail.encode("ascii") + halves[1]

    def _halves(self, credential: Mapping[str, str]) -> tuple[bytes, bytes] | None:
        pool = self.line.pool
        host = plain_host(pool.host, pool.port or 0, pool.ConnectionCls.default_port)
        written = plain_request("GET", self._series.target, host, {**self._series.headers, **credential}) if host else None
        if written is None:
            return None
        begin, space, end = written.partition(b" HTTP/1.1\r\n")
        return begin, space + end


class FrameQuestion:
    """One question on a connection that is held for it, and its answer of 200, read to its end; a context manager, in which
    ``body`` is there."""

    __slots__ = ("_connection", "_is_used", "_line", "_of", "_room", "body", "head")

    def __init__(self, of: FrameQuestions, connection: Any) -> None:
        self.head: PlainHead
        self.body: memoryview
        self._of = of
        self._line = of.line
        self._connection: Any = connection
        self._is_used = False
        self._room: bytearray | None = None

    def ask(self, tail: str) -> None:
        """Asks for what stands at ``tail``: then ``head`` and ``body`` are the answer.

        UpstreamError as the archive's client raises it, or NotPlain.
        """
        written, self._room = self._of.written(tail), self._line.room()
        self._line.breaker.call(partial(self._asked, written, self._room), _outcome_of, about=self._of.about)
        if self.head.status in NOT_READY:
            raise not_ready(self._line.server, self.head.status, self.head.fields)

    def __enter__(self) -> FrameQuestion:
        return self

    def __exit__(self, *_: object) -> None:
        """The body is needed no more. A connection whose answer was not read to its end must not be used again."""
        self._let_go(is_clean=not self._is_used)
        if self._room is not None:
            self._line.give_room_back(self._room)

    def _asked(self, written: bytes, room: bytearray) -> None:
        """A head alone is no answer: the breaker hears of one that stops behind it too."""
        came = self._begin(written, room)
        if self.head.status not in NOT_READY:
            self._read(came, room)

    def _begin(self, written: bytes, room: bytearray) -> int:
        """Sends a request and reads its answer's head, and what came with it: so many bytes. TooLate, or NotPlain."""
        self._is_used, sock = True, self._connection.sock
        try:
            sock.settimeout(self._line.read_timeout_s)
            sock.sendall(written)
            came: int = sock.recv_into(room)
        except TimeoutError as exc:
            raise TooLate("The archive did not answer in time.", server=self._line.server) from exc
        except OSError as exc:
            raise NotPlain from exc
        head = plain_head(bytes(memoryview(room)[: min(came, _LONGEST_HEAD)]))
        if head is None or not (head.status in NOT_READY or self._is_taken(head, came)):
            raise NotPlain
        self.head = head
        return came

    def _is_taken(self, head: PlainHead, came: int) -> bool:
        return head.status == 200 and head.length <= self._of.longest and came <= head.size + head.length <= LONGEST

    def _read(self, came: int, room: bytearray) -> None:
        """The rest. UpstreamError when it does not come."""
        whole, total, sock = memoryview(room), self.head.size + self.head.length, self._connection.sock
        until = time.monotonic() + TAKES * self._line.read_timeout_s
        try:
            while came < total:
                sock.settimeout(min(self._line.read_timeout_s, max(until - time.monotonic(), _LEAST_S)))
                more = sock.recv_into(whole[came:total])
                if not more or time.monotonic() > until:
                    raise ConnectionError
                came += more
        except OSError as exc:
            raise broke_off(self._line.server, self.head.status) from exc
        self.body = whole[self.head.size : total]
        self._let_go(is_clean=True)  # before the caller has the answer, who may take his time

    def _let_go(self, *, is_clean: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if not is_clean:
                connection.close()
            self._line.give_back(connection)


def _outcome_of(failure: Exception | None) -> Outcome:
    """What was not heard, or not understood, is asked again in the usual way, and judged there."""
    if isinstance(failure, NotPlain):
        return Outcome.UNKNOWN
    return outcome_of(failure) if failure is not None else Outcome.ANSWERED
