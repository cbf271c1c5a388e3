"""Archives' answers as answers of the gateway: status and a few headers carried, everything else made anew.

They know no web framework: a view makes a response of them, the lane for frames hands them to the server as they are.

Spec: DICOM PS3.18 §8.5 (status codes), §8.6; RFC 9457; SMART Imaging Access groups 18 to 21.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fhir_imaging.errors import UpstreamError
from fhir_imaging.problems import Problem, problem_json
from fhir_imaging.uids import is_uid
from imaging_server.media_types import DICOM, DICOM_JSON, MediaType, as_told, may_go_down, parse_media_type
from imaging_server.multipart import MultipartError, PartHeaders
from imaging_server.open_downloads import LONG_JSON_BYTES, GiveBack, TakePlace
from imaging_server.payloads import GatewayAddresses
from imaging_server.resource import DicomResource, Kind
from imaging_server.single_part import SinglePart
from imaging_server.streams import BodyFilter, StreamedBody, beginning, broken
from imaging_server.upstream_answers import JSON_TYPES, UpstreamAnswer, raise_if_not_ready

# Headers that say something about the image and name no host. Warning texts may name anything, so only their code is kept.
_CARRIED = {
    "Accept-Ranges": re.compile(r"bytes|none", re.ASCII),
    "Retry-After": re.compile(r"[0-9]{1,6}|[A-Za-z]{3}, [0-9A-Za-z :]{10,30}", re.ASCII),
}
_CONTENT_RANGE = re.compile(r"bytes (?:[0-9]{1,20}-[0-9]{1,20}|\*)/(?:[0-9]{1,20}|\*)", re.ASCII)
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


@dataclass(slots=True, kw_only=True)
class Answer:
    """What the gateway answers, before the headers that all its answers have. ``None`` as a body is for HEAD.

    ``at_end`` is to be called when the body was taken or given up.
    """

    status: int
    headers: dict[str, str]
    body: bytes | StreamedBody | None = None
    at_end: GiveBack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """How an archive's answer goes on to one caller. ``server`` is the archive's name in errors, ``reference`` the request's
    number, ``small_body`` the bytes below which a body is read whole."""

    addresses: GatewayAddresses
    server: str
    reference: str
    small_body: int
    take_place: TakePlace


def json_answer(datasets: Sequence[dict[str, Any]], *, status: int = 200, warning: str | None = None) -> Answer:
    """Data sets that were checked and rewritten already."""
    body = json.dumps(datasets, separators=(",", ":")).encode()
    headers = {"Content-Type": DICOM_JSON} | ({} if warning is None else {"Warning": warning})
    return Answer(status=status, headers=headers, body=body)


def placed(answer: Answer, take_place: TakePlace) -> Answer:
    """Long JSON with a place of its caller's until it is taken, as large images have; TooManyRequests when there is none."""
    if isinstance(answer.body, bytes) and len(answer.body) >= LONG_JSON_BYTES:
        answer.at_end = take_place()
    return answer


def refused_by_archive(answer: UpstreamAnswer, passage: Passage, *, names_transfer_syntax: bool = False) -> Answer:
    """What a caller is told of an archive's status outside 200 and 206; the archive's own words are dropped.

    ``names_transfer_syntax``: one was asked for that the archive would have to make. Archives that cannot do so say 400 or 500
    as well; a caller who reads 406 asks for the stored one.
    """
    answer.close()
    raise_if_not_ready(answer, passage.server)
    status = 406 if names_transfer_syntax and answer.status in (400, 500) else answer.status
    problem = _CALLERS_FAULTS.get(status)
    if answer.status == 504:
        problem = Problem(504, "The archive did not answer in time", "timeout")
    if problem is None:
        raise UpstreamError("The archive could not answer.", server=passage.server, status=answer.status)
    body = problem_json(problem, f"archive-{status}", f"{problem.title}.", passage.reference)
    headers = {"Content-Type": "application/problem+json"}
    if answer.status == 416:
        _carry_range(answer, headers)
    return Answer(status=problem.status, headers=headers, body=json.dumps(body).encode())


def streamed(answer: UpstreamAnswer, asked: DicomResource, passage: Passage) -> Answer:
    """Images and byte streams: small ones whole, larger ones in pieces, part headers rewritten on the way."""
    answer.check_encoding()
    content_type = parse_media_type(answer.headers.get("Content-Type", ""))
    if content_type is None or not may_go_down(asked, content_type):
        raise _not_asked_for(answer, passage)
    parts = _part_headers(content_type, asked, passage.addresses)
    body = _body(answer, parts, passage)
    with _closed_if_unused(body):
        return _with_body(body, answer, asked, passage, as_told(content_type), answer.length if parts is None else None)


def head_answer(answer: UpstreamAnswer, asked: DicomResource, passage: Passage) -> Answer:
    """The answer to HEAD: what GET would say, without a length, which rewriting may change."""
    content_type = parse_media_type(answer.headers.get("Content-Type", ""))
    answer.close()
    if content_type is not None and asked.kind is Kind.METADATA and content_type.name in JSON_TYPES:
        content_type = MediaType(DICOM_JSON)
    elif content_type is None or not may_go_down(asked, content_type):
        raise _not_asked_for(answer, passage)
    headers = {"Content-Type": str(as_told(content_type))}
    _carry(answer, headers, asked, passage.addresses)
    return Answer(status=answer.status, headers=headers)


