"""PostgreSQL as the shared database: neither a server, nor what stands between us and it, holds a request for ever."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, event

T = TypeVar("T")

STATEMENT_TIMEOUT_S = 15
"""A request must not wait longer for a database that is busy or locked; SQLite's busy handler has the same patience."""
ANSWER_TIMEOUT_S = 20.0
"""And not longer than this for one that says nothing at all: it hangs, or a pooler before it does."""


class PatientConnection(psycopg.Connection[Any]):
    """Gives up a server that keeps the connection and never answers; libpq would wait until the connection breaks.

    ``patience_s`` None = however long it takes.
    """

    patience_s: float | None = ANSWER_TIMEOUT_S

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As in psycopg, which sends and receives everything through here. OperationalError when the time is over."""
        limit = self.patience_s if timeout is None else timeout
        began = time.monotonic()
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if limit is not None and time.monotonic() - began >= limit:
                self.close()  # the answer may still come, and would be taken for that of the next question
            raise


def prepare(engine: Engine) -> None:
    """Limits on both sides for every connection that this engine makes.

    The server's is set by a statement: poolers between us and the server refuse it among the options of a connection.
    """

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> psycopg.Connection[Any]:
        return PatientConnection.connect(*arguments, **named)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: psycopg.Connection[Any], _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
        connection.commit()


@contextmanager
def without_limits(connection: Connection) -> Iterator[None]:
    """For one transaction: a migration may take its time."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    driven = connection.connection.driver_connection
    assert isinstance(driven, PatientConnection)  # nosec B101 # noqa: S101 - the engine makes no other
    driven.patience_s = None
    try:
        yield
    finally:
        del driven.patience_s  # that of the class counts again
