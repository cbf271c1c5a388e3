"""Plain answers and all others on the same connections to an archive, byte by byte (W1, groups 18 to 20)."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fhir_imaging.errors import UpstreamError
from imaging_server.search import STUDY_SEARCH
from imaging_server.upstream import Archive, UpstreamRequest
from imaging_server.upstream_answers import UpstreamAnswer
from tests.contract.test_gateway_upstream import GOOD, an_archive, scripted

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
BODY = bytes(range(256)) * 4096
PLAIN = OK + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
ZIPPED = gzip.compress(BODY)
OTHERS = {
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
    "chunked, with a trailer": OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(BODY), BODY),
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED,
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "lone line feeds": PLAIN.replace(b"\r\n", b"\n", 3),
    "folded": PLAIN.replace(b"octet-stream", b"octet-stream;\r\n a=b", 1),
    "a field twice": PLAIN.replace(b"OK\r\n", b"OK\r\nWarning: 199 a\r\nWarning: 199 b\r\n", 1),
    "a long head": PLAIN.replace(b"OK\r\n", b"OK\r\n" + b"X-Long: %b\r\n" % (b"x" * 3000) * 4, 1),
    "not ASCII": PLAIN.replace(b"OK\r\n", b"OK\r\nX-Name: \xe4\r\n", 1),
}


def ask(archive: Archive) -> UpstreamAnswer:
    return archive.ask(UpstreamRequest(resource=STUDY_SEARCH, accept="*/*"))


def pieces_of(answer: UpstreamAnswer) -> bytes:
    return b"".join(iter(answer.piece, b""))


@pytest.mark.parametrize("other", OTHERS)
def test_answers_of_all_kinds_follow_each_other_on_one_connection(other: str) -> None:
    with (
        scripted([PLAIN, OTHERS[other], OTHERS[other], PLAIN]) as (root, received),
        an_archive(root, max_connections=1) as archive,
    ):
        assert [ask(archive).read(len(BODY)) for _ in range(2)] == [BODY] * 2
        assert [pieces_of(ask(archive)) for _ in range(2)] == [BODY] * 2

    assert len(received) == 4
    assert len(set(received)) == 1


@pytest.mark.parametrize("read", [lambda answer: answer.read(len(BODY)), pieces_of], ids=["whole", "in pieces"])
def test_plain_body_that_is_broken_off_is_an_upstream_error_and_holds_no_place(read: Callable[[UpstreamAnswer], bytes]) -> None:
    with scripted([PLAIN[:-1], GOOD], close_after=True) as (root, _), an_archive(root, max_connections=1) as archive:
        with pytest.raises(UpstreamError, match="broke off"):
            read(ask(archive))

        assert archive.search(STUDY_SEARCH, [], limit=1000).datasets == ()


@contextmanager
def dripping(pieces: list[bytes], *, pause_s: float) -> Iterator[str]:
    """A server that answers one request with these pieces, each after a pause, and then says nothing."""
    stop = threading.Event()

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(4096)
            for piece in pieces:
                connection.sendall(piece)
                stop.wait(pause_s)
            stop.wait(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/dicom-web"
        stop.set()
        thread.join()


@pytest.mark.parametrize("at", [1, len(OK), PLAIN.index(BODY) - 1, PLAIN.index(BODY), PLAIN.index(BODY) + 9])
def test_answer_may_come_in_parts(at: int) -> None:
    with dripping([PLAIN[:at], PLAIN[at:]], pause_s=0.1) as root, an_archive(root) as archive:
        assert ask(archive).read(len(BODY)) == BODY


@pytest.mark.parametrize("at", [1, len(OK), PLAIN.index(BODY), len(PLAIN) - 1])
def test_archive_that_stops_in_the_middle_is_not_waited_for(at: int) -> None:
    with (
        dripping([PLAIN[:at]], pause_s=0) as root,
        an_archive(root, read_timeout_s=0.2) as archive,
        pytest.raises(UpstreamError),
    ):
        ask(archive).read(len(BODY))
