"""Answers of EHRs kept twice: in this worker, and where the site wants it in the database for all workers.

Spec: SMART Imaging Access groups 6 and 23; DESIGN §8.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from fhir_imaging.clients.decision_cache import MAX_ENTRIES, DecisionCache
from imaging_server.shared_decisions import Form, SharedDecisions, Timed

T = TypeVar("T")


class KeptAnswers(Generic[T]):
    """As ``DecisionCache``, asked by all workers once where they share ``shared``; never kept for longer than said first."""

    def __init__(
        self,
        form: Form[T],
        shared: SharedDecisions | None = None,
        *,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._form = form
        self._shared = shared
        self._clock = clock
        self._here: DecisionCache[Timed[T]] = DecisionCache(max_entries=max_entries)

    def get(self, key: tuple[str, ...], ask: Callable[[], T], *, seconds: Callable[[T], float]) -> T:
        """The kept value, or what ``ask`` says, kept for ``seconds(value)``; as ``DecisionCache.get``."""

        def timed() -> Timed[T]:
            if self._shared is not None:
                return self._shared.get(self._form, key, ask, seconds=seconds)
            value = ask()
            return Timed(value, self._clock() + seconds(value))

        return self._here.get(key, timed, seconds=lambda answer: answer.until - self._clock()).value
