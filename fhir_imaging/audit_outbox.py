"""What has still to reach a sink: written with each record in one transaction, taken by whichever worker is free.

Spec: SMART Imaging Access group 34 (what becomes of audit records when they cannot be written); DESIGN §9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.tables import audit_delivery, audit_event, audit_sink

LEASE_S = 30
LONGEST_WAIT_S = 900
"""The longest pause between two attempts at a sink that fails, unless it asks for up to an hour by Retry-After."""
REJECTED_WAIT_S = 3600
"""After so long a sink is offered again what it rejected: somebody may have mended it. Nothing waits any longer, so a time
beyond was noted by a clock that was ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One record on its way to one sink. ``attempts`` count this one, and none that was given back untried; ``leased_until``
    in UTC seconds."""

    event_id: int
    event_key: str
    attempts: int
    leased_until: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """How one sink fares, for people. ``oldest_at`` is the time of the oldest record that waits; all in UTC seconds."""

    sink: str
    pending: int
    failed: int
    oldest_at: int | None
    resume_at: int
    last_error: str | None
    delivered_at: int | None


def enqueue(connection: Connection, sinks: Sequence[str], event_id: int) -> None:
    """Notes in the record's own transaction that these sinks want it.

    SQLite gives the number of a newest record that somebody removed by hand to the next one: what waited under it is nobody's.
    """
    if sinks:
        connection.execute(delete(audit_delivery).where(audit_delivery.c.event_id == event_id))
        rows = [{"sink": sink, "event_id": event_id, "due_at": 0, "attempts": 0} for sink in sinks]
        connection.execute(insert(audit_delivery), rows)


class Outbox:
    """The rows of one sink. ``now`` (UTC seconds) is an argument everywhere."""

    def __init__(self, store: Store, sink: str) -> None:
        self._store = store
        self._sink = sink

    def take(self, *, now: int, limit: int) -> list[Taken]:
        """At most ``limit`` records that are due, for this worker alone until the lease ends.

        The oldest first, and those that were tried in vain behind all others: one that a sink fails at holds up nobody.
        """
        table, until = audit_delivery.c, now + LEASE_S
        if not self._has_due(now):
            return []
        due = select(table.event_id).where(table.sink == self._sink, _is_due(now))
        # SQLite has one writer anyway. PostgreSQL could run a mere subquery, with its locks, more than once.
        due_rows = due.order_by(table.attempts, table.event_id).limit(limit).with_for_update(skip_locked=True).cte("due")
        statement = (
            update(audit_delivery)
            .where(table.sink == self._sink, table.event_id.in_(select(due_rows.c.event_id)))
            .values(due_at=until, attempts=table.attempts + 1)
            .returning(table.event_id, table.attempts)
        )
        with self._store.write_once() as connection:
            taken = {row.event_id: row.attempts for row in connection.execute(statement)}
        with self._store.read() as connection:
            wanted = select(audit_event.c.id, audit_event.c.event_key, audit_event.c.body).where(audit_event.c.id.in_(taken))
            rows = connection.execute(wanted).all()
        return [
            Taken(
                event_id=row.id,
                event_key=row.event_key or "",
                attempts=taken[row.id],
                leased_until=until,
                body=row.body,
            )
            for row in sorted(rows, key=lambda row: (taken[row.id], row.id))
        ]

    def delivered(self, taken: Sequence[Taken], *, now: int) -> None:
        """Forgets what the sink has, and that it ever failed."""
        with self._store.write() as connection:
            connection.execute(delete(audit_delivery).where(self._among([one.event_id for one in taken])))
            self._note_sink(connection, resume_at=0, failures=0, last_error=None, delivered_at=now)

    def rejected(self, reasons: Mapping[int, str], *, now: int) -> None:
        """Keeps what the sink does not take, by event id with the reason, for a later attempt."""
        with self._store.write() as connection:
            for event_id, reason in reasons.items():
                later = {"due_at": now + REJECTED_WAIT_S, "last_error": reason[:200]}
                connection.execute(update(audit_delivery).where(self._among([event_id])).values(**later))

    def give_back(self, taken: Sequence[Taken], *, now: int, tried: bool = False) -> None:
        """Returns what has not arrived, or may not have, unless the lease has ended and another worker has it.

        Only what was ``tried`` counts an attempt: it may be there, and is looked for there before it is sent again.
        """
        if not taken:
            return
        mine = self._among([one.event_id for one in taken]) & (audit_delivery.c.due_at == taken[0].leased_until)
        attempts = audit_delivery.c.attempts if tried else audit_delivery.c.attempts - 1
        with self._store.write_once() as connection:
            connection.execute(update(audit_delivery).where(mine).values(due_at=now, attempts=attempts))

    def failed(self, reason: str, *, now: int, wait_s: int | None) -> int:
        """Nobody asks the sink for a while: longer with each failure in a row, at least as long as it asks for, but for no more
        than an hour. Seconds."""
        with self._store.read() as connection:
            before = connection.execute(select(audit_sink.c.failures).where(audit_sink.c.name == self._sink)).scalar()
        failures = int(before or 0) + 1
        pause = max(min(wait_s or 0, REJECTED_WAIT_S), min(LONGEST_WAIT_S, 1 << min(failures - 1, 20)))
        with self._store.write() as connection:
            self._note_sink(connection, resume_at=now + pause, failures=failures, last_error=reason[:200])
        return pause

    def _has_due(self, now: int) -> bool:
        """Read first: on SQLite, taking nothing would still make every writer wait."""
        due = select(audit_delivery.c.event_id).where(audit_delivery.c.sink == self._sink, _is_due(now))
        rests = audit_sink.c.resume_at.between(now + 1, now + REJECTED_WAIT_S)
        resting = select(audit_sink.c.name).where(audit_sink.c.name == self._sink, rests)
        with self._store.read() as connection:
            return connection.execute(due.where(~resting.exists()).limit(1)).first() is not None

    def _note_sink(self, connection: Connection, **values: object) -> None:
        statement = upsert(self._store, audit_sink).values(name=self._sink, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def _among(self, event_ids: Sequence[int]) -> ColumnElement[bool]:
        return (audit_delivery.c.sink == self._sink) & audit_delivery.c.event_id.in_(event_ids)


def _is_due(now: int) -> ColumnElement[bool]:
    return (audit_delivery.c.due_at <= now) | (audit_delivery.c.due_at > now + REJECTED_WAIT_S)


def reports(store: Store, sinks: Sequence[str]) -> list[SinkReport]:
    """How the named sinks fare, and any other for which records still wait."""
    table = audit_delivery.c
    counts = select(
        table.sink,
        func.count().label("pending"),
        func.count(table.last_error).label("failed"),
        func.min(audit_event.c.recorded_at).label("oldest_at"),
    ).join_from(audit_delivery, audit_event, table.event_id == audit_event.c.id)
    with store.read() as connection:
        waiting = {row.sink: row for row in connection.execute(counts.group_by(table.sink))}
        states = {row.name: row for row in connection.execute(select(audit_sink))}
    found = []
    for sink in dict.fromkeys([*sinks, *sorted(waiting)]):
        rows, state = waiting.get(sink), states.get(sink)
        found.append(
            SinkReport(
                sink=sink,
                pending=rows.pending if rows else 0,
                failed=rows.failed if rows else 0,
                oldest_at=rows.oldest_at if rows else None,
                resume_at=state.resume_at if state else 0,
                last_error=state.last_error if state else None,
                delivered_at=state.delivered_at if state else None,
            )
        )
    return found


def retry_now(store: Store, *, now: int) -> None:
    """Makes due what was rejected, and what waits for a sink that failed: for somebody who has mended it."""
    table = audit_delivery.c
    waits = (table.due_at > now + LEASE_S) | ((table.due_at > now) & table.last_error.is_not(None))
    with store.write() as connection:
        connection.execute(update(audit_delivery).where(waits).values(due_at=now))
        connection.execute(update(audit_sink).values(resume_at=0))


def give_up(store: Store, sink: str) -> int:
    """Forgets what waits for a sink that is no more; says how many records that were. They stay in the database."""
    with store.write() as connection:
        count = connection.execute(delete(audit_delivery).where(audit_delivery.c.sink == sink)).rowcount
        connection.execute(delete(audit_sink).where(audit_sink.c.name == sink))
    return count


def purge(store: Store, *, before: int, limit: int = 5000) -> int:
    """Removes at most ``limit`` records from before that time (UTC seconds) that no sink waits for; says how many."""
    waiting = select(audit_delivery.c.event_id).where(audit_delivery.c.event_id == audit_event.c.id).exists()
    old = select(audit_event.c.id).where(audit_event.c.recorded_at < before, ~waiting).limit(limit)
    with store.write_once() as connection:
        return connection.execute(delete(audit_event).where(audit_event.c.id.in_(old))).rowcount
