"""An archive in memory, and what brings its studies over: a synchronisation at its ports, without servers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.errors import UpstreamError
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Days, Look, Sighting, Task


@dataclass(slots=True)
class ArchiveInMemory:
    """``states`` by study and day; its news are told ``page_size`` at a time, always all of them from the beginning."""

    page_size: int = 3
    days: dict[StudyInstanceUID, date] = field(default_factory=dict)
    states: dict[StudyInstanceUID, str] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    """Raised by the next questions, one each."""
    asked: list[object] = field(default_factory=list)
    complete: set[StudyInstanceUID] = field(default_factory=set)

    def put(self, study: StudyInstanceUID, state: str, day: date = date(2026, 11, 21)) -> None:
        self.states[study] = state
        self.days[study] = day

    def look(self, cursor: str | None) -> Look:
        self.asked.append(cursor)
        self._fail()
        begin = int(cursor or 0)
        told = sorted(self.states)[begin : begin + self.page_size]
        is_last = begin + self.page_size >= len(self.states)
        seen = tuple(self._sighting(one) for one in told)
        return Look(sightings=seen, cursor="0" if is_last else str(begin + self.page_size), is_last=is_last)

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        self.asked.append(days)
        for study in sorted(self.states):
            if days is None or days.first <= self.days[study] <= days.last:
                self._fail()
                yield self._sighting(study)

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        return ArchivedStudy(uid=uid, archives=("memory",)) if uid in self.states else None

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        return iter(())

    def _sighting(self, study: StudyInstanceUID) -> Sighting:
        return Sighting(study=study, state=self.states[study], is_complete=study in self.complete)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


@dataclass(slots=True)
class Bringer:
    """A process function: writes the archive's state of a study down. ``troubles`` may raise or hold for a study first."""

    archive: ArchiveInMemory
    memory: StoredMemory
    trouble: Callable[[Task], None] = lambda _: None
    written: dict[StudyInstanceUID, str] = field(default_factory=dict)
    attempts: Counter[StudyInstanceUID] = field(default_factory=Counter)
    completed: set[StudyInstanceUID] = field(default_factory=set)
    again_in_s: float | None = None
    now: Callable[[], float] = lambda: 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, task: Task) -> None:
        with self.lock:
            self.attempts[task.study] += 1
        self.trouble(task)
        self.written[task.study] = self.archive.states[task.study]
        if task.is_complete:
            self.completed.add(task.study)
        self.memory.done(task, now=self.now(), again_in_s=None if task.is_complete else self.again_in_s)


def unreachable(server: str = "fhir") -> UpstreamError:
    return UpstreamError("The server could not be reached.", server=server, retryable=True)


def refused(status: int) -> UpstreamError:
    return UpstreamError("It was refused.", server="fhir", status=status, retryable=status in (409, 412, 429) or status >= 500)
