"""Plain heads are read as gunicorn reads them, only at once (group 20: one way to read a request)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imaging_cds.plain_requests import PlainlyReading, PlainRequest, plain_request
from tests.benchmarks.frame_load import got
from tests.examples import examples
from tests.security.gateway_stubs import FRAME

OF_ITS_OWN = {"wsgi.input", "wsgi.errors", "wsgi.early_hints", "gunicorn.socket"}
"""What each request has for itself, in any case; early hints are given by nobody here."""
FRAMES_OF_NORTH = f"/imaging/north/dicom-web/main{FRAME}"
OF_A_VIEWER = """Authorization: Bearer abc.def-ghi_jkl
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36
Accept: multipart/related; type="application/octet-stream"; transfer-syntax=*
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
sec-ch-ua-mobile: ?0
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: cors
Sec-Fetch-Dest: empty
Referer: https://imaging.example/viewer/viewer?StudyInstanceUIDs=2.25.11
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9"""
OF_NGINX = """Host: imaging.example
X-Forwarded-For: 192.0.2.7
X-Forwarded-Host: imaging.example
X-Forwarded-Proto: https
X-Request-Id: 65c3735eb3687bef963976e299c8c9b1
X-Imaging-Handover: 0123456789abcdef"""


def asked(target: str, *lines: str) -> bytes:
    """A whole GET."""
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


SMALL = asked("/a", "Host: here")
NUMBERED = asked("/a", "Host: here", "X-Request-Id: 1")
POSTED = b"POST /b HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(SMALL) + SMALL
CHUNKED = b"POST /c HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"


def as_served() -> Config:
    """What ``imaging-cds serve`` sets of what counts for a request."""
    settings = Config()
    for name, value in {"forwarded_allow_ips": "", "http_parser": "python", "keepalive": 30, "workers": 2}.items():
        settings.set(name, value)
    return settings


CONFIG = as_served()


class Wire:
    """A connection to a caller who says these pieces and no more, and hears what is sent to him."""

    client, server = ("127.0.0.1", 50000), ("127.0.0.1", 8000)

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._heard = b""

    @property
    def sock(self) -> Wire:
        return self

    @property
    def heard(self) -> bytes:
        """All but the time."""
        return re.sub(rb"\r\nDate: [^\r]*", b"", self._heard)

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if piece[size:]:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def sendall(self, data: bytes) -> None:
        self._heard += data

    send = sendall

    def sendmsg(self, pieces: tuple[bytes, ...]) -> int:
        self._heard += b"".join(pieces)
        return sum(map(len, pieces))


def opened(request: Any, wire: Wire) -> tuple[Any, dict[str, Any]]:
    """What a worker begins an answer with."""
    if isinstance(request, PlainRequest):
        return request.created(wire, CONFIG)
    answer, environ = create(request, wire, wire.client, wire.server, CONFIG)
    return answer, environ | {"wsgi.multithread": True}


def body_of(environ: dict[str, Any], reads: str) -> object:
    """What an application gets that reads like this."""
    body = environ["wsgi.input"]
    ways = {"all": body.read, "lines": lambda: [body.readline(5), *body], "some": lambda: body.read(3), "none": lambda: None}
    return ways[reads]()


def told(pieces: list[bytes], parser_class: type, reads: str) -> list[object]:
    """All that can be told of a connection's requests, or the fault that ends it."""
    wire, about = Wire(pieces), list[object]()
    requests = parser_class(CONFIG, wire, wire.client)
    try:
        while True:
            request = next(requests)
            answer, environ = opened(request, wire)
            about.append({name: value for name, value in environ.items() if name not in OF_ITS_OWN})
            about += [environ["gunicorn.socket"] is wire, body_of(environ, reads)]
            environ |= {"HTTP_HOST": "changed", "added": "by the application"}
            answer.start_response("200 OK", [("Content-Length", "2")])
            answer.write(b"ok")
            answer.close()
            about += [request.should_close(), answer.should_close(), wire.heard]
    except (ParseException, OSError, StopIteration) as fault:
        return [*about, type(fault)]


