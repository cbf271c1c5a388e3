"""JSON bodies in and out: media type, gzip in both directions, no member twice, and a limit that compression cannot get around.

Spec: CDS Hooks 2.0 R1; RFC 9110 §8.4 (Content-Encoding), §12.5.3 (Accept-Encoding). Prefetch is several MB and compresses well.
"""

from __future__ import annotations

import gzip
import zlib

from flask import Request, Response
from werkzeug.exceptions import HTTPException

from cds_service.json_members import RepeatedMember, parsed
from fhir_imaging.errors import InvalidRequest, NotSupported, TooLarge

_GZIP_WINDOW = 31  # zlib: 15 bits of window, and a gzip header
# Each is begun with a copy of all that follows: thousands of empty ones would cost minutes.
_MOST_GZIP_MEMBERS = 64
_WORTH_COMPRESSING_BYTES = 1024


def json_body(request: Request, max_bytes: int) -> object:
    """The parsed body. ``max_bytes`` bounds what came and what it grows to; NotSupported (415), TooLarge or InvalidRequest."""
    if not (request.mimetype.endswith(("/json", "+json")) or request.mimetype == "application/json+fhir"):
        raise NotSupported("The body must be application/json.", status=415)
    sent = _received(request)
    if request.content_length is None and len(sent) >= max_bytes:
        # A chunked body states no length, and reading stops at the limit without a word.
        raise TooLarge("The request's body is too large.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        sent = unpacked(sent, max_bytes)
    elif encoding not in ("", "identity"):
        raise NotSupported("The body may be sent plain or with Content-Encoding gzip.", status=415)
    try:
        return parsed(sent)
    except RepeatedMember as exc:
        raise InvalidRequest(f"The body has the member {exc.name} twice in one object.") from exc
    except (ValueError, UnicodeDecodeError) as exc:
        raise InvalidRequest("The body is not valid JSON.") from exc
    except RecursionError as exc:
        raise InvalidRequest("The body is nested too deeply.") from exc


def _received(request: Request) -> bytes:
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as exc:
        # Each WSGI server has exceptions of its own for chunks that are none (gunicorn: InvalidChunkSize); all mean the body.
        raise InvalidRequest("The body could not be read to its end.") from exc


def unpacked(packed: bytes, max_bytes: int) -> bytes:
    """The content of a gzip body, of as many members as it has; TooLarge as soon as it grows over ``max_bytes`` in all.

    Spec: RFC 1952 §2.2 (a file is a series of members).
    """
    content = bytearray()
    for _ in range(_MOST_GZIP_MEMBERS):
        stream = zlib.decompressobj(_GZIP_WINDOW)
        try:
            content += stream.decompress(packed, max_bytes + 1 - len(content))
        except zlib.error as exc:
            raise InvalidRequest("The body is not gzip, as its Content-Encoding says.") from exc
        if len(content) > max_bytes:
            raise TooLarge("The request's body is too large.")
        if not stream.eof:
            raise InvalidRequest("The body is not one whole gzip stream.")
        if not stream.unused_data:
            return bytes(content)
        packed = stream.unused_data
    raise InvalidRequest("The body has too many gzip members.")


def compressed(request: Request, response: Response) -> Response:
    """The answer with gzip where the client takes it and it is worth it."""
    response.vary.add("Accept-Encoding")
    if response.is_streamed or "Content-Encoding" in response.headers or not request.accept_encodings["gzip"]:
        return response
    body = response.get_data()
    if len(body) >= _WORTH_COMPRESSING_BYTES:
        response.set_data(gzip.compress(body, compresslevel=5, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
