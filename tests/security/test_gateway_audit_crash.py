"""Access that was answered is in the audit sinks, however the server died: real workers, ended with kill -9 (group 34)."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Response

from fhir_imaging.audit_outbox import LEASE_S
from tests.audit_actors import StubAuditServer
from tests.security.audited_installation import Installation, audit_counterparts, token_of
from tests.security.gateway_stubs import StubEhr, StubPacs


@pytest.fixture
def counterparts() -> Iterator[tuple[StubEhr, StubPacs, StubAuditServer]]:
    with audit_counterparts() as made:
        yield made


def test_every_answered_access_is_in_both_sinks_once_after_kill_9(
    tmp_path: Path, counterparts: tuple[StubEhr, StubPacs, StubAuditServer]
) -> None:
    ehr, pacs, server = counterparts
    site, answered = Installation(tmp_path, ehr, pacs, server), set[str]()

    def knock(jti: str) -> str | None:
        return jti if site.opens(jti) else None

    for _ in range(3):
        with site.running() as process, ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(knock, str(uuid4())) for _ in range(120)]
            deadline = time.monotonic() + 30
            while sum(one.done() for one in asked) < 60 and time.monotonic() < deadline:
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)  # requests and deliveries are under way
            answered |= {jti for one in asked if (jti := one.result()) is not None}
    with site.running():
        site.wait_for_delivery(answered)
        deadline = time.monotonic() + LEASE_S + 30
        while not answered <= {token_of(event) for event in list(server.events.values())} and time.monotonic() < deadline:
            time.sleep(0.1)

    assert len(answered) >= 100
    written = site.written()
    assert answered <= set(written)
    assert set(written.values()) == {1}
    assert answered <= (arrived := Counter(token_of(event) for event in server.events.values())).keys()
    assert set(arrived.values()) == {1}


def test_two_workers_deliver_without_doubles(tmp_path: Path, counterparts: tuple[StubEhr, StubPacs, StubAuditServer]) -> None:
    ehr, pacs, server = counterparts
    site = Installation(tmp_path, ehr, pacs, server)
    tokens = {str(uuid4()) for _ in range(80)}
    with site.running(), ThreadPoolExecutor(8) as pool:
        assert all(pool.map(site.opens, tokens))
        site.wait_for_delivery(tokens)
        deadline = time.monotonic() + 30
        while len(server.events) < len(tokens) and time.monotonic() < deadline:
            time.sleep(0.05)

    assert site.written() == Counter(tokens)
    assert Counter(token_of(event) for event in server.events.values()) == Counter(tokens)
    assert set(server.writes.values()) == {1}


def test_sink_that_is_down_refuses_access_beyond_the_limit_and_gets_everything_later(
    tmp_path: Path, counterparts: tuple[StubEhr, StubPacs, StubAuditServer]
) -> None:
    ehr, pacs, server = counterparts
    site = Installation(tmp_path, ehr, pacs, server, max_pending=10)
    server.instead = lambda _: Response(status=503)
    opened: list[str] = []
    with site.running():
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            jti = str(uuid4())
            if not site.opens(jti):
                break
            opened.append(jti)
            time.sleep(0.05)
        time.sleep(1.2)  # each worker looks once a second how much waits
        retrieved = len(pacs.retrievals())
        refused = site.opens(str(uuid4()))
        assert len(pacs.retrievals()) == retrieved
        server.instead = lambda _: None
        site.wait_until(lambda: set(opened) <= {token_of(one) for one in list(server.events.values())}, 60)
        time.sleep(1.2)
        again = site.opens(str(uuid4()))

    assert (len(opened) > 10, refused, again) == (True, False, True)
    reasons = Counter(event.get("outcomeDesc") for event in server.events.values())
    assert reasons["audit-backlog"] >= 2
