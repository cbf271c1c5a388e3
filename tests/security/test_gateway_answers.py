"""Redirects, errors and bodies of the archive (groups 18 and 19)."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from flask import Response

from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import (
    BULK,
    FRAME,
    INSTANCE,
    METADATA,
    SMALL_BODY,
    STUDY_A,
    dicom_json,
    multipart,
    only_for,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"small_body_bytes": SMALL_BODY}) as world:
        yield world


# Group 18: redirects and errors


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 304, 305])
def test_redirect_is_not_followed_with_the_archives_credential(world: World, status: int) -> None:
    target = f"{world.south.base}/stolen"
    world.pacs.answer = only_for("/metadata", lambda: Response(status=status, headers={"Location": target}))

    answer = world.get(METADATA, world.north.token())

    assert answer.status == 502
    assert answer.headers["Location"] is None
    assert world.south.asked == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, 502), (403, 502), (407, 502), (500, 502), (501, 502), (502, 502), (418, 502), (204, 502)]
    + [(status, status) for status in (400, 404, 406, 409, 410, 413, 416, 503, 504)]
    + [(429, 503)],
)
def test_archive_status_is_carried_or_explained_and_its_words_are_dropped(world: World, status: int, expected: int) -> None:
    """An archive's 401 is about our credential and must not make a browser ask for one."""
    headers = {
        "WWW-Authenticate": 'Basic realm="pacs"',
        "Server": "pacs.internal.example",
        "Set-Cookie": "a=b",
        "Retry-After": "17",
    }
    world.pacs.answer = only_for("/metadata", lambda: Response("stack trace of pacs.internal.example", status, headers))

    answer = world.get(METADATA, world.north.token())

    assert answer.status == expected
    assert b"pacs.internal" not in answer.body
    assert answer.headers["WWW-Authenticate"] is answer.headers["Set-Cookie"] is None
    assert "pacs.internal" not in str(answer.headers)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == ("17" if expected == 503 else None)


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{}", b"[1]", b"", b"[{", b"\xff\xfe", b"[" * 50_000],
    ids=["html", "object", "numbers", "empty", "cut", "bytes", "deep"],
)
def test_metadata_that_cannot_be_read_is_not_passed_on(world: World, body: bytes) -> None:
    world.pacs.answer = only_for("/metadata", lambda: Response(body, 200, content_type="application/dicom+json"))

    answer = world.get(METADATA, world.north.token())

    assert (answer.status, answer.body) == (200, b"[]") if not body else answer.status == 502


def test_deeply_nested_data_set_is_refused(world: World) -> None:
    nested = '{"00081115":{"vr":"SQ","Value":[' * 400 + "{}" + "]}}" * 400
    own = json.dumps(world.pacs.instance(STUDY_A))[:-1]
    world.pacs.answer = only_for(
        "/metadata", lambda: Response(f"[{own},{nested[1:]}]", 200, content_type="application/dicom+json")
    )

    assert world.get(METADATA, world.north.token()).status in (200, 502)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related; type=text/html; boundary=b0undary",
        'multipart/related; type="application/dicom+xml"; boundary=b0undary',
        "multipart/related; type=application/dicom+json; boundary=b0undary",
        "multipart/mixed; boundary=b0undary",
        "*/*",
        "image/*",
        'multipart/related; type="application/dicom"; boundary="a\\"b"',
        "text/html",
        "application/dicom+xml",
        "text/plain",
        "image/svg+xml",
        "application/javascript",
        "multipart/related",
        "",
        "x",
    ],
)
@pytest.mark.parametrize("path", [FRAME, f"{INSTANCE}/rendered", METADATA, BULK])
def test_answers_in_a_form_that_was_not_asked_for_are_not_passed_on(world: World, path: str, content_type: str) -> None:
    world.pacs.answer = lambda asked: (
        Response(b"<script>", 200, headers={"Content-Type": content_type}) if asked.path.endswith(path) else None
    )

    answer = world.get(path, world.north.token())

    assert answer.status == 502
    assert b"<script>" not in answer.body


