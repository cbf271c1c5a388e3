"""``imaging-cds serve`` with few threads and many callers: who says nothing, and who asks without a pause, hold nobody up."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.served_actors import Installation, a_served_installation

THREADS = 2
GUNICORNS_PATIENCE_S = 5
"""How long gunicorn's own worker keeps a thread for a caller who is silent."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    """One worker, so that all callers are its own."""
    with a_served_installation(tmp_path, server={"workers": 1, "threads": THREADS, "graceful_timeout_s": 20}) as running:
        yield running


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for all tests that leave it as it was."""
    with a_served_installation(tmp_path_factory.mktemp("lasting"), server={"workers": 1, "threads": THREADS}) as running:
        yield running


def connected(site: Installation) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(site.url).port or 0), timeout=20)


def test_silent_callers_have_no_thread(site: Installation) -> None:
    with ExitStack() as stack:
        for _ in range(10 * THREADS):
            stack.enter_context(closing(connected(site)))
        began = time.monotonic()
        answer = site.get("/healthz")
        took_s = time.monotonic() - began

    assert answer.status == 200
    assert took_s < GUNICORNS_PATIENCE_S - 1


def test_a_silent_caller_is_answered_once_it_asks(site: Installation) -> None:
    with closing(connected(site)) as caller:
        time.sleep(0.5)  # it is waited for without a thread by now
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")

        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_request_that_comes_in_pieces_is_one(site: Installation) -> None:
    with closing(connected(site)) as caller:
        for piece in (b"GET /hea", b"lthz HTTP/1.1\r\nHo", b"st: here\r\n\r\n"):
            caller.sendall(piece)
            time.sleep(0.1)

        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_callers_who_ask_without_a_pause_leave_their_threads_to_others(site: Installation) -> None:
    enough, busy = threading.Event(), threading.Barrier(THREADS + 1)
    statuses: list[set[int]] = [set() for _ in range(THREADS)]

    def ask_on(seen: set[int]) -> None:
        connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=20)
        with closing(connection):
            while not enough.is_set():
                connection.request("GET", "/healthz")
                response = connection.getresponse()
                response.read()
                if not seen:
                    busy.wait(20)
                seen.add(response.status)

    askers = [threading.Thread(target=ask_on, args=(seen,)) for seen in statuses]
    for asker in askers:
        asker.start()
    busy.wait(20)
    try:
        others = [site.get("/healthz").status for _ in range(10)]
    finally:
        enough.set()
        for asker in askers:
            asker.join()

    assert others == [200] * 10
    assert statuses == [{200}] * THREADS


def test_two_requests_at_once_are_answered_one_after_the_other(site: Installation) -> None:
    """Pipelined (RFC 9112 §9.3.2): the second has come with the first, so nothing more will be there to read."""
    asked = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
    with closing(connected(site)) as caller:
        caller.sendall(asked + asked.replace(b"here\r\n", b"here\r\nConnection: close\r\n"))
        answers = b""
        while piece := caller.recv(65536):
            answers += piece

    assert answers.count(b"HTTP/1.1 200 ") == 2


PLAIN = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
POSTED = b"POST /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(PLAIN) + PLAIN
"""A body that would be a request if it were taken for one."""


def heard(caller: socket.socket) -> bytes:
    """All that is said until the server hangs up."""
    said = b""
    while piece := caller.recv(65536):
        said += piece
    return said


def one_answer(caller: socket.socket) -> bytes:
    """The next answer, whole, in however many packets it comes; none of it may be another's."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += _more(caller)
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += _more(caller)
    return head + b"\r\n\r\n" + body


def _more(caller: socket.socket) -> bytes:
    piece = caller.recv(65536)
    assert piece, "the server hung up"
    return piece


def statuses(said: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.[01] (\d{3}) ", said)


@pytest.mark.parametrize("pause_s", [0, 0.1], ids=["at once", "a moment later"])
@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([PLAIN, PLAIN], [b"200", b"200"]),
        ([PLAIN, POSTED], [b"200", b"405"]),
        ([PLAIN, POSTED, PLAIN, PLAIN], [b"200", b"405", b"200", b"200"]),
        ([POSTED, PLAIN], [b"405", b"200"]),
        ([PLAIN, PLAIN.replace(b"Host", b" Host")], [b"200", b"400"]),
        ([PLAIN, PLAIN.replace(b"healthz", b"nothing"), PLAIN], [b"200", b"404", b"200"]),
    ],
    ids=["two", "a body", "a body between", "a body before", "one that cannot be read", "another address in the same words"],
)
def test_requests_on_one_connection_are_answered_in_turn(
    lasting: Installation, asked: list[bytes], answered: list[bytes], pause_s: float
) -> None:
    with closing(connected(lasting)) as caller:
        for one in asked:
            caller.sendall(one)
            time.sleep(pause_s)
        caller.shutdown(socket.SHUT_WR)

        assert statuses(heard(caller)) == answered


@pytest.mark.parametrize(
    ("asked", "has_body"),
    [
        (PLAIN.replace(b"here\r\n", b"here\r\nConnection: close\r\n"), True),
        (PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), True),
        (PLAIN.replace(b"GET", b"HEAD").replace(b"here\r\n", b"here\r\nConnection: close\r\n"), False),
        (PLAIN.replace(b"GET", b"HEAD").replace(b"HTTP/1.1", b"HTTP/1.0"), False),
    ],
    ids=["close", "HTTP/1.0", "HEAD and close", "HEAD by HTTP/1.0"],
)
def test_a_connection_that_shall_end_ends_with_its_answer(lasting: Installation, asked: bytes, has_body: bool) -> None:
    """Also after a plain request on it."""
    with closing(connected(lasting)) as caller:
        caller.sendall(PLAIN)
        first = one_answer(caller)
        caller.sendall(asked)
        said = heard(caller)

    head, _, body = said.partition(b"\r\n\r\n")
    assert statuses(first + said) == [b"200", b"200"]
    assert b"\r\nConnection: keep-alive" in first
    assert b"\r\nConnection: close" in head
    assert body == (first.partition(b"\r\n\r\n")[2] if has_body else b"")


@pytest.mark.parametrize(
    "asked",
    [
        PLAIN.replace(b"GET", b"HEAD"),
        PLAIN.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"),
        PLAIN.replace(b"here\r\n", b"here\r\nConnection: Keep-Alive\r\n"),
    ],
    ids=["HEAD", "HTTP/1.0 that stays", "HTTP/1.1 that says so"],
)
def test_a_connection_that_may_stay_stays(lasting: Installation, asked: bytes) -> None:
    with closing(connected(lasting)) as caller:
        caller.sendall(asked)
        first = caller.recv(65536) if asked.startswith(b"HEAD") else one_answer(caller)
        caller.sendall(PLAIN)
        second = one_answer(caller)

    assert statuses(first) == statuses(second) == [b"200"]
    assert b"\r\nConnection: keep-alive" in first


def test_silent_callers_do_not_keep_it_from_ending(site: Installation) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(connected(site))) for _ in range(10 * THREADS)]
        site.get("/healthz")  # they are all taken by now
        site.process.send_signal(signal.SIGTERM)

        assert site.process.wait(10) == 0, "well before requests under way would be cut off"
        assert [caller.recv(1) for caller in silent] == [b""] * len(silent), "let go properly"
