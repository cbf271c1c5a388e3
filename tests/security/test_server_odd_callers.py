"""The application's own server among callers who do not do as they should: nobody waits for them, and no word of theirs is
written down (groups 20, 23 and 34)."""

from __future__ import annotations

import http.client
import re
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.security.gateway_stubs import METADATA
from tests.served_actors import Installation, a_served_installation

SECRETS = ("Mustermann", "ller^J", "4711", "sekret-token", "the-code")
NAMED = "/nowhere?PatientName=Mustermann&PatientID=4711&code=the-code"
UNREADABLE = {
    "letters beyond ASCII": "GET /nowhere?PatientName=Müller^Jörg&PatientID=4711 HTTP/1.1\r\nHost: h\r\n\r\n".encode(),
    "a space in the query": b"GET /nowhere?PatientName=Mustermann Joerg HTTP/1.1\r\nHost: h\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization Bearer sekret-token\r\n\r\n",
    "an odd name": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization sekret-token: x\r\n\r\n",
    "a folded field": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer\r\n sekret-token\r\n\r\n",
    "a long line": b"GET /" + 9000 * b"4711" + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    "a long head": b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sekret-token" + 70_000 * b"x" + b"\r\n\r\n",
    "an odd length": b"POST /4711 HTTP/1.1\r\nHost: h\r\nContent-Length: 4711x\r\n\r\n",
    "an odd coding": b"POST /4711 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: sekret-token\r\n\r\n",
    "odd chunks": b"POST /4711 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nMustermann\r\n",
    "an odd method": b"Mustermann! / HTTP/1.1\r\nHost: h\r\n\r\n",
    "an odd expectation": b"GET /4711 HTTP/1.1\r\nHost: h\r\nExpect: sekret-token\r\n\r\n",
}
HOSTS = {
    "empty label": b"GET %s HTTP/1.1\r\nHost: a..b\r\n\r\n" % NAMED.encode(),
    "long label": b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (NAMED.encode(), 64 * b"a"),
    "told by a proxy": b"GET %s HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: a..b\r\n\r\n" % NAMED.encode(),
    "sent": b"POST %s HTTP/1.1\r\nHost: a..b\r\nContent-Length: 0\r\n\r\n" % NAMED.encode(),
    "of the gateway": b"GET %s?PatientName=Mustermann HTTP/1.1\r\nHost: a..b\r\n\r\n" % METADATA.encode(),
    "of the health": b"GET /healthz HTTP/1.1\r\nHost: a..b\r\n\r\n",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One worker, so that whoever stops it stops everybody."""
    tables = {"server": {"workers": 1, "threads": 4, "trusted_proxies": 1}}
    with a_served_installation(tmp_path_factory.mktemp("served"), **tables) as installation:
        yield installation


def port_of(running: Installation) -> int:
    return int(running.url.rsplit(":", 1)[1])


def said_to(running: Installation, words: bytes) -> tuple[int, bytes]:
    """Status and everything that was answered."""
    with socket.create_connection(("127.0.0.1", port_of(running)), timeout=10) as caller:
        caller.sendall(words)
        caller.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: caller.recv(65536), b""))
    return int(told.split(b" ", 2)[1]), told


@pytest.mark.parametrize("words", UNREADABLE.values(), ids=UNREADABLE)
def test_group_34_what_cannot_be_read_is_refused_and_no_word_of_it_is_repeated(running: Installation, words: bytes) -> None:
    before = len(running.log)

    status, told = said_to(running, words)

    assert status in {400, 404, 405, 414, 417, 431, 501}
    assert b"X-Request-Id: " in told
    assert b"X-Content-Type-Options: nosniff" in told
    written = told.decode("latin-1") + running.log[before:]
    assert [secret for secret in SECRETS if secret in written] == []


def test_the_log_says_under_a_number_what_kind_of_fault_it_was(running: Installation) -> None:
    before = len(running.log)

    _, told = said_to(running, UNREADABLE["no colon"])

    found = re.search(rb"X-Request-Id: ([0-9a-f]+)", told)
    assert found is not None
    assert f"{found[1].decode()} 400: a request that cannot be read (InvalidHeader)" in running.log[before:]


@pytest.mark.parametrize("words", HOSTS.values(), ids=HOSTS)
def test_a_host_that_cannot_be_one_is_the_callers_fault_and_fills_no_log(running: Installation, words: bytes) -> None:
    before = len(running.log)

    status, told = said_to(running, words)

    assert status == 400
    assert b"reference" in told.lower() or b"urn:imaging-cds:request" in told
    more = running.log[before:]
    assert "Traceback" not in more
    assert len(more) < 1000
    assert [secret for secret in SECRETS if secret in more] == []


def seconds_to_ready(running: Installation) -> float:
    began = time.monotonic()
    assert running.get("/healthz").status == 200
    return time.monotonic() - began


@pytest.mark.parametrize(
    "words",
    [b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"GET /healthz HTTP/1.0\r\n\r\n", b"nothing\r\n\r\n"],
)
def test_group_23_who_is_told_that_it_ends_and_stays_keeps_nobody_waiting(running: Installation, words: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(running)), timeout=10))
            caller.sendall(words)
            told = b"".join(iter(lambda: caller.recv(65536), b""))  # noqa: B023 - it is asked at once
            assert told.startswith(b"HTTP/1."), "and its own half is closed at once"

        assert seconds_to_ready(running) < 8, "each of the twenty would take two"


def test_who_still_sends_reads_his_answer_to_the_end(running: Installation) -> None:
    """A connection that is closed with something unread is cut, and what was said with it."""
    with socket.create_connection(("127.0.0.1", port_of(running)), timeout=10) as caller:
        caller.sendall(b"POST /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 900000\r\n\r\n")
        threading.Thread(target=_send_slowly, args=(caller,), daemon=True).start()
        told = b"".join(iter(lambda: caller.recv(65536), b""))

    assert told.startswith(b"HTTP/1.1 4")
    assert told.partition(b"\r\n\r\n")[2]


def _send_slowly(caller: socket.socket) -> None:
    for _ in range(5):
        try:
            caller.sendall(bytes(1000))
        except OSError:
            return
        time.sleep(0.05)


def test_it_stops_in_time_whoever_stays(tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(a_served_installation(tmp_path, server={"workers": 1, "graceful_timeout_s": 5}))
        for _ in range(10):
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(running)), timeout=10))
            caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            assert caller.recv(65536)
        began = time.monotonic()
        running.process.terminate()
        running.process.wait(20)

        assert time.monotonic() - began < 4


def test_without_a_descriptor_left_it_goes_on_with_those_that_it_has(tmp_path: Path) -> None:
    """A worker that ended then took its readers with it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        running = stack.enter_context(a_served_installation(tmp_path, server={"workers": 1}))
        worker = int(Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()[0])
        reader = http.client.HTTPConnection("127.0.0.1", port_of(running), timeout=10)
        stack.callback(reader.close)
        reader.request("GET", "/healthz")
        assert reader.getresponse().read()
        held = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (held + 5, hard))
        for _ in range(30):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(running)), timeout=10))
        time.sleep(0.5)

        for _ in range(3):
            reader.request("GET", "/healthz")
            assert reader.getresponse().read()
        assert Path(f"/proc/{worker}").exists()
        assert "No connection can be taken" in running.log
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
        stack.pop_all().close()