# Group 19: body integrity


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("x-gzip", gzip.compress)],
    ids=["gzip", "deflate", "x-gzip"],
)
def test_body_that_is_compressed_all_the_same_arrives_whole(
    world: World, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    """M4: the archive's Content-Length no longer fits a decoded body."""
    plain = json.dumps([world.pacs.instance(STUDY_A, number) for number in (1, 2)]).encode()
    world.pacs.answer = only_for(
        "/metadata", lambda: Response(encode(plain), 200, {"Content-Encoding": encoding}, content_type="application/dicom+json")
    )
    metadata = world.get(METADATA, world.north.token())
    pixels = multipart([(b"p" * 1000, {})])
    world.pacs.answer = only_for(
        "/frames/1",
        lambda: Response(encode(pixels.data), 200, {"Content-Encoding": encoding}, content_type=pixels.content_type),
    )
    frame = world.get(FRAME, world.north.token())

    assert len(metadata.json()) == 2
    assert frame.body.count(b"p" * 1000) == 1
    assert metadata.headers["Content-Encoding"] is frame.headers["Content-Encoding"] is None
    assert {one.headers["Accept-Encoding"] for one in world.pacs.asked} == {"identity"}


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip", "identity, gzip", "x"])
@pytest.mark.parametrize("path", [METADATA, FRAME, BULK])
def test_unknown_encoding_is_refused(world: World, path: str, encoding: str) -> None:
    """Identity was asked for: what cannot be undone is not passed on as if it were the image."""
    media_type = "application/dicom+json" if path == METADATA else "application/octet-stream"
    world.pacs.answer = only_for(
        path.rpartition("/")[2], lambda: Response(b"\x00", 200, {"Content-Encoding": encoding}, content_type=media_type)
    )

    answer = world.get(path, world.north.token())

    assert answer.status == 502
    assert answer.headers["Content-Encoding"] is None


@pytest.mark.parametrize(
    "cut", [b"--b0undary\r\nContent-Type: a/b\r\n\r\npixels", b"no boundary at all", b"--b0undary\r\nX: " + b"y" * 20_000]
)
def test_multipart_that_is_cut_or_none_is_not_passed_on_as_whole(world: World, cut: bytes) -> None:
    content_type = 'multipart/related; type="application/octet-stream"; boundary=b0undary'
    world.pacs.answer = only_for("/frames/1", lambda: Response(cut, 200, content_type=content_type))

    assert world.get(FRAME, world.north.token()).status == 502


def cut_after(size: int) -> Response:
    """A body that ends before its Content-Length."""
    response = Response(iter([b"p" * size]), 200, content_type="application/octet-stream")
    response.headers["Content-Length"] = str(SMALL_BODY * 40)
    return response


def test_archive_that_breaks_off_at_once_is_explained(world: World) -> None:
    world.pacs.answer = only_for("/7FE00010", lambda: cut_after(SMALL_BODY))

    assert world.get(BULK, world.north.token()).status == 502


def test_streamed_body_that_breaks_off_is_seen_to_break_off(world: World) -> None:
    """A wrong Content-Length or a lost connection must not look like the end."""
    world.pacs.answer = only_for("/7FE00010", lambda: cut_after(SMALL_BODY * 20))

    with pytest.raises((http.client.IncompleteRead, http.client.HTTPException, ConnectionError)):
        world.get(BULK, world.north.token())


def test_large_body_is_streamed_and_arrives_byte_for_byte(world: World) -> None:
    content = bytes(range(256)) * 40_000
    world.pacs.answer = only_for("/7FE00010", lambda: Response(content, 200, content_type="application/octet-stream"))

    answer = world.get(BULK, world.north.token())

    assert answer.body == content
    assert answer.headers["Content-Length"] == str(len(content))


def test_caller_who_goes_away_frees_the_archives_connection(world: World) -> None:
    gone = threading.Event()

    def endless() -> Response:
        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    yield b"p" * 65536
            finally:
                gone.set()

        return Response(pieces(), 200, content_type="application/octet-stream")

    world.pacs.answer = only_for("/7FE00010", endless)
    connection = http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=10)
    connection.request("GET", world.root + BULK, headers={"Authorization": f"Bearer {world.north.token()}"})
    response = connection.getresponse()
    response.read(1000)
    response.close()
    connection.close()

    assert gone.wait(10)


def test_archive_that_does_not_answer_in_time_is_504(world: World) -> None:
    def slow() -> Response:
        time.sleep(6)
        return dicom_json([])

    world.pacs.answer = only_for("/metadata", slow)

    assert world.get(METADATA, world.north.token()).status == 504
