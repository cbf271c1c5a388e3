"""Audit events reach a file and a FHIR server, each once in effect, whatever fails meanwhile (group 34, BALP)."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from flask import Response
from sqlalchemy import event as happening
from sqlalchemy import text

from fhir_imaging.audit import AuditFilter, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.audit_delivery import BATCH, AuditDelivery
from fhir_imaging.audit_file import FileSink
from fhir_imaging.audit_outbox import LEASE_S, Outbox, SinkReport, give_up, purge, reports, retry_now
from fhir_imaging.audit_settings import FhirCreate
from fhir_imaging.audit_sinks import FhirSink, OutgoingEvent, Sink
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import Backlog, OutboxRules
from fhir_imaging.store.engine import Store
from tests.audit_actors import StubAuditServer, an_access, as_event, study_of
from tests.balp_profiles import PATIENT_READ, TOKEN_MINIMAL, faults
from tests.conftest import free_port_number, serving


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StateSettings(state_dir=tmp_path / "state"), OutboxRules(sinks=("file", "fhir")))
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def log(store: Store) -> AuditLog:
    return AuditLog(store)


@pytest.fixture
def server() -> Iterator[StubAuditServer]:
    stub = StubAuditServer()
    with serving(stub.app(), free_port_number()) as base:
        stub.base = base
        yield stub


class Clock:
    """UTC seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def to_fhir(server: StubAuditServer, create: FhirCreate = FhirCreate.PUT) -> FhirSink:
    return FhirSink(server.fhir_base, OutboundSession([server.base], timeout_s=2, retries=0), create=create)


def delivery(store: Store, clock: Clock, *sinks: Sink, **options: Any) -> AuditDelivery:
    return AuditDelivery(store, sinks, as_event, clock=clock, **options)


def an_event(key: str) -> OutgoingEvent:
    return OutgoingEvent(key=key, resource={"id": key}, is_repeated=False)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def report(store: Store, sink: str) -> SinkReport:
    return next(one for one in reports(store, (sink,)) if one.sink == sink)


def pending(store: Store) -> dict[str, int]:
    return {one.sink: one.pending for one in reports(store, ("file", "fhir"))}


# Both sinks


def test_every_event_reaches_both_sinks_under_one_id(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock, tmp_path: Path
) -> None:
    log.append(an_access("2.25.1"))
    log.append_once(an_access("2.25.2"), key="k", until=1_900_000_000, now=1_800_000_000)
    log.append_once(an_access("2.25.2"), key="k", until=1_900_000_000, now=1_800_000_000)
    log.append(an_access("2.25.3", outcome=AuditOutcome.DENIED, reason="study-not-of-patient"))

    arrived = delivery(store, clock, FileSink(tmp_path / "audit.jsonl", fsync=True), to_fhir(server)).deliver_due()

    written = lines_of(tmp_path / "audit.jsonl")
    assert arrived == 6
    assert [study_of(one) for one in written] == ["2.25.1", "2.25.2", "2.25.3"]
    assert {one["id"]: one for one in written} == server.events
    assert {one["id"] for one in written} == {one.event_key for one in log.stored(AuditFilter())}
    for event in written:
        AuditEvent.model_validate(event)
    assert pending(store) == {"file": 0, "fhir": 0}


def test_one_sink_that_fails_does_not_hold_up_the_other(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock, tmp_path: Path
) -> None:
    server.instead = lambda _: Response(status=503)
    log.append(an_access())

    delivery(store, clock, to_fhir(server), FileSink(tmp_path / "audit.jsonl", fsync=False)).deliver_due()

    assert len(lines_of(tmp_path / "audit.jsonl")) == 1
    assert pending(store) == {"file": 0, "fhir": 1}


# The file


