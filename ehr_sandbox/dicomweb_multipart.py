"""multipart/related in both directions, in pieces, so that a study never has to fit into memory.

Spec: RFC 2387, RFC 2046 §5.1, PS3.18 §8.6.1.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

PIECE_BYTES = 256 * 1024
_MAXIMUM_PART_HEADER_BYTES = 16 * 1024


class MalformedMultipart(ValueError):
    """The body does not follow the multipart grammar with the announced boundary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part to send: its Content-Type, its body in pieces, and the body's length when it is known."""

    content_type: str
    body: Callable[[], Iterable[bytes]]
    location: str | None = None
    length: int | None = None

    def head(self, boundary: str) -> bytes:
        """Delimiter and header fields of the part."""
        lines = [f"--{boundary}", f"Content-Type: {self.content_type}"]
        if self.location is not None:
            lines.append(f"Content-Location: {self.location}")
        if self.length is not None:
            lines.append(f"Content-Length: {self.length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def new_boundary() -> str:
    """A boundary that no body will hold by chance."""
    return secrets.token_hex(24)


def generate_multipart(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    """The message body in pieces."""
    for part in parts:
        yield part.head(boundary)
        yield from part.body()
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode("ascii")


def multipart_length(parts: Iterable[Part], boundary: str) -> int | None:
    """Length of the whole body, or None when a part's length is not known beforehand."""
    total = len(boundary) + 6
    for part in parts:
        if part.length is None:
            return None
        total += len(part.head(boundary)) + part.length + 2
    return total


@dataclass(slots=True)
class PartReader:
    """Reads the parts of a request body one after another from a stream.

    `read` returns at most the wanted number of bytes and ``b""`` at the end. Memory stays within a few pieces
    whatever the size of a part.
    """

    read: Callable[[int], bytes]
    boundary: bytes
    _buffer: bytes = b"\r\n"  # a body may begin with the boundary itself, as if a line end came before

    def parts(self) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
        """Header fields (names in lower case) and body of each part; a body must be read before the next part."""
        for _ in self._until_delimiter():  # the preamble is to be ignored
            pass
        while not self._at_end():
            fields = self._read_fields()
            body = self._until_delimiter()
            yield fields, body
            for _ in body:
                pass

    @property
    def _delimiter(self) -> bytes:
        return b"\r\n--" + self.boundary

    def _fill(self) -> bool:
        piece = self.read(PIECE_BYTES)
        self._buffer += piece
        return bool(piece)

    def _until_delimiter(self) -> Iterator[bytes]:
        delimiter = self._delimiter
        while (position := self._buffer.find(delimiter)) < 0:
            # The end of the buffer may be the beginning of the delimiter.
            certain = len(self._buffer) - len(delimiter) + 1
            if certain > 0:
                yield self._buffer[:certain]
                self._buffer = self._buffer[certain:]
            if not self._fill():
                raise MalformedMultipart("the body ends before its closing boundary")
        yield self._buffer[:position]
        self._buffer = self._buffer[position + len(delimiter) :]

    def _at_end(self) -> bool:
        while len(self._buffer) < 2 and self._fill():
            pass
        return self._buffer[:2] == b"--"

    def _read_fields(self) -> dict[str, str]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAXIMUM_PART_HEADER_BYTES or not self._fill():
                raise MalformedMultipart("a part has no end of header")
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        fields = {}
        for line in head.decode("latin-1").split("\r\n"):
            name, separator, value = line.partition(":")
            if separator:
                fields[name.strip().lower()] = value.strip()
        return fields
