"""Requests and answers written to be read in two ways: what one reader takes for the end is the end (groups 19, 20 and 23).

Callers are heard by the product's own server, raw bytes on a socket; archives answer in raw bytes too.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import METADATA, SMALL_BODY, STUDY_A, STUDY_B, series_of
from tests.served_actors import Installation, a_served_installation

ROOT = "/imaging/north/dicom-web/main"
OF_A, OF_B = f"{ROOT}{METADATA}", f"{ROOT}/studies/{STUDY_B}/metadata"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with a_served_installation(tmp_path_factory.mktemp("smuggling")) as running:
        yield running


@pytest.fixture
def running(served: Installation) -> Installation:
    served.pacs.asked.clear()
    return served


def heard(running: Installation, request: str) -> bytes:
    """All that the server says to these bytes on one connection, until it hangs up or has said nothing for a while."""
    with socket.create_connection(("127.0.0.1", urlsplit(running.url).port or 0), timeout=10) as connection:
        said = b""
        with suppress(OSError):
            connection.sendall(request.encode("latin-1"))
            while piece := connection.recv(65536):
                said += piece
                connection.settimeout(1.5)
        return said


def a_request(running: Installation, *lines: str, target: str = OF_A, method: str = "GET", body: str = "") -> str:
    head = [f"{method} {target} HTTP/1.1", "Host: gateway.example", f"Authorization: Bearer {running.north.token()}", *lines]
    return "\r\n".join([*head, "", body])


def hidden(running: Installation, target: str = OF_B) -> str:
    return a_request(running, "Connection: close", target=target)


AMBIGUOUS = {
    "two lengths": ("Content-Length: 0", "Content-Length: 4"),
    "two lengths in one": ("Content-Length: 0, 4",),
    "length and chunks": ("Content-Length: 4", "Transfer-Encoding: chunked"),
    "chunks and length": ("Transfer-Encoding: chunked", "Content-Length: 4"),
    "odd coding": ("Transfer-Encoding: xchunked",),
    "chunks not last": ("Transfer-Encoding: chunked, identity",),
    "chunks twice": ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "space before colon": ("Transfer-Encoding : chunked",),
    "tab before colon": ("Content-Length\t: 4",),
    "folded": ("Transfer-Encoding:", " chunked"),
    "signed length": ("Content-Length: +4",),
    "negative length": ("Content-Length: -4",),
    "hexadecimal length": ("Content-Length: 0x4",),
    "length of digits of others": ("Content-Length: \xb2",),
    "no name": (": chunked",),
    "no colon": ("Transfer-Encoding chunked",),
    "nul": ("X-A: a\x00b",),
    "lone carriage return": ("X-A: a\rTransfer-Encoding: chunked",),
    "lone line feed": ("X-A: a\nTransfer-Encoding: chunked",),
    "space in name": ("Transfer Encoding: chunked",),
}


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_group_20_a_request_with_two_ends_opens_nothing_more(
    running: Installation, lines: tuple[str, ...], method: str
) -> None:
    """What is hidden behind the one end or the other asks for an image of A, so that it would be answered, were it heard."""
    behind = hidden(running, OF_A + "?accept=*/*")
    said = heard(running, a_request(running, *lines, method=method, body=f"0\r\n\r\n{behind}"))

    statuses = _STATUS.findall(said)
    assert len(statuses) <= 1 or set(statuses[1:]) == {b"400"}
    assert statuses[:1] != [b"200"] or method == "GET"
    assert len(running.pacs.retrievals()) <= 1
    assert b"500" not in statuses


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_group_20_a_body_is_no_further_request(running: Installation, method: str) -> None:
    inner = hidden(running, OF_A)
    said = heard(running, a_request(running, f"Content-Length: {len(inner)}", "Connection: close", method=method, body=inner))

    assert len(_STATUS.findall(said)) == 1
    assert len(running.pacs.retrievals()) <= 1


def test_group_20_further_requests_on_one_connection_are_decided_one_by_one(running: Installation) -> None:
    """W3: that the first was allowed says nothing of the second."""
    plain = a_request(running, target=OF_A)
    without = f"GET {OF_A} HTTP/1.1\r\nHost: gateway.example\r\n\r\n"
    said = heard(running, plain + hidden(running, OF_B)), heard(running, plain + without)

    assert [_STATUS.findall(one)[-1] for one in said] == [b"403", b"401"]
    assert all(STUDY_B not in one.target for one in running.pacs.asked)


@pytest.mark.parametrize(
    "line",
    [
        f"PATH_INFO: {OF_B}",
        f"Path-Info: {OF_B}",
        f"SCRIPT_NAME: {ROOT}/studies/{STUDY_B}",
        f"X-Original-URL: {OF_B}",
        f"X-Rewrite-URL: {OF_B}",
        f"X-Accel-Redirect: {OF_B}",
        "X-Forwarded-Prefix: /attacker",
        "X-Forwarded-Host: attacker.example",
        "Forwarded: for=1.2.3.4;host=attacker.example;proto=http",
        "X-Forwarded-Proto: gopher",
        "Host: attacker.example",
        "X_Forwarded_Host: attacker.example",
        "Authorization: Bearer x",
        "AUTHORIZATION: Basic eA==",
    ],
)
def test_group_20_headers_for_proxies_move_nothing(running: Installation, line: str) -> None:
    said = heard(running, a_request(running, line, "Connection: close"))

    assert b"attacker" not in said
    assert STUDY_B.encode() not in said
    assert all(STUDY_B not in one.target and "attacker" not in str(one.headers) for one in running.pacs.asked)
    assert not line.lower().startswith("authorization") or running.pacs.asked == []


@pytest.mark.parametrize(
    "target",
    [
        f"http://attacker.example{OF_B}",
        f"http://attacker.example{OF_A}/../../{STUDY_B}/metadata",
        f"//attacker.example{OF_A}",
        f"{OF_A}#/../{STUDY_B}",
        f"{OF_A} HTTP/1.1 {OF_B}",
        f"{OF_A}\t",
        "*",
        f"{ROOT[1:]}{METADATA}",
        "http://[::1",
        f"/imaging\\north\\dicom-web\\main\\studies\\{STUDY_B}\\metadata",
    ],
)
def test_group_20_odd_targets_open_nothing_of_others(running: Installation, target: str) -> None:
    said = heard(running, a_request(running, "Connection: close", target=target))

    statuses = _STATUS.findall(said)
    assert len(statuses) <= 1
    assert b"500" not in statuses
    assert b"attacker" not in said
    assert all(STUDY_B not in one.target for one in running.pacs.asked)


@pytest.mark.parametrize(
    "lines",
    [
        ("X-Long: " + "x" * 100_000,),
        tuple(f"X-{number}: x" for number in range(500)),
        ("Accept: " + "image/jpeg, " * 2000,),
        ("Range: bytes=" + ",".join(f"{n}-{n}" for n in range(2000)),),
        ("If-Range: " + "x" * 5000,),
        ("X-Request-Id: " + "x" * 5000,),
        ("Cookie: " + "a=b; " * 1000,),
    ],
    ids=["long header", "many headers", "huge Accept", "many ranges", "If-Range", "X-Request-Id", "Cookie"],
)
def test_group_23_oversized_heads_are_refused_or_ignored(running: Installation, lines: tuple[str, ...]) -> None:
    said = heard(running, a_request(running, *lines, "Connection: close"))

    (status,) = _STATUS.findall(said)
    assert status in (b"200", b"400", b"406", b"431")
    assert b"x" * 300 not in said


@pytest.mark.parametrize(
    "target", [f"{ROOT}/studies?PatientName={'x' * 60_000}", f"{ROOT}/studies/{'1.' * 30_000}1", f"{OF_A}?{'a&' * 4000}"]
)
def test_group_23_very_long_addresses_are_refused(running: Installation, target: str) -> None:
    said = heard(running, a_request(running, "Connection: close", target=target))

    (status,) = _STATUS.findall(said)
    assert status in (b"400", b"404", b"414")
    assert running.pacs.asked == []


# Archives that speak oddly


INDEX = json.dumps(
    [
        {
            "00100020": {"vr": "LO", "Value": ["MRN-A"]},
            "0020000D": {"vr": "UI", "Value": [STUDY_A]},
            "0020000E": {"vr": "UI", "Value": [series_of(STUDY_A)]},
        }
    ]
).encode()
LISTED = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nConnection: close\r\n\r\n" + INDEX


@contextmanager
def an_odd_archive(answer: bytes) -> Iterator[str]:
    """Says this to every request but those for its index, and hangs up; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    ended = threading.Event()

    def speak() -> None:
        while not ended.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(2)
                    asked = connection.recv(65536)
                    connection.sendall(LISTED if b"/series?" in asked or b"/studies?" in asked else answer)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/archive/dicom-web"
    finally:
        ended.set()
        thread.join()
        listener.close()