def file_answer(answer: UpstreamAnswer, asked: DicomResource, passage: Passage) -> Answer:
    """One object as a file: the only part of a multipart answer without its wrapping, or a single answer as it is."""
    answer.check_encoding()
    content_type = parse_media_type(answer.headers.get("Content-Type", ""))
    if not _holds_files(content_type, asked):
        raise _not_asked_for(answer, passage)
    if content_type is None or content_type.name == DICOM:
        return streamed(answer, asked, passage)
    part = SinglePart(content_type.parameters["boundary"])
    body = _body(answer, part, passage)
    with _closed_if_unused(body):
        if part.content_type is None or part.content_type.name != DICOM:
            raise _not_asked_for(answer, passage)
        return _with_body(body, answer, asked, passage, _file_type(part.content_type), part.length)


def file_head(answer: UpstreamAnswer, asked: DicomResource, passage: Passage) -> Answer:
    """The answer to HEAD for a file, whatever wrapping the archive has for it."""
    content_type = parse_media_type(answer.headers.get("Content-Type", ""))
    answer.close()
    if not _holds_files(content_type, asked):
        raise _not_asked_for(answer, passage)
    headers = {"Content-Type": DICOM}
    _carry(answer, headers, asked, passage.addresses)
    return Answer(status=answer.status, headers=headers)


def _holds_files(content_type: MediaType | None, asked: DicomResource) -> bool:
    if content_type is None or not may_go_down(asked, content_type):
        return False
    wrapped = parse_media_type(content_type.parameters.get("type", ""))
    return content_type.name == DICOM or (wrapped is not None and wrapped.name == DICOM)


def _file_type(part: MediaType) -> MediaType:
    syntax = part.parameters.get("transfer-syntax", "")
    return MediaType(DICOM, {"transfer-syntax": syntax} if is_uid(syntax) else {})


def _part_headers(content_type: MediaType, asked: DicomResource, addresses: GatewayAddresses) -> PartHeaders | None:
    if content_type.name != "multipart/related" or asked.study is None:
        return None
    return PartHeaders(content_type.parameters["boundary"], addresses.rewriter(asked, asked.study))


def _body(answer: UpstreamAnswer, body_filter: BodyFilter | None, passage: Passage) -> bytes | StreamedBody:
    """A small body whole, any other on its way in a place of its caller's.

    Many archives send frames without saying how long they are; only those that prove to be large need a place.
    """
    if answer.length is not None and answer.length < passage.small_body:
        return _whole(answer, answer.read(passage.small_body), body_filter, passage.server)
    begun: tuple[bytes, ...] = ()
    if answer.length is None:
        begun, is_all = beginning(answer, passage.small_body)
        if is_all:
            return _whole(answer, b"".join(begun), body_filter, passage.server)
    return StreamedBody(
        answer, body_filter, passage.server, reference=passage.reference, take_place=passage.take_place, begun=begun
    )


def _whole(answer: UpstreamAnswer, body: bytes, body_filter: BodyFilter | None, server: str) -> bytes:
    if body_filter is None:
        return body
    try:
        return body_filter.feed(body) + body_filter.finish()
    except MultipartError as exc:
        raise broken(answer, server) from exc


def _with_body(
    body: bytes | StreamedBody,
    answer: UpstreamAnswer,
    asked: DicomResource,
    passage: Passage,
    told: MediaType,
    length: int | None,
) -> Answer:
    """``length``: bytes of what goes down, where they are known before."""
    headers = {"Content-Type": str(told)}
    if not isinstance(body, bytes):
        headers["X-Accel-Buffering"] = "no"
        if length is not None:
            headers["Content-Length"] = str(length)
    _carry(answer, headers, asked, passage.addresses)
    return Answer(status=answer.status, headers=headers, body=body)


@contextmanager
def _closed_if_unused(body: bytes | StreamedBody) -> Iterator[None]:
    """Gives up a body whose answer cannot be made."""
    try:
        yield
    except BaseException:
        if isinstance(body, StreamedBody):
            body.close()
        raise


def _not_asked_for(answer: UpstreamAnswer, passage: Passage) -> UpstreamError:
    answer.close()
    return UpstreamError("The archive answered in a form that was not asked for.", server=passage.server, status=answer.status)


def _carry(answer: UpstreamAnswer, headers: dict[str, str], asked: DicomResource, addresses: GatewayAddresses) -> None:
    for name, plain in _CARRIED.items():
        value = answer.headers.get(name)
        if value is not None and plain.fullmatch(value):
            headers[name] = value
    if answer.status == 206:
        _carry_range(answer, headers)
    warning = warning_of(answer)
    if warning is not None:
        headers["Warning"] = warning
    location = answer.headers.get("Content-Location")
    if location is not None and asked.study is not None:
        fresh = addresses.rewriter(asked, asked.study)(location)
        if fresh is not None:
            headers["Content-Location"] = fresh


def _carry_range(answer: UpstreamAnswer, headers: dict[str, str]) -> None:
    """Which bytes these are, or how many there are: only where the archive honoured the range (RFC 9110 §14.4)."""
    value = answer.headers.get("Content-Range", "")
    if _CONTENT_RANGE.fullmatch(value):
        headers["Content-Range"] = value


def warning_of(answer: UpstreamAnswer) -> str | None:
    """The archive's Warning with its code and our own words."""
    match = _WARNING_CODE.match(answer.headers.get("Warning", ""))
    return None if match is None else f'{match[1]} imaging-cds "The archive has a remark about this answer."'
