"""Who opened whose images, when, and what was refused: typed records in a sealed log.

A record's FHIR form (IHE BALP AuditEvent) is made by ``fhir_mapping.audit_event``; here it is stored and found again.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, select, tuple_

from fhir_imaging.audit_outbox import enqueue
from fhir_imaging.errors import UpstreamError
from fhir_imaging.store.backlog import ALLOWED
from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.keys import Sealer
from fhir_imaging.store.tables import audit_event, replayed_token

log = logging.getLogger("imaging_cds.audit")

AUDIT_BACKLOG = "audit-backlog"
"""Why an access is refused while too many records wait for a sink."""
_CODES = ("subject_role", "purpose_of_use")
_ONCE = "audit log: recorded once"
_SEALED_KEY = "event_key"
_CLOCKS_DIFFER_S = 60
"""By so much may the clocks of an installation's machines."""
PAGE = 500
"""Records read at a time."""
ORIGIN_NOT_ALLOWED = "origin-not-allowed"
"""Begins the reason of a refused Endpoint; the origin follows."""
_JWT = re.compile(r"eyJ[\w-]+(?:\.[\w-]*){2,4}", re.ASCII)  # signed, or encrypted
TOKEN_DIGEST_PREFIX = "digest:"  # noqa: S105 - marks a reference to a token, which is none


class AuditAction(StrEnum):
    """What somebody did.

    A study is opened with its first pixel or file. Its description alone (a viewer made ready behind the study list) and its
    preview picture (the list's thumbnails) are disclosed without anybody having opened it, and recorded as what they are.
    An Endpoint is refused where an EHR names a server that this site does not allow; its reason names the origin. A method is
    refused where somebody tries to store, change or delete what may only be read. Access is ended by an administrator, whose
    account the record's user is; so are a study that was said to be a patient's, and one that was exported without identity.
    """

    STUDY_OPENED = "study-opened"
    STUDY_DESCRIBED = "study-described"
    STUDY_PREVIEWED = "study-previewed"
    SEARCHED = "searched"
    ENDPOINT_REFUSED = "endpoint-refused"
    METHOD_REFUSED = "method-refused"
    ACCESS_ENDED = "access-ended"
    STUDY_ASSIGNED = "study-assigned"
    STUDY_EXPORTED = "study-exported"


