"""SQLite files under the state directory: one short-lived connection per unit of work."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

BUSY_TIMEOUT_S = 10.0


class Database:
    """One SQLite file, safe for many threads and processes.

    Every unit of work opens its own connection and closes it, so no connection is shared between threads, none is
    left open at the end, and a second process (the command line) sees what was committed.
    """

    def __init__(self, path: Path, schema: str) -> None:
        """Create the file with mode 0600 and its tables when they are missing."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600, exist_ok=True)
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(schema)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        # Closing the last connection writes the log back, and waiting for the disk there made each token cost 40 ms. A demo
        # that loses its records when the whole machine fails makes them anew.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent snapshot for reading."""
        with closing(self._connect()) as connection, snapshot(connection):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start; any exception rolls it back."""
        with closing(self._connect()) as connection, write_transaction(connection):
            yield connection


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """One state of the file for all reads inside; nothing inside may write."""
    connection.execute("BEGIN")
    yield
    connection.execute("ROLLBACK")


@contextmanager
def write_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Holds the write lock from its start: committed at the end, rolled back by any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
