"""What an archive answers, before anybody has made anything of it: its body is read once, to its end or not at all.

Spec: DICOM PS3.18 §8.6; SMART Imaging Access groups 18 and 19; RFC 9110 §15, RFC 9112 §6.3.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import urllib3

from fhir_imaging.clients.breaker import Outcome, Question
from fhir_imaging.clients.deadlines import within
from fhir_imaging.errors import UpstreamError
from imaging_server.archive_answers import ArchiveResponse
from imaging_server.archive_outcomes import NOT_READY, broke_off, not_ready, outcome_of_body

DICOM_JSON = "application/dicom+json"
JSON_TYPES = (DICOM_JSON, "application/json")
PIECE_BYTES = 256 * 1024
# urllib3 lets a chunk of negative size through to a ValueError.
_BROKEN_OFF = (urllib3.exceptions.HTTPError, OSError, ValueError)
_DECODABLE = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


class AnswerTooLarge(UpstreamError):
    """An archive's answer is more than may be held in memory."""


class UpstreamAnswer:
    """An archive's answer with its body not yet read. Whoever has it must read it to the end or ``close`` it.

    Where its body is wanted, the archive's breaker hears how ``question`` went when that was read: an archive that stops behind
    its head has not answered. ``whole_s`` is the time for all of it, and once it is passed on, for each piece.
    """

    def __init__(self, response: ArchiveResponse, server: str, question: Question, *, whole_s: float) -> None:
        self._response = response
        self._server = server
        self._question = question
        self._whole_s = whole_s
        self._until = time.monotonic() + whole_s
        self._is_passed_on = False
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def content_type(self) -> str:
        """Media type without parameters, lower case."""
        return self.headers.get("Content-Type", "").split(";", 1)[0].strip().lower()

    @cached_property
    def length(self) -> int | None:
        """Bytes of the body as it will be read; None when unknown, as it is for an encoded or chunked body (RFC 9112 §6.3)."""
        stated = "" if "Transfer-Encoding" in self.headers else self.headers.get("Content-Length", "")
        return int(stated) if stated.isascii() and stated.isdigit() and len(stated) < 19 and not self._encoded else None

    @property
    def _encoded(self) -> bool:
        return self.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")

    def check_encoding(self) -> None:
        """UpstreamError when the body is compressed in a way that cannot be undone; identity was asked for."""
        if self.headers.get("Content-Encoding", "").strip().lower() not in _DECODABLE:
            self.close()
            raise UpstreamError("The archive encoded its answer in an unknown way.", server=self._server, status=self.status)

    def read(self, limit: int) -> bytes:
        """The whole body. UpstreamError when it is broken off or longer than ``limit`` bytes, or takes too long."""
        try:
            with within(self._until - time.monotonic()):
                body = self._whole(limit)
            self._question.ended(Outcome.ANSWERED)
            return body
        except _BROKEN_OFF as exc:
            raise self._broken_off(exc) from exc
        finally:
            self.close()

    def _whole(self, limit: int) -> bytes:
        if self.length is not None and self.length <= limit:
            # In one go: growing a buffer by pieces copies an image once more.
            return self._response.read(decode_content=True)
        body = bytearray()
        for piece in self._response.stream(PIECE_BYTES, decode_content=True):
            body += piece
            if len(body) > limit:
                raise AnswerTooLarge("The archive's answer is too large.", server=self._server, status=self.status)
        return bytes(body)

    def piece(self) -> bytes:
        """The next piece of the body; empty at its end. UpstreamError when the archive breaks off, or takes too long."""
        try:
            with within(self._whole_s if self._is_passed_on else self._until - time.monotonic()):
                read = self._response.read(PIECE_BYTES, decode_content=True)
        except _BROKEN_OFF as exc:
            raise self._broken_off(exc) from exc
        if not read:
            self._question.ended(Outcome.ANSWERED)
            self.close()
        return read

    def goes_on(self) -> None:
        """From here on its pieces are passed on while they are read: how long all of them take is their taker's doing."""
        self._is_passed_on = True
        self._question.goes_on()

    def _broken_off(self, failure: Exception) -> UpstreamError:
        self._question.ended(outcome_of_body(failure, is_passed_on=self._is_passed_on))
        self.close()
        return broke_off(self._server, self.status)

    def close(self) -> None:
        """Gives the archive's connection up, whatever is still on its way.

        One that was read to its end is back in the pool already. Any other must not be used again, yet its place must go
        back: the pool waits for places, and closing alone would lose this one for good.

        A body that was wanted and is given up says nothing about its archive: its caller has gone, or we refuse it.
        """
        self._question.ended(Outcome.UNKNOWN)
        self._response.close()
        self._response.release_conn()


def read_datasets(answer: UpstreamAnswer, *, limit: int, server: str) -> list[Mapping[str, Any]]:
    """The data sets of a DICOM JSON answer. UpstreamError when it is anything else."""
    answer.check_encoding()
    if answer.content_type not in JSON_TYPES:
        answer.close()
        raise UpstreamError("The archive did not answer in JSON.", server=server, status=answer.status)
    body = answer.read(limit)
    try:
        parsed = json.loads(body, parse_constant=_finite, parse_float=_finite) if body else []
    except (ValueError, RecursionError) as exc:
        raise UpstreamError("The archive's JSON cannot be read.", server=server, status=answer.status) from exc
    if not isinstance(parsed, list) or not all(isinstance(one, dict) for one in parsed):
        raise UpstreamError("The archive's JSON holds no data sets.", server=server, status=answer.status)
    return parsed


def _finite(written: str) -> float:
    """ValueError for NaN and infinities, also those that a number too large becomes: JSON has no way to pass them on."""
    number = float(written)
    if not math.isfinite(number):
        raise ValueError("not a number that JSON can write")
    return number


def raise_if_not_ready(answer: UpstreamAnswer, server: str) -> None:
    """UpstreamError (503) when the archive asks for patience."""
    if answer.status in NOT_READY:
        answer.close()
        raise not_ready(server, answer.status, answer.headers)
