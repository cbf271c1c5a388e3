"""The database of one installation: SQLite in the state directory by default, any SQLAlchemy URL by setting."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError

from fhir_imaging.errors import ConfigurationError, UpstreamError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.backlog import Backlog, OutboxRules
from fhir_imaging.store.key_mark import MASTER, REFUSED, KeyState, in_words, key_state, mark_of
from fhir_imaging.store.keys import Sealer, private_directory
from fhir_imaging.store.tables import installation_key

SQLITE_FILE = "imaging-cds.sqlite3"
_MIGRATION_LOCK = 0x1CD5  # any number, the same in every process
_SQLITE_PATIENCE_S = 15
_POSTGRESQL_PATIENCE = {
    "connect_timeout": 5,
    "tcp_user_timeout": 15_000,  # ms
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_NO_SINKS = OutboxRules()


class Store:
    """The engine and the sealer that belong together. One per process: make it after the fork, close it at the end."""

    def __init__(self, engine: Engine, state_dir: Path, outbox: OutboxRules = _NO_SINKS) -> None:
        self.engine = engine
        self.backlog = Backlog(outbox)
        self._state_dir = state_dir
        self._sealer = Sealer.present(state_dir)

    @classmethod
    def open(cls, settings: StateSettings, outbox: OutboxRules = _NO_SINKS) -> Store:
        """Connects lazily; tables are made by ``migrate``. ConfigurationError for an address that names no database.

        ``outbox`` says where audit records go beside the database.
        """
        private_directory(settings.state_dir)
        engine = _engine_of(settings.database_url or f"sqlite:///{settings.state_dir / SQLITE_FILE}")
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine)
            _own_file(engine)
        if engine.dialect.name == "postgresql":
            from fhir_imaging.store import postgresql_limits  # its driver is there where such a database is configured

            postgresql_limits.prepare(engine)
        return cls(engine, settings.state_dir, outbox)

    @property
    def sealer(self) -> Sealer:
        """Of the installation's key, which is made when something is to be sealed first; ``check_migrated`` goes before."""
        if self._sealer is None:
            self._sealer = Sealer.of(self._state_dir)
        return self._sealer

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """One transaction that may write; on SQLite it takes the write lock at once, so it never fails half-way.

        ``durable`` waits for the disk, for what must outlive a power cut; other transactions outlive a crash of ours only.
        PostgreSQL always waits unless its administrator says otherwise.
        """
        with self.engine.connect().execution_options(durable=durable) as connection, connection.begin():
            yield connection

    @contextmanager
    def write_once(self, *, durable: bool = False) -> Iterator[Connection]:
        """For one writing statement, which is a transaction by itself; ``durable`` as in ``write``.

        SQLite then holds its write lock within that statement only. Between the statements of ``write`` a busy interpreter may
        run other threads for many milliseconds, and every other worker waits for the lock meanwhile.
        """
        with self.engine.connect().execution_options(begin=None, durable=durable) as connection:
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One connection to read from; it never waits for a writer."""
        with self.engine.connect().execution_options(begin="BEGIN") as connection:
            yield connection

    def is_reachable(self) -> bool:
        """Whether the database answers (readiness)."""
        with self.read() as connection:
            return bool(connection.execute(text("SELECT 1")).scalar_one())

    def migrate(self) -> None:
        """Brings the tables to this version; safe when several processes do it at once.

        UpstreamError without a database, ConfigurationError for one that a newer version has migrated.
        """
        with _answering(), self.engine.begin() as connection, ExitStack() as stack:
            if connection.dialect.name == "postgresql":
                from fhir_imaging.store.postgresql_limits import without_limits

                stack.enter_context(without_limits(connection))  # other processes' migrations are waited for too
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config = alembic_config()
            config.attributes["connection"] = connection
            _refuse_newer(connection, config)
            command.upgrade(config, "head")

    def check_migrated(self) -> None:
        """ConfigurationError when tables are not of this version or were sealed with another key, UpstreamError without them.

        Every program that uses the store begins with it. The first one marks the database with its key; one that is refused
        writes nothing, and makes no key either.
        """
        self.check_revision()
        state = self.key_state()
        if state in (KeyState.NEW, KeyState.UNMARKED):
            with _answering(), self.write() as connection:
                mark = upsert(self, installation_key).values(name=MASTER, digest=mark_of(self.sealer))
                connection.execute(mark.on_conflict_do_nothing())
            state = self.key_state()  # a machine with a key of its own may have been first
        if state in REFUSED:
            raise ConfigurationError([" ".join(in_words(state, self._state_dir))])

    def key_state(self) -> KeyState:
        """What the installation's key is to a database of this version; only looked at."""
        with _answering(), self.read() as connection:
            return key_state(connection, self._present_sealer)

    def check_revision(self) -> None:
        """ConfigurationError when the tables are not of this version, UpstreamError without a database."""
        head = ScriptDirectory.from_config(alembic_config()).get_current_head()
        with _answering(), self.read() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        if found != head:
            raise ConfigurationError(
                [f"The database is at revision {found}, this version needs {head}: run imaging-cds migrate."]
            )

    def _present_sealer(self) -> Sealer | None:
        self._sealer = self._sealer or Sealer.present(self._state_dir)
        return self._sealer

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()


