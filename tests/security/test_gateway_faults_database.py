"""The database gone, slow or talking rubbish in the middle of a session: nothing is opened unrecorded, and it comes back."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import SQLITE_FILE, Store
from fhir_imaging.store.postgresql_limits import PatientConnection, without_limits
from tests.interop.postgresql_actors import PostgresqlServer, a_postgresql_server, connections_closed
from tests.security.gateway_actors import Answer
from tests.security.gateway_faults import Fault, Line, Troubled, a_troubled_world
from tests.security.gateway_stubs import FRAME, METADATA, PRIOR_A, STUDY_B
from tests.security.test_gateway_faults import has_no_leak, until

PRIOR = f"/studies/{PRIOR_A}/metadata"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with a_postgresql_server() as running:
        yield running


@contextmanager
def on_postgresql(server: PostgresqlServer, tmp_path: Path) -> Iterator[tuple[Troubled, Line, str]]:
    address = server.new_database()
    line = Line(f"http://127.0.0.1:{server.port}")
    state = StateSettings(state_dir=tmp_path, database_url=address.replace(str(server.port), str(line.port)))
    try:
        with connections_closed(), a_troubled_world(state, decision_cache_s=60) as world:
            yield world, line, address
    finally:
        line.close()


def is_refused(answer: Answer) -> bool:
    return answer.status == 503 and has_no_leak(answer) and answer.headers["Retry-After"].isdigit()


@pytest.mark.parametrize("fault", [Fault.GONE, Fault.NOISE, Fault.PAGE])
def test_group_34_what_cannot_be_recorded_is_not_opened(server: PostgresqlServer, tmp_path: Path, fault: Fault) -> None:
    with on_postgresql(server, tmp_path) as (world, line, _):
        token = world.opaque()
        assert world.get(FRAME, token).status == 200
        line.break_(fault)
        asked = len(world.pacs.retrievals())
        answers = [world.get(path, token) for path in (PRIOR, f"/studies/{STUDY_B}/metadata", METADATA)]
        unsigned = world.get(FRAME)
        fhir = world.send("GET", "/imaging/north/fhir/ImagingStudy?patient=pat-a", {"Authorization": f"Bearer {token}"})
        line.mend()

        assert [is_refused(one) for one in answers] == [True, True, True]
        assert unsigned.status == 503, "a refusal that cannot be recorded either"
        assert fhir.status == 503
        assert fhir.json()["resourceType"] == "OperationOutcome"
        assert len(world.pacs.retrievals()) == asked
        assert until(lambda: world.get(PRIOR, token).status == 200), "without a restart"
        assert world.get(f"/studies/{STUDY_B}/metadata", token).status == 403


def test_a_database_that_is_busy_holds_a_request_no_longer_than_its_limit(server: PostgresqlServer, tmp_path: Path) -> None:
    with on_postgresql(server, tmp_path) as (world, _, address):
        token = world.opaque()
        assert world.get(FRAME, token).status == 200
        event.listen(world.store.engine, "connect", _impatient)
        world.store.engine.dispose()
        with psycopg.connect(address.replace("+psycopg", "")) as other:
            other.execute("LOCK TABLE audit_event IN ACCESS EXCLUSIVE MODE")
            started = time.monotonic()
            answer = world.get(PRIOR, token)
            took = time.monotonic() - started
            other.rollback()

        assert is_refused(answer)
        assert took < 5
        assert world.get(PRIOR, token).status == 200


def test_a_database_that_never_answers_again_holds_nobody_for_long(
    server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It, or a pooler before it, keeps the connections open and is silent: on the server's side no limit helps."""
    monkeypatch.setattr(PatientConnection, "patience_s", 0.5)
    with on_postgresql(server, tmp_path) as (world, line, _):
        token = world.opaque()
        assert world.get(FRAME, token).status == 200
        line.break_(Fault.SLOW)
        started = time.monotonic()
        answer = world.get(PRIOR, token)
        took = time.monotonic() - started
        line.mend()

        assert is_refused(answer)
        assert took < 19, "its own limit, and that for new connections twice"
        assert until(lambda: world.get(PRIOR, token).status == 200), "without a restart"
        assert world.audit()[0].study_instance_uid == PRIOR_A


