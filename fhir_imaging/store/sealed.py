"""Sealed records: small JSON objects that are encrypted at rest, end by themselves and can be taken exactly once."""

from __future__ import annotations

import json
import secrets
from typing import Any

from sqlalchemy import delete, select, update

from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.tables import sealed_record


class SealedRecords:
    """The records of one kind. ``now`` (UTC seconds) is an argument everywhere: an expired record does not exist.

    Ids are looked up by keyed digest, so that somebody who reads the database learns no session id from it.
    """

    def __init__(self, store: Store, kind: str) -> None:
        self._store = store
        self._kind = kind

    def add(self, body: dict[str, Any], *, expires_at: int, record_id: str | None = None) -> str:
        """Stores a record and returns its id, a fresh unguessable one (256 bits) unless given; the last of several counts."""
        record_id = record_id or secrets.token_urlsafe(32)
        content = {"expires_at": expires_at, "version": 1, "lease_until": 0, "body": self._sealed(body)}
        # One statement: between a delete and an insert another worker could write the same id.
        statement = upsert(self._store, sealed_record).values(kind=self._kind, id=self._key(record_id), **content)
        with self._store.write_once() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["kind", "id"], set_=content))
        return record_id

    def get(self, record_id: str, *, now: int) -> dict[str, Any] | None:
        """The record; None when unknown, expired, or sealed by another installation."""
        with self._store.read() as connection:
            row = connection.execute(select(sealed_record).where(self._is(record_id), sealed_record.c.expires_at > now)).first()
        return None if row is None else self._opened(row.body)

    def take(self, record_id: str, *, now: int) -> dict[str, Any] | None:
        """The record, removed: of several takers exactly one gets it."""
        with self._store.write_once() as connection:
            row = connection.execute(
                delete(sealed_record).where(self._is(record_id)).returning(sealed_record.c.body, sealed_record.c.expires_at)
            ).first()
        return None if row is None or row.expires_at <= now else self._opened(row.body)

    def replace(self, record_id: str, body: dict[str, Any], *, expires_at: int) -> bool:
        """Writes a new body and end, gives back a lease; False when the record is gone."""
        values = {"body": self._sealed(body), "expires_at": expires_at, "lease_until": 0}
        with self._store.write_once() as connection:
            changed = connection.execute(
                update(sealed_record).where(self._is(record_id)).values(**values, version=sealed_record.c.version + 1)
            )
        return changed.rowcount == 1

    def lease(self, record_id: str, *, now: int, seconds: int) -> bool:
        """Claims the right to change the record, for all processes; False while somebody else holds it."""
        with self._store.write_once() as connection:
            claimed = connection.execute(
                update(sealed_record)
                .where(self._is(record_id), sealed_record.c.lease_until <= now)
                .values(lease_until=now + seconds)
            )
        return claimed.rowcount == 1

    def release(self, record_id: str) -> None:
        """Gives a lease back without a change."""
        with self._store.write_once() as connection:
            connection.execute(update(sealed_record).where(self._is(record_id)).values(lease_until=0))

    def remove(self, record_id: str) -> None:
        """Forgets the record."""
        with self._store.write_once() as connection:
            connection.execute(delete(sealed_record).where(self._is(record_id)))

    def purge(self, *, now: int) -> int:
        """Removes what has expired and says how many."""
        with self._store.write_once() as connection:
            expired = (sealed_record.c.kind == self._kind) & (sealed_record.c.expires_at <= now)
            return connection.execute(delete(sealed_record).where(expired)).rowcount

    def _key(self, record_id: str) -> str:
        return self._store.sealer.digest(self._kind, record_id)

    def _is(self, record_id: str) -> Any:
        return (sealed_record.c.kind == self._kind) & (sealed_record.c.id == self._key(record_id))

    def _sealed(self, body: dict[str, Any]) -> bytes:
        return self._store.sealer.seal(json.dumps(body, separators=(",", ":")).encode())

    def _opened(self, sealed: bytes) -> dict[str, Any] | None:
        plain = self._store.sealer.open(sealed)
        return None if plain is None else json.loads(plain)
