"""``imaging-cds serve`` with few threads and many callers: who says nothing, and who asks without a pause, hold nobody up."""

from __future__ import annotations

import http.client
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


def test_silent_callers_do_not_keep_it_from_ending(site: Installation) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(connected(site))) for _ in range(10 * THREADS)]
        site.get("/healthz")  # they are all taken by now
        site.process.send_signal(signal.SIGTERM)

        assert site.process.wait(10) == 0, "well before requests under way would be cut off"
        assert [caller.recv(1) for caller in silent] == [b""] * len(silent), "let go properly"