class AuditOutcome(StrEnum):
    """Whether it was allowed. A denial carries its reason."""

    ALLOWED = ALLOWED
    DENIED = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One thing that happened. ``recorded_at`` in UTC seconds; unknown values are None, tokens are never part of it.

    ``token_reference`` is the token's ``jti``, or ``digest:`` and a keyed digest of an opaque one, so that events of one token
    can be joined. ``subject_role`` and ``purpose_of_use`` are the codes that the token states (IUA), each ``system|code`` or a
    bare code. ``method`` is the HTTP method where it is what was refused.
    """

    recorded_at: int
    ehr: str
    action: AuditAction
    outcome: AuditOutcome
    reason: str | None = None
    patient_id: str | None = None
    user: str | None = None
    client_id: str | None = None
    issuer: str | None = None
    study_instance_uid: str | None = None
    query: str | None = None
    client_address: str | None = None
    request_id: str | None = None
    token_reference: str | None = None
    subject_role: tuple[str, ...] | None = None
    purpose_of_use: tuple[str, ...] | None = None
    method: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to look for; None means any. Times in UTC seconds, ``until`` not included.

    ``also_users`` are further ways to write the ``user``.
    """

    patient_id: str | None = None
    user: str | None = None
    also_users: tuple[str, ...] = ()
    study_instance_uid: str | None = None
    ehr: str | None = None
    since: int | None = None
    until: int | None = None
    outcome: AuditOutcome | None = None
    action: AuditAction | None = None
    reason: str | None = None
    """The code that a denial's reason begins with."""
    limit: int | None = 1000

    def admits(self, record: AuditRecord) -> bool:
        """What only an opened record can say; the rest is asked of the database."""
        code = (record.reason or "").partition(":")[0]
        return self.action in (None, record.action) and self.reason in (None, code)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record and the id (a UUID) that its AuditEvent has everywhere; None in records of early versions."""

    record: AuditRecord
    event_key: str | None


class AuditLog:
    """The append-only log in the shared database, and the way on to the sinks of this installation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, record: AuditRecord) -> None:
        """Stores the record before the answer goes out: an access that cannot be recorded does not happen.

        UpstreamError (503) for an allowed access while too many records wait for a sink, where the site refuses it then; that
        refusal is recorded in its place.
        """
        refused = self._is_refused(record)
        self._insert(_backlogged(record) if refused else record)
        if refused:
            raise _too_many_wait()

    def append_once(self, record: AuditRecord, *, key: str, until: int, now: int) -> bool:
        """Stores the record unless one was stored under ``key`` and its ``until`` (UTC seconds) is still to come.

        One that ends later than this one would was stored by a clock that was ahead, and does not count.
        Mark and record are one transaction: a crash or a full disk leaves neither, so the next access is recorded after all.
        UpstreamError as ``append``.
        """
        refused = self._is_refused(record)
        mark = upsert(self._store, replayed_token).values(issuer=_ONCE, token_id=self._mark(key), expires_at=until)
        mark = mark.on_conflict_do_nothing().returning(replayed_token.c.token_id)
        try:
            with self._store.write(durable=self._store.backlog.rules.waits_for_disk) as connection:
                ends = replayed_token.c.expires_at
                is_over = (ends <= now) | (ends > until + _CLOCKS_DIFFER_S)
                connection.execute(delete(replayed_token).where(self._is_marked(key), is_over))
                if connection.execute(mark).first() is None:
                    return False
                if refused:
                    raise _too_many_wait()
                self._insert_in(connection, record)
        except UpstreamError:
            self._insert(_backlogged(record))
            raise
        self._store.backlog.arrived.set()
        return True

    def once_until(self, key: str) -> int | None:
        """Until when (UTC seconds) nothing more is stored under ``key``; None where nothing was."""
        with self._store.read() as connection:
            return connection.execute(select(replayed_token.c.expires_at).where(self._is_marked(key))).scalar_one_or_none()

    def _mark(self, key: str) -> str:
        return self._store.sealer.digest("audit-once", _encodable(key))

    def _is_marked(self, key: str) -> ColumnElement[bool]:
        return (replayed_token.c.issuer == _ONCE) & (replayed_token.c.token_id == self._mark(key))

    def _is_refused(self, record: AuditRecord) -> bool:
        """Denials, and what ends access, are recorded always: they disclose nothing."""
        backlog = self._store.backlog
        discloses = record.outcome is AuditOutcome.ALLOWED and record.action is not AuditAction.ACCESS_ENDED
        if not discloses or not backlog.is_full(self._store):
            return False
        if not backlog.rules.refuses_when_full:
            log.error("audit: more than %d records wait for a sink; access goes on", backlog.rules.max_pending)
            return False
        log.error("audit: more than %d records wait for a sink; access is refused", backlog.rules.max_pending)
        return True

    def _insert(self, record: AuditRecord) -> None:
        if not self._store.backlog.rules.sinks:
            with self._store.write_once(durable=self._store.backlog.rules.waits_for_disk) as connection:
                connection.execute(insert(audit_event).values(self._row(record)))
            return
        with self._store.write(durable=self._store.backlog.rules.waits_for_disk) as connection:
            self._insert_in(connection, record)
        self._store.backlog.arrived.set()

    def _insert_in(self, connection: Connection, record: AuditRecord) -> None:
        added = connection.execute(insert(audit_event).values(self._row(record))).inserted_primary_key
        if added is not None:
            enqueue(connection, self._store.backlog.rules.sinks, added[0])

    def find(self, wanted: AuditFilter) -> Iterator[AuditRecord]:
        """Matching records, newest first."""
        return (one.record for one in self.stored(wanted))

    def stored(self, wanted: AuditFilter, *, altered: Callable[[int], None] = lambda _: None) -> Iterator[StoredRecord]:
        """As ``find``, each with its event's id.

        ``altered`` is told the number of each row that is not as it was written. One that cannot be opened is left out; of
        one that can, the sealed record counts.
        Read page by page, as far as somebody asks: any number of records takes the memory of one page, and between two pages
        nobody holds a connection. What is recorded meanwhile is newer than the first page and left out.
        """
        return islice(self._matching(wanted, altered), wanted.limit)

    def _matching(self, wanted: AuditFilter, altered: Callable[[int], None]) -> Iterator[StoredRecord]:
        rows = self._page(wanted, None)
        while rows:
            for row in rows:
                record = opened_record(self._store.sealer, row.body, row.event_key)
                if record is None or any(row._mapping[name] != value for name, value in self._found_by(record).items()):
                    altered(row.id)
                if record is not None and wanted.admits(record):
                    yield StoredRecord(record=record, event_key=row.event_key)
            rows = self._page(wanted, rows[-1]) if len(rows) == PAGE else ()

    def _page(self, wanted: AuditFilter, after: Row[Any] | None) -> Sequence[Row[Any]]:
        query = self._query(wanted)
        if after is not None:
            query = query.where(tuple_(audit_event.c.recorded_at, audit_event.c.id) < (after.recorded_at, after.id))
        with self._store.read() as connection:
            return connection.execute(query.limit(PAGE)).all()

    def _row(self, record: AuditRecord) -> dict[str, Any]:
        # A caller may take a token for a value to search by.
        record = replace(record, query=_JWT.sub("(token)", record.query)) if record.query else record
        key = str(uuid.uuid4())
        body = self._store.sealer.seal(json.dumps({**asdict(record), _SEALED_KEY: key}).encode())
        return {**self._found_by(record), "body": body, "event_key": key}

    def _found_by(self, record: AuditRecord) -> dict[str, Any]:
        """What stands beside the sealed record, for look-ups."""
        return {
            "recorded_at": record.recorded_at,
            "ehr": record.ehr,
            "outcome": record.outcome.value,
            "patient_digest": self._digest("patient", record.patient_id),
            "user_digest": self._digest("user", record.user),
            "study_digest": self._digest("study", record.study_instance_uid),
        }

    def _query(self, wanted: AuditFilter) -> Select[Any]:
        table = audit_event.c
        conditions: list[ColumnElement[bool]] = [
            column.in_([self._digest(kind, value) for value in values])
            for column, kind, values in (
                (table.patient_digest, "patient", (wanted.patient_id,)),
                (table.user_digest, "user", (wanted.user, *wanted.also_users)),
                (table.study_digest, "study", (wanted.study_instance_uid,)),
            )
            if values[0] is not None
        ]
        if wanted.ehr is not None:
            conditions.append(table.ehr == wanted.ehr)
        if wanted.since is not None:
            conditions.append(table.recorded_at >= wanted.since)
        if wanted.until is not None:
            conditions.append(table.recorded_at < wanted.until)
        if wanted.outcome is not None:
            conditions.append(table.outcome == wanted.outcome.value)
        return select(audit_event).where(*conditions).order_by(table.recorded_at.desc(), table.id.desc())

    def _digest(self, kind: str, value: str | None) -> str:
        return self._store.sealer.digest("audit", kind, _encodable(value or ""))


