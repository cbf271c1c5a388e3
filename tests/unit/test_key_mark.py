"""The master key's mark: who writes it, what a lost or foreign key is told, and that nothing is made or written then."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import delete, select, update

from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from fhir_imaging.store.key_mark import KeyState, mark_of
from fhir_imaging.store.keys import MASTER_KEY_FILE, Sealer
from fhir_imaging.store.sealed import SealedRecords
from fhir_imaging.store.tables import audit_event, installation_key

STUDY = "2.25.9"


@pytest.fixture
def state(tmp_path: Path) -> StateSettings:
    return StateSettings(state_dir=tmp_path / "state")


@pytest.fixture
def started(state: StateSettings) -> StateSettings:
    """Somebody worked with it: it has its mark and a record."""
    with closing(Store.open(state)) as store:
        store.migrate()
        store.check_migrated()
        an_opening(store)
    return state


def an_opening(store: Store) -> None:
    AuditLog(store).append(
        AuditRecord(
            recorded_at=10,
            ehr="north",
            action=AuditAction.STUDY_OPENED,
            outcome=AuditOutcome.ALLOWED,
            patient_id="p1",
            user="Practitioner/1",
            study_instance_uid=STUDY,
        )
    )


def start(state: StateSettings) -> list[str | None]:
    """What every program does first; the studies on record then."""
    with closing(Store.open(state)) as store:
        store.check_migrated()
        return [one.study_instance_uid for one in AuditLog(store).find(AuditFilter())]


def refused(state: StateSettings) -> str:
    with pytest.raises(ConfigurationError) as told:
        start(state)
    (problem,) = told.value.problems
    return problem


def forget_the_mark(state: StateSettings) -> None:
    """As a database is that was made before there were marks."""
    with closing(Store.open(state)) as store, store.write() as connection:
        connection.execute(delete(installation_key))


def marks(state: StateSettings) -> list[str]:
    with closing(Store.open(state)) as store, store.read() as connection:
        return list(connection.execute(select(installation_key.c.digest)).scalars())


def content(state: StateSettings) -> list[str]:
    """All that the database holds."""
    with closing(sqlite3.connect(state.state_dir / SQLITE_FILE)) as connection:
        return list(connection.iterdump())


def key_of(state: StateSettings) -> Path:
    return state.state_dir / MASTER_KEY_FILE


def is_lost(state: StateSettings) -> None:
    key_of(state).unlink()


def is_another(state: StateSettings) -> None:
    key_of(state).write_bytes(Fernet.generate_key())


def test_the_first_start_makes_the_key_and_the_mark_and_later_ones_agree(state: StateSettings) -> None:
    with closing(Store.open(state)) as store:
        store.migrate()
        assert not key_of(state).exists(), "whoever owns the tables needs no key"
        assert store.key_state() is KeyState.NEW

    assert start(state) == []
    assert start(state) == []

    assert marks(state) == [mark_of(Sealer.of(state.state_dir))]
    assert key_of(state).read_text() not in "\n".join(content(state))


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "from before there were marks"])
@pytest.mark.parametrize(
    ("change", "said"), [(is_lost, "is missing"), (is_another, "is not the key that the database was sealed with")]
)
def test_a_lost_or_foreign_key_is_refused_in_words_and_nothing_is_written(
    started: StateSettings, change: Callable[[StateSettings], None], said: str, marked: bool
) -> None:
    if not marked:
        forget_the_mark(started)
    kept = key_of(started).read_bytes()
    change(started)
    before = content(started), sorted(path.name for path in started.state_dir.iterdir()), key_bytes(started)

    problem = refused(started)

    assert f"{key_of(started)} {said}" in problem
    assert "Put back the master.key that was saved with this database" in problem
    assert "state.state_dir" in problem
    assert "empty database" in problem
    assert (content(started), sorted(path.name for path in started.state_dir.iterdir()), key_bytes(started)) == before
    key_of(started).write_bytes(kept)
    key_of(started).chmod(0o600)
    assert start(started) == [STUDY], "the key is back, and so is everything"


def key_bytes(state: StateSettings) -> bytes | None:
    return key_of(state).read_bytes() if key_of(state).exists() else None


def test_a_database_from_before_gets_the_mark_of_the_key_that_opens_it(started: StateSettings) -> None:
    before = marks(started)
    forget_the_mark(started)

    assert start(started) == [STUDY]

    assert marks(started) == before


def test_a_session_is_sealed_as_well_as_an_audit_record(state: StateSettings) -> None:
    with closing(Store.open(state)) as store:
        store.migrate()
        SealedRecords(store, "session").add({"a": 1}, expires_at=2**40)
    is_lost(state)

    assert "is missing" in refused(state)


def test_one_damaged_record_does_not_speak_for_all(started: StateSettings) -> None:
    with closing(Store.open(started)) as store:
        an_opening(store)
        with store.write() as connection:
            connection.execute(update(audit_event).where(audit_event.c.id == 2).values(body=b"damaged"))
    forget_the_mark(started)

    assert STUDY in start(started)


def test_to_begin_anew_is_to_have_an_empty_database(started: StateSettings) -> None:
    is_lost(started)
    for path in started.state_dir.glob(f"{SQLITE_FILE}*"):
        path.rename(path.with_name(f"old-{path.name}"))
    with closing(Store.open(started)) as store:
        store.migrate()

    assert start(started) == []


@pytest.mark.parametrize("held", [b"", b"half of a k", b"\xff\xfe" * 20])
def test_a_key_file_that_holds_no_key_is_told(started: StateSettings, held: bytes) -> None:
    key_of(started).write_bytes(held)

    assert f"{key_of(started)} holds no key" in refused(started)
    assert key_of(started).read_bytes() == held


@pytest.fixture
def many(state: StateSettings) -> Iterator[list[Store]]:
    """Opened before there is any key, as several workers do that start at once."""
    stores = [Store.open(state) for _ in range(8)]
    stores[0].migrate()
    yield stores
    for one in stores:
        one.close()


def test_of_many_that_start_at_once_all_have_the_same_key(many: list[Store]) -> None:
    with ThreadPoolExecutor(len(many)) as pool:
        list(pool.map(Store.check_migrated, many))

    assert {one.key_state() for one in many} == {KeyState.SAME}


def test_of_two_machines_with_keys_of_their_own_the_second_is_refused(state: StateSettings, tmp_path: Path) -> None:
    state.state_dir.mkdir(mode=0o700)
    address = f"sqlite:///{state.state_dir / SQLITE_FILE}"
    one, other = (StateSettings(state_dir=tmp_path / name, database_url=address) for name in ("one", "other"))
    with closing(Store.open(one)) as store:
        store.migrate()
        store.check_migrated()

    assert "of several machines, another one's" in refused(other)
    assert not key_of(other).exists()

    key_of(other).write_bytes(key_of(one).read_bytes())
    key_of(other).chmod(0o600)
    assert start(other) == []
