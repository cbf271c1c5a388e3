"""Shared state: sealed, expiring, taken once, migrated, private (smart-imaging group 34; issue 2, item 10)."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from fhir_imaging.store.replay import ReplayMemory
from fhir_imaging.store.sealed import SealedRecords


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(state_dir: Path) -> Iterator[Store]:
    opened = Store.open(StateSettings(state_dir=state_dir))
    opened.migrate()
    opened.check_migrated()
    yield opened
    opened.close()


def test_a_record_is_sealed_in_the_file_and_its_id_is_not_there(store: Store, state_dir: Path) -> None:
    record_id = SealedRecords(store, "session").add({"access_token": "very-secret"}, expires_at=100)
    store.close()

    content = b"".join(path.read_bytes() for path in state_dir.iterdir() if path.name.startswith(SQLITE_FILE))
    assert b"very-secret" not in content
    assert record_id.encode() not in content


def test_a_record_ends_by_itself_and_kinds_do_not_mix(store: Store) -> None:
    sessions, launches = SealedRecords(store, "session"), SealedRecords(store, "launch")
    record_id = sessions.add({"a": 1}, expires_at=100)

    assert sessions.get(record_id, now=99) == {"a": 1}
    assert sessions.get(record_id, now=100) is None
    assert launches.get(record_id, now=1) is None
    assert sessions.purge(now=100) == 1


def test_of_many_takers_exactly_one_gets_the_record(store: Store) -> None:
    records = SealedRecords(store, "launch")
    record_id = records.add({"a": 1}, expires_at=100)

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: records.take(record_id, now=1), range(8)))

    assert [one for one in taken if one] == [{"a": 1}]


def test_a_lease_is_exclusive_until_released_or_over(store: Store) -> None:
    records = SealedRecords(store, "session")
    record_id = records.add({"a": 1}, expires_at=100)

    assert records.lease(record_id, now=10, seconds=5)
    assert not records.lease(record_id, now=14, seconds=5)
    assert records.lease(record_id, now=15, seconds=5)
    assert records.replace(record_id, {"a": 2}, expires_at=200)
    assert records.lease(record_id, now=15, seconds=5)
    records.release(record_id)
    assert records.lease(record_id, now=15, seconds=5)
    records.remove(record_id)
    assert not records.replace(record_id, {"a": 3}, expires_at=200)


def test_another_installation_cannot_open_the_records(store: Store, state_dir: Path, tmp_path: Path) -> None:
    records = SealedRecords(store, "session")
    record_id = records.add({"a": 1}, expires_at=100, record_id="known")
    (state_dir / "master.key").unlink()
    other = Store.open(StateSettings(state_dir=state_dir))

    assert SealedRecords(other, "session").get(record_id, now=1) is None
    other.close()


def test_a_token_id_counts_once_per_issuer_across_threads(store: Store) -> None:
    memory = ReplayMemory(store)

    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda _: memory.is_first_use("iss", "jti", expires_at=100, now=1), range(8)))

    assert firsts.count(True) == 1
    assert memory.is_first_use("other", "jti", expires_at=100, now=1)
    assert memory.is_first_use("iss", "jti", expires_at=300, now=101)


def test_files_are_private(store: Store, state_dir: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in state_dir.iterdir()}
    assert modes["master.key"] == 0o600
    assert modes[SQLITE_FILE] == 0o600
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_a_readable_key_or_directory_is_refused(state_dir: Path, store: Store) -> None:
    (state_dir / "master.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Store.open(StateSettings(state_dir=state_dir))
    state_dir.chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        Store.open(StateSettings(state_dir=state_dir))


def test_an_unmigrated_database_is_named(state_dir: Path) -> None:
    store = Store.open(StateSettings(state_dir=state_dir))
    with pytest.raises(ConfigurationError, match="imaging-cds migrate"):
        store.check_migrated()
    store.migrate()
    store.check_migrated()
    assert store.is_reachable()
    store.close()


def test_several_workers_may_migrate_at_once(state_dir: Path) -> None:
    stores = [Store.open(StateSettings(state_dir=state_dir)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.migrate(), stores))
    for one in stores:
        one.check_migrated()
        one.close()


def a_record(**changes: object) -> AuditRecord:
    values: dict[str, object] = {
        "recorded_at": 10,
        "ehr": "sandbox",
        "action": AuditAction.STUDY_OPENED,
        "outcome": AuditOutcome.ALLOWED,
        "patient_id": "p1",
        "user": "Practitioner/1",
        "study_instance_uid": "1.2.3",
    }
    return AuditRecord(**(values | changes))  # type: ignore[arg-type]


def test_audit_records_are_found_by_patient_user_study_and_time(store: Store, state_dir: Path) -> None:
    log = AuditLog(store)
    first, second = a_record(), a_record(recorded_at=20, patient_id="p2", outcome=AuditOutcome.DENIED, reason="other-patient")
    log.append(first)
    log.append(second)

    assert list(log.find(AuditFilter())) == [second, first]
    assert list(log.find(AuditFilter(patient_id="p1"))) == [first]
    assert list(log.find(AuditFilter(user="Practitioner/1", since=15))) == [second]
    assert list(log.find(AuditFilter(study_instance_uid="1.2.3", until=15))) == [first]
    assert list(log.find(AuditFilter(ehr="other"))) == []
    store.close()
    with sqlite3.connect(state_dir / SQLITE_FILE) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert "p1" not in dump
    assert "Practitioner" not in dump