def is_begun(settings: StateSettings) -> bool:
    """Whether there is something to look at; ``Store.open`` makes the state directory and SQLite's file where they are not."""
    address = settings.database_url or f"sqlite:///{settings.state_dir / SQLITE_FILE}"
    is_elsewhere = not address.startswith("sqlite")
    return settings.state_dir.is_dir() and (is_elsewhere or Path(make_url(address).database or "").is_file())


def _refuse_newer(connection: Connection, config: Config) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    known = {one.revision for one in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise ConfigurationError(
            [
                f"The database is at revision {found}, which this version does not know: a newer one has migrated it. "
                "Start that version, or restore the backup from before the upgrade."
            ]
        )


def _turn_wal_on(connection: sqlite3.Connection) -> None:
    """Another process that does the same at this moment is not always waited for by SQLite itself (SQLITE_BUSY at once)."""
    give_up_at = time.monotonic() + _SQLITE_PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)


def _engine_of(address: str) -> Engine:
    """The engine for a database's address, which may hold a password: errors say what is wrong and never repeat it."""
    try:
        url = make_url(address)
        if url.drivername == "postgresql":  # which driver that means differs between versions of SQLAlchemy
            url = url.set(drivername="postgresql+psycopg")
        return create_engine(url, pool_pre_ping=url.get_backend_name() != "sqlite", connect_args=_connect_arguments(url))
    except (ArgumentError, ImportError) as exc:
        raise ConfigurationError(
            ["state.database_url names no database that can be used: write postgresql://USER@HOST/NAME, or install its driver."]
        ) from exc


def _connect_arguments(url: URL) -> dict[str, Any]:
    """A server that swallows packets must not hold a worker for minutes or hours, which is libpq's default."""
    if url.get_backend_name() != "postgresql":
        return {}
    return {name: value for name, value in _POSTGRESQL_PATIENCE.items() if name not in url.query}


@contextmanager
def _answering() -> Iterator[None]:
    """UpstreamError, without the address, when the database cannot be reached or refuses us."""
    try:
        yield
    except OperationalError as exc:
        raise UpstreamError(
            "The database does not answer, or refuses the user or the name in state.database_url.",
            server="database",
            retryable=True,
        ) from exc


def upsert(store: Store, table: Table) -> Any:
    """An INSERT for this database that may say what happens ``on_conflict``, which SQL itself does not know."""
    dialect = postgresql if store.engine.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def alembic_config() -> Config:
    """Where the migrations are; the connection to run them on is set by whoever runs them."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _own_file(engine: Engine) -> None:
    """SQLite makes its files by the umask; the sealed content is private all the same, so the file is too."""
    path = Path(engine.url.database or "")
    if not path.exists():
        path.touch(mode=0o600)


def _prepare_sqlite(engine: Engine) -> None:
    """WAL and a patient busy handler for several workers; explicit BEGIN IMMEDIATE, since pysqlite would begin too late.

    ``write_once`` begins nothing, and SQLite makes its one statement a transaction.
    """

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        # The patience comes first: turning WAL on takes a lock too, and several workers start at once.
        connection.execute(f"PRAGMA busy_timeout={_SQLITE_PATIENCE_S * 1000}")
        _turn_wal_on(connection)
        connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        level = "FULL" if options.get("durable") else "NORMAL"
        if connection.info.get("synchronous", "NORMAL") != level:
            connection.exec_driver_sql(f"PRAGMA synchronous={level}")
            connection.info["synchronous"] = level
        statement = options.get("begin", "BEGIN IMMEDIATE")
        if statement is not None:
            connection.exec_driver_sql(statement)
