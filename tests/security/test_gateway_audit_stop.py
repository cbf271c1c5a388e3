"""A worker that is told to stop ends its deliveries: what a sink has not got yet is free for others at once (group 34)."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Response

from fhir_imaging.audit_outbox import LEASE_S, Outbox
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from tests.audit_actors import StubAuditServer
from tests.security.audited_installation import Installation, audit_counterparts, token_of

STUDIES = 30
SLOW_S = 0.25


@pytest.fixture
def site_with_a_slow_sink(tmp_path: Path) -> Iterator[tuple[Installation, StubAuditServer]]:
    with audit_counterparts() as (ehr, pacs, server):
        server.instead = slow
        yield Installation(tmp_path, ehr, pacs, server), server


def slow(_event: object) -> Response | None:
    time.sleep(SLOW_S)
    return None


@pytest.mark.parametrize("ends_by", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_what_a_stopped_worker_had_taken_is_delivered_or_given_back(
    tmp_path: Path, site_with_a_slow_sink: tuple[Installation, StubAuditServer], ends_by: signal.Signals
) -> None:
    """The event under way ends; no lease has to run out before the next start goes on."""
    site, server = site_with_a_slow_sink
    tokens = [str(uuid4()) for _ in range(STUDIES)]
    with site.running() as process:
        assert all(site.opens(one) for one in tokens)
        site.wait_until(lambda: len(server.events) >= 2, 30)
        told = time.monotonic()
        process.send_signal(ends_by)
        process.wait(30)
        took_s = time.monotonic() - told
    arrived = [token_of(event) for event in list(server.events.values())]
    waiting = due_now(tmp_path)

    assert process.returncode == 0
    assert took_s < LEASE_S / 2
    assert 2 <= len(arrived) < STUDIES, "it was stopped on the way"
    assert len(arrived) + len(waiting) == STUDIES
    assert set(waiting).isdisjoint(server.events), "what arrived was noted as delivered before the end"


def test_the_next_start_goes_on_where_the_last_one_stopped(
    site_with_a_slow_sink: tuple[Installation, StubAuditServer],
) -> None:
    site, server = site_with_a_slow_sink
    tokens = [str(uuid4()) for _ in range(STUDIES)]
    with site.running() as process:
        assert all(site.opens(one) for one in tokens)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    server.instead = lambda _: None
    with site.running():
        site.wait_until(lambda: len(server.events) == STUDIES, LEASE_S / 2)

    assert Counter(token_of(event) for event in server.events.values()) == Counter(tokens)
    assert set(server.writes.values()) == {1}, "no event was sent twice"
    assert site.written() == Counter(tokens)


def test_workers_that_are_replaced_leave_their_events_to_those_that_follow(
    site_with_a_slow_sink: tuple[Installation, StubAuditServer],
) -> None:
    site, server = site_with_a_slow_sink
    tokens = [str(uuid4()) for _ in range(STUDIES)]
    with site.running() as process:
        assert all(site.opens(one) for one in tokens)
        for worker in workers_of(process.pid):
            os.kill(worker, signal.SIGTERM)
        server.instead = lambda _: None
        site.wait_until(lambda: len(server.events) == STUDIES, LEASE_S / 2)

    assert Counter(token_of(event) for event in server.events.values()) == Counter(tokens)
    assert set(server.writes.values()) == {1}


def workers_of(server: int) -> list[int]:
    """Process ids."""
    return [int(one) for one in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


def due_now(directory: Path) -> list[str]:
    """The ids of the events that wait for the FHIR server and that any worker may take."""
    store = Store.open(StateSettings(state_dir=directory / "state"))
    try:
        return [one.event_key for one in Outbox(store, "fhir").take(now=int(time.time()), limit=10 * STUDIES)]
    finally:
        store.close()
