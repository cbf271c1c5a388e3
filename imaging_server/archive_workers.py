"""Threads that ask archives side by side, apart for each archive: one that hangs holds up only what needs it.

Callers have them in turn. However much one of them asks, threads are left for those who have none yet, and who has the most
under way waits for the others; so a slow archive is slow for everybody alike and shut to nobody.

Spec: SMART Imaging Access F10, group 23.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_imaging.errors import InvalidRequest, TooManyRequests, UpstreamError, UpstreamTimeout
from fhir_imaging.followed import followed

T = TypeVar("T")

WORKERS = 8
"""Questions under way at once to one archive from one worker process; its own limit on connections holds beside it."""
KEPT_FREE = 2
"""Of those, for callers who have none under way."""
REQUESTS_AT_ONCE = 6
"""Requests of one caller that may wait for archives at once: each holds a thread of the server."""
PATIENCE_S = 15.0
"""How long all questions of one request may take together; the answers that come later are kept for whoever asks again."""


@dataclass(frozen=True, slots=True)
class _Asking:
    """Whose request it is that asks, and since when (``time.monotonic``); None: each question has its own time."""

    caller: str = ""
    since: float | None = None


_NOBODY = _Asking()
_asking: ContextVar[_Asking] = ContextVar("asking", default=_NOBODY)


@contextmanager
def asking_for(caller: str) -> Iterator[None]:
    """Whatever is asked within is one request of this caller's (its token's fingerprint), whose time begins now."""
    before = _asking.set(_Asking(caller, time.monotonic()))
    try:
        yield
    finally:
        _asking.reset(before)


_Question = tuple[Future[Any], Callable[[], None]]


class _Turns:
    """The threads of one archive. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._free = WORKERS
        self._waiting: dict[str, deque[_Question]] = {}  # whose turn is next, first
        self._running: Counter[str] = Counter()

    def submit(self, caller: str, job: Callable[[], T]) -> Future[T]:
        """The answer to come, in the caller's turn."""
        future: Future[T] = Future()
        job = followed(job)  # whoever is ready first starts it, also in the middle of another request
        with self._lock:
            self._waiting.setdefault(caller, deque()).append((future, lambda: _answer(future, job)))
            self._start_all()
        return future

    def forget_cancelled(self, caller: str) -> None:
        """Questions that nobody waits for any more need no turn."""
        with self._lock:
            waiting = deque(one for one in self._waiting.pop(caller, ()) if not one[0].cancelled())
            if waiting:
                self._waiting[caller] = waiting

    def close(self) -> None:
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start_all(self) -> None:
        while (caller := self._next()) is not None:
            waiting = self._waiting.pop(caller)
            self._free -= 1
            self._running[caller] += 1
            self._pool.submit(self._run, caller, waiting.popleft()[1])
            if waiting:
                self._waiting[caller] = waiting  # last in turn now

    def _next(self) -> str | None:
        """Who may have a thread; of two that have some already, who has fewer."""
        if self._free == 0 or not self._waiting:
            return None
        caller = min(self._waiting, key=self._running.__getitem__)
        return caller if self._running[caller] == 0 or self._free > KEPT_FREE else None

    def _run(self, caller: str, job: Callable[[], None]) -> None:
        try:
            job()
        finally:
            with self._lock:
                self._free += 1
                self._running[caller] -= 1
                if not self._running[caller]:
                    del self._running[caller]
                self._start_all()


def _answer(future: Future[T], job: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return  # nobody waits for it any more
    try:
        future.set_result(job())
    except BaseException as exc:
        future.set_exception(exc)


class ArchiveWorkers:
    """Thread-safe. Make it after the fork, ``close`` it at the end."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._turns: dict[str, _Turns] = {}
        self._requests: Counter[str] = Counter()

    def together(self, jobs: Iterable[tuple[str, Callable[[], T]]]) -> list[T]:
        """The answers to all ``jobs`` (archive and question), or their first fault as 503: an answer that lacks one of them
        would look whole.

        TooManyRequests for a caller with too many such requests under way.
        """
        caller = _asking.get().caller
        with self._one_more(caller):
            asked = [(self._of(archive), job) for archive, job in jobs]
            futures = [turns.submit(caller, job) for turns, job in asked]
            try:
                return self._answers(futures)
            except (UpstreamError, InvalidRequest) as fault:
                raise not_ready(fault) from fault
            finally:
                if any([future.cancel() for future in futures]):
                    for turns in {turns for turns, _ in asked}:
                        turns.forget_cancelled(caller)

    def close(self) -> None:
        """Lets the threads go."""
        with self._lock:
            for turns in self._turns.values():
                turns.close()

    @contextmanager
    def _one_more(self, caller: str) -> Iterator[None]:
        with self._lock:
            if self._requests[caller] >= REQUESTS_AT_ONCE:
                raise TooManyRequests("Wait for the answers to your other requests, please.", retry_after_s=2)
            self._requests[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._requests[caller] -= 1
                if not self._requests[caller]:
                    del self._requests[caller]

    def _answers(self, futures: Sequence[Future[T]]) -> list[T]:
        began = _asking.get().since
        end = (time.monotonic() if began is None else began) + self._patience_s
        try:
            return [future.result(timeout=max(0.0, end - time.monotonic())) for future in futures]
        except TimeoutError as exc:
            raise UpstreamTimeout("An archive takes its time.", server="archive") from exc

    def _of(self, archive: str) -> _Turns:
        with self._lock:
            if archive not in self._turns:
                self._turns[archive] = _Turns(f"imaging-fhir-{archive}")
            return self._turns[archive]


def not_ready(fault: UpstreamError | InvalidRequest) -> UpstreamError:
    """What callers are told when an archive cannot be asked: wait and ask again, never "there is nothing" (F10)."""
    words = "Not every archive could be asked just now. Please try again."
    if not isinstance(fault, UpstreamError):
        return UpstreamError(words, server="archive", retryable=True, cause=fault.code)
    return UpstreamError(
        words,
        server=fault.server,
        status=fault.status,
        retryable=True,
        retry_after_s=fault.retry_after_s,
        cause=fault.code,
    )
