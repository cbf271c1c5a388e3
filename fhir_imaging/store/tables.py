"""The shared tables. A component's own tables stand in that component, on this same ``metadata``.

All times are UTC seconds since 1970 (integers), so that SQLite and PostgreSQL sort and compare them alike.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

sealed_record = Table(
    "sealed_record",
    metadata,
    Column("kind", String(40), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("lease_until", BigInteger, nullable=False, default=0),
    Column("body", LargeBinary, nullable=False),
)
"""Encrypted records that end by themselves: pending launches, active sessions, token registrations."""

replayed_token = Table(
    "replayed_token",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("token_id", String(255), primary_key=True),
    Column("expires_at", BigInteger, nullable=False, index=True),
)
"""JWT ids seen once, kept until the JWT itself has expired (CDS Hooks R38)."""

audit_event = Table(
    "audit_event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("recorded_at", BigInteger, nullable=False),
    Column("ehr", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("patient_digest", String(64), nullable=False),
    Column("user_digest", String(64), nullable=False),
    Column("study_digest", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("event_key", String(36), nullable=True),
    Index("ix_audit_event_recorded_at", "recorded_at"),
    Index("ix_audit_event_patient_digest", "patient_digest"),
)
"""Who opened what. The event itself is sealed; the keyed digests let it be found by patient, user or study.

``event_key`` is a UUID, the AuditEvent's id wherever it goes; records of early versions have none.
"""

study_state = Table(
    "study_state",
    metadata,
    Column("ehr", String(64), primary_key=True),
    Column("pacs", String(64), primary_key=True),
    Column("study_digest", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
)
"""When this server first saw a study's present state in an archive: ``meta.lastUpdated`` of the imaging FHIR endpoint.

Milliseconds, unlike all other times: an app that asks for what is newer than its last answer must not lose what came in the
same second. Study and state are keyed digests.
"""

audit_delivery = Table(
    "audit_delivery",
    metadata,
    Column("sink", String(40), primary_key=True),
    Column("event_id", Integer, primary_key=True, autoincrement=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", String(200), nullable=True),
    Index("ix_audit_delivery_sink_due_at", "sink", "due_at"),
    Index("ix_audit_delivery_event_id", "event_id"),
)
"""What has still to reach a sink: a row is written with its record, in one transaction, and goes when the sink has it.

``due_at`` also leases: whoever takes a row moves it into the future, so a worker that dies gives it back by dying.
"""

audit_sink = Table(
    "audit_sink",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("resume_at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("last_error", String(200), nullable=True),
    Column("delivered_at", BigInteger, nullable=True),
)
"""How a sink fares, for all workers: nobody asks a failing one before ``resume_at``. ``failures`` are those in a row."""

shared_decision = Table(
    "shared_decision",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("claim", String(32), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=True),
    Index("ix_shared_decision_until_ms", "until_ms"),
)
"""What an EHR said of a token or a study, for all workers of the imaging server: sealed, under a keyed digest, for seconds.

Without a body, a worker (``claim``) is asking until ``until_ms``; milliseconds, since a decision may live for less than one
second.
"""

revocation = Table(
    "revocation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("marked_at", BigInteger, nullable=False),
    Column("ehr", String(64), nullable=True),
    Column("patient_digest", String(64), nullable=True),
    Column("token_digest", String(64), nullable=True),
    Column("body", LargeBinary, nullable=False),
)
"""Marks by which an administrator ends access: rows are added and never changed. NULL means any; the sealed body says in words
who ended what, and why."""

installation_key = Table(
    "installation_key",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("digest", String(64), nullable=False),
)
"""The mark of the key that everything here is sealed with (``key_mark``): one row, made by the first start."""
