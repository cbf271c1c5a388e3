"""Memory of JWT ids, shared by all workers, so that a signed request counts once.

Spec: CDS Hooks 2.0 "Trusting CDS Clients" (R38).
"""

from __future__ import annotations

from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

from fhir_imaging.store.engine import Store
from fhir_imaging.store.tables import replayed_token


class ReplayMemory:
    """Remembers each issuer's JWT ids until the JWT itself would no longer be accepted."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_first_use(self, issuer: str, token_id: str, *, expires_at: int, now: int) -> bool:
        """Whether this id was never seen before; from this call on it was. ``expires_at`` includes the accepted leeway.

        A digest is stored, for an id may hold what a database's text cannot (NUL), and be longer than its column.
        """
        token_id = self._store.sealer.digest("replay", ascii(token_id))
        try:
            with self._store.write() as connection:
                connection.execute(delete(replayed_token).where(replayed_token.c.expires_at < now))
                connection.execute(insert(replayed_token).values(issuer=issuer, token_id=token_id, expires_at=expires_at))
        except IntegrityError:
            return False
        return True
