"""Memory of JWT ids, shared by all workers, so that a signed request counts once.

Spec: CDS Hooks 2.0 "Trusting CDS Clients" (R38).
"""

from __future__ import annotations

from sqlalchemy import delete

from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.tables import replayed_token

SWEEP_EVERY_S = 60


class ReplayMemory:
    """Remembers each issuer's JWT ids until the JWT itself would no longer be accepted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._swept_at = 0

    def is_first_use(self, issuer: str, token_id: str, *, expires_at: int, now: int) -> bool:
        """Whether this id was never seen before; from this call on it was. ``expires_at`` includes the accepted leeway.

        A digest is stored, for an id may hold what a database's text cannot (NUL), and be longer than its column.
        """
        self._sweep(now)
        token_id = self._store.sealer.digest("replay", ascii(token_id))
        remembered = upsert(self._store, replayed_token).values(issuer=issuer, token_id=token_id, expires_at=expires_at)
        renewed = remembered.on_conflict_do_update(
            index_elements=["issuer", "token_id"],
            set_={"expires_at": expires_at},
            where=replayed_token.c.expires_at < now,
        )
        with self._store.write_once() as connection:
            return connection.execute(renewed.returning(replayed_token.c.issuer)).first() is not None

    def _sweep(self, now: int) -> None:
        """Forgets ended ids now and then: an ended one that is still there counts as forgotten."""
        if abs(now - self._swept_at) < SWEEP_EVERY_S:
            return
        self._swept_at = now
        with self._store.write_once() as connection:
            connection.execute(delete(replayed_token).where(replayed_token.c.expires_at < now))