def in_pieces(first: bytes, behind: list[bytes | str], size: int | None) -> list[bytes]:
    """As they come: each by itself, or so many bytes at a time, 0 for all at once. Text is another target of the first."""
    rest = first.partition(b"\r\n")[2]
    messages = [first, *(asked(one)[:-2] + rest if isinstance(one, str) else one for one in behind)]
    if size is None:
        return messages
    said = b"".join(messages)
    return [said[begin : begin + size] for begin in range(0, len(said), size)] if size else [said]


FIRST = "GET /a?b HTTP/1.1"
TARGETS = [
    FRAMES_OF_NORTH,
    "/",
    "/a?",
    "/a?b=1&c=%20d?e/f",
    "/a?b#c",
    "/a#b",
    "/a%2e%2E/b",
    "/%",
    "//here/a",
    "//here:x/a?b",
    "/a//b",
    "/../a/./b",
    "/a;b=c",
    "/a:b@c",
    "/[::1]",
    "/a\\b",
    "/~a_b!$&'()*+,;=",
    "/\xe9",
    "/a?\xe9",
    "/a\tb",
    "/a b",
    "/a\x7f",
    "",
    "*",
    "a",
    "here:80",
    "http://here/a?b",
    "http://[::1/a",
    "?a",
    *(f"/{'a' * length}" for length in (3980, 3984, 3985, 4080, 4081, 9000)),
]
FIRST_LINES = (
    st.sampled_from(TARGETS).map("GET {} HTTP/1.1".format)
    | st.text(st.sampled_from("/.:?#%aZ9-_~ @[\\\xe9"), max_size=8).map("GET /{} HTTP/1.1".format)
    | st.sampled_from(["HEAD", "POST", "OPTIONS", "CONNECT", "get", "G", ""]).map("{} /a HTTP/1.1".format)
    | st.sampled_from(["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/1.1 ", "HTTP/01.1", "http/1.1", ""]).map("GET /a {}".format)
    | st.sampled_from(["\r\n" + FIRST, "\n" + FIRST, " " + FIRST, "GET  /a HTTP/1.1", "GET\t/a HTTP/1.1", "GET /a\tHTTP/1.1"])
)
GOOD_FIELDS = st.sampled_from(
    [
        "Accept: */*",
        "accept:image/jpeg",
        "X-A: a\t",
        "X-B:\t b \t",
        "X-Empty:",
        "X-Blank: \t ",
        'X-Quoted: "a, b"; c=d:e',
        "X-!#$%&'*+.^`|~9: a",
        "Host: here",
        "Cookie: a=b",
        "Connection: keep-alive",
        "Connection: Keep-Alive ",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: close",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Ssl: on",
        "X-Request-Id: 1",
        "x-request-id:\t2 \t",
        "Script-Name: /a",
        "Path-Info: /a",
        "X-Long: " + "x" * 7000,
    ]
)
ODD_FIELDS = [
    "Accept: twice",
    "X-Request-Id: 9",
    "X-Request-ID:",
    "Host: there",
    "Host:",
    "Content-Length: 0",
    "Content-Length: 4",
    "Content-Length: x",
    "Content-Type: a/b",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: x",
    "Trailer: X-A",
    "TE: trailers",
    "Expect: 100-continue",
    "Expect: x",
    "Upgrade: h2c",
    "HTTP2-Settings: AAAA",
    "connection: close",
    "Connection: keep-alive, close",
    "Connection: upgrade",
    "Connection:",
    "SCRIPT_NAME: /a",
    "X_A: a",
    " folded",
    "\tfolded",
    "X-A : a",
    "X A: a",
    ": a",
    "X-A",
    "X-A: a\nX-C: c",
    "X-A: a\rX-C: c",
    "X-A: a\r",
    "X-A: a\x00",
    "X-A: a\x7f",
    "X-A: \xe9",
    "X-\xdf: a",
    "X-Long: " + "x" * 8180,
    "X-Longer: " + "x" * 9000,
    "",
    *("\r\n".join(f"X-{number}: a" for number in range(many)) for many in (62, 63, 64, 65, 99, 100)),
]
SOME_FIELDS = st.lists(GOOD_FIELDS, max_size=3, unique=True)
ENDS = st.sampled_from(["", "\n", "\r", "\r\n\r\n"])


