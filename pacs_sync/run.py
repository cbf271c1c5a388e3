"""One synchronisation at work: looks at the archive and brings over what is new, once, for ever, or for many past days."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.errors import UpstreamError
from pacs_sync.backfill import Backfill, Progress
from pacs_sync.bookmarks import COMPARISON, LOOK
from pacs_sync.memory import Outcome, StoredMemory
from pacs_sync.ports import Days, Source
from pacs_sync.workers import Workers, Working

log = logging.getLogger("imaging_cds.sync")

SETTLE_S = 10.0
GRACE_S = 5.0
POLL_S = 0.05
HOUR_S = 3600.0
AFTER_COMPARISON_S = 900.0
"""One that failed is not begun anew before."""
Comparison = Callable[[threading.Event], None]
"""Compares everything and repairs; ends early when the event is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one run did. ``queued`` studies were new; ``done``, ``held`` and ``dead`` count what became of what was taken here.

    ``failed`` attempts come back, as ``waiting`` studies do: those that are not complete yet, and those of other processes.
    """

    queued: int
    done: int
    failed: int
    held: int
    dead: int
    waiting: int


class Runner:
    """Of one synchronisation, in one process. ``settle_s``: what is due again within this time is still waited for."""

    def __init__(self, source: Source, working: Working) -> None:
        self._source = source
        self._working_with = working
        self._memory = working.memory
        self._pace = working.pace
        self._clock = working.clock

    def look(self, stop: threading.Event | None = None) -> int:
        """Queues what is new in the archive, page by page, each with the place where the next look begins. How many studies.

        UpstreamError where the archive fails; what was read until then is kept.
        """
        queued = 0
        cursor = self._memory.cursor()
        while stop is None or not stop.is_set():
            page = self._source.look(cursor)
            queued += self._memory.note(page.sightings, cursor=page.cursor, now=self._clock())
            if page.is_last or (page.cursor == cursor and not page.sightings):
                break
            cursor = page.cursor
        return queued

    def once(self, stop: threading.Event | None = None, *, settle_s: float = SETTLE_S) -> Summary:
        """Looks, and works until nothing is due."""
        stop = stop or threading.Event()
        before = self._memory.outcomes()
        with self._working() as workers:
            queued = self.look(stop)
            self._settle(workers, stop, settle_s)
        return self._summary(before, queued)

    def backfill(
        self,
        days: Days,
        stop: threading.Event | None = None,
        *,
        progress: Callable[[Progress], None] = lambda _: None,
        settle_s: float = SETTLE_S,
    ) -> Summary:
        """Brings over what the archive holds of these days, the newest first; an interrupted one goes on where it was."""
        stop = stop or threading.Event()
        before = self._memory.outcomes()
        queued = 0

        def note_progress(now: Progress) -> None:
            nonlocal queued
            queued = now.queued
            progress(now)

        filling = Backfill(self._source, self._memory, self._pace, days, clock=self._clock, progress=note_progress)
        with self._working() as workers:

            def goes_on(seconds: float) -> bool:
                _no_database_error(workers)
                return not stop.wait(seconds)

            if filling.queue(goes_on, workers.look_up):
                self._settle(workers, stop, settle_s)
        return self._summary(before, queued)

    def watch(self, stop: threading.Event, *, compare: Comparison | None = None, grace_s: float = GRACE_S) -> None:
        """Works until ``stop`` is set, looks every ``interval_s``, and compares everything now and then.

        Failures of archive, FHIR server and database are outlived. Of several processes one looks, and one compares.
        """
        with self._working(grace_s) as workers:
            look_at = self._clock()
            comparison = _Comparison(self._memory, compare, self._pace.reconcile_hours, stop) if compare else None
            while not stop.is_set():
                if self._clock() >= look_at:
                    look_at = self._clock() + self._watchful_look(workers, stop)
                if comparison is not None:
                    _outliving_the_database(self._memory.sync, lambda: comparison.tick(self._clock()))
                stop.wait(min(1.0, max(0.0, look_at - self._clock())))
            if comparison is not None:
                comparison.join(grace_s)

    def _watchful_look(self, workers: Workers, stop: threading.Event) -> float:
        """In how many seconds the next look is due."""
        marks, lease = self._memory.bookmarks, None
        try:
            lease = marks.lease(LOOK, now=self._clock(), seconds=self._memory.lease_s)
            if lease is not None:
                self.look(stop)
                workers.look_up()
        except UpstreamError as exc:
            log.warning("sync %s: the archive could not be looked at: %s", self._memory.sync, exc.detail)
            return max(self._pace.interval_s, exc.retry_after_s or 0.0)
        except SQLAlchemyError as exc:
            log.error("sync %s: the database failed: %s", self._memory.sync, type(exc).__name__)
        finally:
            if lease is not None:
                held = lease
                _outliving_the_database(self._memory.sync, lambda: marks.give_back(LOOK, held))
        return self._pace.interval_s

    @contextmanager
    def _working(self, grace_s: float = GRACE_S) -> Iterator[Workers]:
        workers = Workers(self._working_with)
        workers.start()
        try:
            yield workers
        finally:
            workers.stop(grace_s)

    def _settle(self, workers: Workers, stop: threading.Event, settle_s: float) -> None:
        workers.look_up()
        while not stop.is_set() and not workers.nothing_within_s(settle_s):
            _no_database_error(workers)
            workers.wait(POLL_S)

    def _summary(self, before: dict[Outcome, int], queued: int) -> Summary:
        after = self._memory.outcomes()
        numbers = {one: after[one] - before.get(one, 0) for one in Outcome}
        return Summary(
            queued=queued,
            done=numbers[Outcome.DONE],
            failed=numbers[Outcome.FAILED],
            held=numbers[Outcome.HELD],
            dead=numbers[Outcome.DEAD],
            waiting=self._memory.pending(now=self._clock()),
        )


class _Comparison:
    """Compares in a thread of its own, every so many hours in one process of all."""

    def __init__(self, memory: StoredMemory, compare: Comparison, hours: float, stop: threading.Event) -> None:
        self._memory = memory
        self._compare = compare
        self._every_s = hours * HOUR_S
        self._stop = stop
        self._thread: threading.Thread | None = None
        self._lease = ""
        self._renewed_at = 0.0
        self._not_before = 0.0

    def tick(self, now: float) -> None:
        """Begins it when it is due, and holds its lease while it runs."""
        marks, lease_s = self._memory.bookmarks, self._memory.lease_s
        if self._thread is not None and self._thread.is_alive():
            if now - self._renewed_at > lease_s / 3:
                marks.renew(COMPARISON, self._lease, now=now, seconds=lease_s)
                self._renewed_at = now
            return
        self._thread = None
        if self._every_s <= 0 or now < self._not_before:
            return
        last = marks.moved_at(COMPARISON)
        if last is None:
            marks.move(COMPARISON, None, now=now)  # a new synchronisation has nothing to compare yet
            return
        lease = marks.lease(COMPARISON, now=now, seconds=lease_s) if now - last >= self._every_s else None
        if lease is not None:
            self._lease, self._renewed_at, self._not_before = lease, now, now + AFTER_COMPARISON_S
            self._thread = threading.Thread(target=self._run, args=(now,), name="sync-comparison", daemon=True)
            self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Waits for the one under way."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, began: float) -> None:
        marks = self._memory.bookmarks
        try:
            self._compare(self._stop)
            if not self._stop.is_set():
                marks.move(COMPARISON, None, now=began)
        except UpstreamError as exc:
            log.warning("sync %s: the comparison failed: %s", self._memory.sync, exc.detail)
        except Exception as exc:  # the synchronisation goes on without it
            log.error("sync %s: the comparison failed: %s", self._memory.sync, type(exc).__name__)


def _no_database_error(workers: Workers) -> None:
    if workers.database_error is not None:
        raise workers.database_error


def _outliving_the_database(sync: str, act: Callable[[], object]) -> None:
    try:
        act()
    except SQLAlchemyError as exc:
        log.error("sync %s: the database failed: %s", sync, type(exc).__name__)
