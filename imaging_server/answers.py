"""Archives' answers as HTTP answers of the gateway: status and a few headers carried, everything else made anew.

Spec: DICOM PS3.18 §8.5 (status codes), §8.6; RFC 9457; SMART Imaging Access groups 18 to 21.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response

from fhir_imaging.errors import UpstreamError
from fhir_imaging.problems import Problem, problem_json
from fhir_imaging.web import request_reference
from imaging_server.media_types import DICOM_JSON, MediaType, may_go_down, parse_media_type
from imaging_server.multipart import MultipartError, PartHeaders
from imaging_server.payloads import GatewayAddresses
from imaging_server.resource import DicomResource, Kind
from imaging_server.upstream import JSON_TYPES, UpstreamAnswer

log = logging.getLogger("imaging_cds.imaging_server")

# Headers that say something about the image and name no host. Warning texts may name anything, so only their code is kept.
_CARRIED = {
    "Content-Range": re.compile(r"bytes [0-9*]{1,20}(?:-[0-9]{1,20})?/[0-9*]{1,20}", re.ASCII),
    "Accept-Ranges": re.compile(r"bytes|none", re.ASCII),
    "Retry-After": re.compile(r"[0-9]{1,6}|[A-Za-z]{3}, [0-9A-Za-z :]{10,30}", re.ASCII),
}
_WARNING_CODE = re.compile(r"\s*([1-9][0-9]{2})\s", re.ASCII)

# The archive's refusals that mean the caller's request; its 401 and 403 are about our own credential and mean 502.
_CALLERS_FAULTS = {
    400: Problem(400, "The archive does not understand the request", "invalid"),
    404: Problem(404, "Not in the archive", "not-found"),
    406: Problem(406, "The archive does not offer this form", "not-supported"),
    409: Problem(409, "The archive has a conflict", "conflict"),
    410: Problem(410, "No longer in the archive", "deleted"),
    413: Problem(413, "Too much for the archive", "too-long"),
    416: Problem(416, "The range is not there", "invalid"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """Sizes in bytes: below ``small_body`` an answer is read whole."""

    small_body: int
    json_body: int


def json_answer(datasets: Sequence[dict[str, Any]], *, warning: str | None = None) -> Response:
    """Data sets that were checked and rewritten already."""
    response = Response(json.dumps(datasets, separators=(",", ":")), 200, content_type=DICOM_JSON)
    if warning is not None:
        response.headers["Warning"] = warning
    return response


def refused_by_archive(answer: UpstreamAnswer, server: str) -> Response:
    """What a caller is told of an archive's status outside 200 and 206; the archive's own words are dropped."""
    answer.close()
    if answer.status in (429, 503):
        wait = answer.headers.get("Retry-After", "")
        seconds = int(wait) if re.fullmatch(r"[0-9]{1,6}", wait, re.ASCII) else None
        raise UpstreamError(
            "The archive is busy; please try again later.",
            server=server,
            status=answer.status,
            retryable=True,
            retry_after_s=seconds,
        )
    problem = _CALLERS_FAULTS.get(answer.status)
    if answer.status == 504:
        problem = Problem(504, "The archive did not answer in time", "timeout")
    if problem is None:
        raise UpstreamError("The archive could not answer.", server=server, status=answer.status)
    body = problem_json(problem, f"archive-{answer.status}", f"{problem.title}.", request_reference())
    return Response(json.dumps(body), problem.status, content_type="application/problem+json")


def streamed(
    answer: UpstreamAnswer, asked: DicomResource, addresses: GatewayAddresses, limits: AnswerLimits, *, server: str
) -> Response:
    """Images and byte streams: small ones whole, larger ones in pieces, part headers rewritten on the way."""
    answer.check_encoding()
    content_type = parse_media_type(answer.headers.get("Content-Type", ""))
    if content_type is None or not may_go_down(asked, content_type):
        answer.close()
        raise UpstreamError("The archive answered in a form that was not asked for.", server=server, status=answer.status)
    parts = _part_headers(content_type, asked, addresses)
    length = answer.length
    if length is not None and length < limits.small_body:
        body = _whole(answer, parts, limits.small_body, server)
        response = Response(body, answer.status, content_type=str(content_type))
    else:
        response = Response(StreamedBody(answer, parts), answer.status, content_type=str(content_type), direct_passthrough=True)
        response.headers["X-Accel-Buffering"] = "no"
        if length is not None and parts is None:
            response.headers["Content-Length"] = str(length)
    _carry(answer, response, asked, addresses)
    return response


def head_answer(answer: UpstreamAnswer, asked: DicomResource, addresses: GatewayAddresses, *, server: str) -> Response:
    """The answer to HEAD: what GET would say, without a length, which rewriting may change."""
    content_type = parse_media_type(answer.headers.get("Content-Type", ""))
    answer.close()
    if content_type is not None and asked.kind is Kind.METADATA and content_type.name in JSON_TYPES:
        content_type = MediaType(DICOM_JSON)
    elif content_type is None or not may_go_down(asked, content_type):
        raise UpstreamError("The archive answered in a form that was not asked for.", server=server, status=answer.status)
    response = Response(status=answer.status, content_type=str(content_type))
    _carry(answer, response, asked, addresses)
    return response


class StreamedBody:
    """A body on its way through. The server calls ``close`` at its end and when the caller goes away: the archive is let go."""

    def __init__(self, answer: UpstreamAnswer, parts: PartHeaders | None) -> None:
        self._answer = answer
        self._parts = parts
        # Read before the status goes out, so that an archive that fails at once is still explained by a 502.
        self._first = answer.piece()
        self._pieces: Generator[bytes, None, None] = self._read()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Gives up the archive's connection, also when the body was never begun."""
        self._pieces.close()
        self._answer.close()

    def _read(self) -> Generator[bytes, None, None]:
        try:
            piece = self._first
            while piece:
                passed = piece if self._parts is None else self._parts.feed(piece)
                if passed:
                    yield passed
                piece = self._answer.piece()
            if self._parts is not None:
                yield self._parts.finish()
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


def _part_headers(content_type: MediaType, asked: DicomResource, addresses: GatewayAddresses) -> PartHeaders | None:
    if content_type.name != "multipart/related" or asked.study is None:
        return None
    return PartHeaders(content_type.parameters["boundary"], addresses.rewriter(asked, asked.study))


def _whole(answer: UpstreamAnswer, parts: PartHeaders | None, limit: int, server: str) -> bytes:
    body = answer.read(limit)
    if parts is None:
        return body
    try:
        return parts.feed(body) + parts.finish()
    except MultipartError as exc:
        raise UpstreamError("The archive's multipart answer is not complete.", server=server, status=answer.status) from exc


def _carry(answer: UpstreamAnswer, response: Response, asked: DicomResource, addresses: GatewayAddresses) -> None:
    for name, plain in _CARRIED.items():
        value = answer.headers.get(name)
        if value is not None and plain.fullmatch(value):
            response.headers[name] = value
    warning = warning_of(answer)
    if warning is not None:
        response.headers["Warning"] = warning
    location = answer.headers.get("Content-Location")
    if location is not None and asked.study is not None:
        fresh = addresses.rewriter(asked, asked.study)(location)
        if fresh is not None:
            response.headers["Content-Location"] = fresh


def warning_of(answer: UpstreamAnswer) -> str | None:
    """The archive's Warning with its code and our own words."""
    match = _WARNING_CODE.match(answer.headers.get("Warning", ""))
    return None if match is None else f'{match[1]} imaging-cds "The archive has a remark about this answer."'