def user_at(user: str | None, fhir_base: str) -> str | None:
    """A user as records name them: relative to the EHR's FHIR base (``Practitioner/1``) where it is one of its own."""
    return (user or "").removeprefix(f"{fhir_base.rstrip('/')}/") or None


def opened_record(sealer: Sealer, body: bytes, event_key: str | None) -> AuditRecord | None:
    """The record in the sealed body of the event of that id; None when another installation sealed it, or somebody altered it
    or put it in another's place."""
    plain = sealer.open(body)
    stored = {} if plain is None else json.loads(plain)
    is_in_its_place = plain is not None and stored.pop(_SEALED_KEY, event_key) == event_key  # early versions sealed no id
    return _record(stored) if is_in_its_place else None


def _encodable(text: str) -> str:
    """Half of a surrogate pair, which JSON can smuggle in, has no bytes: it must not keep a refusal from being recorded."""
    return text.encode("utf-8", "replace").decode()


def _backlogged(record: AuditRecord) -> AuditRecord:
    return replace(record, outcome=AuditOutcome.DENIED, reason=AUDIT_BACKLOG)


def _too_many_wait() -> UpstreamError:
    return UpstreamError(
        "The access could not be recorded everywhere, so it was not allowed. Please try again.",
        server="audit sink",
        retryable=True,
        cause=AUDIT_BACKLOG,
    )


def _record(stored: dict[str, Any]) -> AuditRecord:
    action, outcome = AuditAction(stored.pop("action")), AuditOutcome(stored.pop("outcome"))
    role, purpose = (tuple(codes) if codes else None for codes in (stored.pop(one, None) for one in _CODES))
    return AuditRecord(action=action, outcome=outcome, subject_role=role, purpose_of_use=purpose, **stored)