def head(first: str, fields: list[str], end: str = "\r\n") -> bytes:
    return "\r\n".join([first, *fields, end]).encode("latin-1")


# Plain in all but one: lines at random seldom come to a head that either would take.
HEADS = (
    st.builds(head, st.just(FIRST), SOME_FIELDS)
    | st.builds(head, FIRST_LINES, SOME_FIELDS)
    | st.builds(
        lambda before, odd, after: head(FIRST, [*before, odd, *after]), SOME_FIELDS, st.sampled_from(ODD_FIELDS), SOME_FIELDS
    )
    | st.builds(head, st.just(FIRST), SOME_FIELDS, ENDS)
    | st.builds(lambda said, kept: said[:kept], st.builds(head, st.just(FIRST), SOME_FIELDS), st.integers(0, 60))
)
AGAIN = st.sampled_from(["/a", "/a?b", "/a?", "/b;c", "/a%20b", "//b", "/a#b"])
BEHIND = st.lists(
    st.sampled_from([SMALL, POSTED, CHUNKED, b"body", b"\r\n", b"GET /", b"X-Request-Id: 1\r\n"]) | HEADS | AGAIN, max_size=3
)
SIZES = st.sampled_from([None, None, None, 0, 1, 40, 8192])


@settings(max_examples=examples(400))
@given(HEADS, BEHIND, SIZES, st.sampled_from(["all", "lines", "some", "none"]))
@example(SMALL, [SMALL, SMALL], None, "all")
@example(SMALL, [SMALL, SMALL], 0, "none")
@example(SMALL, [POSTED, SMALL], None, "none")
@example(SMALL, [POSTED, SMALL], None, "some")
@example(SMALL, [CHUNKED, SMALL], None, "lines")
@example(asked("/a", "Host: here", "Content-Length: 4"), [b"body", SMALL], None, "all")
@example(asked("/a", "Host: here", "Expect: 100-continue"), [], None, "all")
@example(asked("/a", "Host: here", "Accept: a", "Accept: b"), [SMALL], None, "all")
@example(asked("/a", "Host: here", "Host: there"), [SMALL], None, "all")
@example(asked("/a", "Host: here", "Connection: close"), [SMALL], None, "all")
@example(asked("/a", "X-Padding: " + "x" * (8192 - len(asked("/a", "X-Padding: ")))), [SMALL], 0, "all")
@example(asked("/a"), [SMALL], None, "all")
@example(SMALL, ["/a?b=1", POSTED, "/b?", SMALL], None, "none")
@example(
    NUMBERED, [asked("/b", "Host: here", "X-Request-Id: 2"), SMALL, asked("/a", "X-Request-Id: 3", "Host: here")], None, "all"
)
@example(SMALL, [NUMBERED, SMALL, NUMBERED], None, "all")
@example(NUMBERED, [asked("/a", "Host: here", "X-Request-Id: 2", "x-request-id: 3"), SMALL], None, "all")
@example(NUMBERED, [asked("/a", "X-Request-Id: 2", "Host: here", "X-Request-Id: 2"), SMALL], None, "all")
@example(SMALL, [SMALL + b"X-Request-Id: 1\r\n"], None, "all")
@example(SMALL, [SMALL + b"X-Request-Id: 1\r\n\r\n"], None, "all")
@example(SMALL, [asked("/a") + b"X-Request-Id: 1\r\n\r\n"], None, "all")
@example(asked("/a", "X-Request-Id: 1"), [SMALL], None, "all")
@example(SMALL, ["/a%20b", "/c", asked("/c", "Host: here", "Accept: */*"), "/c"], None, "all")
def test_requests_are_what_gunicorn_takes_them_for(
    first: bytes, behind: list[bytes | str], size: int | None, reads: str
) -> None:
    pieces = in_pieces(first, behind, size)

    assert told(pieces, PlainlyReading, reads) == told(pieces, RequestParser, reads)


