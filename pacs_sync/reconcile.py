"""All that an archive holds compared with all of ours that stands in FHIR: what is missing, gone, different, or there twice.

Both are read once, page by page. What is remembered of FHIR lies in a temporary file of SQLite's that has no name and ends with
the comparison, so memory stays flat however many studies there are.

An archive that has lost its index must not empty FHIR, nor one that is another: what it lists no more is taken back only while
it lists enough of what stands there.

Spec: clinical rules §9 (nobody tells of a deletion), X17.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from threading import Event

from fhir_imaging.errors import UpstreamError
from fhir_imaging.fhir_versions import Status
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.ports import Memory, Source, Target, Work
from pacs_sync.standing import is_withdrawn, study_uids

log = logging.getLogger("imaging_cds.sync")

BATCH = 500
"""Studies that are written down, or queued, at once."""
LEAST_PART = 0.5
"""Of what stands in FHIR, an archive has to list so much to be believed that the rest is gone."""
_NOTED = """
CREATE TABLE standing (study TEXT PRIMARY KEY, number INTEGER NOT NULL, announced INTEGER NOT NULL, listed INTEGER NOT NULL)
WITHOUT ROWID
"""
_NOTE = """
INSERT INTO standing VALUES (?, 1, ?, 0)
ON CONFLICT (study) DO UPDATE SET number = number + 1, announced = max(announced, excluded.announced)
"""
_LIST = "INSERT INTO standing VALUES (?, 0, 0, 1) ON CONFLICT (study) DO UPDATE SET listed = 1"


class Difference(StrEnum):
    """How archive and FHIR differ about one study."""

    MISSING = "missing"
    """The archive has it, and nothing of ours is to be seen in FHIR."""
    GONE = "gone"
    """It is to be seen in FHIR, and the archive has it no more."""
    DIFFERENT = "different"
    """What stands in FHIR is not what the archive says."""
    COPIES = "copies"
    """It is to be seen several times in FHIR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a comparison is: studies of ours read in FHIR, and read in the archive."""

    standing: int
    listed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. ``unknown``: studies that could not be looked at; ``held`` ones wait for a person and are not missing.

    ``does_not_trust``: the archive lists too little to be believed, so nothing that it does not list was queued.
    ``is_whole``: it was not ended early.
    """

    standing: int
    listed: int
    differences: dict[Difference, int]
    held: int
    unknown: int
    queued: int
    does_not_trust: bool
    is_whole: bool

    @property
    def agrees(self) -> bool:
        """Whether FHIR holds what the archive holds, as far as that can be told."""
        return self.is_whole and not (any(self.differences.values()) or self.unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """How a comparison is made.

    ``repair`` queues what differs. ``trust_archive``: what an archive does not list is gone, however little it lists.
    ``would_change`` looks at each study that both sides have (``OneStudy.would_change``); None compares only what there is.
    ``is_held``: it waits for a person; ``may_be_free``: for what others wrote in FHIR, which they may have taken back since, so
    that it is looked at again. ``found`` and ``progress`` are told as it goes.
    """

    repair: bool = False
    trust_archive: bool = False
    would_change: Callable[[StudyInstanceUID], bool] | None = None
    is_held: Callable[[StudyInstanceUID], bool] = lambda _: False
    may_be_free: Callable[[StudyInstanceUID], bool] = lambda _: False
    found: Callable[[Difference, StudyInstanceUID], None] = lambda *_: None
    progress: Callable[[Progress], None] = lambda _: None


def reconcile(
    source: Source,
    target: Target,
    memory: Memory,
    comparing: Comparing,
    *,
    stop: Event | None = None,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Compares everything. UpstreamError where either side fails half-way: then nothing is taken for gone."""
    # An empty name is a private file that SQLite deletes itself, and that lies in memory while it is small.
    with closing(sqlite3.connect("", isolation_level=None)) as notes:
        notes.execute("PRAGMA journal_mode = OFF")
        notes.execute(_NOTED)
        return _Comparison(source, target, memory, comparing, notes, (stop or Event(), clock)).made()


class _Comparison:
    def __init__(
        self,
        source: Source,
        target: Target,
        memory: Memory,
        comparing: Comparing,
        notes: sqlite3.Connection,
        when: tuple[Event, Callable[[], float]],
    ) -> None:
        self._source = source
        self._target = target
        self._memory = memory
        self._how = comparing
        self._notes = notes
        self._stop, self._clock = when
        self._counts: Counter[Difference] = Counter()
        self._waiting: list[StudyInstanceUID] = []
        self._queued = self._standing = self._listed = self._held = self._unknown = 0

    def made(self) -> Report:
        self._note_standing()
        self._go_through_the_archive()
        is_whole, does_not_trust = not self._stop.is_set(), False
        if is_whole:
            stands, listed = self._notes.execute("SELECT count(*), total(listed) FROM standing WHERE number > 0").fetchone()
            does_not_trust = listed < stands * LEAST_PART and not self._how.trust_archive
            self._go_through_the_rest(believed=not does_not_trust)
        self._flush()
        return Report(
            standing=self._standing,
            listed=self._listed,
            differences={one: self._counts[one] for one in Difference},
            held=self._held,
            unknown=self._unknown,
            queued=self._queued,
            does_not_trust=does_not_trust,
            is_whole=is_whole,
        )

    def _note_standing(self) -> None:
        rows: list[tuple[str, bool]] = []
        for one in self._target.all_studies():
            if self._stop.is_set():
                return
            self._standing += 1
            if not is_withdrawn(one.content):
                is_announced = one.content.get("status") == Status.REGISTERED
                rows += [(uid, is_announced) for uid in study_uids(one.content)]
            if len(rows) >= BATCH:
                self._write_down(rows)
        self._write_down(rows)

    def _write_down(self, rows: list[tuple[str, bool]]) -> None:
        self._notes.execute("BEGIN")
        self._notes.executemany(_NOTE, rows)
        self._notes.execute("COMMIT")
        rows.clear()
        self._tell()

    def _go_through_the_archive(self) -> None:
        listed: list[StudyInstanceUID] = []
        for one in self._source.studies():
            if self._stop.is_set():
                return
            listed.append(one.study)
            if len(listed) >= BATCH:
                self._compare(listed)
        self._compare(listed)

    def _compare(self, listed: list[StudyInstanceUID]) -> None:
        for uid in listed:
            row = self._notes.execute("SELECT number, announced, listed FROM standing WHERE study = ?", (uid,)).fetchone()
            if row is not None and row[2]:
                continue  # it moved from one page to the next while they were read
            self._listed += 1
            self._judge(uid, row)
            self._notes.execute(_LIST, (uid,))
        listed.clear()
        self._tell()

    def _judge(self, uid: StudyInstanceUID, row: tuple[int, int, int] | None) -> None:
        if row is None:
            if self._how.is_held(uid):
                self._held += 1
                if self._how.may_be_free(uid):
                    self._queue(uid)
            else:
                self._differs(uid, Difference.MISSING)
            return
        number, is_announced, _ = row
        if number > 1:
            self._differs(uid, Difference.COPIES)
        elif self._looks_different(uid):
            self._differs(uid, Difference.DIFFERENT)
        elif is_announced:
            self._queue(uid)  # whoever was to come back for it may have been lost

    def _looks_different(self, uid: StudyInstanceUID) -> bool:
        if self._how.would_change is None:
            return False
        try:
            return self._how.would_change(uid)
        except UpstreamError as failure:
            if failure.status is None:
                raise  # nobody is there
            self._unknown += 1
            return False

    def _go_through_the_rest(self, *, believed: bool) -> None:
        for uid in self._unlisted():
            self._differs(uid, Difference.GONE, is_repaired=believed)
        if not believed:
            log.warning("The archive lists %d studies and FHIR has %d: nothing is taken back.", self._listed, self._standing)

    def _unlisted(self) -> Iterator[StudyInstanceUID]:
        for (study,) in self._notes.execute("SELECT study FROM standing WHERE listed = 0 ORDER BY study"):
            yield StudyInstanceUID(study)

    def _differs(self, uid: StudyInstanceUID, difference: Difference, *, is_repaired: bool = True) -> None:
        self._counts[difference] += 1
        self._how.found(difference, uid)
        if is_repaired:
            self._queue(uid)

    def _queue(self, uid: StudyInstanceUID) -> None:
        if self._how.repair:
            self._waiting.append(uid)
            if len(self._waiting) >= BATCH:
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._queued += self._memory.enqueue(self._waiting, Work.COMPARED, now=self._clock())
            self._waiting = []

    def _tell(self) -> None:
        self._how.progress(Progress(standing=self._standing, listed=self._listed))
