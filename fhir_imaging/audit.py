"""Who opened whose images, when, and what was refused: typed records in a sealed log.

A record's FHIR form (IHE BALP AuditEvent) is made by ``fhir_mapping.audit_event``; here it is stored and found again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from fhir_imaging.store.engine import Store
from fhir_imaging.store.tables import audit_event, replayed_token

_ONCE = "audit log: recorded once"
TOKEN_DIGEST_PREFIX = "digest:"  # noqa: S105 - marks a reference to a token, which is none


class AuditAction(StrEnum):
    """What somebody did.

    A study is opened with its first pixel or file. Its description alone (a viewer made ready behind the study list) and its
    preview picture (the list's thumbnails) are disclosed without anybody having opened it, and recorded as what they are.
    An Endpoint is refused where an EHR names a server that this site does not allow; its reason names the origin. A method is
    refused where somebody tries to store, change or delete what may only be read.
    """

    STUDY_OPENED = "study-opened"
    STUDY_DESCRIBED = "study-described"
    STUDY_PREVIEWED = "study-previewed"
    SEARCHED = "searched"
    ENDPOINT_REFUSED = "endpoint-refused"
    METHOD_REFUSED = "method-refused"


class AuditOutcome(StrEnum):
    """Whether it was allowed. A denial carries its reason."""

    ALLOWED = "allowed"
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
    subject_role: tuple[str, ...] = ()
    purpose_of_use: tuple[str, ...] = ()
    method: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What to look for; None means any. Times in UTC seconds, ``until`` not included."""

    patient_id: str | None = None
    user: str | None = None
    study_instance_uid: str | None = None
    ehr: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 1000


class AuditLog:
    """The append-only log in the shared database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, record: AuditRecord) -> None:
        """Stores the record before the answer goes out: an access that cannot be recorded does not happen."""
        with self._store.write_once() as connection:
            connection.execute(insert(audit_event).values(self._row(record)))

    def append_once(self, record: AuditRecord, *, key: str, until: int, now: int) -> bool:
        """Stores the record unless one was stored under ``key`` and its ``until`` (UTC seconds) is still to come.

        Mark and record are one transaction: a crash or a full disk leaves neither, so the next access is recorded after all.
        """
        mark = {"issuer": _ONCE, "token_id": self._store.sealer.digest("audit-once", key)}
        same = (replayed_token.c.issuer == mark["issuer"]) & (replayed_token.c.token_id == mark["token_id"])
        try:
            with self._store.write() as connection:
                connection.execute(delete(replayed_token).where(same, replayed_token.c.expires_at <= now))
                connection.execute(insert(replayed_token).values(**mark, expires_at=until))
                connection.execute(insert(audit_event).values(self._row(record)))
        except IntegrityError:
            return False
        return True

    def find(self, wanted: AuditFilter) -> Iterator[AuditRecord]:
        """Matching records, newest first."""
        with self._store.read() as connection:
            rows = connection.execute(self._query(wanted)).all()
        for row in rows:
            plain = self._store.sealer.open(row.body)
            if plain is not None:
                yield _record(json.loads(plain))

    def _row(self, record: AuditRecord) -> dict[str, Any]:
        return {
            "recorded_at": record.recorded_at,
            "ehr": record.ehr,
            "outcome": record.outcome.value,
            "patient_digest": self._digest("patient", record.patient_id),
            "user_digest": self._digest("user", record.user),
            "study_digest": self._digest("study", record.study_instance_uid),
            "body": self._store.sealer.seal(json.dumps(asdict(record)).encode()),
        }

    def _query(self, wanted: AuditFilter) -> Any:
        table = audit_event.c
        conditions = [
            column == self._digest(kind, value)
            for column, kind, value in (
                (table.patient_digest, "patient", wanted.patient_id),
                (table.user_digest, "user", wanted.user),
                (table.study_digest, "study", wanted.study_instance_uid),
            )
            if value is not None
        ]
        if wanted.ehr is not None:
            conditions.append(table.ehr == wanted.ehr)
        if wanted.since is not None:
            conditions.append(table.recorded_at >= wanted.since)
        if wanted.until is not None:
            conditions.append(table.recorded_at < wanted.until)
        return select(audit_event).where(*conditions).order_by(table.recorded_at.desc(), table.id.desc()).limit(wanted.limit)

    def _digest(self, kind: str, value: str | None) -> str:
        return self._store.sealer.digest("audit", kind, value or "")


def _record(stored: dict[str, Any]) -> AuditRecord:
    action, outcome = AuditAction(stored.pop("action")), AuditOutcome(stored.pop("outcome"))
    # Early versions knew neither.
    codes = {name: tuple(stored.pop(name, ())) for name in ("subject_role", "purpose_of_use")}
    return AuditRecord(action=action, outcome=outcome, **codes, **stored)
