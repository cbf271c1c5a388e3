"""Everything that the shared state promises, on PostgreSQL: among threads and among processes.

Issue 2 item 10; DESIGN §9 (many workers share one PostgreSQL).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from cds_service.card_parts import IssuedCard
from cds_service.feedback import FeedbackEntry, Outcome, OverrideReason
from cds_service.feedback_store import FeedbackStore
from fhir_imaging import audit
from fhir_imaging.audit import AuditFilter, AuditLog, AuditOutcome
from fhir_imaging.audit_outbox import Outbox, purge, reports
from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import OutboxRules
from fhir_imaging.store.engine import Store, alembic_config
from fhir_imaging.store.replay import ReplayMemory
from fhir_imaging.store.sealed import SealedRecords
from fhir_imaging.store.tables import metadata
from pacs_sync.tables import sync_study
from tests.conftest import free_port_number
from tests.interop.postgresql_actors import (
    WorkerProcesses,
    an_opening,
    lease_records,
    migrate,
    open_studies,
    take_audit_events,
    take_records,
    use_tokens,
)

pytestmark = pytest.mark.interop
THREADS = 8


# Migrations


def test_several_processes_migrate_an_empty_database_at_once(processes: WorkerProcesses, settings: StateSettings) -> None:
    processes.all_at_once(migrate, settings, 2)

    store = Store.open(settings)
    store.check_migrated()
    assert store.is_reachable()
    store.close()


def test_the_migrations_make_exactly_the_tables_that_the_program_uses(store: Store) -> None:
    assert sync_study.metadata is metadata  # each component puts its tables there
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_whole_migration_goes_down_and_up_again(store: Store) -> None:
    config = alembic_config()
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with store.read() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    with pytest.raises(ConfigurationError, match="imaging-cds migrate"):
        store.check_migrated()

    store.migrate()

    store.check_migrated()


def test_a_database_that_does_not_answer_is_explained_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://imaging:pass-word@127.0.0.1:{free_port_number()}/nothing"
    store = Store.open(StateSettings(state_dir=tmp_path / "state", database_url=url))

    with pytest.raises(UpstreamError, match="database") as while_migrating:
        store.migrate()
    with pytest.raises(UpstreamError, match="database") as while_checking:
        store.check_migrated()

    assert "pass-word" not in f"{while_migrating.value}{while_checking.value}"
    store.close()


@pytest.mark.parametrize(
    "url", ["postgresql+nodriver://imaging:pass-word@127.0.0.1/x", "pass-word", "postgresql+pg8000://pass-word"]
)
def test_an_address_that_names_no_database_is_explained_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"state\.database_url") as refused:
        Store.open(StateSettings(state_dir=tmp_path / "state", database_url=url))

    assert "pass-word" not in str(refused.value)


# Sealed records


def test_of_many_threads_and_processes_exactly_one_takes_a_record(
    store: Store, settings: StateSettings, processes: WorkerProcesses
) -> None:
    records = SealedRecords(store, "launch")
    ids = [records.add({"id": f"one-{number}"}, expires_at=100, record_id=f"one-{number}") for number in range(20)]
    lonely = records.add({"a": 1}, expires_at=100)

    by_process = processes.all_at_once(take_records, settings, ids)
    with ThreadPoolExecutor(THREADS) as pool:
        by_thread = list(pool.map(lambda _: records.take(lonely, now=1), range(THREADS)))

    assert sorted(one for taken in by_process for one in taken) == sorted(ids)
    assert [one for one in by_thread if one] == [{"a": 1}]


def test_a_lease_is_given_to_one_process_and_ends_by_itself(
    store: Store, settings: StateSettings, processes: WorkerProcesses
) -> None:
    records = SealedRecords(store, "session")
    ids = [records.add({"a": 1}, expires_at=100) for _ in range(20)]

    leased = processes.all_at_once(lease_records, settings, ids)

    assert sorted(one for own in leased for one in own) == sorted(ids)
    assert not records.lease(ids[0], now=39, seconds=5)
    assert records.lease(ids[0], now=40, seconds=5)
    assert records.replace(ids[0], {"a": 2}, expires_at=200)
    assert records.lease(ids[0], now=40, seconds=5)
    records.release(ids[0])
    assert records.lease(ids[0], now=40, seconds=5)
    assert records.get(ids[0], now=150) == {"a": 2}


def test_records_end_by_themselves_and_are_purged_by_kind(store: Store) -> None:
    launches, sessions = SealedRecords(store, "launch"), SealedRecords(store, "session")
    launch, session = launches.add({"a": 1}, expires_at=100), sessions.add({"b": 1}, expires_at=100)

    assert launches.get(launch, now=99) == {"a": 1}
    assert launches.get(launch, now=100) is None
    assert sessions.get(launch, now=1) is None
    assert launches.take(session, now=1) is None
    assert launches.purge(now=100) == 1
    assert sessions.take(session, now=100) is None
    sessions.remove(session)
    assert not sessions.replace(session, {"b": 2}, expires_at=200)


def test_a_record_of_one_id_may_be_written_by_many_at_once(store: Store) -> None:
    """Two pages of one session open the same study in the same moment."""
    records = SealedRecords(store, "opened-study")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: records.add({"n": number % THREADS}, expires_at=100, record_id="same"), range(64)))

    assert records.get("same", now=1) is not None
    assert records.purge(now=100) == 1


# Replay memory


def test_a_token_id_counts_once_among_processes_while_old_ids_are_forgotten(
    store: Store, settings: StateSettings, processes: WorkerProcesses
) -> None:
    """R38. Every process also removes the ended ids, which must not lock the others out."""
    memory = ReplayMemory(store)
    for number in range(60):
        assert memory.is_first_use("cds:ehr", f"old-{number}", expires_at=100 + number, now=1)
    ids = [f"jti-{number}" for number in range(40)]

    firsts = processes.all_at_once(use_tokens, settings, ids)

    assert sorted(one for own in firsts for one in own) == sorted(ids)
    assert memory.is_first_use("cds:other", "jti-1", expires_at=500, now=200)
    assert memory.is_first_use("cds:ehr", "jti-1", expires_at=900, now=501)


def test_a_token_id_counts_once_among_threads(store: Store) -> None:
    memory = ReplayMemory(store)

    with ThreadPoolExecutor(THREADS) as pool:
        firsts = list(pool.map(lambda _: memory.is_first_use("iss", "jti", expires_at=100, now=1), range(THREADS)))

    assert firsts.count(True) == 1


def test_a_token_id_may_hold_any_character(store: Store) -> None:
    """JSON carries NUL and lone surrogates; a database does not, and a signed JWT must not end in a 500 for it."""
    memory = ReplayMemory(store)

    for token_id in ("a\0b", "\ud800", "x" * 255, "é" * 255):
        assert memory.is_first_use("iss", token_id, expires_at=100, now=1)
        assert not memory.is_first_use("iss", token_id, expires_at=100, now=1)


# Audit log


def test_an_opening_is_recorded_once_among_processes_and_again_after_its_window(
    store: Store, settings: StateSettings, processes: WorkerProcesses
) -> None:
    studies = [f"2.25.{number}" for number in range(20)]
    log = AuditLog(store)
    for study in studies:  # of an earlier window, so that each mark has to be made anew
        assert log.append_once(an_opening(study, recorded_at=100), key=study, until=150, now=100)

    recorded = processes.all_at_once(open_studies, settings, studies)

    assert sorted(one for own in recorded for one in own) == sorted(studies)
    assert len(list(log.find(AuditFilter(since=200)))) == len(studies)
    assert not log.append_once(an_opening(studies[0]), key=studies[0], until=400, now=299)
    assert log.append_once(an_opening(studies[0]), key=studies[0], until=400, now=300)


def test_audit_records_are_found_by_patient_user_study_and_time(store: Store) -> None:
    log = AuditLog(store)
    first = an_opening("2.25.1", recorded_at=10)
    second = replace(first, recorded_at=20, patient_id="demo-b", outcome=AuditOutcome.DENIED, reason="study-not-of-patient")
    log.append(first)
    log.append(second)

    assert list(log.find(AuditFilter())) == [second, first]
    assert list(log.find(AuditFilter(patient_id="demo-a"))) == [first]
    assert list(log.find(AuditFilter(user="Practitioner/demo-gp", since=15))) == [second]
    assert list(log.find(AuditFilter(study_instance_uid="2.25.1", until=15))) == [first]
    assert list(log.find(AuditFilter(ehr="other"))) == []
    assert list(log.find(AuditFilter(limit=1))) == [second]


def test_audit_records_are_read_over_several_pages_each_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 3)
    log = AuditLog(store)
    for number in range(10):
        log.append(an_opening(f"2.25.{number}", recorded_at=10 + number // 4))

    found = [one.study_instance_uid for one in log.find(AuditFilter(limit=None))]

    assert found == [f"2.25.{number}" for number in reversed(range(10))]


# Feedback


def an_entry(card: str, outcome: Outcome, reason: OverrideReason | None = None) -> FeedbackEntry:
    return FeedbackEntry(
        card_uuid=card,
        outcome=outcome,
        at=datetime(2026, 11, 21, tzinfo=UTC),
        accepted_suggestions=("s",) if outcome is Outcome.ACCEPTED else (),
        reason=reason,
    )


def test_feedback_sent_by_many_at_once_counts_once_for_each_card_and_rule(store: Store) -> None:
    """R34: the same card may be reported repeatedly."""
    feedback = FeedbackStore(store)
    issued = [IssuedCard(rule_id="fleischner", card={"uuid": f"card-{n}", "indicator": "warning"}) for n in range(3)]
    feedback.remember(issued, service_id="imaging-findings", client="ehr", now=100)
    entries = [an_entry("card-0", Outcome.ACCEPTED), an_entry("card-1", Outcome.OVERRIDDEN)]

    def report(_: int) -> int:
        return feedback.record(entries, service_id="imaging-findings", client="ehr", now=200)

    with ThreadPoolExecutor(THREADS) as pool:
        new = sum(pool.map(report, range(THREADS)))
    (rule,) = feedback.by_rule(since=100)

    assert new == 2
    assert (rule.rule_id, rule.indicator) == ("fleischner", "warning")
    assert (rule.shown, rule.accepted, rule.overridden) == (3, 1, 1)
    assert feedback.by_rule(since=101) == ()


def test_feedback_may_hold_any_character(store: Store) -> None:
    reason = OverrideReason(system="http://x", code="not\0here", display="n\0", comment="Said \0 nothing")

    entry = an_entry("card-0", Outcome.OVERRIDDEN, reason=reason)
    assert FeedbackStore(store).record([entry], service_id="imaging-findings", client="ehr", now=200) == 1


# Delivery of audit events


def test_several_processes_deliver_every_audit_event_once(processes: WorkerProcesses, settings: StateSettings) -> None:
    """Group 34: rows locked with SKIP LOCKED; each event is taken by one process only."""
    filling = Store.open(settings, OutboxRules(sinks=("file",)))
    filling.migrate()
    for number in range(200):
        AuditLog(filling).append(an_opening(f"2.25.{number}"))

    taken = processes.all_at_once(take_audit_events, settings, 7)

    waiting = reports(filling, ("file",))
    filling.close()
    assert sorted(one for part in taken for one in part) == sorted({one for part in taken for one in part})
    assert sum(map(len, taken)) == 200
    assert sum(1 for part in taken if part) > 1
    assert waiting[0].pending == 0


def test_audit_events_are_purged_and_those_that_wait_are_kept(settings: StateSettings) -> None:
    filling = Store.open(settings, OutboxRules(sinks=("file",)))
    filling.migrate()
    for number in range(4):
        AuditLog(filling).append(an_opening(f"2.25.{number}"))
    outbox = Outbox(filling, "file")
    outbox.delivered(outbox.take(now=300, limit=3), now=300)

    removed = purge(filling, before=1000)

    kept = [one.study_instance_uid for one in AuditLog(filling).find(AuditFilter())]
    filling.close()
    assert (removed, kept) == (3, ["2.25.3"])
