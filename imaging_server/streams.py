"""Bodies on their way from an archive to a caller, in pieces: bounded memory, and a broken body is seen to be broken.

Spec: DICOM PS3.18 §8.6; SMART Imaging Access group 19.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from fhir_imaging.errors import UpstreamError
from imaging_server.multipart import MultipartError
from imaging_server.open_downloads import TakePlace
from imaging_server.upstream_answers import UpstreamAnswer

log = logging.getLogger("imaging_cds.imaging_server")


class BodyFilter(Protocol):
    """Looks through a body on its way, piece by piece. MultipartError when it is not what it should be."""

    def feed(self, piece: bytes) -> bytes:
        """What may go down of the next piece."""

    def finish(self) -> bytes:
        """What was held back at the end."""


class StreamedBody:
    """A body on its way through. The server calls ``close`` at its end and when the caller goes away: the archive is let go.

    ``reference`` is the request's number in the log; ``begun`` is what was read of the body already; ``take_place`` is asked
    before anything of it is passed on.
    """

    def __init__(
        self,
        answer: UpstreamAnswer,
        body_filter: BodyFilter | None,
        server: str,
        *,
        reference: str,
        take_place: TakePlace,
        begun: Sequence[bytes] = (),
    ) -> None:
        self._answer = answer
        self._filter = body_filter
        self._reference = reference
        self._begun = deque(begun)
        try:
            self._give_back = take_place()
        except BaseException:
            answer.close()
            raise
        # Read before the status goes out, so that an archive that fails at once is still explained by a 502.
        try:
            self._first = self._passed() or b""
        except BaseException as exc:
            self._let_go()
            if isinstance(exc, MultipartError):
                raise broken(answer, server) from exc
            raise
        answer.goes_on()
        self._pieces: Generator[bytes, None, None] = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Gives up the archive's connection and the caller's place, also when the body was never begun."""
        try:
            self._pieces.close()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        try:
            self._answer.close()
        finally:
            self._give_back()

    def _passed(self) -> bytes | None:
        """What may go down next; None at the end, but for what the filter holds back."""
        while piece := self._begun.popleft() if self._begun else self._answer.piece():
            passed = piece if self._filter is None else self._filter.feed(piece)
            if passed:
                return passed
        return None

    def _read(self) -> Generator[bytes, None, None]:
        try:
            passed: bytes | None = self._first
            while passed:
                yield passed
                passed = self._passed()
            if self._filter is not None:
                yield self._filter.finish()
        except (UpstreamError, MultipartError) as exc:
            # The status is sent already: breaking off is the only way to say that the body is not complete.
            log.error("%s archive broke off: %s", self._reference, type(exc).__name__)
            raise
        finally:
            self._let_go()


def beginning(answer: UpstreamAnswer, limit: int) -> tuple[tuple[bytes, ...], bool]:
    """The pieces of a body up to ``limit`` bytes and a piece more, and whether that is all of it."""
    pieces: list[bytes] = []
    size = 0
    while size < limit:
        piece = answer.piece()
        if not piece:
            return tuple(pieces), True
        pieces.append(piece)
        size += len(piece)
    return tuple(pieces), False


def broken(answer: UpstreamAnswer, server: str) -> UpstreamError:
    """The error for a multipart answer that is cut, or no such answer at all."""
    return UpstreamError("The archive's multipart answer is not what it should be.", server=server, status=answer.status)
