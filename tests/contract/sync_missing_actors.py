"""A synchronisation over a queue on disk, at a time that the test decides; its archive does not always list what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_imaging.archived_study import ArchivedSeries, ArchivedStudy
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.memory import StoredMemory
from pacs_sync.one_study import MakesResults, OneStudy
from pacs_sync.ports import Sighting, Work
from tests.sync_actors import NOW, STUDY, Archive, Sync

GONE_S = 3600.0
MINUTE_S = 60.0


@dataclass
class FlickeringArchive(Archive):
    """It holds its studies all the time; asked for one by its UID, it finds nothing while ``is_away``."""

    is_away: Callable[[], bool] = lambda: False
    looks: list[bool] = field(default_factory=list)

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        self.looks.append(not self.is_away())
        return None if self.is_away() else super().study(uid)


@dataclass
class ArchiveOfSeries(Archive):
    """``reports`` are by their series; ``lists`` says whether a series is listed just now."""

    lists: Callable[[ArchivedSeries], bool] = lambda _: True

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        found = super().study(uid)
        return found and replace(found, series=tuple(one for one in found.series if self.lists(one)))

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        for one in study.series:
            if one.modality == "SR":
                yield from self.reports[one.uid]


@dataclass
class Site:
    """One worker over a queue on disk. ``reads`` makes what reads the reports; without it no report is read."""

    sync: Sync
    memory: StoredMemory
    archive: Archive
    now: float = NOW
    study: StudyInstanceUID = STUDY
    reads: Callable[[FhirTarget], MakesResults] | None = None

    def works_until(self, end: float, kind: str = "ImagingStudy") -> list[str]:
        """Which states of this type could be seen in FHIR after each of its looks until then."""
        target = self.sync.target()
        results = self.sync.results if self.reads is None else self.reads(target)
        settings = self.sync.settings
        one_study = OneStudy(self.archive, target, self.memory, settings, results=results, clock=lambda: self.now)
        states = []
        while (due_in_s := self.memory.next_due_s(now=self.now)) is not None and self.now + due_in_s <= end:
            self.now += due_in_s
            for task in self.memory.take(now=self.now, limit=1):
                one_study.process(task)
                states += [one["status"] for one in self.sync.fhir.all(kind)] or ["none"]
        self.now = end
        return states

    def is_told(self, state: str = "1") -> None:
        sighting = Sighting(study=self.study, state=state, is_complete=True)
        self.memory.note([sighting], cursor=None, now=self.now)

    def is_compared(self) -> None:
        self.memory.enqueue([self.study], Work.COMPARED, now=self.now)
