"""The way to the archive, byte by byte (groups 18 to 20): kept connections, limits, busy pools, broken answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from fhir_imaging.settings import PacsSettings
from imaging_server.resource import DicomResource, parse_path
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive, UpstreamRequest
from imaging_server.upstream_answers import read_datasets

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n"
GOOD = JSON_HEAD + b"\r\n[]"


@contextmanager
def scripted(answers: list[bytes], *, close_after: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers each request with the next of these bytes; yields its root and what it was sent."""
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)  # closing a socket does not wake who accepts on it
    stop = threading.Event()

    def run() -> None:
        remaining = list(answers)
        while remaining and not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                while remaining:
                    request = _request(connection)
                    if not request:
                        break
                    received.append(request)
                    connection.sendall(remaining.pop(0))
                    if close_after:
                        break

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web", received
    finally:
        stop.set()
        thread.join()
        listener.close()


def _request(connection: socket.socket) -> bytes:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        try:
            piece = connection.recv(4096)
        except OSError:
            return b""
        if not piece:
            return b""
        request += piece
    return request


@contextmanager
def an_archive(root: str, **settings: object) -> Iterator[Archive]:
    values: dict[str, object] = {"connect_timeout_s": 1.0, "read_timeout_s": 1.0, **settings}
    archive = Archive(PacsSettings(name="main", dicomweb_root=root, **values))  # type: ignore[arg-type]
    try:
        yield archive
    finally:
        archive.close()


def a_resource(path: str) -> DicomResource:
    resource = parse_path(path)
    assert resource is not None
    return resource


def test_connection_is_kept_for_the_next_request() -> None:
    with scripted([GOOD, GOOD]) as (root, received), an_archive(root) as archive:
        for _ in range(2):
            assert archive.search(STUDY_SEARCH, [], limit=1000).datasets == ()

    assert len(received) == 2


def test_kept_connection_that_the_archive_closed_is_opened_again() -> None:
    with scripted([GOOD, GOOD, GOOD], close_after=True) as (root, received), an_archive(root) as archive:
        for _ in range(3):
            assert archive.search(STUDY_SEARCH, [], limit=1000).datasets == ()

    assert len(received) == 3


def test_archive_that_hangs_up_twice_is_given_up() -> None:
    with (
        scripted([b"", b"", b""], close_after=True) as (root, received),
        an_archive(root) as archive,
        pytest.raises(UpstreamError),
    ):
        archive.search(STUDY_SEARCH, [], limit=1000)

    assert len(received) == 2


def test_archive_that_says_nothing_is_a_timeout() -> None:
    with (
        scripted([b""]) as (root, _),
        an_archive(root, read_timeout_s=0.3) as archive,
        pytest.raises(UpstreamTimeout),
    ):
        archive.search(STUDY_SEARCH, [], limit=1000)


def test_busy_pool_is_a_reason_to_wait() -> None:
    with scripted([GOOD, GOOD]) as (root, _), an_archive(root, max_connections=1) as archive:
        held = archive.ask(UpstreamRequest(resource=STUDY_SEARCH, accept="*/*"))
        with pytest.raises(UpstreamError) as busy:
            archive.ask(UpstreamRequest(resource=STUDY_SEARCH, accept="*/*"))
        held.close()

        assert archive.search(STUDY_SEARCH, [], limit=1000).datasets == ()
    assert busy.value.retryable


def read_to_the_end(archive: Archive) -> None:
    archive.search(STUDY_SEARCH, [], limit=1000)


def close_unread(archive: Archive) -> None:
    archive.ask(UpstreamRequest(resource=STUDY_SEARCH, accept="*/*")).close()


def close_twice(archive: Archive) -> None:
    answer = archive.ask(UpstreamRequest(resource=STUDY_SEARCH, accept="*/*"))
    answer.close()
    answer.close()


def too_large(archive: Archive) -> None:
    with pytest.raises(UpstreamError, match="too large"):
        archive.search(STUDY_SEARCH, [], limit=1)


@pytest.mark.parametrize("use", [read_to_the_end, close_unread, close_twice, too_large])
def test_place_in_the_pool_comes_back_however_an_answer_ends(use: Callable[[Archive], None]) -> None:
    with scripted([GOOD] * 6) as (root, _), an_archive(root, max_connections=1) as archive:
        for _ in range(3):
            use(archive)

        assert archive.search(STUDY_SEARCH, [], limit=1000).datasets == ()


@pytest.mark.parametrize(
    "answer",
    [
        JSON_HEAD.replace(b" 2", b" 20") + b"\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[{",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        JSON_HEAD + b"Content-Encoding: gzip\r\n\r\n[]",
        b"rubbish\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ],
    ids=["too short", "cut chunk", "bad chunk", "not gzip", "no HTTP", "no status"],
)
def test_broken_answer_is_an_upstream_error(answer: bytes) -> None:
    with (
        scripted([answer, answer], close_after=True) as (root, _),
        an_archive(root) as archive,
        pytest.raises(UpstreamError),
    ):
        archive.search(STUDY_SEARCH, [], limit=1000)


def test_request_line_and_headers_are_ours_alone() -> None:
    """X10: the path begins with the root that is configured, whatever an archive's default is."""
    asked = UpstreamRequest(
        resource=a_resource("/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/1,2"),
        accept="*/*",
        query=[("viewport", "1,2"), ("PatientName", "A&b=c d#ü")],
        byte_range="bytes=0-9",
        if_range='"tag"',
    )
    with scripted([GOOD]) as (root, received), an_archive(root, bearer_token="archive-token") as archive:
        read_datasets(archive.ask(asked), limit=1000, server="x")

    line, *headers = received[0].decode().split("\r\n")
    assert line == (
        "GET /dicom-web/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/1,2"
        "?viewport=1,2&PatientName=A%26b%3Dc%20d%23%C3%BC HTTP/1.1"
    )
    assert {header.split(":")[0] for header in headers if header} == {
        *("Host", "User-Agent", "Accept-Encoding", "Authorization", "Accept", "Range", "If-Range")
    }
