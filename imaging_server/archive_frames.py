"""One frame after the other from an archive, over a kept connection: asked for and read with nothing in between.

A viewer asks for thousands of frames that differ by their number alone, and of each the archive's client did what it does for
any request: made and checked its words, looked for a connection, made objects of the answer. Here all that is the same is done
once for a series. What is not as plain as nearly all frames are, is left to the archive's client.

Spec: RFC 9112 §6.3, §9.3; DICOM PS3.18 §10.4.1.1.3; docs/decisions/0007.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3 import HTTPConnectionPool

from fhir_imaging.clients.archive_credentials import ArchiveCredential
from fhir_imaging.clients.breaker import Breaker, Outcome
from imaging_server.archive_heads import PlainHead, plain_head, plain_host, plain_request
from imaging_server.archive_outcomes import TooLate, all_in_use, broke_off, outcome_of

LONGEST = 1024 * 1024
"""Bytes of an answer that has room here; larger ones go the usual way, where they may be passed on in pieces."""
_LONGEST_HEAD = 4096
_ROOMS = 4
"""So many of those stay for the next frames when nobody needs them."""


class NotPlain(Exception):
    """The archive answered, and not as frames usually are: whoever asks in the usual way gets to know what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLine:
    """What all questions to one archive share. Thread-safe."""

    server: str
    pool: HTTPConnectionPool
    breaker: Breaker
    credential: ArchiveCredential
    wait_s: float
    """How long a connection is waited for while all are in use."""
    read_timeout_s: float
    _rooms: deque[bytearray] = field(default_factory=lambda: deque(maxlen=_ROOMS))

    def connection(self) -> Any:
        """One that was used before; None when the next would be new. UpstreamError (503) when all are in use for too long."""
        try:
            taken: Any = self.pool._get_conn(timeout=self.wait_s)
        except urllib3.exceptions.PoolError as exc:
            raise all_in_use(self.server) from exc
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


class FrameReply:
    """An archive's answer of 200, read to its end; a context manager, in which ``body`` is there."""

    __slots__ = ("_connection", "_line", "_room", "body", "head")

    def __init__(self, line: ArchiveLine, connection: Any, room: bytearray) -> None:
        self.head: PlainHead
        self.body: memoryview
        self._line = line
        self._connection = connection
        self._room = room

    def begin(self, written: bytes, longest: int) -> int | None:
        """Sends a request and reads its answer's head, and what came with it; None when the archive had ended the connection.

        TooLate, or NotPlain, which a body of more than ``longest`` bytes is too.
        """
        sock = self._connection.sock
        try:
            sock.settimeout(self._line.read_timeout_s)
            sock.sendall(written)
            came: int = sock.recv_into(self._room)
        except TimeoutError as exc:
            raise TooLate("The archive did not answer in time.", server=self._line.server) from exc
        except OSError:
            return None
        if not came:
            return None
        head = plain_head(bytes(memoryview(self._room)[: min(came, _LONGEST_HEAD)]))
        if head is None or head.status != 200 or head.length > longest or not came <= head.size + head.length <= LONGEST:
            raise NotPlain
        self.head = head
        return came

    def read(self, came: int) -> None:
        """The rest. UpstreamError when it does not come."""
        whole, total = memoryview(self._room), self.head.size + self.head.length
        try:
            while came < total:
                more = self._connection.sock.recv_into(whole[came:total])
                if not more:
                    raise ConnectionError
                came += more
        except OSError as exc:
            raise broke_off(self._line.server, self.head.status) from exc
        self.body = whole[self.head.size : total]
        self._line.give_back(self._connection)  # before the caller has it, who may take his time

    def __enter__(self) -> FrameReply:
        return self

    def __exit__(self, *_: object) -> None:
        """The body is needed no more."""
        self._line.give_room_back(self._room)

    def give_up(self) -> None:
        """When the answer was not read to its end: its connection must not be used again."""
        self._connection.close()
        self._line.give_back(self._connection)
        self._line.give_room_back(self._room)


@dataclass(frozen=True, slots=True)
class Asked:
    """What all questions about a series have in common: the first part of their addresses, what is said beside the credential,
    and what they are about, as the breaker has it."""

    target: str
    headers: Mapping[str, str]
    about: frozenset[str]


class FrameQuestions:
    """Questions about the frames of one series, in one form. Thread-safe."""

    def __init__(self, line: ArchiveLine, series: Asked, *, longest: int) -> None:
        """``longest``: the bytes of a body that may be held."""
        self._line = line
        self._series = series
        self._longest = longest
        self._words: tuple[Mapping[str, str], tuple[bytes, bytes] | None] | None = None

    def ask(self, tail: str) -> FrameReply | None:
        """The answer about what stands at ``tail``, which is plain; None when the archive was not asked, or did not hear it.

        UpstreamError as the archive's client raises it, or NotPlain.
        """
        begin, end = self._written()
        connection = self._line.connection()
        if connection is None:
            return None
        reply = FrameReply(self._line, connection, self._line.room())
        try:
            written = begin + tail.encode("ascii") + end
            came = self._line.breaker.call(lambda: reply.begin(written, self._longest), _outcome_of, about=self._series.about)
            if came is not None:
                reply.read(came)
                return reply
        except BaseException:
            reply.give_up()
            raise
        reply.give_up()
        return None

    def _written(self) -> tuple[bytes, bytes]:
        """What a request says before and after the last part of its address; it is made again when the credential is new."""
        credential = self._line.credential.headers()
        if self._words is None or self._words[0] != credential:
            self._words = (credential, self._halves(credential))
        halves = self._words[1]
        if halves is None:
            raise NotPlain
        return halves

    def _halves(self, credential: Mapping[str, str]) -> tuple[bytes, bytes] | None:
        pool = self._line.pool
        host = plain_host(pool.host, pool.port or 0, pool.ConnectionCls.default_port)
        written = plain_request("GET", self._series.target, host, {**self._series.headers, **credential}) if host else None
        if written is None:
            return None
        begin, space, end = written.partition(b" HTTP/1.1\r\n")
        return begin, space + end


def _outcome_of(came: int | Exception | None) -> Outcome:
    """What was not heard, or not understood, is asked again in the usual way, and judged there."""
    if isinstance(came, NotPlain) or came is None:
        return Outcome.UNKNOWN
    return outcome_of(came) if isinstance(came, Exception) else Outcome.ANSWERED