def test_each_odd_line_alone_is_what_gunicorn_takes_it_for() -> None:
    """Also where the request before it was plain, and in the same words but for that line."""
    before = head(FIRST, ["Host: here", "Accept: */*"])
    heads = [
        *(head(f"GET {target} HTTP/1.1", ["Host: here", "Accept: */*"]) for target in TARGETS),
        *(head(FIRST, ["Host: here", odd, "Accept: */*"]) for odd in ODD_FIELDS),
    ]
    told_differently = [
        one
        for one in heads
        for pieces in ([one, SMALL], [before, one, SMALL])
        if told(pieces, PlainlyReading, "all") != told(pieces, RequestParser, "all")
    ]

    assert told_differently == []


@settings(max_examples=examples(200))
@given(
    st.sampled_from([b"", b"GET /", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: here\r\n"]),
    st.lists(st.binary(max_size=6) | st.sampled_from([b": ", b"\r\n", b"\r\n\r\n", b"X", b"Host:a", b" HTTP/1.1\r\n", SMALL])),
    SIZES,
)
def test_any_bytes_are_taken_for_what_gunicorn_takes_them_for(begun: bytes, said: list[bytes], size: int | None) -> None:
    pieces = in_pieces(begun + b"".join(said), [], size)

    assert told(pieces, PlainlyReading, "all") == told(pieces, RequestParser, "all")


@given(st.binary() | HEADS)
def test_what_is_plain_is_so_in_whole_only(said: bytes) -> None:
    request = plain_request(said)

    assert request is None or said.endswith(b"\r\n\r\n")
    assert request is None or plain_request(said[:-1]) is None
    assert request is None or plain_request(said + b"G") is None


PLAIN = {
    "a viewer in Chromium": asked(FRAMES_OF_NORTH, "Host: 127.0.0.1:8000", "Connection: keep-alive", *OF_A_VIEWER.split("\n")),
    "the same through nginx": asked(FRAMES_OF_NORTH, *OF_NGINX.split("\n"), *OF_A_VIEWER.split("\n")),
    "a search": asked("/imaging/north/dicom-web/main/studies?StudyInstanceUID=2.25.11&limit=5&PatientName=A%5EB", "Host: here"),
    "the benchmark": got(
        FRAMES_OF_NORTH, {"Accept": 'multipart/related; type="application/octet-stream"', "Authorization": "Bearer abc"}
    ),
    "the shortest": asked("/", "Host:"),
    "no host, which gunicorn allows": asked("/", "Accept: */*"),
    "as many fields as may be": asked("/", *(f"X-{number}: a" for number in range(64))),
    "as long as may be": asked("/", "X-A: " + "x" * (8192 - len(asked("/", "X-A: ")))),
    "a target as long as may be": asked("/" + "a" * 3984, "Host: here"),
}


@pytest.mark.parametrize("said", PLAIN.values(), ids=PLAIN)
def test_what_viewers_and_nginx_send_is_plain(said: bytes) -> None:
    assert plain_request(said) is not None
    assert isinstance(next(PlainlyReading(CONFIG, Wire([said]), Wire.client)), PlainRequest)
    assert told([said, said], PlainlyReading, "all") == told([said, said], RequestParser, "all")


NOT_PLAIN = {
    "nothing": b"",
    "cut in its first line": SMALL[:9],
    "cut before its end": SMALL[:-1],
    "something behind it": SMALL + b"x",
    "another behind it": SMALL + SMALL,
    "an empty line before it": b"\r\n" + SMALL,
    "no fields at all": asked("/a"),
    "another method": SMALL.replace(b"GET", b"HEAD"),
    "a method that only looks like it": SMALL.replace(b"GET", b"get"),
    "an older version": SMALL.replace(b"/1.1", b"/1.0"),
    "a later version": SMALL.replace(b"/1.1", b"/1.2"),
    "two blanks": SMALL.replace(b" /a", b"  /a"),
    "lines that end in a line feed alone": SMALL.replace(b"\r\n", b"\n"),
    "a path with something encoded": asked("/a%2Fb", "Host: here"),
    "two slashes at first": asked("//there/a", "Host: here"),
    "a fragment": asked("/a#b", "Host: here"),
    "a fragment behind a query": asked("/a?b#c", "Host: here"),
    "an absolute target": asked("http://here/a", "Host: here"),
    "a target of no path": asked("*", "Host: here"),
    "a target beyond ASCII": asked("/\xe9", "Host: here"),
    "a backslash": asked("/a\\b", "Host: here"),
    "a bracket": asked("/[::1]", "Host: here"),
    "a target that is too long": asked("/" + "a" * 3985, "Host: here"),
    "a field twice": asked("/a", "Host: here", "Accept: a", "accept: b"),
    "two hosts": asked("/a", "Host: here", "Host: there"),
    "an underscore in a name": asked("/a", "Host: here", "X_A: a"),
    "a blank before the colon": asked("/a", "Host : here"),
    "a name of nothing": asked("/a", ": here"),
    "a line without colon": asked("/a", "Host: here", "X-A"),
    "a folded line": asked("/a", "Host: here", " there"),
    "a line feed in a value": asked("/a", "Host: here\nX-A: a"),
    "a carriage return in a value": asked("/a", "Host: here\rX-A: a"),
    "a zero byte in a value": asked("/a", "Host: he\x00re"),
    "DEL in a value": asked("/a", "Host: he\x7fre"),
    "a value beyond ASCII": asked("/a", "Host: here", "X-A: \xe9"),
    "a name beyond ASCII": asked("/a", "Host: here", "X-\xdf: a"),
    "a body": asked("/a", "Host: here", "Content-Length: 4"),
    "a body of nothing": asked("/a", "Host: here", "content-length: 0"),
    "a body in chunks": asked("/a", "Host: here", "Transfer-Encoding: chunked"),
    "the type of a body": asked("/a", "Host: here", "Content-Type: a/b"),
    "trailers announced": asked("/a", "Host: here", "Trailer: X-A"),
    "trailers accepted": asked("/a", "Host: here", "TE: trailers"),
    "an expectation": asked("/a", "Host: here", "Expect: 100-continue"),
    "another protocol": asked("/a", "Host: here", "Upgrade: websocket", "Connection: Upgrade"),
    "settings of HTTP/2": asked("/a", "Host: here", "HTTP2-Settings: AAAA"),
    "a connection that ends": asked("/a", "Host: here", "Connection: close"),
    "a connection of two kinds": asked("/a", "Host: here", "Connection: keep-alive, close"),
    "a connection of no kind": asked("/a", "Host: here", "Connection:"),
    "more fields than may be": asked("/", *(f"X-{number}: a" for number in range(65))),
    "longer than may be": asked("/", "X-A: " + "x" * (8193 - len(asked("/", "X-A: ")))),
}


@pytest.mark.parametrize("target", ["/imaging/x", "/imaging/x?a=b", "/other", "/imaging"])
def test_a_process_whose_environment_has_a_script_name_reads_every_request_as_gunicorn_does(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken off each path, and a path without it is refused, also where the fields are those of the request before."""
    monkeypatch.setenv("SCRIPT_NAME", "/imaging")
    pieces = [asked("/imaging/first", "Host: here"), asked(target, "Host: here")]

    assert told(pieces, PlainlyReading, "none") == told(pieces, RequestParser, "none")


@pytest.mark.parametrize("said", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_is_left_to_gunicorn_in_whole(said: bytes) -> None:
    assert plain_request(said) is None
    assert told([said], PlainlyReading, "all") == told([said], RequestParser, "all")


def test_what_is_plain_reads_as_it_was_written() -> None:
    request = plain_request(asked("/a;b/c?d=%20&e", "Host:here", "X-a: \t1, 2 \t"))

    assert request is not None
    assert (request.uri, request.path, request.query) == ("/a;b/c?d=%20&e", "/a;b/c", "d=%20&e")
    assert request.headers == [("HOST", "here"), ("X-A", "1, 2")]
