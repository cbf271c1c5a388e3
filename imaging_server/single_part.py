"""The one part of a multipart answer, taken out on its way through: for callers who ask for a file instead of a message.

Spec: RFC 2046 §5.1, RFC 2387; DICOM PS3.18 §9.4 (WADO-URI answers with one object), §8.6.
"""

from __future__ import annotations

import re

from imaging_server.media_types import MediaType, parse_media_type
from imaging_server.multipart import MAX_PART_HEADER_BYTES, MultipartError

_HEADER = re.compile(rb"([A-Za-z0-9\-]{1,60})[ \t]*:[ \t]*(.*?)[ \t]*", re.DOTALL)
_AFTER_DELIMITER = re.compile(rb"--|[ \t]{0,64}\r\n")
_UNDECIDED = 66
"""Bytes after a delimiter that decide what follows: its padding and a line break."""


class SinglePart:
    """Passes the body of the only part, piece by piece; memory stays bounded by one piece and the part's headers.

    A second part is an error: it was one object that was asked for. A part's Content-Length is believed, so that bytes of an
    image that look like a boundary stay what they are.
    """

    def __init__(self, boundary: str) -> None:
        self.content_type: MediaType | None = None
        """What the part says that it is, once its headers have come."""
        self.length: int | None = None
        """Bytes of the part, where its headers say so."""
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._held = b"\r\n"
        self._left: int | None = None
        self._in_body = False
        self._ended = False

    def feed(self, piece: bytes) -> bytes:
        """What of the next piece belongs to the part. MultipartError when the message is none, or has more than one part."""
        self._held += piece
        if not self._in_body and not self._read_head():
            return b""
        return self._body()

    def finish(self) -> bytes:
        """What was held back at the end. MultipartError when the message has no closing delimiter: it was cut."""
        passed = self._body(at_end=True) if self._in_body else b""
        if not self._ended:
            raise MultipartError("no closing delimiter")
        return passed

    def _read_head(self) -> bool:
        start = self._held.find(self._delimiter)
        end = self._held.find(b"\r\n\r\n", start + len(self._delimiter)) if start >= 0 else -1
        if end < 0:
            if len(self._held) > MAX_PART_HEADER_BYTES:
                raise MultipartError("part headers are too long")
            return False
        lines = self._held[start + len(self._delimiter) : end].split(b"\r\n")
        if lines[0].strip(b" \t"):
            raise MultipartError("no part after the delimiter")
        headers = {match[1].lower(): match[2] for match in map(_HEADER.fullmatch, lines[1:]) if match}
        self.content_type = parse_media_type(headers.get(b"content-type", b"").decode("latin-1"))
        stated = headers.get(b"content-length", b"")
        self.length = self._left = int(stated) if stated.isdigit() and len(stated) < 16 else None
        self._held = self._held[end + 4 :]
        self._in_body = True
        return True

    def _body(self, *, at_end: bool = False) -> bytes:
        if self._ended:
            self._held = b""  # what follows the last delimiter belongs to nothing
            return b""
        counted = b""
        if self._left:
            counted, self._held = self._held[: self._left], self._held[self._left :]
            self._left -= len(counted)
            if self._left:
                return counted
        return counted + self._until_delimiter(at_end=at_end)

    def _until_delimiter(self, *, at_end: bool) -> bytes:
        """The body up to the closing delimiter; a tail that may begin one is held back."""
        position = 0
        while (found := self._held.find(self._delimiter, position)) >= 0:
            after = found + len(self._delimiter)
            following = _AFTER_DELIMITER.match(self._held, after)
            if following is None and len(self._held) - after < _UNDECIDED and not at_end:
                return self._pass(found)
            if following is not None:
                if following.group() != b"--":
                    raise MultipartError("more than one part")
                self._ended = True
                return self._pass(found)
            position = after  # the delimiter's text goes on: it was not a delimiter
        keep = 0 if at_end else len(self._delimiter) - 1
        return self._pass(max(len(self._held) - keep, 0))

    def _pass(self, end: int) -> bytes:
        if self._left == 0 and end:
            raise MultipartError("the part is longer than it says")
        passed, self._held = self._held[:end], self._held[end:]
        return passed