@contextmanager
def before(answer: bytes, directory: Path) -> Iterator[World]:
    with (
        an_odd_archive(answer) as root,
        a_world(directory, server={"small_body_bytes": SMALL_BODY}, archive={"dicomweb_root": root}) as world,
    ):
        yield world


def spoken(*lines: str, body: bytes = b"pixels", status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", "Content-Type: application/octet-stream", *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


BULK_OF_STUDY = f"/studies/{STUDY_A}/bulkdata/1"
COOKIE = "Set-Cookie: stolen=1"
BIG = b"p" * SMALL_BODY * 4
CHUNKED_BIG = f"{len(BIG):x}\r\n".encode() + BIG + b"\r\n0\r\n\r\n"
ODD_ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "two lengths": (spoken("Content-Length: 3", "Content-Length: 6"), 502, b""),
    "two lengths in one": (spoken("Content-Length: 3, 6"), 502, b""),
    "the same length twice": (spoken("Content-Length: 6", "Content-Length: 6"), 200, b"pixels"),
    "more than its length": (spoken("Content-Length: 3", body=b"pixHTTP/1.1 200 OK\r\n\r\n"), 200, b"pix"),
    "less than its length": (spoken("Content-Length: 60"), 502, b""),
    "chunks and a length": (
        spoken("Content-Length: 3", "Transfer-Encoding: chunked", body=b"6\r\npixels\r\n0\r\n\r\n"),
        200,
        b"pixels",
    ),
    "chunks and a large length": (
        spoken(f"Content-Length: {SMALL_BODY * 2}", "Transfer-Encoding: chunked", body=CHUNKED_BIG),
        200,
        BIG,
    ),
    "chunk that is cut": (spoken("Transfer-Encoding: chunked", body=b"60\r\npixels"), 502, b""),
    "chunk of no size": (spoken("Transfer-Encoding: chunked", body=b"zz\r\npixels\r\n0\r\n\r\n"), 502, b""),
    "chunk of negative size": (spoken("Transfer-Encoding: chunked", body=b"-6\r\npixels\r\n0\r\n\r\n"), 502, b""),
    "trailers": (spoken("Transfer-Encoding: chunked", body=f"6\r\npixels\r\n0\r\n{COOKIE}\r\n\r\n".encode()), 200, b"pixels"),
    "line break in a value": (spoken("Content-Length: 6", f"Retry-After: 1\r\n {COOKIE}"), 200, b"pixels"),
    "lone carriage return": (spoken("Content-Length: 6", f"Warning: 299 a\r{COOKIE}"), 200, b"pixels"),
    "line break in a location": (
        spoken("Content-Length: 6", f"Content-Location: /archive/dicom-web/studies/{STUDY_A}\r\n {COOKIE}"),
        200,
        b"pixels",
    ),
    "line break in a range": (spoken("Content-Length: 6", f"Accept-Ranges: bytes\r\n {COOKIE}"), 200, b"pixels"),
    "switching": (spoken("Upgrade: websocket", "Connection: Upgrade", status="101 Switching Protocols"), 502, b""),
    "early hints": (spoken("Link: <http://pacs.internal.example>", body=b"", status="103 Early Hints"), 502, b""),
    "status of no class": (spoken("Content-Length: 6", status="999 What"), 502, b""),
    "words in the status": (spoken("Content-Length: 6", status=f"500 {COOKIE} pacs.internal.example"), 502, b""),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2p1 pacs.internal.example\r\n", 502, b""),
    "nothing": (b"", 502, b""),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, 502, b""),
    "too many headers": (spoken(*(f"X-{number}: x" for number in range(200))), 502, b""),
}


@pytest.mark.parametrize(("answer", "status", "body"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_group_20_an_archives_odd_answer_is_read_in_one_way(answer: bytes, status: int, body: bytes, tmp_path: Path) -> None:
    with before(answer, tmp_path) as world:
        got = world.get(BULK_OF_STUDY, world.north.token())

    assert got.status == status
    assert status != 200 or got.body == body
    said = str(got.headers).lower() + (got.body.decode("latin-1").lower() if status != 200 else "")
    assert "stolen" not in said
    assert "pacs.internal" not in said
    assert got.headers["Set-Cookie"] is None
