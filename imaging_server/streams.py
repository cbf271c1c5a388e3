"""Bodies on their way from an archive to a caller, in pieces: bounded memory, and a broken body is seen to be broken.

Spec: DICOM PS3.18 §8.6; SMART Imaging Access group 19.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from typing import Protocol

from fhir_imaging.errors import UpstreamError
from fhir_imaging.web import request_reference
from imaging_server.multipart import MultipartError
from imaging_server.upstream import UpstreamAnswer

log = logging.getLogger("imaging_cds.imaging_server")


class BodyFilter(Protocol):
    """Looks through a body on its way, piece by piece. MultipartError when it is not what it should be."""

    def feed(self, piece: bytes) -> bytes:
        """What may go down of the next piece."""

    def finish(self) -> bytes:
        """What was held back at the end."""


class StreamedBody:
    """A body on its way through. The server calls ``close`` at its end and when the caller goes away: the archive is let go."""

    def __init__(self, answer: UpstreamAnswer, body_filter: BodyFilter | None, server: str) -> None:
        self._answer = answer
        self._filter = body_filter
        # Read before the status goes out, so that an archive that fails at once is still explained by a 502.
        try:
            self._first = self._passed() or b""
        except MultipartError as exc:
            answer.close()
            raise broken(answer, server) from exc
        self._pieces: Generator[bytes, None, None] = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Gives up the archive's connection, also when the body was never begun."""
        self._pieces.close()
        self._answer.close()

    def _passed(self) -> bytes | None:
        """What may go down next; None at the end, but for what the filter holds back."""
        while piece := self._answer.piece():
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
            log.error("%s archive broke off: %s", request_reference_or_none(), type(exc).__name__)
            raise


def request_reference_or_none() -> str:
    """The request's number while there is a request; a body may outlive it."""
    try:
        return request_reference()
    except RuntimeError:
        return "-"


def broken(answer: UpstreamAnswer, server: str) -> UpstreamError:
    """The error for a multipart answer that is cut, or no such answer at all."""
    return UpstreamError("The archive's multipart answer is not what it should be.", server=server, status=answer.status)
