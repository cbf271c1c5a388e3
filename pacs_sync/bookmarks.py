"""How far a look, a back-fill or a comparison of one synchronisation has come, and which process is at it."""

from __future__ import annotations

import secrets

from sqlalchemy import ColumnElement, Connection, select, update

from fhir_imaging.store.engine import Store, upsert
from pacs_sync.sealed_facts import SealedFacts
from pacs_sync.tables import sync_bookmark

LOOK, BACKFILL, COMPARISON = "look", "backfill", "comparison"
_NEVER_MS = 0


class Bookmarks:
    """Of one synchronisation. ``now`` (UTC seconds) is an argument everywhere."""

    def __init__(self, store: Store, sync: str) -> None:
        self._store = store
        self._sync = sync
        self._facts = SealedFacts(store.sealer)

    def place(self, name: str) -> str | None:
        """Where it goes on; None = from the beginning."""
        with self._store.read() as connection:
            sealed = connection.execute(select(sync_bookmark.c.place).where(self._is(name))).scalar()
        return self._facts.opened_text(sealed)

    def moved_at(self, name: str) -> float | None:
        """When it last went on; None = never."""
        with self._store.read() as connection:
            at_ms = connection.execute(select(sync_bookmark.c.at_ms).where(self._is(name))).scalar()
        return at_ms / 1000 if at_ms else None

    def put(self, connection: Connection, name: str, place: str | None, *, now: float) -> None:
        """Notes the place within the caller's transaction; None = from the beginning next time."""
        moved = {"place": None if place is None else self._facts.text(place), "at_ms": int(now * 1000)}
        fresh = {"sync": self._sync, "name": name, "leased_until_ms": 0, "lease": "", **moved}
        statement = upsert(self._store, sync_bookmark).values(**fresh)
        connection.execute(statement.on_conflict_do_update(index_elements=["sync", "name"], set_=moved))

    def move(self, name: str, place: str | None, *, now: float) -> None:
        """Notes the place in a transaction of its own."""
        with self._store.write() as connection:
            self.put(connection, name, place, now=now)

    def lease(self, name: str, *, now: float, seconds: float) -> str | None:
        """The right to do it, for one process of all, until then; None while another has it. It ends by itself."""
        mine = secrets.token_hex(8)
        values = {"leased_until_ms": int((now + seconds) * 1000), "lease": mine}
        free = self._is(name) & (sync_bookmark.c.leased_until_ms <= int(now * 1000))
        with self._store.write() as connection:
            taken = connection.execute(update(sync_bookmark).where(free).values(**values)).rowcount == 1
            if not taken and connection.execute(select(sync_bookmark.c.lease).where(self._is(name))).first() is None:
                fresh = upsert(self._store, sync_bookmark).values(sync=self._sync, name=name, at_ms=_NEVER_MS, **values)
                made = fresh.on_conflict_do_nothing().returning(sync_bookmark.c.lease)
                taken = connection.execute(made).first() is not None
        return mine if taken else None

    def renew(self, name: str, lease: str, *, now: float, seconds: float) -> bool:
        """Holds it longer; False where another process has it by now."""
        longer = update(sync_bookmark).where(self._is(name), sync_bookmark.c.lease == lease)
        with self._store.write_once() as connection:
            return connection.execute(longer.values(leased_until_ms=int((now + seconds) * 1000))).rowcount == 1

    def give_back(self, name: str, lease: str) -> None:
        """Lets others do it at once."""
        mine = update(sync_bookmark).where(self._is(name), sync_bookmark.c.lease == lease)
        with self._store.write_once() as connection:
            connection.execute(mine.values(leased_until_ms=0))

    def _is(self, name: str) -> ColumnElement[bool]:
        return (sync_bookmark.c.sync == self._sync) & (sync_bookmark.c.name == name)
