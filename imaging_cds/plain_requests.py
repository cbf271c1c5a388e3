r"""The plain heads of requests, read at once: nearly all that a viewer asks for, itself or through nginx, has such.

gunicorn reads a head line by line and holds each against a dozen rules: of a frame's way, that was the dearest thing its server
did. Here a head is plain or None. Plain is what two patterns describe: a GET of a path with nothing encoded in it, letters of
ASCII, no field twice, no body, a connection that stays, and nothing behind it. All else is left to gunicorn, with not a byte
taken from it; what is plain, both read alike.

Spec: RFC 9112 §2.2, §3, §5, §6.3; RFC 9110 §5.3; group 20.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from werkzeug.exceptions import RequestTimeout

from fhir_imaging.in_front import SameWords
from imaging_cds.one_write import OneWrite
from imaging_cds.patience import PatientUnreader

# Possessive (++, *+) all of them: each byte is looked at once. A name with an underscore is none that gunicorn lets through.
_NAME = r"[!#$%&'*+.^`|~0-9A-Za-z-]++"
_PATH = r"/(?!/)[0-9A-Za-z/._~,:@!$&'()*+;=-]*+"
_QUERY = r"[0-9A-Za-z/._~,:@!$&'()*+;=%?-]*+"
_LINE = re.compile(rf"GET (({_PATH})(?:\?({_QUERY}))?) HTTP/1\.1\r\n".encode("ascii"))
_FIELDS = re.compile(rf"(?:{_NAME}:[\t\x20-\x7e]*+\r\n)++\r\n".encode("ascii"))
_FIELD = re.compile(r"([^:\r\n]++):[\t ]*+([^\r\n]*+)\r\n")
_SAYS_MORE = frozenset(
    ("CONTENT-LENGTH", "CONTENT-TYPE", "TRANSFER-ENCODING", "TRAILER", "TE", "EXPECT", "UPGRADE", "HTTP2-SETTINGS")
)
"""Fields after which a request is not over, or the connection is another: gunicorn knows what they mean."""
_NOT_PLAIN = _SAYS_MORE | {"X-REQUEST-ID"}
"""A number that still stands there is a second one."""
_STAYS = "keep-alive"
_NUMBER = re.compile(rb"\r\n(?i:X-Request-Id):[\t ]*+([\t\x20-\x7e]*+)(?=\r\n)")
"""The one field that a proxy in front writes anew for each request. It begins with plain bytes, so it is looked for as fast as
those are."""
_NUMBERED = "HTTP_X_REQUEST_ID"
LONGEST = 8192
_LONGEST_LINE = 4000
_MOST_FIELDS = 64


class PlainFields:
    """What a head says after its first line, but for the request's number: the same each time while a viewer asks for one frame
    after the other."""

    __slots__ = ("environ", "headers", "words", "written")

    def __init__(self, written: bytes, headers: list[tuple[str, str]]) -> None:
        self.written = written
        self.headers = headers
        self.environ: dict[str, Any] | None = None
        """The WSGI environment that was made of them on this connection, without what is another request's."""
        self.words: SameWords | None = None
        """What the application may have said is to be answered to them (``at_once``)."""


class PlainRequest:
    """A request whose head is plain, with what gunicorn wants to know of a ``Request``."""

    __slots__ = ("body", "fields", "number", "path", "query", "uri")

    method = "GET"
    version = (1, 1)
    scheme = "http"
    proxy_protocol_info = None
    _expected_100_continue = False

    def __init__(self, *, uri: str, path: str, query: str, fields: PlainFields, number: str | None) -> None:
        self.uri = uri
        self.path = path
        self.query = query
        self.fields = fields
        self.number = number
        self.body = BytesIO()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names in capitals, and values; the number last."""
        return self.fields.headers if self.number is None else [*self.fields.headers, ("X-REQUEST-ID", self.number)]

    def should_close(self) -> bool:
        """Whether the caller wants the connection closed."""
        return False

    def created(self, conn: Any, cfg: Any) -> tuple[OneWrite, dict[str, Any]]:
        """The answer that is to be filled, and the WSGI environment, as gunicorn's ``create`` makes it."""
        known = self.fields.environ
        if known is None:
            answer, environ = create(self, conn.sock, conn.client, conn.server, cfg, response_class=OneWrite)
            del environ["wsgi.early_hints"]
            environ["wsgi.multithread"] = True
            if not environ["SCRIPT_NAME"]:  # which gunicorn takes off the path, where the process's own environment has one
                self.fields.environ = environ.copy()
                self.fields.environ.pop(_NUMBERED, None)
            return answer, environ
        # A plain path has nothing encoded in it.
        own = {"RAW_URI": self.uri, "PATH_INFO": self.path, "QUERY_STRING": self.query, "wsgi.input": self.body}
        if self.number is not None:
            own[_NUMBERED] = self.number
        return OneWrite(self, conn.sock, cfg), {**known, **own}


