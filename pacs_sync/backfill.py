"""Queues what an archive holds of many days, from the newest to the oldest; after an interruption it goes on where it was."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from fhir_imaging.errors import UpstreamError
from pacs_sync.bookmarks import BACKFILL
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Days, Sighting, Source
from pacs_sync.queueing import chunks
from pacs_sync.retries import pause_s
from pacs_sync.settings import PaceSettings

log = logging.getLogger("imaging_cds.sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a back-fill has come. ``day`` is the oldest one that is whole; how many studies there are nobody knows."""

    days_done: int
    days: int
    day: date | None
    found: int
    """Studies that the archive told of, since this process began."""
    queued: int
    """Those of them that were new."""
    pending: int
    """Studies that wait to be brought over, or are under way."""


def windows(days: Days, size: int) -> Iterator[Days]:
    """Stretches of at most ``size`` days, the newest first, each day once."""
    number = (days.last - days.first).days + 1
    for begin in range(0, number, size):
        first = days.last - timedelta(days=min(begin + size, number) - 1)
        yield Days(first=first, last=days.last - timedelta(days=begin))


class Backfill:
    """One back-fill of these days. What was queued stays queued, so a stretch that is read twice costs only the reading."""

    def __init__(
        self,
        source: Source,
        memory: StoredMemory,
        pace: PaceSettings,
        days: Days,
        *,
        clock: Callable[[], float],
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._source = source
        self._memory = memory
        self._pace = pace
        self._days = days
        self._clock = clock
        self._progress = progress
        self._found = 0
        self._queued = 0
        self._pending = 0

    def queue(self, wait: Callable[[float], bool], queued: Callable[[], None]) -> bool:
        """Queues everything, and waits while too much is pending. False when it was stopped before the end.

        ``wait`` waits so many seconds and says whether to go on; ``queued`` is called when there may be work. UpstreamError
        where the archive fails again and again.
        """
        first_open = self._goes_on_at()
        self._tell(first_open)
        if first_open is None:
            return True
        for window in windows(replace(self._days, last=first_open), self._pace.window_days):
            if not self._queue_window(window, wait, queued):
                return False
            at_end = window.first == self._days.first
            self._note_place(None if at_end else window.first - timedelta(days=1))
            self._tell(None if at_end else window.first - timedelta(days=1))
        return True

    def _queue_window(self, window: Days, wait: Callable[[float], bool], queued: Callable[[], None]) -> bool:
        """Begins the stretch anew where the archive fails."""
        failures = 0
        while True:
            try:
                for page in chunks(self._source.studies(window), self._pace.page_size):
                    if not self._has_room(window, wait):
                        return False
                    self._found += len(page)
                    told = (self._as_told(one, window) for one in page)
                    self._queued += self._memory.note(told, cursor=None, now=self._clock())
                    queued()
                    self._tell(window.last)
                return True
            except UpstreamError as exc:
                failures += 1
                pause = pause_s(failures, exc, self._pace, retry_after_s=exc.retry_after_s)
                if pause is None:
                    raise
                log.warning("sync %s: the archive failed, again in %.0f s: %s", self._memory.sync, pause, exc.detail)
                if not wait(pause):
                    return False

    def _has_room(self, window: Days, wait: Callable[[float], bool]) -> bool:
        while True:
            self._pending = self._memory.pending(now=self._clock())
            if self._pending < self._pace.max_pending:
                return wait(0)
            self._tell(window.last)
            if not wait(0.2):
                return False

    def _as_told(self, sighting: Sighting, window: Days) -> Sighting:
        """A study of days that no look searches any more is complete: nobody else would say so."""
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        is_past = window.last < today - timedelta(days=self._pace.overlap_days + 1)  # it may be tomorrow already somewhere
        return replace(sighting, is_complete=sighting.is_complete or is_past)

    def _goes_on_at(self) -> date | None:
        """The newest day that is still to be read; None when all is read. Of other days, or after its end, it begins anew."""
        stored = self._memory.bookmarks.place(BACKFILL)
        if stored is not None:
            place = json.loads(stored)
            if [place["first"], place["last"]] == self._named_days() and place["next"] is not None:
                return date.fromisoformat(place["next"])
        return self._days.last if self._days.first <= self._days.last else None

    def _note_place(self, next_day: date | None) -> None:
        first, last = self._named_days()
        place = {"first": first, "last": last, "next": None if next_day is None else next_day.isoformat()}
        self._memory.bookmarks.move(BACKFILL, json.dumps(place), now=self._clock())

    def _named_days(self) -> list[str]:
        return [self._days.first.isoformat(), self._days.last.isoformat()]

    def _tell(self, next_day: date | None) -> None:
        """``next_day`` is the newest one that is not whole."""
        days = max(0, (self._days.last - self._days.first).days + 1)
        done = days if next_day is None else (self._days.last - next_day).days
        self._progress(
            Progress(
                days_done=done,
                days=days,
                day=self._days.last - timedelta(days=done - 1) if done else None,
                found=self._found,
                queued=self._queued,
                pending=self._pending,
            )
        )