def test_file_is_private_and_an_event_stays_on_its_line(store: Store, log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    """Group 34: log injection."""
    log.append(an_access(user='p1\n{"resourceType":"AuditEvent"}\u2028\x1b[31m', request_id="a\r\nb"))
    path = tmp_path / "audit.jsonl"

    delivery(store, clock, FileSink(path, fsync=True)).deliver_due()

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().count(b"\n") == 1
    assert path.read_bytes().isascii()
    assert "\x1b" not in path.read_text()
    AuditEvent.model_validate(lines_of(path)[0])


def test_file_that_was_moved_away_is_begun_anew(store: Store, log: AuditLog, clock: Clock, tmp_path: Path) -> None:
    path, worker = tmp_path / "audit.jsonl", None
    worker = delivery(store, clock, FileSink(path, fsync=True))
    log.append(an_access("2.25.1"))
    worker.deliver_due()
    path.rename(tmp_path / "audit.jsonl.1")
    log.append(an_access("2.25.2"))
    worker.deliver_due()

    assert [study_of(one) for one in lines_of(path)] == ["2.25.2"]


def test_event_written_by_a_worker_that_died_before_it_said_so_is_not_written_twice(
    store: Store, log: AuditLog, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        log.append(an_access(f"2.25.{number}"))
    (first, *_) = Outbox(store, "file").take(now=int(clock()), limit=1)
    record = next(one.record for one in log.stored(AuditFilter()) if one.event_key == first.event_key)
    outgoing = OutgoingEvent(key=first.event_key, resource=as_event(record, first.event_key), is_repeated=False)
    assert FileSink(path, fsync=True).send([outgoing], may_go_on=lambda: True).delivered  # and then it died
    worker = delivery(store, clock, FileSink(path, fsync=True))

    worker.deliver_due()
    assert pending(store)["file"] == 1
    clock.now += LEASE_S + 1
    worker.deliver_due()

    assert sorted(study_of(one) for one in lines_of(path)) == ["2.25.0", "2.25.1", "2.25.2"]
    assert pending(store)["file"] == 0


@pytest.mark.parametrize("replaced", [False, True])
def test_group_34_a_file_that_goes_while_a_worker_waits_for_it_takes_nothing_with_it(replaced: bool, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.touch()
    with ThreadPoolExecutor(1) as pool, path.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        sent = pool.submit(FileSink(path, fsync=True).send, [an_event("k1")], may_go_on=lambda: True)
        time.sleep(0.3)
        path.unlink()
        if replaced:
            path.write_text("{}\n")
        holder.close()
        assert sent.result(10).delivered == {"k1"}

    assert lines_of(path)[-1] == {"id": "k1"}
    assert len(lines_of(path)) == 1 + replaced


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "link"])
def test_group_34_what_is_no_regular_file_keeps_no_event(kind: str, fsync: bool, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path = Path("/dev/null")

    sent = FileSink(path, fsync=fsync).send([an_event("k1")], may_go_on=lambda: True)

    assert sent.delivered == sent.tried == set()
    assert (sent.failure or "").startswith("the file cannot be written: ")


def test_half_a_line_left_by_a_power_cut_does_not_swallow_the_next(
    store: Store, log: AuditLog, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"resourceType":"AuditEvent","id":"')
    log.append(an_access())

    delivery(store, clock, FileSink(path, fsync=True)).deliver_due()

    torn, whole = path.read_text().splitlines()
    assert study_of(json.loads(whole)) == "2.25.1"
    assert torn.startswith('{"resourceType"')


@pytest.mark.parametrize("obstacle", ["a folder", "no folder", "a link", "a full disk"])
def test_file_that_cannot_be_written_keeps_events_waiting(
    obstacle: str, store: Store, log: AuditLog, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "place" / "audit.jsonl"
    if obstacle == "a full disk":
        path = Path("/dev/full")
        if not path.exists():
            pytest.skip("this system has no /dev/full")
    elif obstacle != "no folder":
        path.parent.mkdir()
    if obstacle == "a folder":
        path.mkdir()
    if obstacle == "a link":
        path.symlink_to(tmp_path / "elsewhere")
    log.append(an_access())
    worker = delivery(store, clock, FileSink(path, fsync=True))

    worker.deliver_due()

    file = report(store, "file")
    assert (file.pending, file.resume_at) == (1, int(clock()) + 1)
    assert "cannot be written" in (file.last_error or "")
    assert not (tmp_path / "elsewhere").exists()


# The FHIR server


@pytest.mark.parametrize("create", list(FhirCreate))
def test_event_whose_answer_was_lost_is_sent_again_and_is_there_once(
    create: FhirCreate, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    log.append(an_access())
    (taken,) = Outbox(store, "fhir").take(now=int(clock()), limit=5)
    outgoing = OutgoingEvent(key=taken.event_key, resource=as_event(an_access(), taken.event_key), is_repeated=False)
    to_fhir(server, create).send([outgoing], may_go_on=lambda: True)  # the worker died with the answer
    clock.now += LEASE_S + 1

    delivery(store, clock, to_fhir(server, create)).deliver_due()

    assert list(server.writes.values()) == [2]
    assert server.studies() == ["2.25.1"]
    assert pending(store)["fhir"] == 0


@pytest.mark.parametrize("create", list(FhirCreate))
def test_what_is_sent_is_valid_r4(
    create: FhirCreate, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    log.append(an_access())

    delivery(store, clock, to_fhir(server, create)).deliver_due()

    (event,) = server.events.values()
    AuditEvent.model_validate(event)
    assert event["meta"]["profile"] == [PATIENT_READ, TOKEN_MINIMAL]
    assert faults(event) == []


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503])
def test_server_that_fails_is_left_alone_longer_and_longer_and_then_gets_everything(
    status: int, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    server.instead = lambda _: Response(status=status)
    for number in range(3):
        log.append(an_access(f"2.25.{number}"))
    worker, pauses = delivery(store, clock, to_fhir(server)), []
    for _ in range(5):
        worker.deliver_due()
        asked = len(server.authorizations)
        worker.deliver_due()
        assert len(server.authorizations) == asked, "asked before the pause was over"
        pauses.append(report(store, "fhir").resume_at - int(clock()))
        clock.now += pauses[-1]

    server.instead = lambda _: None
    worker.deliver_due()

    assert pauses == [1, 2, 4, 8, 16]
    assert server.studies() == ["2.25.0", "2.25.1", "2.25.2"]
    assert pending(store)["fhir"] == 0
    assert (report(store, "fhir").last_error, report(store, "fhir").delivered_at) == (None, int(clock()))


def test_retry_after_is_kept_by_every_worker(store: Store, log: AuditLog, server: StubAuditServer, clock: Clock) -> None:
    server.instead = lambda _: Response(status=503, headers={"Retry-After": "120"})
    log.append(an_access())
    delivery(store, clock, to_fhir(server)).deliver_due()
    clock.now += 119

    delivery(store, clock, to_fhir(server)).deliver_due()
    too_early = len(server.authorizations)
    clock.now += 2
    delivery(store, clock, to_fhir(server)).deliver_due()

    assert (too_early, len(server.authorizations)) == (1, 2)


def test_event_that_the_server_rejects_does_not_hold_up_the_others(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    server.instead = lambda event: Response(status=422) if study_of(event) == "2.25.1" else None
    for number in range(3):
        log.append(an_access(f"2.25.{number}"))
    worker = delivery(store, clock, to_fhir(server))

    worker.deliver_due()
    rejected = report(store, "fhir")
    server.instead = lambda _: None
    worker.deliver_due()
    retry_now(store, now=int(clock()))
    worker.deliver_due()

    assert (rejected.pending, rejected.failed) == (1, 1)
    assert server.studies() == ["2.25.0", "2.25.1", "2.25.2"]


def test_record_that_makes_no_event_does_not_hold_up_the_others(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    def particular(record: AuditRecord, key: str) -> dict[str, object]:
        if record.study_instance_uid == "2.25.1":
            raise KeyError("2.25.1")
        return as_event(record, key)

    for number in range(3):
        log.append(an_access(f"2.25.{number}"))
    with store.write() as connection:
        connection.execute(text("UPDATE audit_event SET body = 'altered' WHERE id = 1"))

    AuditDelivery(store, [to_fhir(server)], particular, clock=clock).deliver_due()

    assert server.studies() == ["2.25.2"]
    assert (report(store, "fhir").pending, report(store, "fhir").failed) == (2, 2)


@pytest.mark.parametrize("status", [403, 404, 500, 501])
def test_group_34_events_that_a_server_fails_at_hold_up_nobody(
    status: int, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    """Some answer 500 to what they cannot store: the others go before it, and in the end it waits as what they reject does."""
    poison = ("2.25.0", "2.25.1")
    server.instead = lambda event: Response(status=status) if study_of(event) in poison else None
    worker = delivery(store, clock, to_fhir(server))
    for number in range(60):
        log.append(an_access(f"2.25.{number}"))
        worker.deliver_due()
        clock.now += 20

    waiting, asked = report(store, "fhir"), len(server.authorizations)
    for number in range(60, 70):
        log.append(an_access(f"2.25.{number}"))
        worker.deliver_due()
        clock.now += 1

    assert (waiting.pending, waiting.failed) == (2, 2)
    assert len(server.events) == 68
    assert len(server.authorizations) == asked + 10


@pytest.mark.parametrize("status", [200, 201])
def test_group_34_a_page_for_people_keeps_no_event(
    status: int, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    """A proxy that asks to sign in answers 200 to everything; so do servers that were moved."""
    server.instead = lambda _: Response("<html>Please sign in</html>", status, content_type="text/html; charset=utf-8")
    log.append(an_access())
    worker = delivery(store, clock, to_fhir(server))

    assert worker.deliver_due() == 0
    assert report(store, "fhir").last_error == f"the server answered {status} with a page for people"
    server.instead = lambda _: None
    clock.now += 1
    assert worker.deliver_due() == 1


@pytest.mark.parametrize("status", [202, 203, 205, 207, 302, 303])
def test_group_34_only_an_event_that_is_stored_has_arrived(
    status: int, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    server.instead = lambda _: Response(status=status, headers={"Location": "/fhir/AuditEvent/1"})
    log.append(an_access())

    assert delivery(store, clock, to_fhir(server)).deliver_due() == 0
    assert (pending(store)["fhir"], report(store, "fhir").last_error) == (1, f"the server answered {status}")


def test_an_event_that_is_there_already_may_be_answered_with_not_modified(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    log.append(an_access())
    server.instead = lambda _: Response(status=304)
    worker = delivery(store, clock, to_fhir(server))

    first = worker.deliver_due()
    clock.now += 1

    assert (first, worker.deliver_due(), pending(store)["fhir"]) == (0, 1, 0)


def test_group_34_a_slow_server_holds_up_the_file_for_a_batch_only(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    lines: list[int] = []

    def slow(_: dict[str, Any]) -> None:
        if len(server.authorizations) == 1:
            for number in range(BATCH):
                log.append(an_access(f"2.25.2{number}"))
        if len(server.authorizations) == BATCH + 1:
            lines.append(len(path.read_text().splitlines()))

    for number in range(BATCH + 1):
        log.append(an_access(f"2.25.1{number}"))
    server.instead = slow
    delivery(store, clock, FileSink(path, fsync=False), to_fhir(server)).deliver_due()

    assert lines == [2 * BATCH]
    assert pending(store) == {"file": 0, "fhir": 0}


@pytest.mark.parametrize("ahead", [2 * 3600, 30 * 86_400])
def test_group_34_a_clock_that_was_ahead_delays_no_event(
    ahead: int, store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    log.append(an_access("2.25.1"))
    worker = delivery(store, clock, to_fhir(server))
    clock.now += ahead
    server.instead = lambda _: Response(status=503, headers={"Retry-After": "86400"})
    worker.deliver_due()
    Outbox(store, "file").take(now=int(clock()), limit=10)  # a worker that was killed with it
    clock.now -= ahead
    server.instead = lambda _: None

    arrived = worker.deliver_due()

    assert arrived == 1
    assert len(Outbox(store, "file").take(now=int(clock()), limit=10)) == 1


def test_group_34_retry_offers_also_what_a_clock_that_was_a_little_ahead_put_off(
    store: Store, log: AuditLog, clock: Clock
) -> None:
    log.append(an_access())
    outbox = Outbox(store, "file")
    outbox.take(now=int(clock()) + 1800, limit=10)
    leased = len(outbox.take(now=int(clock()), limit=10))

    retry_now(store, now=int(clock()))

    assert (leased, len(outbox.take(now=int(clock()), limit=10))) == (0, 1)
    retry_now(store, now=int(clock()))
    assert outbox.take(now=int(clock()), limit=10) == [], "what a worker has just taken stays its own"


def test_server_that_cannot_be_reached_is_a_failure_like_any_other(store: Store, log: AuditLog, clock: Clock) -> None:
    address = f"http://127.0.0.1:{free_port_number()}"
    log.append(an_access())

    delivery(store, clock, FhirSink(f"{address}/fhir", OutboundSession([address], retries=0))).deliver_due()

    assert (report(store, "fhir").pending, report(store, "fhir").last_error) == (1, "the server cannot be reached")


# Several workers


def test_workers_share_the_work_and_send_nothing_twice(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(20):
        log.append(an_access(f"2.25.{number}", outcome=AuditOutcome.DENIED))
    workers = [delivery(store, clock, FileSink(path, fsync=False), to_fhir(server)) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        arrived = sum(pool.map(lambda worker: worker.deliver_due(), workers))

    assert arrived == 40
    assert len({one["id"] for one in lines_of(path)}) == len(lines_of(path)) == 20
    assert set(server.writes.values()) == {1}


def test_running_delivery_takes_what_arrives_and_ends_when_told(store: Store, log: AuditLog, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    worker = AuditDelivery(store, [FileSink(path, fsync=True)], as_event)
    worker.start()
    try:
        log.append(an_access())
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        worker.stop()

    assert len(lines_of(path)) == 1
    log.append(an_access("2.25.2"))
    assert len(lines_of(path)) == 1


# Too much waits


def twenty_may_wait(store: Store) -> Backlog:
    """From now on; the next look is due."""
    return Backlog(replace(store.backlog.rules, max_pending=20))


def test_access_is_refused_while_too_many_records_wait_and_the_refusal_is_recorded(store: Store, log: AuditLog) -> None:
    for number in range(21):
        log.append(an_access(f"2.25.1{number}"))
    store.backlog = twenty_may_wait(store)

    with pytest.raises(UpstreamError) as refused:
        log.append(an_access("2.25.7"))
    with pytest.raises(UpstreamError):
        log.append_once(an_access("2.25.8"), key="k", until=1_900_000_000, now=1_800_000_000)
    log.append(an_access("2.25.9", outcome=AuditOutcome.DENIED, reason="token-missing"))

    found = list(log.find(AuditFilter(limit=3)))
    assert refused.value.retryable
    assert [(one.study_instance_uid, one.outcome, one.reason) for one in found] == [
        ("2.25.9", "denied", "token-missing"),
        ("2.25.8", "denied", "audit-backlog"),
        ("2.25.7", "denied", "audit-backlog"),
    ]
    give_up(store, "file")
    give_up(store, "fhir")
    store.backlog = twenty_may_wait(store)
    assert log.append_once(an_access("2.25.8"), key="k", until=1_900_000_000, now=1_800_000_000)


def test_refusals_without_number_close_no_images(store: Store, log: AuditLog) -> None:
    """Group 23: a caller without a token causes records too; they wait for the sinks and count for nobody's access."""
    for _ in range(60):
        log.append(an_access(outcome=AuditOutcome.DENIED))
    store.backlog = twenty_may_wait(store)

    log.append(an_access("2.25.7"))

    assert next(log.find(AuditFilter(limit=1))).outcome is AuditOutcome.ALLOWED


def test_group_34_a_sink_that_rejects_everything_is_one_that_fails(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock
) -> None:
    """What it rejects while it takes others counts for nobody's access; since it last took one, it does."""
    worker = delivery(store, clock, to_fhir(server))

    def is_closed() -> bool:
        """After as many accesses as may wait, and the one that is too many."""
        for _ in range(21):
            log.append(an_access("2.25.2", recorded_at=int(clock())))
        worker.deliver_due()
        clock.now += 1
        give_up(store, "file")
        return twenty_may_wait(store).is_full(store)

    server.instead = lambda _: Response(status=422)
    assert is_closed(), "it has never taken any"
    server.instead = lambda _: None
    log.append(an_access("2.25.1", recorded_at=int(clock())))
    worker.deliver_due()
    server.instead = lambda event: None if study_of(event) == "2.25.1" else Response(status=422)
    log.append(an_access("2.25.1", recorded_at=int(clock())))
    assert not is_closed()
    clock.now += 1
    assert is_closed(), "nothing was taken since"
    assert report(store, "fhir").failed == 63


def test_site_may_let_access_go_on_and_reads_it_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rules = OutboxRules(sinks=("file",), max_pending=1, refuses_when_full=False)
    store = Store.open(StateSettings(state_dir=tmp_path / "state"), rules)
    store.migrate()
    for number in range(2):
        AuditLog(store).append(an_access(f"2.25.1{number}"))
    store.backlog = Backlog(store.backlog.rules)  # the next look is due

    AuditLog(store).append(an_access("2.25.7"))

    (file,) = reports(store, ("file",))
    store.close()
    assert file.pending == 3
    assert "more than 1 records wait for a sink; access goes on" in caplog.text
    assert "2.25.7" not in caplog.text


# How long records are kept


def test_purge_takes_what_is_old_and_never_what_a_sink_still_waits_for(
    store: Store, log: AuditLog, server: StubAuditServer, clock: Clock, tmp_path: Path
) -> None:
    day = 86_400
    log.append(an_access("2.25.1", recorded_at=int(clock()) - 40 * day))
    log.append(an_access("2.25.2", recorded_at=int(clock()) - 20 * day))
    worker = delivery(store, clock, FileSink(tmp_path / "a", fsync=False), to_fhir(server), keep_days=30)
    server.instead = lambda _: Response(status=503)
    worker.deliver_due()
    kept = worker.purge_due()
    server.instead = lambda _: None
    clock.now += 10
    worker.deliver_due()

    assert (kept, worker.purge_due()) == (0, 0)  # the second only because a worker looks once an hour
    assert purge(store, before=int(clock()) - 30 * day) == 1
    assert [one.study_instance_uid for one in log.find(AuditFilter())] == ["2.25.2"]


def test_a_disk_that_fills_up_half_way_leaves_whole_lines_only(tmp_path: Path) -> None:
    """The process may write no more than 2 KB to a file: what a full disk does, without filling one."""
    import resource
    import signal

    path = tmp_path / "audit.jsonl"
    sink = FileSink(path, fsync=True)
    one = OutgoingEvent(key="k1", resource=as_event(an_access(), "k1"), is_repeated=False)
    many = [OutgoingEvent(key=f"m{n}", resource=as_event(an_access(), f"m{n}"), is_repeated=False) for n in range(9)]
    assert sink.send([one], may_go_on=lambda: True).delivered == {"k1"}
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 700, before[1]))
        sent = sink.send(many, may_go_on=lambda: True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)

    assert "cannot be written" in (sent.failure or "")
    assert sent.delivered == set()
    assert os.stat(path).st_size == size


@pytest.mark.parametrize("waits", [True, False])
def test_what_is_recorded_waits_for_the_disk_and_nothing_else_does(waits: bool, tmp_path: Path) -> None:
    """A power cut must not take back the record of an access that was answered."""
    store = Store.open(StateSettings(state_dir=tmp_path / "state"), OutboxRules(waits_for_disk=waits))
    store.migrate()
    levels: list[int] = []

    def note(connection: Any, *_: Any) -> None:
        levels.append(connection.connection.driver_connection.execute("PRAGMA synchronous").fetchone()[0])

    happening.listen(store.engine, "commit", note)
    AuditLog(store).append(an_access())
    with store.write() as connection:
        connection.execute(text("UPDATE audit_event SET ehr = ehr"))
    AuditLog(store).append_once(an_access(), key="k", until=2, now=1)
    store.close()

    assert levels == ([2, 1, 2] if waits else [1, 1, 1])