def in_pieces(begun: bytes) -> tuple[re.Match[bytes], bytes, str | None] | None:
    """A head that may be plain: its first line, its fields but for the request's number, and that number. Nobody has looked at
    the fields yet."""
    line = _LINE.match(begun) if len(begun) <= LONGEST else None
    if line is None or line.end() > _LONGEST_LINE:
        return None
    return line, *_without_number(begun[line.end() - 2 :])


def plain_request(begun: bytes, last: PlainFields | None = None) -> PlainRequest | None:
    """The request that these bytes are; None when it is not plain, not here yet in whole, or something follows it.

    ``last``: the fields of the request before it on its connection.
    """
    pieces = in_pieces(begun)
    if pieces is None:
        return None
    line, written, number = pieces
    fields = last if last is not None and last.written == written else _plain_fields(written)
    if fields is None:
        return None
    uri, path, query = line[1].decode("ascii"), line[2].decode("ascii"), (line[3] or b"").decode("ascii")
    return PlainRequest(uri=uri, path=path, query=query, fields=fields, number=number)


def _without_number(tail: bytes) -> tuple[bytes, str | None]:
    """The fields behind the line break of the first line, without the request's number; and that number.

    A second one stays, and so makes the head one that is not plain. Behind an empty line it is none: the head is over there.
    """
    found = _NUMBER.search(tail)
    if found is None or tail[: found.start()].endswith(b"\n"):
        return tail[2:], None
    return (tail[: found.start()] + tail[found.end() :])[2:], found[1].decode("ascii").rstrip("\t ")


def _plain_fields(written: bytes) -> PlainFields | None:
    if _FIELDS.fullmatch(written) is None:
        return None
    headers = [(name.upper(), value.rstrip("\t ")) for name, value in _FIELD.findall(written.decode("ascii"))]
    named = dict(headers)
    if len(named) != len(headers) or len(named) > _MOST_FIELDS or not named.keys().isdisjoint(_NOT_PLAIN):
        return None
    return PlainFields(written, headers) if named.get("CONNECTION", _STAYS).lower() == _STAYS else None


class PlainlyReading(RequestParser):  # type: ignore[misc]
    """A connection's requests: the plain ones read at once, all others by gunicorn."""

    last: PlainFields | None = None
    """The fields of the last plain request."""

    @property
    def is_told_of(self) -> bool:
        """Whether the next request may be one that the application has said the answer to."""
        words = self.last.words if self.last is not None else None
        return words is not None and words.at_once is not None

    def __init__(self, cfg: Any, sock: Any, client: Any) -> None:
        super().__init__(cfg, sock, client)
        self.unreader = PatientUnreader(sock)

    def __next__(self) -> Any:
        """The next request; StopIteration, which ends the connection, where the caller stopped in its head."""
        try:
            return super().__next__()
        except RequestTimeout:
            raise StopIteration from None

    def mesg_class(self, cfg: Any, unreader: Any, peer_addr: Any, req_number: int) -> Any:
        """The next request."""
        begun = unreader.read()
        plain = plain_request(begun, self.last)
        if plain is not None:
            self.last = plain.fields
            return plain
        unreader.unread(begun)
        return Request(cfg, unreader, peer_addr, req_number)

    def finish_body(self, *args: Any, **options: Any) -> bool:
        """Whether nothing of the present request is left on the connection."""
        return isinstance(self.mesg, PlainRequest) or bool(super().finish_body(*args, **options))
