"""Threads that ask archives side by side, apart for each archive: one that hangs holds up only what needs it.

Spec: SMART Imaging Access F10, group 23.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fhir_imaging.errors import InvalidRequest, UpstreamError, UpstreamTimeout

T = TypeVar("T")

WORKERS = 8
"""Questions under way at once to one archive from one worker process; its own limit on connections holds beside it."""
PATIENCE_S = 15.0
"""How long all questions of one request may take together; the answers that come later are kept for whoever asks again."""


class ArchiveWorkers:
    """Thread-safe. Make it after the fork, ``close`` it at the end."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def together(self, jobs: Iterable[tuple[str, Callable[[], T]]]) -> list[T]:
        """The answers to all ``jobs`` (archive and question), or their first fault as 503: an answer that lacks one of them
        would look whole."""
        futures = [self._pool(archive).submit(job) for archive, job in jobs]
        try:
            return self._answers(futures)
        except (UpstreamError, InvalidRequest) as fault:
            raise not_ready(fault) from fault
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Lets the threads go."""
        with self._lock:
            for pool in self._pools.values():
                pool.shutdown(wait=False, cancel_futures=True)

    def _answers(self, futures: Sequence[Future[T]]) -> list[T]:
        end = time.monotonic() + self._patience_s
        try:
            return [future.result(timeout=max(0.0, end - time.monotonic())) for future in futures]
        except TimeoutError as exc:
            raise UpstreamTimeout("An archive takes its time.", server="archive") from exc

    def _pool(self, archive: str) -> ThreadPoolExecutor:
        with self._lock:
            if archive not in self._pools:
                self._pools[archive] = ThreadPoolExecutor(WORKERS, thread_name_prefix=f"imaging-fhir-{archive}")
            return self._pools[archive]


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
