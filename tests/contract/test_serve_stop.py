"""``imaging-cds serve`` told to stop: who is being answered is answered, who waits in line too, and nobody else is let in."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Response

from fhir_imaging.audit import AuditFilter, AuditLog
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from tests.security.gateway_actors import Answer
from tests.security.gateway_stubs import FRAME, Asked
from tests.served_actors import Installation, a_served_installation

GRACE_S = 6


@dataclass
class SlowArchive:
    """Answers no retrieval before it is allowed to."""

    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def answer(self, asked: Asked) -> Response | None:
        if "/frames/" in asked.path:
            self.asked.set()
            self.may_answer.wait(60)
        return None


@contextmanager
def a_request_under_way(site: Installation) -> Iterator[tuple[SlowArchive, Future[Answer]]]:
    """A caller waits for a frame that the archive has not sent yet."""
    archive = SlowArchive()
    site.pacs.answer = archive.answer
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(site.gateway, FRAME, site.north.token())
        try:
            assert archive.asked.wait(20)
            yield archive, waiting
        finally:
            archive.may_answer.set()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Installation]:
    """One worker, so that every connection is its own."""
    server = {"workers": 1, "graceful_timeout_s": GRACE_S}
    limits = {"rate_limit": {"refusals_per_minute": 2}}
    with a_served_installation(tmp_path, server=server, imaging_server=limits) as running:
        yield running


def test_a_request_under_way_is_answered_and_new_ones_are_refused_at_once(site: Installation) -> None:
    kept = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=20)
    kept.request("GET", "/readyz")
    assert kept.getresponse().read()
    with a_request_under_way(site) as (archive, waiting):
        told = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        wait_until_closed(site)
        closed_s = time.monotonic() - told
        kept.request("GET", "/readyz")
        ready = kept.getresponse()
        said = ready.read()
        archive.may_answer.set()
        answer = waiting.result(20)
    status = site.process.wait(GRACE_S + 10)

    assert closed_s < 1.5, "not only when the last request is done"
    assert (ready.status, ready.headers["Connection"]) == (503, "close")
    assert b"is stopping" in said
    assert answer.status == 200
    assert b"pixels of" in answer.body
    assert status == 0


def test_a_request_without_end_is_cut_off_in_time_and_what_runs_beside_it_is_ended_properly(
    site: Installation, tmp_path: Path
) -> None:
    refused = [site.gateway(FRAME).status for _ in range(6)]
    with a_request_under_way(site) as (_, waiting):
        told = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        site.process.wait(GRACE_S + 30)
        took_s = time.monotonic() - told
        error = waiting.exception(20)

    assert GRACE_S - 1 < took_s < GRACE_S + 15
    assert isinstance(error, http.client.RemoteDisconnected | ConnectionError)
    assert refused == [401, 401, 429, 429, 429, 429]
    assert any("too-many-requests: and" in str(one) for one in reasons(tmp_path)), "a worker that is killed does not tell"


def test_who_is_connected_already_is_answered(site: Installation) -> None:
    """They stand in line before a busy worker when it is told to stop. None may be cut: a POST is not repeated."""
    (worker,) = (int(one) for one in Path(f"/proc/{site.process.pid}/task/{site.process.pid}/children").read_text().split())
    os.kill(worker, signal.SIGSTOP)
    callers = [socket.create_connection(("127.0.0.1", urlsplit(site.url).port or 0), timeout=20) for _ in range(12)]
    for caller in callers:
        caller.sendall(b"POST /healthz HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}")
    site.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # the signal reaches the worker, which stands still
    os.kill(worker, signal.SIGCONT)
    answers = [caller.recv(65536).split(b"\r\n")[0] for caller in callers]
    for caller in callers:
        caller.close()

    assert answers == [b"HTTP/1.1 405 METHOD NOT ALLOWED"] * 12
    assert site.process.wait(20) == 0


def wait_until_closed(site: Installation) -> None:
    """Returns once connections are refused; one that is taken and not answered fails."""
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", urlsplit(site.url).port or 0), timeout=1).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            pass  # knocked in the very moment of closing: cut off before anything was said, so the next one is refused
        time.sleep(0.05)
    raise AssertionError("connections are still taken")


def reasons(directory: Path) -> list[str | None]:
    """Of the refusals on record."""
    store = Store.open(StateSettings(state_dir=directory / "state"))
    try:
        return [one.reason for one in AuditLog(store).find(AuditFilter(limit=None))]
    finally:
        store.close()