def test_a_late_answer_is_not_taken_for_that_of_the_next_question(server: PostgresqlServer, tmp_path: Path) -> None:
    store = Store.open(StateSettings(state_dir=tmp_path, database_url=server.new_database()))
    try:
        with store.read() as connection:
            driven: Any = connection.connection.driver_connection
            driven.patience_s = 0.2
            with pytest.raises(OperationalError):
                connection.execute(text("SELECT 1, pg_sleep(1)"))
        with store.read() as connection:
            assert connection.execute(text("SELECT 2")).scalar_one() == 2
            assert connection.connection.driver_connection is not driven
    finally:
        store.close()


def test_a_migration_has_no_limit_and_the_connection_has_it_again_afterwards(
    server: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PatientConnection, "patience_s", 0.4)
    store = Store.open(StateSettings(state_dir=tmp_path, database_url=server.new_database()))
    try:
        store.migrate()
        with store.engine.begin() as connection, without_limits(connection):
            connection.execute(text("SELECT pg_sleep(0.8)"))
        with store.read() as connection:
            driven: Any = connection.connection.driver_connection
            assert driven.patience_s == 0.4
    finally:
        store.close()


def test_a_database_statement_has_a_limit_of_its_own(server: PostgresqlServer, tmp_path: Path) -> None:
    with on_postgresql(server, tmp_path) as (world, _, _address), world.store.read() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "15s"


def _impatient(connection: Any, _record: object) -> None:
    """The same limit as in production, only shorter."""
    connection.execute("SET statement_timeout = '300ms'")
    connection.commit()


def test_sqlite_locked_by_another_process_is_503_until_it_lets_go(tmp_path: Path) -> None:
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=60) as world:
        token = world.opaque()
        assert world.get(FRAME, token).status == 200
        event.listen(world.store.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=300"))
        world.store.engine.dispose()
        other = sqlite3.connect(tmp_path / SQLITE_FILE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused = world.get(PRIOR, token)
        other.execute("ROLLBACK")
        other.close()

        assert is_refused(refused)
        assert world.get(PRIOR, token).status == 200


def test_sqlite_on_a_full_disk_is_503_until_there_is_room(tmp_path: Path) -> None:
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=60) as world:
        token = world.opaque()
        assert world.get(FRAME, token).status == 200
        pages = "PRAGMA max_page_count=1"  # SQLite takes the file's present size for it

        def fill(connection: Any, _record: object) -> None:
            connection.execute(pages)

        event.listen(world.store.engine, "connect", fill)
        world.store.engine.dispose()
        answers = [world.get(f"/studies/{STUDY_B}/metadata", token) for _ in range(40)]
        event.remove(world.store.engine, "connect", fill)
        world.store.engine.dispose()

        assert {one.status for one in answers} == {403, 503}, "the last pages fill up first"
        assert is_refused(answers[-1])
        assert world.get(PRIOR, token).status == 200


def test_sqlite_overwritten_with_rubbish_is_503_until_it_is_put_back(tmp_path: Path) -> None:
    with a_troubled_world(StateSettings(state_dir=tmp_path), decision_cache_s=60) as world:
        token = world.opaque()
        assert world.get(FRAME, token).status == 200
        world.store.engine.dispose()
        file = tmp_path / SQLITE_FILE
        good = file.read_bytes()
        file.write_bytes(b"SYNTHETIC^Alma" * (len(good) // 14))
        refused = world.get(PRIOR, token)
        world.store.engine.dispose()
        file.write_bytes(good)

        assert is_refused(refused)
        assert until(lambda: world.get(PRIOR, token).status == 200)
