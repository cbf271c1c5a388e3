"""The master key's mark in the database: a lost or foreign key is told at the start, not by an audit trail that seems empty.

The mark is a keyed digest of fixed words. It tells nothing of the key, and only the same key makes it again. Whoever starts
first writes it; a database from before there were marks gets it from the first key that opens what is sealed there.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from sqlalchemy import Connection, select

from fhir_imaging.store.keys import MASTER_KEY_FILE, Sealer
from fhir_imaging.store.tables import audit_event, installation_key, revocation, sealed_record

MASTER = "master"
_SAMPLE = 20
"""Sealed rows of each table that are tried: one damaged row must not speak for all."""


class KeyState(Enum):
    """What the key in the state directory is to the database."""

    SAME = "it bears the mark of this key"
    UNMARKED = "it bears no mark, and this key opens what it holds"
    NEW = "it bears no mark and holds nothing sealed"
    OTHER = "another key sealed it"
    MISSING = "it was sealed, and there is no key"


REFUSED = frozenset({KeyState.OTHER, KeyState.MISSING})


def mark_of(sealer: Sealer) -> str:
    """What the database bears of this key."""
    return sealer.digest("installation-key", "v1")


def key_state(connection: Connection, present: Callable[[], Sealer | None]) -> KeyState:
    """Looks, and writes nothing. ``present`` reads the key's file, which other processes make before they mark or seal."""
    mark = connection.execute(select(installation_key.c.digest).where(installation_key.c.name == MASTER)).scalar_one_or_none()
    sealed = [] if mark is not None else _sealed(connection)
    sealer = present()  # after the database: a key that is made meanwhile must not look as if it were missing
    if mark is None and not sealed:
        return KeyState.NEW
    if sealer is None:
        return KeyState.MISSING
    if mark is not None:
        return KeyState.SAME if hmac.compare_digest(mark, mark_of(sealer)) else KeyState.OTHER
    return KeyState.UNMARKED if any(sealer.open(one) is not None for one in sealed) else KeyState.OTHER


def in_words(state: KeyState, state_dir: Path) -> tuple[str, str]:
    """What is wrong with a refused key, and what to do about it."""
    path = state_dir / MASTER_KEY_FILE
    what = (
        f"{path} is missing, and the database holds what was sealed with it."
        if state is KeyState.MISSING
        else f"{path} is not the key that the database was sealed with."
    )
    return what, (
        f"Put back the {MASTER_KEY_FILE} that was saved with this database, or, of several machines, another one's; look also "
        "whether state.state_dir and state.database_url belong together. A key that is lost for good leaves what it sealed "
        "unreadable: then begin anew with an empty database (docs/operations.md, Keys and their rotation)."
    )


def _sealed(connection: Connection) -> list[bytes]:
    """The newest rows that are sealed, of those tables that every component shares."""
    newest = (
        select(audit_event.c.body).order_by(audit_event.c.id.desc()),
        select(revocation.c.body).order_by(revocation.c.id.desc()),
        select(sealed_record.c.body).order_by(sealed_record.c.expires_at.desc()),
    )
    return [row.body for one in newest for row in connection.execute(one.limit(_SAMPLE))]
