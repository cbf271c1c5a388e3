"""Multipart answers on their way through: part headers are looked at, part bodies never touched.

Spec: RFC 2046 §5.1, RFC 2387; DICOM PS3.18 §8.6; SMART Imaging Access groups 17 and 19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache

from imaging_server.media_types import MediaType, as_told, parse_media_type

MAX_PART_HEADER_BYTES = 16 * 1024

_LENGTH = re.compile(rb"content-length[ \t]*:[ \t]*([0-9]{1,15})[ \t]*", re.IGNORECASE)
_LOCATION = re.compile(rb"content-location[ \t]*:[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
_AFTER_DELIMITER = re.compile(rb"[ \t]{0,64}\r\n")
_TYPE = re.compile(rb"content-type[ \t]*:[ \t]*(.*)", re.IGNORECASE | re.DOTALL)
# A part needs its type and length; whatever else an archive adds (ids, names, remarks) may name its host.
_KEPT = re.compile(rb"content-(?:length|encoding|transfer-encoding)[ \t]*:[ \t]*[A-Za-z0-9\-]{1,20}[ \t]*", re.IGNORECASE)

_ONE_PART = re.compile(rb"--([^\r\n]{1,200}+)\r\n((?:[!-9;-~]++:[\t\x20-\x7e]*+\r\n)++)\r\n")


class MultipartError(ValueError):
    """The answer is not the multipart message that its Content-Type says."""


class _Place(Enum):
    BODY = "body"
    AFTER_DELIMITER = "after-delimiter"
    HEADERS = "headers"
    EPILOGUE = "epilogue"


class PartHeaders:
    """Rewrites Content-Location in part headers and drops headers that a part does not need, piece by piece.

    Memory stays bounded by one piece and one part's headers. A part's Content-Length is believed, so that bytes of an image
    that look like a boundary stay what they are.
    """

    def __init__(self, boundary: str, rewrite: Callable[[str], str | None]) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._rewrite = rewrite
        # The first delimiter may open the message without a line break before it.
        self._held = b"\r\n"
        self._to_drop = 2
        self._at = 0
        """How much of what is held has been passed: images are large, so nothing is cut off by copying the rest."""
        self._skip = 0
        self._place = _Place.BODY
        self._has_begun = False
        """Whether the first delimiter has come: what stands before it, and after the last, belongs to nothing."""

    def feed(self, piece: bytes) -> bytes:
        """The next piece as it may go down; a few bytes are held back until more comes."""
        if self._skip >= len(piece) and not self._left:
            self._skip -= len(piece)
            return piece  # nothing but a part's body: as it is, without a copy
        out: list[bytes | memoryview] = []
        if self._to_drop and piece.startswith(self._delimiter[2:]):
            self._open_with(piece, out)
        else:
            self._held, self._at = self._held[self._at :] + piece, 0
        while self._step(out):
            pass
        return self._joined(out)

    def finish(self) -> bytes:
        """What was held back at the end. MultipartError when the message has no closing delimiter: it was cut."""
        if self._place is not _Place.EPILOGUE:
            raise MultipartError("no closing delimiter")
        return b""

    def _open_with(self, piece: bytes, out: list[bytes | memoryview]) -> None:
        """The first delimiter at the very beginning, as nearly always: without a line break in front no image is copied."""
        self._held, self._at, self._to_drop = piece, 0, 0
        self._pass(out, len(self._delimiter) - 2)
        self._place = _Place.AFTER_DELIMITER

    @property
    def _left(self) -> int:
        return len(self._held) - self._at

    def _to(self, out: list[bytes | memoryview], end: int) -> None:
        """Moves on to ``end``, letting through what belongs to a part."""
        if self._has_begun:
            self._pass(out, end)
        self._at = end

    def _pass(self, out: list[bytes | memoryview], end: int) -> None:
        """Lets through what is held up to ``end``."""
        out.append(memoryview(self._held)[self._at : end])
        self._at = end

    def _step(self, out: list[bytes | memoryview]) -> bool:
        """One move; False when more bytes are needed."""
        if self._skip:
            return self._skip_body(out)
        if self._place is _Place.BODY:
            return self._find_delimiter(out)
        if self._place is _Place.AFTER_DELIMITER:
            return self._read_delimiter_end(out)
        if self._place is _Place.HEADERS:
            return self._read_headers(out)
        self._at = len(self._held)
        return False

    def _skip_body(self, out: list[bytes | memoryview]) -> bool:
        passed = min(self._skip, self._left)
        self._pass(out, self._at + passed)
        self._skip -= passed
        return not self._skip

    def _find_delimiter(self, out: list[bytes | memoryview]) -> bool:
        found = self._held.find(self._delimiter, self._at)
        if found < 0:
            keep = len(self._delimiter) - 1
            if self._left > keep:
                self._to(out, len(self._held) - keep)
            return False
        self._to(out, found)
        self._pass(out, found + len(self._delimiter))
        self._place = _Place.AFTER_DELIMITER
        return True

    def _read_delimiter_end(self, out: list[bytes | memoryview]) -> bool:
        if self._held.startswith(b"--", self._at):
            self._pass(out, self._at + 2)
            self._place = _Place.EPILOGUE
            return True
        match = _AFTER_DELIMITER.match(self._held, self._at)
        if match is not None:
            # The line break stays in front of the headers, so that an empty header block ends like any other.
            self._pass(out, match.end() - 2)
            self._has_begun, self._place = True, _Place.HEADERS
            return True
        if self._left < 2 or (self._left < 67 and not self._held[self._at :].strip(b" \t\r")):
            return False
        if not self._has_begun:
            raise MultipartError("no part after the delimiter")
        self._place = _Place.BODY  # the delimiter's text goes on: it was not a delimiter
        return True

    def _read_headers(self, out: list[bytes | memoryview]) -> bool:
        end = self._held.find(b"\r\n\r\n", self._at)
        if end - self._at > MAX_PART_HEADER_BYTES or (end < 0 and self._left > MAX_PART_HEADER_BYTES):
            raise MultipartError("part headers are too long")
        if end < 0:
            return False
        lines = self._held[self._at + 2 : end].split(b"\r\n") if end > self._at else []
        out.append(b"\r\n" + headers_for_caller(lines, self._rewrite))
        # The empty line's break stays in front of the body: in a part without one it is the next delimiter's.
        self._at = end + 2
        length = stated_length(lines)
        self._skip = length + 2 if length else 0
        self._place = _Place.BODY
        return True

    def _joined(self, out: list[bytes | memoryview]) -> bytes:
        """One piece, without the line break that was put in front of the first byte."""
        for position, part in enumerate(out):
            if not self._to_drop:
                break
            dropped = min(self._to_drop, len(part))
            self._to_drop -= dropped
            out[position] = part[dropped:]
        return b"".join(out)


def the_only_part(
    message: memoryview, content_type: MediaType, rewrite: Callable[[str], str | None]
) -> tuple[bytes, memoryview, bytes] | None:
    """A whole message of one part, as ``PartHeaders`` passes it on, without a copy of the part's body.

    None where it is not as plain as nearly all are: of one part that says its length, and nothing before or after it.
    """
    boundary = content_type.parameters.get("boundary", "").encode("ascii")
    found = _ONE_PART.match(message)
    if content_type.name != "multipart/related" or found is None or found[1] != boundary:
        return None
    lines = found[2].split(b"\r\n")[:-1]
    length = stated_length(lines)
    end, closing = found.end() + length, b"\r\n--" + boundary + b"--"
    if not length or len(found[2]) > MAX_PART_HEADER_BYTES or message[end:] not in (closing, closing + b"\r\n"):
        return None
    return b"--" + boundary + b"\r\n" + headers_for_caller(lines, rewrite) + b"\r\n", message[found.end() : end], closing


def headers_for_caller(lines: Sequence[bytes], rewrite: Callable[[str], str | None]) -> bytes:
    """A part's header lines as they go down, each with its line break."""
    kept = [fresh for line in lines if (fresh := _header(line, rewrite)) is not None]
    return b"".join([line + b"\r\n" for line in kept])


def stated_length(lines: Sequence[bytes]) -> int:
    """The bytes of a part's body, as its header lines say; 0 where they do not, or not in one word."""
    lengths = [match for match in map(_LENGTH.fullmatch, lines) if match]
    return int(lengths[0][1]) if len(lengths) == 1 else 0


def _header(line: bytes, rewrite: Callable[[str], str | None]) -> bytes | None:
    location = _LOCATION.fullmatch(line)
    if location is None:
        return _part_type(line) if _TYPE.match(line) else line if _KEPT.fullmatch(line) else None
    fresh = rewrite(location[1].decode("latin-1").strip())
    return None if fresh is None else b"Content-Location: " + fresh.encode("ascii")


@lru_cache(maxsize=256)  # the frames of a study are of few types
def _part_type(line: bytes) -> bytes | None:
    """The Content-Type line as it stands when it holds nothing but what a caller needs, else made anew; None = not a type."""
    written = _TYPE.fullmatch(line)
    stated = parse_media_type(written[1].decode("latin-1")) if written else None
    if stated is None:
        return None
    told = as_told(stated)
    is_plain = told.parameters == stated.parameters and b"\n" not in line and b"\r" not in line
    return line if is_plain else b"Content-Type: " + str(told).encode("ascii")
