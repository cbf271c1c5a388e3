"""The load of a site is an open loop: who waits is counted from when the answer was wanted, and nothing bad goes uncounted."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pytest

from tests.benchmarks.frame_load import got
from tests.benchmarks.load import Request
from tests.benchmarks.site_hooks import Hooks
from tests.benchmarks.site_load import Readers, Seen, Span

FRAME = bytes(2000)


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers with what its server was told to: status, body and how long it takes."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Any

    def do_GET(self) -> None:
        time.sleep(self.server.takes_s)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        if self.server.closes:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def answering(*, status: int = 200, body: bytes = FRAME, takes_s: float = 0.0, closes: bool = False) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        vars(server).update(status=status, body=body, takes_s=takes_s, closes=closes)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def read(port: int, *, readers: int = 3, seconds: float = 0.5, coming_s: float = 1.0) -> Seen:
    requests = [repeat(got("/frames/1", {})) for _ in range(readers)]
    return Readers(port=port, requests=requests, least=len(FRAME)).read(Span.from_now(coming_s, seconds))


def fired(port: int, *, seconds: float = 0.5, per_s: float = 20.0) -> Seen:
    def made() -> Request:
        return Request(path="/cds-services/any", method="POST", body=b"{}")

    return Hooks(base_url=f"http://127.0.0.1:{port}", make=made, per_s=per_s).fire(Span.from_now(0.0, seconds))


@pytest.mark.parametrize("closes", [False, True], ids=["kept", "closed"])
def test_answered_frames_are_counted_and_those_of_the_coming_apart(closes: bool) -> None:
    with answering(closes=closes) as port:
        seen = read(port)

    assert seen.faults == []
    assert len(seen.coming_s) >= 3
    assert seen.timing.count == len(seen.durations_s) > 0
    # A busy machine may not come to ask for the last one in time; what was never asked has no lateness.
    assert len(seen.late_s) == len(seen.durations_s) + len(seen.coming_s) - seen.unasked


@pytest.mark.parametrize(
    ("told", "fault"),
    [({"status": 503}, "503"), ({"status": 204, "body": b""}, "204"), ({"body": b"short"}, "too short")],
    ids=["busy", "empty", "short"],
)
def test_each_bad_answer_is_a_fault_and_has_no_duration(told: dict[str, Any], fault: str) -> None:
    with answering(**told) as port:
        seen = read(port)

    # Only of what a busy machine did not come to ask for in time.
    assert len(seen.durations_s) + len(seen.coming_s) == seen.unasked
    assert len(seen.faults) == len(seen.late_s) >= 3
    assert all(fault in said for said in seen.faults)
    assert seen.timing.p99_ms == pytest.approx(500, abs=1)


def test_what_was_never_asked_just_before_the_end_does_not_hide_that_nothing_was_answered() -> None:
    seen = Seen(Span.from_now(0.0, 0.5))
    seen.failed(ConnectionError("gone"))
    seen.never_asked(seen.span.ends - 0.004)

    assert seen.timing.p99_ms == pytest.approx(500, abs=1)


def test_who_waits_for_a_slow_server_is_counted_from_when_the_frame_was_wanted() -> None:
    """A closed loop would see two seconds each time; here a reader's second frame was wanted long before it was asked for."""
    with answering(takes_s=2.0) as port:
        seen = read(port, readers=1, seconds=4.0, coming_s=0.0)

    assert seen.faults == []
    assert seen.unasked >= 1
    assert max(seen.durations_s) > 2.4
    assert max(seen.late_s) < 0.5  # that is not the load generator's fault


def test_hooks_come_in_time_whoever_still_waits() -> None:
    with answering(body=b'{"cards": [{}]}', takes_s=1.2) as port:
        seen = fired(port, seconds=3.0, per_s=2.0)  # the last comes half a second before the end

    assert (seen.faults, seen.unasked, len(seen.durations_s)) == ([], 0, 6)
    assert min(seen.durations_s) >= 1.2


@pytest.mark.parametrize(
    "told",
    [{"status": 429}, {"body": b'{"cards": []}'}, {"body": b"{}"}, {"body": b"<html>"}],
    ids=["429", "none", "no-cards", "html"],
)
def test_a_hook_without_a_card_is_a_fault(told: dict[str, Any]) -> None:
    with answering(**told) as port:
        seen = fired(port)

    # The last comes 50 ms before the end: on a busy machine some may not go out any more, and have waited until then.
    assert len(seen.faults) + seen.unasked == 10
    assert len(seen.durations_s) == seen.unasked < 10


def test_hooks_that_nobody_was_free_to_fire_have_waited_until_the_end() -> None:
    with answering(body=b'{"cards": [{}]}', takes_s=1.0) as port:
        seen = fired(port, per_s=100.0)

    assert seen.unasked == 50 - 16  # as many as there are threads
    assert len(seen.durations_s) == 50


def test_a_load_has_bounds() -> None:
    for bounds in ({"readers": 0}, {"readers": 2001}, {"seconds": 0.0}, {"seconds": 9999.0}, {"coming_s": -1.0}):
        with pytest.raises(ValueError, match="too much"):
            read(9, **bounds)  # type: ignore[arg-type]
