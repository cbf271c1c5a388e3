"""Callers that are held back, in the audit trail: each once in a while, with how many more requests of theirs there were.

A record for every request would make the audit log the flood's next target; a request that is in no record at all would be
lost in silence.

Spec: SMART Imaging Access P8, groups 23 and 35.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from fhir_imaging.audit import AuditRecord
from fhir_imaging.errors import UpstreamError

log = logging.getLogger("imaging_cds.audit")

TOLD_EACH_S = 60.0
"""A caller that goes on is recorded once in this time."""
MAX_CALLERS = 10_000
CallerKey = tuple[str, ...]
_COUNTED = re.compile(r"[a-z-]+: and ([0-9]+) more like it")


def requests_in(reason: str | None) -> int:
    """How many requests a denial with this reason stands for."""
    counted = _COUNTED.fullmatch(reason or "")
    return 1 + int(counted[1]) if counted else 1


@dataclass(slots=True)
class _Caller:
    told_at: float
    last: AuditRecord
    more: int = 0
    """Requests since the last record that are in none."""


class HeldBackRecords:
    """Writes a caller's first record at once and counts what follows; ``settle`` writes what was counted. Thread-safe.

    ``append`` stores a record, or raises UpstreamError.
    """

    def __init__(
        self,
        append: Callable[[AuditRecord], None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        max_callers: int = MAX_CALLERS,
    ) -> None:
        self._append = append
        self._monotonic = monotonic
        self._max_callers = max_callers
        self._lock = threading.Lock()
        self._callers: dict[CallerKey, _Caller] = {}  # in the order in which they were told
        self._due_at = math.inf

    def note(self, caller: CallerKey, record: AuditRecord) -> None:
        """One request that was held back. UpstreamError when it had to be recorded and could not be."""
        with self._lock:
            known, now = self._callers.get(caller), self._monotonic()
            if known is not None and now - known.told_at < TOLD_EACH_S:
                known.more, known.last = known.more + 1, record
                return
            more = known.more if known is not None else 0
            self._callers.pop(caller, None)
            crowded_out = self._taken(len(self._callers) - self._max_callers + 1)
            self._callers[caller] = _Caller(now, record)
            self._due_at = self._next_due()
        try:
            self._write(caller, record, more)
        finally:
            self._write_counts(crowded_out)

    def settle(self, *, all_of_them: bool = False) -> None:
        """Writes the counts of those whose time is over; costs nothing before. Never raises: what cannot be written now is
        counted on."""
        now = self._monotonic()
        if now < self._due_at and not all_of_them:
            return
        with self._lock:
            over = takewhile(lambda one: all_of_them or now - one.told_at >= TOLD_EACH_S, self._callers.values())
            due = self._taken(sum(1 for _ in over))
            self._callers.update((key, _Caller(now, one.last)) for key, one in due)
            self._due_at = self._next_due()
        self._write_counts(due)

    def _taken(self, number: int) -> list[tuple[CallerKey, _Caller]]:
        """The oldest, no longer kept; those of whom something was counted."""
        oldest = list(islice(self._callers.items(), max(0, number)))
        for key, _ in oldest:
            del self._callers[key]
        return [(key, one) for key, one in oldest if one.more]

    def _next_due(self) -> float:
        return next((one.told_at + TOLD_EACH_S for one in self._callers.values()), math.inf)

    def _write_counts(self, counted: list[tuple[CallerKey, _Caller]]) -> None:
        for key, one in counted:
            try:
                self._write(key, one.last, one.more - 1)
            except UpstreamError as fault:
                log.error("audit: %d requests held back are not on record yet: %s", one.more, fault.code)

    def _write(self, caller: CallerKey, record: AuditRecord, more: int) -> None:
        told = f"{record.reason}: and {more} more like it" if more > 0 else record.reason
        try:
            self._append(replace(record, reason=told))
        except UpstreamError:
            with self._lock:
                known = self._callers.setdefault(caller, _Caller(self._monotonic(), record))
                known.more += 1 + more
                self._due_at = self._next_due()
            raise
