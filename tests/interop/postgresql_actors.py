"""A private PostgreSQL server for tests, and what other worker processes do with the state that they share on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from fhir_imaging.audit import AuditAction, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.audit_outbox import Outbox
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.store.replay import ReplayMemory
from fhir_imaging.store.sealed import SealedRecords
from tests.conftest import free_port_number

T = TypeVar("T")
START_TIMEOUT_S = 30.0
PROCESSES = 3
"""That share a database in a test."""
INSTALL_HINT = "PostgreSQL's server is not installed. On Debian: apt-get install postgresql"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "80",
    "deadlock_timeout": "100ms",  # a deadlock must show as an error within the test
}


def binaries() -> Path | None:
    """The folder with ``initdb`` and ``postgres``: Debian's newest, else what is on the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).parent if found else None


@dataclass(slots=True)
class PostgresqlServer:
    """A server of this test run only: no password, no fsync, loopback."""

    bin_dir: Path
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str) -> str:
        """SQLAlchemy URL as a site would write it."""
        return f"postgresql+psycopg://imaging@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"imaging_{next(self._names)}"
        with self._connected() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")  # type: ignore[arg-type]
        return self.url(name)

    def make(self) -> None:
        """The empty cluster, of the one user ``imaging``."""
        shutil.chown(self.directory, *(("postgres", "postgres") if os.geteuid() == 0 else (os.getuid(), os.getgid())))
        options = ("--auth=trust", "--username=imaging", "--encoding=UTF8", "--locale=C", "--no-sync")
        subprocess.run(
            [str(self.bin_dir / "initdb"), "-D", str(self.directory / "data"), *options],
            check=True,
            capture_output=True,
            cwd="/",
            **_as_other_user(),
        )

    def start(self) -> None:
        """Returns when it answers."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.bin_dir / "postgres"), "-D", str(self.directory / "data"), "-p", str(self.port), *settings],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                **_as_other_user(),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "server.log").read_text()
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it as an administrator's restart does: open connections are cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
            self.process = None

    def crash(self) -> None:
        """Ends it as a lost machine does, but for the disk: nothing is written any more, and the next start recovers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)
            self.process = None

    def commits_before_it_answers(self, database_url: str) -> None:
        """``synchronous_commit`` as PostgreSQL has it by default; the other tests go without."""
        name = database_url.rpartition("/")[2]
        with self._connected() as connection:
            connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")  # type: ignore[arg-type]

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="imaging", dbname="postgres", connect_timeout=2, autocommit=True
        ) as connection:
            yield connection

    def _answers(self) -> bool:
        try:
            with self._connected():
                return True
        except psycopg.OperationalError:
            return False


def _as_other_user() -> dict[str, Any]:
    """PostgreSQL refuses to run as root; Debian's package makes a user for it."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def a_postgresql_server() -> Iterator[PostgresqlServer]:
    """A running server in a directory of its own, which its user can reach where pytest's cannot be; gone afterwards."""
    bin_dir = binaries()
    if bin_dir is None:
        pytest.skip(INSTALL_HINT)
    with tempfile.TemporaryDirectory(prefix="imaging-cds-postgresql-", ignore_cleanup_errors=True) as directory:
        server = PostgresqlServer(bin_dir, Path(directory), free_port_number())
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def connections_closed() -> Iterator[None]:
    """Closes at its end what was connected meanwhile: an application's connections otherwise end with its process."""
    made: list[Any] = []

    def note(connection: Any, _record: Any) -> None:
        made.append(connection)

    event.listen(Pool, "connect", note)
    try:
        yield
    finally:
        event.remove(Pool, "connect", note)
        for connection in made:
            connection.close()


# What runs in other processes: each opens the store for itself, as a worker does after the fork.


@dataclass(frozen=True, slots=True)
class Work:
    """Where the shared state is, and when (UTC seconds) all processes begin together."""

    settings: StateSettings
    begin_at: float

    @contextmanager
    def store(self) -> Iterator[Store]:
        opened = Store.open(self.settings)
        try:
            time.sleep(max(0.0, self.begin_at - time.time()))
            yield opened
        finally:
            opened.close()


@dataclass(slots=True)
class WorkerProcesses:
    """Processes that have the program loaded and wait for work."""

    pool: ProcessPoolExecutor
    number: int

    def all_at_once(self, job: Callable[[Work, T], Any], settings: StateSettings, argument: T) -> list[Any]:
        """What every process made of the same job, begun in the same moment."""
        work = Work(settings, time.time() + 0.15)
        return [future.result(30) for future in [self.pool.submit(job, work, argument) for _ in range(self.number)]]


def migrate(work: Work, times: int) -> None:
    """Migrates as each of several workers would at their start."""
    with work.store() as store:
        for _ in range(times):
            store.migrate()
        store.check_migrated()


def take_records(work: Work, record_ids: Sequence[str]) -> list[str]:
    """The ids of those records that this process got."""
    with work.store() as store:
        records = SealedRecords(store, "launch")
        return [one for one in record_ids if records.take(one, now=1) == {"id": one}]


def lease_records(work: Work, record_ids: Sequence[str]) -> list[str]:
    """The ids of those records that this process may change."""
    with work.store() as store:
        records = SealedRecords(store, "session")
        return [one for one in record_ids if records.lease(one, now=10, seconds=30)]


def use_tokens(work: Work, token_ids: Sequence[str]) -> list[str]:
    """The JWT ids that this process was the first to see, while the ids of ended JWTs are forgotten."""
    with work.store() as store:
        memory = ReplayMemory(store)
        return [one for one in token_ids if memory.is_first_use("cds:ehr", one, expires_at=500, now=200)]


def open_studies(work: Work, studies: Sequence[str]) -> list[str]:
    """The studies whose opening this process recorded."""
    with work.store() as store:
        log = AuditLog(store)
        return [one for one in studies if log.append_once(an_opening(one), key=one, until=300, now=200)]


def take_audit_events(work: Work, at_a_time: int) -> list[int]:
    """The ids of those audit events that this process brought to their sink."""
    brought: list[int] = []
    with work.store() as store:
        outbox = Outbox(store, "file")
        while taken := outbox.take(now=300, limit=at_a_time):
            outbox.delivered(taken, now=300)
            brought += [one.event_id for one in taken]
    return brought


def an_opening(study: str, **changes: Any) -> AuditRecord:
    """A study that a practitioner opened."""
    values: dict[str, Any] = {
        "recorded_at": 200,
        "ehr": "sandbox",
        "action": AuditAction.STUDY_OPENED,
        "outcome": AuditOutcome.ALLOWED,
        "patient_id": "demo-a",
        "user": "Practitioner/demo-gp",
        "study_instance_uid": study,
    }
    return AuditRecord(**(values | changes))
