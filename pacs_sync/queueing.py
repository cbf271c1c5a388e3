"""How a study is put into the queue by one statement, whatever it is doing just now: waiting, under way, held or laid aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, and_, case, null, or_

from fhir_imaging.store.engine import Store, upsert
from fhir_imaging.store.keys import Sealer
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.ports import Work
from pacs_sync.tables import sync_study

T = TypeVar("T")


class Stage(StrEnum):
    """What a study is doing."""

    IDLE = "idle"
    QUEUED = "queued"
    HELD = "held"
    DEAD = "dead"


def queueing(store: Store, *, with_state: bool) -> Any:
    """INSERT of queued rows that brings back those that are there; ``with_state`` also notes the archive's new state.

    What waits keeps its place, or comes earlier. What a worker has is queued again for afterwards.
    """
    statement = upsert(store, sync_study)
    new, row = statement.excluded, sync_study.c
    is_taken = row.ticket != ""
    changes: dict[str, Any] = {
        "stage": Stage.QUEUED,
        "work": case((_is_stronger(row.work, new.work) & row.due_ms.is_not(None), row.work), else_=new.work),
        "due_ms": case((is_taken, row.due_ms), (row.due_ms < new.due_ms, row.due_ms), else_=new.due_ms),
        "queued_ms": case((row.queued_ms < new.queued_ms, row.queued_ms), else_=new.queued_ms),
        "again_ms": case((is_taken & (row.again_ms < new.due_ms), row.again_ms), (is_taken, new.due_ms), else_=null()),
        "attempts": case((is_taken, row.attempts), else_=0),
    }
    if with_state:
        changes |= {"noted_state": new.noted_state, "noted_ms": new.noted_ms, "is_complete": new.is_complete}
        changes["missed_ms"] = null()  # what is listed is there
    return statement.on_conflict_do_update(index_elements=["sync", "study_digest"], set_=changes)


def _is_stronger(waiting: ColumnElement[str], new: ColumnElement[str]) -> ColumnElement[bool]:
    """A comparison and a person's word are not forgotten because the archive told of a change too."""
    return or_(waiting == Work.RELEASED, and_(waiting == Work.COMPARED, new == Work.CHANGED))


def a_row(*, sync: str, digest: str, study: bytes, work: Work, due_ms: int) -> dict[str, Any]:
    """A study that is queued for the first time."""
    return {
        "sync": sync,
        "study_digest": digest,
        "study": study,
        "stage": Stage.QUEUED,
        "work": work,
        "noted_state": "",
        "noted_ms": due_ms,
        "is_complete": False,
        "due_ms": due_ms,
        "queued_ms": due_ms,
        "attempts": 0,
        "ticket": "",
    }


def study_digest(sealer: Sealer, sync: str, study: StudyInstanceUID) -> str:
    """The key under which a synchronisation knows a study."""
    return sealer.digest("sync-study", sync, study)


def ms(seconds: float) -> int:
    """As the tables hold moments."""
    return round(seconds * 1000)


def chunks(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """Lists of at most this size."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
