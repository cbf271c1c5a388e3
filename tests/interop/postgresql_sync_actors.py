"""What several processes of a synchronisation do at once with the queue that they share on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.bookmarks import LOOK
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Sighting
from tests.interop.postgresql_actors import Work

SYNC = "demo"
LEASE_S = 60.0


def note_studies(work: Work, studies: Sequence[str]) -> int:
    """How many of these studies this process queued."""
    with work.store() as store:
        memory = StoredMemory(store, SYNC, lease_s=LEASE_S)
        return memory.note([Sighting(study=StudyInstanceUID(one), state="1") for one in studies], cursor="seen", now=100)


def bring_studies(work: Work, at_a_time: int) -> list[str]:
    """The studies that this process took, and brought over."""
    brought: list[str] = []
    with work.store() as store:
        memory = StoredMemory(store, SYNC, lease_s=LEASE_S)
        while tasks := memory.take(now=200, limit=at_a_time):
            for task in tasks:
                memory.done(task, now=200)
                brought.append(task.study)
    return brought


def take_and_die(work: Work, at_a_time: int) -> list[str]:
    """The studies that this process took and said nothing more of."""
    with work.store() as store:
        return [task.study for task in StoredMemory(store, SYNC, lease_s=LEASE_S).take(now=200, limit=at_a_time)]


def lease_the_look(work: Work, times: int) -> int:
    """How often this process may look at the archive, of so many tries in the same moment."""
    with work.store() as store:
        bookmarks = StoredMemory(store, SYNC).bookmarks
        return sum(bookmarks.lease(LOOK, now=100, seconds=30) is not None for _ in range(times))
