"""What a synchronisation remembers, on the shared ``metadata``: its queue, and how far it has come.

No UID, patient number or reason stands here in clear: studies are known by keyed digest, all else about them is sealed. Clear
are only words of closed vocabularies and what orders the work. Times are UTC milliseconds since 1970.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, text

from fhir_imaging.store.tables import metadata

sync_study = Table(
    "sync_study",
    metadata,
    Column("sync", String(64), primary_key=True),
    Column("study_digest", String(64), primary_key=True),
    Column("study", LargeBinary, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("work", String(16), nullable=False),
    Column("noted_state", String(64), nullable=False),
    Column("noted_ms", BigInteger, nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("due_ms", BigInteger, nullable=True),
    Column("queued_ms", BigInteger, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("ticket", String(32), nullable=False),
    Column("again_ms", BigInteger, nullable=True),
    Column("missed_ms", BigInteger, nullable=True),
    Column("lacking_ms", BigInteger, nullable=True),
    Column("assigned", LargeBinary, nullable=True),
    Column("reason", String(32), nullable=True),
    Column("trouble", LargeBinary, nullable=True),
    Column("since_ms", BigInteger, nullable=True),
    Index("ix_sync_study_due_ms", "sync", "due_ms", postgresql_where=text("due_ms IS NOT NULL")),
    Index("ix_sync_study_since_ms", "sync", "since_ms", postgresql_where=text("since_ms IS NOT NULL")),
)
"""One row for each study that an archive ever told of.

``stage``: idle, queued, held or dead. ``due_ms`` is set while it is queued, and leases too: whoever takes a row moves it into
the future and writes a ``ticket``, so a worker that dies gives it back by dying. ``again_ms``: what came while a worker has it
makes it due then. ``noted_state`` is a keyed digest of the archive's state, empty where none was told, ``noted_ms`` when that
was. ``missed_ms``: since when the archive has not had it whenever it was asked; null where it had it. ``lacking_ms``: the same
of a report series whose results stand. ``reason`` (a word),
``trouble`` (sealed) and ``since_ms`` say what holds or kills it; they outlive a new attempt until one succeeds.
"""

sync_bookmark = Table(
    "sync_bookmark",
    metadata,
    Column("sync", String(64), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("place", LargeBinary, nullable=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("leased_until_ms", BigInteger, nullable=False),
    Column("lease", String(32), nullable=False),
)
"""How far a look, a back-fill or a comparison has come (``place``, sealed), when it last moved, and which process is at it."""

sync_tally = Table(
    "sync_tally",
    metadata,
    Column("sync", String(64), primary_key=True),
    Column("outcome", String(16), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""How often each outcome came, ever: in several parts, so that workers do not wait for one row. The sum counts."""
