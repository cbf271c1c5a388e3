"""How synchronisations fare, in numbers: for metrics and for ``sync status``. No study and no patient is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from fhir_imaging.store.engine import Store
from pacs_sync.bookmarks import COMPARISON, LOOK
from pacs_sync.memory import Outcome
from pacs_sync.ports import HoldReason
from pacs_sync.queueing import Stage
from pacs_sync.tables import sync_bookmark, sync_study, sync_tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Of one synchronisation, now. Times are UTC seconds; None where it never happened."""

    sync: str
    waiting: int
    """Studies that wait: due ones, those that failed and come back, and those that are not complete yet."""
    under_way: int
    """Studies that a worker has, in whichever process."""
    held: Mapping[HoldReason, int]
    """Studies that wait for a person; every reason has its number."""
    dead: int
    """Studies that were laid aside."""
    lag_s: float
    """For how long the study that is due longest has been due; 0 when none is."""
    looked_at: float | None
    """When the archive was last looked at."""
    compared_at: float | None
    """When everything was last compared, or the first comparison began to be waited for."""
    outcomes: Mapping[Outcome, int]
    """How often each came, ever, in all processes."""


def counts(store: Store, syncs: Iterable[str], *, now: float) -> list[Counts]:
    """Of the named synchronisations, in their order."""
    with store.read() as connection:
        return [_counts(connection, sync, round(now * 1000)) for sync in syncs]


def _counts(connection: Connection, sync: str, now_ms: int) -> Counts:
    queue = _queue(connection, sync, now_ms)
    aside = _laid_aside(connection, sync)
    oldest_ms = now_ms if queue.oldest_ms is None else queue.oldest_ms
    marks = sync_bookmark.c
    moved = select(marks.name, marks.at_ms).where(marks.sync == sync, marks.at_ms > 0)
    moved_at = {row.name: row.at_ms / 1000 for row in connection.execute(moved)}
    tally = select(sync_tally.c.outcome, func.sum(sync_tally.c.number).label("number")).where(sync_tally.c.sync == sync)
    tallied = {row.outcome: int(row.number) for row in connection.execute(tally.group_by(sync_tally.c.outcome))}
    return Counts(
        sync=sync,
        waiting=queue.pending - (queue.under_way or 0),
        under_way=queue.under_way or 0,
        held={reason: aside.get((Stage.HELD, reason), 0) for reason in HoldReason},
        dead=sum(number for (stage, _), number in aside.items() if stage == Stage.DEAD),
        lag_s=max(0, now_ms - oldest_ms) / 1000,
        looked_at=moved_at.get(LOOK),
        compared_at=moved_at.get(COMPARISON),
        outcomes={outcome: tallied.get(outcome, 0) for outcome in Outcome},
    )


def _queue(connection: Connection, sync: str, now_ms: int) -> Any:
    table = sync_study.c
    is_under_way = (table.ticket != "") & (table.due_ms > now_ms)
    numbers = select(
        func.count().label("pending"),
        func.sum(case((is_under_way, 1), else_=0)).label("under_way"),
        func.min(table.queued_ms).label("oldest_ms"),
    )
    return connection.execute(numbers.where(table.sync == sync, table.due_ms.is_not(None))).one()


def _laid_aside(connection: Connection, sync: str) -> dict[tuple[str, str | None], int]:
    """By stage and reason."""
    table = sync_study.c
    aside = (table.sync == sync) & table.since_ms.is_not(None) & table.stage.in_((Stage.HELD, Stage.DEAD))
    numbers = select(table.stage, table.reason, func.count().label("number")).where(aside)
    return {(row.stage, row.reason): row.number for row in connection.execute(numbers.group_by(table.stage, table.reason))}
