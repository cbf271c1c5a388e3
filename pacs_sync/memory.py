"""The work queue of one synchronisation in the shared database.

Every method is one transaction. Killed between any two of them, a worker loses nothing: what it had taken is due again when its
lease ends. A study has one row, so it can wait but once; whoever takes it writes a ticket there, and only the holder of the
ticket may say what became of it.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.bookmarks import LOOK, Bookmarks
from pacs_sync.leases import Leases
from pacs_sync.ports import Held, Sighting, Task, Work
from pacs_sync.queueing import Stage, a_row, chunks, ms, queueing, study_digest
from pacs_sync.sealed_facts import SealedFacts, Trouble
from pacs_sync.tables import sync_study, sync_tally

LEASE_S = 60.0
"""A worker that dies gives its studies back after so long; one that lives holds them longer by ``renew``."""
ROWS_AT_ONCE = 500
TALLY_PARTS = 8


class Outcome(StrEnum):
    """What became of a study that was taken."""

    DONE = "done"
    FAILED = "failed"
    """It comes back later."""
    HELD = "held"
    """Newly, or for another reason than before."""
    DEAD = "dead"


class StoredMemory:
    """``Memory`` of the synchronisation ``sync``. Thread-safe; several processes may share it."""

    def __init__(self, store: Store, sync: str, *, lease_s: float = LEASE_S) -> None:
        self.sync = sync
        self.lease_s = lease_s
        self.bookmarks = Bookmarks(store, sync)
        self._store = store
        self._facts = SealedFacts(store.sealer)
        self._leases = Leases(store, sync)
        self._outcomes: Counter[Outcome] = Counter()
        self._lock = threading.Lock()

    # What the archive tells

    def cursor(self) -> str | None:
        """Where the next look begins."""
        return self.bookmarks.place(LOOK)

    def note(
        self,
        sightings: Iterable[Sighting],
        *,
        cursor: str | None,
        now: float,
        due_in_s: float = 0.0,
        of: str = LOOK,
    ) -> int:
        """Queues the studies whose state is new, or of which the archive says only now that they are complete.

        One without a state is always news, and so is one that the archive lists and did not have when it was asked for it. Held
        and laid aside ones come back, and begin to count their attempts anew.
        ``cursor`` is that of the bookmark ``of``, and moves with the queueing; None leaves it.
        """
        by_digest = {self._digest(study): one for study, one in _last_words(sightings).items()}
        rows = []
        for chunk in chunks(sorted(by_digest), ROWS_AT_ONCE):
            seen = self._seen(chunk)
            news = (self._news(digest, by_digest[digest], seen.get(digest), now=now, due_in_s=due_in_s) for digest in chunk)
            rows += [row for row in news if row is not None]
        if rows or cursor is not None:
            statement = queueing(self._store, with_state=True)
            with self._store.write() as connection:
                for chunk_of_rows in chunks(rows, ROWS_AT_ONCE):
                    connection.execute(statement, chunk_of_rows)
                if cursor is not None:
                    self.bookmarks.put(connection, of, cursor, now=now)
        return len(rows)

    def enqueue(self, studies: Iterable[StudyInstanceUID], work: Work, *, now: float) -> int:
        """Queues these studies, whatever became of them; held and laid aside ones too. Some hundreds in a transaction."""
        statement = queueing(self._store, with_state=False)
        number = 0
        for chunk in chunks(studies, ROWS_AT_ONCE):
            by_digest = {self._digest(study): study for study in chunk}
            rows = [
                a_row(sync=self.sync, digest=digest, study=self._facts.text(study), work=work, due_ms=ms(now))
                for digest, study in sorted(by_digest.items())  # in one order, so that two processes never wait for each other
            ]
            with self._store.write() as connection:
                connection.execute(statement, rows)
            number += len(rows)
        return number

    # What workers do

    def take(self, *, now: float, limit: int) -> list[Task]:
        """At most ``limit`` studies that are due, the oldest first, for this worker alone until its lease ends."""
        return self._leases.take(now=now, limit=limit, lease_s=self.lease_s)

    def renew(self, tasks: Iterable[Task], *, now: float) -> None:
        """Holds what is under way for another lease; what another worker has by now stays there."""
        self._leases.renew(tasks, now=now, lease_s=self.lease_s)

    def still_has(self, task: Task) -> bool:
        """As ``Memory``: whether the task's ticket still counts."""
        query = select(sync_study.c.ticket).where(self._is(task.study), sync_study.c.ticket == task.ticket)
        with self._store.read() as connection:
            return connection.execute(query).first() is not None

    def done(self, task: Task, *, now: float, again_in_s: float | None = None, is_lacking: bool = False) -> None:
        """It is written (or nothing was to be done); ``again_in_s``: it is looked at again then (not complete yet).

        ``is_lacking``: the archive did not list a report series just now whose results stand.
        """
        with self._store.write() as connection:
            if (row := self._held_by(connection, task)) is None:
                return
            due_ms = _earliest(row.again_ms, None if again_in_s is None else ms(now + again_in_s))
            self._settle(
                connection,
                task,
                stage=Stage.IDLE if due_ms is None else Stage.QUEUED,
                due_ms=due_ms,
                queued_ms=due_ms,
                attempts=0,
                lacking_ms=(row.lacking_ms or ms(now)) if is_lacking else None,
                **{"missed_ms": None, "reason": None, "trouble": None, "since_ms": None},
            )
            self._count(connection, Outcome.DONE)

    def missed(self, task: Task, *, now: float, again_in_s: float) -> None:
        """The archive did not have it: it is looked at again then, or at once where the archive told of it meanwhile."""
        with self._store.write() as connection:
            if (row := self._held_by(connection, task)) is None:
                return
            due_ms = _earliest(row.again_ms, ms(now + again_in_s))
            missed_ms = ms(now) if row.missed_ms is None else row.missed_ms
            self._settle(connection, task, due_ms=due_ms, queued_ms=due_ms, attempts=0, missed_ms=missed_ms)

    def failed(self, task: Task, reason: str, *, now: float, again_in_s: float | None) -> None:
        """Comes back later, or at once where the archive told of it meanwhile; None = laid aside (dead letter)."""
        with self._store.write() as connection:
            if (row := self._held_by(connection, task)) is None:
                return
            due_ms = _earliest(row.again_ms, None if again_in_s is None else ms(now + again_in_s))
            values: dict[str, Any] = {"stage": Stage.QUEUED, "due_ms": due_ms, "attempts": row.attempts}
            if row.again_ms is not None:
                values["attempts"] = 0
            if due_ms is None:
                values |= {"stage": Stage.DEAD, "queued_ms": None, "reason": None, "since_ms": ms(now)}
            self._settle(connection, task, trouble=self._facts.trouble(Trouble(detail=reason)), **values)
            self._count(connection, Outcome.DEAD if due_ms is None else Outcome.FAILED)

    def give_back(self, task: Task, *, now: float, again_in_s: float) -> None:
        """It could not be tried, by no fault of its own: it comes back, and the attempt is not counted."""
        with self._store.write() as connection:
            if (row := self._held_by(connection, task)) is not None:
                due_ms = _earliest(row.again_ms, ms(now + again_in_s))
                self._settle(connection, task, due_ms=due_ms, attempts=max(row.attempts - 1, 0))

    def hold(self, task: Task, held: Held, *, now: float) -> None:
        """Waits for a person; a change in the archive brings it back too. Held again for the same reason, it waits since then.

        What a person decided for another patient of the archive's ends here.
        """
        with self._store.write() as connection:
            if (row := self._held_by(connection, task)) is None:
                return
            is_known = row.reason == held.reason
            decision = self._facts.opened_decision(row.assigned)
            still_counts = decision is not None and decision.decided_for == held.patient
            self._settle(
                connection,
                task,
                stage=Stage.HELD if row.again_ms is None else Stage.QUEUED,
                due_ms=row.again_ms,
                queued_ms=row.again_ms,
                attempts=0,
                missed_ms=None,
                lacking_ms=None,
                assigned=row.assigned if still_counts else None,
                reason=held.reason,
                trouble=self._facts.trouble(Trouble(detail=held.detail, patient=held.patient)),
                since_ms=row.since_ms if is_known else ms(now),
            )
            if not is_known:
                self._count(connection, Outcome.HELD)

    # How much there is

    def pending(self, *, now: float) -> int:
        """How many wait or are under way, held and dead ones not counted."""
        waiting = select(func.count()).where(sync_study.c.sync == self.sync, sync_study.c.due_ms.is_not(None))
        with self._store.read() as connection:
            return int(connection.execute(waiting).scalar_one())

    def next_due_s(self, *, now: float) -> float | None:
        """In how many seconds the next one is due, or the lease of one ends; None when nothing waits."""
        waiting = select(func.min(sync_study.c.due_ms)).where(sync_study.c.sync == self.sync, sync_study.c.due_ms.is_not(None))
        with self._store.read() as connection:
            due_ms = connection.execute(waiting).scalar()
        return None if due_ms is None else max(0.0, due_ms / 1000 - now)

    def outcomes(self) -> Counter[Outcome]:
        """How often this object noted each, so far."""
        with self._lock:
            return Counter(self._outcomes)

    # Rows

    def _digest(self, study: StudyInstanceUID) -> str:
        return study_digest(self._store.sealer, self.sync, study)

    def _is(self, study: StudyInstanceUID) -> ColumnElement[bool]:
        return (sync_study.c.sync == self.sync) & (sync_study.c.study_digest == self._digest(study))

    def _seen(self, digests: Sequence[str]) -> dict[str, Any]:
        table = sync_study.c
        query = select(table.study_digest, table.noted_state, table.noted_ms, table.is_complete, table.missed_ms)
        with self._store.read() as connection:
            rows = connection.execute(query.where(table.sync == self.sync, table.study_digest.in_(digests)))
            return {row.study_digest: row for row in rows}

    def _news(self, digest: str, told: Sighting, seen: Any, *, now: float, due_in_s: float) -> dict[str, Any] | None:
        """The row that queues it; None when nothing is new."""
        state = told.state and self._store.sealer.digest("sync-state", self.sync, told.state)
        has_changed = seen is None or state == "" or state != seen.noted_state
        if not has_changed and seen.missed_ms is None and (seen.is_complete or not told.is_complete):
            return None
        study = self._facts.text(told.study) if seen is None else b""  # which stands there already
        row = a_row(sync=self.sync, digest=digest, study=study, work=Work.CHANGED, due_ms=ms(now + due_in_s))
        noted_ms = ms(now) if has_changed else seen.noted_ms
        return row | {
            "noted_state": state,
            "noted_ms": noted_ms,
            "is_complete": told.is_complete or (not has_changed and seen.is_complete),
        }

    def _held_by(self, connection: Connection, task: Task) -> Any:
        """The row, locked, while the task's ticket still counts; None when another worker has it by now."""
        table = sync_study.c
        noted = (table.attempts, table.again_ms, table.assigned, table.reason, table.since_ms)
        query = select(*noted, table.missed_ms, table.lacking_ms)
        return connection.execute(query.where(self._is(task.study), table.ticket == task.ticket).with_for_update()).first()

    def _settle(self, connection: Connection, task: Task, **values: Any) -> None:
        connection.execute(update(sync_study).where(self._is(task.study)).values(ticket="", again_ms=None, **values))

    def _count(self, connection: Connection, outcome: Outcome) -> None:
        statement = upsert(self._store, sync_tally).values(
            sync=self.sync, outcome=outcome, part=secrets.randbelow(TALLY_PARTS), number=1
        )
        more = {"number": sync_tally.c.number + 1}
        connection.execute(statement.on_conflict_do_update(index_elements=["sync", "outcome", "part"], set_=more))
        with self._lock:
            self._outcomes[outcome] += 1


def _last_words(sightings: Iterable[Sighting]) -> dict[StudyInstanceUID, Sighting]:
    """Each study once, as it was told of last; complete where that was said of the same state before."""
    last: dict[StudyInstanceUID, Sighting] = {}
    for one in sightings:
        before = last.get(one.study)
        if before is None or before.state != one.state or not one.state or not before.is_complete:
            last[one.study] = one
    return last


def _earliest(*moments_ms: int | None) -> int | None:
    return min((one for one in moments_ms if one is not None), default=None)
