"""How a worker takes studies out of the queue for itself, until its lease ends or it says what became of them.

Spec: PostgreSQL 15 SELECT (FOR UPDATE SKIP LOCKED): several workers never wait for each other's studies.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select, update

from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.ports import Task, Work
from pacs_sync.queueing import ms, study_digest
from pacs_sync.sealed_facts import SealedFacts
from pacs_sync.tables import sync_study

log = logging.getLogger("imaging_cds.sync")


class Leases:
    """Of one synchronisation. Thread-safe; several processes may share them."""

    def __init__(self, store: Store, sync: str) -> None:
        self._store = store
        self._sync = sync
        self._facts = SealedFacts(store.sealer)

    def take(self, *, now: float, limit: int, lease_s: float) -> list[Task]:
        """As ``StoredMemory``."""
        table, ticket = sync_study.c, secrets.token_hex(8)
        is_due = (table.sync == self._sync) & (table.due_ms <= ms(now))
        with self._store.read() as connection:  # on SQLite, taking nothing would still make every writer wait
            if connection.execute(select(table.due_ms).where(is_due).limit(1)).first() is None:
                return []
        # SQLite has one writer anyway. PostgreSQL could run a mere subquery, with its locks, more than once.
        oldest = select(table.study_digest).where(is_due).order_by(table.due_ms).limit(limit)
        due_rows = oldest.with_for_update(skip_locked=True).cte("due")
        statement = (
            update(sync_study)
            .where(table.sync == self._sync, table.study_digest.in_(select(due_rows.c.study_digest)))
            .values(
                ticket=ticket,
                due_ms=ms(now + lease_s),
                attempts=table.attempts + 1,
                again_ms=None,
            )
            .returning(
                *(table.study_digest, table.study, table.work, table.attempts, table.is_complete),
                *(table.assigned, table.noted_ms, table.queued_ms, table.missed_ms, table.lacking_ms),
            )
        )
        with self._store.write_once() as connection:
            rows = sorted(connection.execute(statement).all(), key=lambda row: row.queued_ms)
        tasks = [self._task(row, ticket, now=now) for row in rows]
        if None in tasks:
            self._forget_unreadable([row.study_digest for row, task in zip(rows, tasks, strict=True) if task is None])
        return [task for task in tasks if task is not None]

    def renew(self, tasks: Iterable[Task], *, now: float, lease_s: float) -> None:
        """As ``StoredMemory``."""
        table, until_ms = sync_study.c, ms(now + lease_s)
        tickets = {study_digest(self._store.sealer, self._sync, task.study): task.ticket for task in tasks}
        if not tickets:
            return
        with self._store.write() as connection:
            for digest in sorted(tickets):  # in the order of ``note``, so that two processes never wait for each other
                mine = (table.sync == self._sync) & (table.study_digest == digest) & (table.ticket == tickets[digest])
                connection.execute(update(sync_study).where(mine).values(due_ms=until_ms))

    def _task(self, row: Any, ticket: str, *, now: float) -> Task | None:
        study = self._facts.opened_text(row.study)
        if study is None:
            return None
        decision = self._facts.opened_decision(row.assigned)
        return Task(
            study=StudyInstanceUID(study),
            work=Work(row.work),
            attempts=row.attempts,
            ticket=ticket,
            is_complete=row.is_complete,
            assigned=decision.subject if decision else None,
            assigned_for=decision.decided_for if decision else None,
            quiet_s=max(0.0, now - row.noted_ms / 1000),
            missing_s=_seconds_since(row.missed_ms, now),
            lacking_s=_seconds_since(row.lacking_ms, now),
        )

    def _forget_unreadable(self, digests: Sequence[str]) -> None:
        """Rows of a master key that is no more. Nobody finds them again: the archive's studies have other digests now."""
        log.warning("sync %s: %d studies were sealed with another master key and are forgotten", self._sync, len(digests))
        gone = (sync_study.c.sync == self._sync) & sync_study.c.study_digest.in_(digests)
        with self._store.write_once() as connection:
            connection.execute(delete(sync_study).where(gone))


def _seconds_since(moment_ms: int | None, now: float) -> float | None:
    return None if moment_ms is None else max(0.0, now - moment_ms / 1000)
