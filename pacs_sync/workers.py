"""Threads that bring one study over each, hold what they have taken, and rest while a server is away."""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.errors import ImagingError, UpstreamError
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Task
from pacs_sync.retries import Outage, is_like_an_outage, is_like_an_outage_of_several, pause_s
from pacs_sync.settings import PaceSettings

log = logging.getLogger("imaging_cds.sync")

Process = Callable[[Task], None]
"""Brings one study over and notes in the memory what became of it (``done`` or ``hold``), or raises why it could not."""
LOOK_EVERY_S = 1.0
"""Other processes queue studies too, and nobody tells this one."""
SHORTEST_WAIT_S = 0.02
UNFINISHED = "Each worker that had it ended before it was finished."


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """What one synchronisation works with. ``clock`` is the one that all its processes go by; ``jitter`` is from 0 to 1."""

    memory: StoredMemory
    process: Process
    pace: PaceSettings
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random


class Workers:
    """So many threads as ``pace.workers`` says. ``stop`` them before the store is closed."""

    def __init__(self, working: Working) -> None:
        self._memory = working.memory
        self._process = working.process
        self._pace = working.pace
        self._clock = working.clock
        self._jitter = working.jitter
        self._outage = Outage(pace=working.pace)
        self._under_way: dict[str, Task] = {}
        self._number_taken = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.database_error: SQLAlchemyError | None = None
        """The last one, while the database has not answered since."""

    def start(self) -> None:
        """Begins to work."""
        jobs = [self._work] * self._pace.workers + [self._hold]
        self._threads = [threading.Thread(target=job, name=f"sync-{n}", daemon=True) for n, job in enumerate(jobs)]
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Nothing more is taken, and what is under way may end within ``grace_s``; else it is due again when its lease ends."""
        self._stopping.set()
        self.look_up()
        give_up_at = time.monotonic() + grace_s
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
        left = sum(thread.is_alive() for thread in self._threads)
        if left:
            log.warning(
                "sync %s: %d studies are left to be begun anew in %.0f s", self._memory.sync, left, self._memory.lease_s
            )

    def look_up(self) -> None:
        """Something may be due by now."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until something ends here, at most so long."""
        with self._changed:
            self._changed.wait(seconds)

    def nothing_within_s(self, seconds: float) -> bool:
        """Whether nothing is under way here, and nothing can be taken in these seconds."""
        with self._changed:
            if self._under_way:
                return False
            before, now = self._number_taken, self._clock()
            if self._outage.left_s(now=now) > seconds:
                return True
        next_due_s = self._memory.next_due_s(now=now)
        if next_due_s is not None and next_due_s <= seconds:
            return False
        with self._changed:  # one that was taken in between had a lease, and so was not due
            return self._number_taken == before

    # Threads

    def _work(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                rest_s = self._outage.left_s(now=self._clock())
                if rest_s > 0:
                    self._changed.wait(min(rest_s, LOOK_EVERY_S))
                    continue
            try:
                task = self._taken()
                if task is None:
                    self._wait_for_work()
                    continue
                try:
                    self._bring(task)
                finally:
                    self._let_go(task)
                self.database_error = None
            except SQLAlchemyError as exc:  # what was under way is due again when its lease ends
                self._rest_from_the_database(exc)

    def _taken(self) -> Task | None:
        with self._changed:  # so that nobody finds nothing under way in between
            tasks = self._memory.take(now=self._clock(), limit=1)
            self._number_taken += len(tasks)
            for task in tasks:
                self._under_way[task.study] = task
            return tasks[0] if tasks else None

    def _let_go(self, task: Task) -> None:
        with self._changed:
            if self._under_way.get(task.study) is task:
                del self._under_way[task.study]
            self._changed.notify_all()

    def _wait_for_work(self) -> None:
        next_due_s = self._memory.next_due_s(now=self._clock())
        wait_s = LOOK_EVERY_S if next_due_s is None else min(next_due_s, LOOK_EVERY_S)
        with self._changed:
            if not self._stopping.is_set():
                self._changed.wait(max(wait_s, SHORTEST_WAIT_S))

    def _bring(self, task: Task) -> None:
        begun = self._clock()
        if task.attempts > self._pace.max_attempts:
            self._memory.failed(task, UNFINISHED, now=begun, again_in_s=None)
            return
        try:
            self._process(task)
        except SQLAlchemyError:
            raise
        except Exception as exc:  # whatever is wrong with one study, it must not hold up the others
            self._note_failure(task, exc, begun=begun)
        else:
            with self._changed:
                self._outage.succeeded(task.study, now=self._clock())

    def _note_failure(self, task: Task, exc: Exception, *, begun: float) -> None:
        now = self._clock()
        retry_after_s = exc.retry_after_s if isinstance(exc, UpstreamError) else None
        reason = _reason(exc)
        is_certain = is_like_an_outage(exc)
        if is_certain or is_like_an_outage_of_several(exc):
            with self._changed:
                back_in_s = self._outage.comes_back_in_s(
                    task.study, begun=begun, now=now, retry_after_s=retry_after_s, alone=is_certain
                )
                rest_s = self._outage.left_s(now=now)
            if back_in_s is not None:
                log.warning("sync %s: %s Everything waits %.0f s.", self._memory.sync, reason, rest_s)
                self._memory.give_back(task, now=now, again_in_s=back_in_s)
                return
        again_in_s = pause_s(task.attempts, exc, self._pace, retry_after_s=retry_after_s, jitter=self._jitter())
        then = "laid aside" if again_in_s is None else f"again in {again_in_s:.0f} s"
        level = logging.WARNING if again_in_s is None else logging.INFO
        log.log(level, "sync %s: attempt %d at a study failed, %s: %s", self._memory.sync, task.attempts, then, reason)
        self._memory.failed(task, reason, now=now, again_in_s=again_in_s)

    def _rest_from_the_database(self, exc: SQLAlchemyError) -> None:
        self.database_error = exc
        log.error("sync %s: the database failed: %s", self._memory.sync, type(exc).__name__)
        with self._changed:
            self._outage.pause(now=self._clock())

    def _hold(self) -> None:
        """Leases last while their studies are under way."""
        while not self._stopping.wait(self._memory.lease_s / 3):
            with self._changed:
                tasks = list(self._under_way.values())
            try:
                self._memory.renew(tasks, now=self._clock())
            except SQLAlchemyError as exc:
                log.error("sync %s: leases could not be renewed: %s", self._memory.sync, type(exc).__name__)


def _reason(exc: Exception) -> str:
    """For people who look after it, without what the message of a foreign error may quote."""
    if isinstance(exc, UpstreamError):
        return f"{exc.detail} ({exc.server}, {exc.status or 'no answer'})"
    if isinstance(exc, ImagingError):
        return exc.detail
    frames = traceback.extract_tb(exc.__traceback__)
    where = f" at {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(exc).__name__}{where}"
