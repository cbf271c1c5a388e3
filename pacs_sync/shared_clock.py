"""The time that all processes of a synchronisation agree on: the database's, where several machines share one.

Leases are moments in the database. Were each process to go by its machine's clock, one that is minutes behind would write a
lease that has ended for the others already, and two of them would be at one study.

Spec: PostgreSQL 15 §9.9.5 (clock_timestamp).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.store.engine import Store

AGREED_FOR_S = 60.0
"""So long this machine's own steady clock goes on from what the database said."""
_ASK = text("SELECT extract(epoch FROM clock_timestamp())")


class SharedClock:
    """UTC seconds. On SQLite ``wall``: its processes are on one machine. Thread-safe; it never fails.

    A database that does not answer is followed by the steady clock from what it said last.
    """

    def __init__(
        self, store: Store, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._wall = wall
        self._steady = steady
        self._is_shared = store.engine.dialect.name == "postgresql"
        self._asking = threading.Lock()
        self._agreed: tuple[float, float] | None = None
        """What the time was, and what the steady clock said then."""

    def __call__(self) -> float:
        """Now."""
        if not self._is_shared:
            return self._wall()
        agreed = self._agreed
        if agreed is None or self._steady() - agreed[1] > AGREED_FOR_S:
            agreed = self._asked(agreed)
        return agreed[0] + self._steady() - agreed[1]

    def _asked(self, before: tuple[float, float] | None) -> tuple[float, float]:
        """Only the first question of all is waited for by everybody."""
        if not self._asking.acquire(blocking=before is None) and before is not None:
            return before
        try:
            if self._agreed is before:
                self._agreed = self._answer(before)
            return self._agreed or (self._wall(), self._steady())
        finally:
            self._asking.release()

    def _answer(self, before: tuple[float, float] | None) -> tuple[float, float]:
        began = self._steady()
        try:
            with self._store.read() as connection:
                said = float(connection.execute(_ASK).scalar_one())
        except SQLAlchemyError:
            now = self._steady()
            return (self._wall(), now) if before is None else (before[0] + now - before[1], now)
        return said, (began + self._steady()) / 2
