"""How much of the audit trail may wait for its sinks, and whether more does.

It belongs to the store, so that no component can record anything that the sinks would not get.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from fhir_imaging.store.tables import audit_delivery, audit_event, audit_sink

if TYPE_CHECKING:
    from fhir_imaging.store.engine import Store

LOOK_EVERY_S = 1.0
ALLOWED = "allowed"
"""What ``audit_event.outcome`` holds for an access; any other record is of a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRules:
    """Which sinks get every record, and how many may wait for one before new accesses are refused (or only lamented)."""

    sinks: tuple[str, ...] = ()
    max_pending: int = 10_000
    refuses_when_full: bool = True
    waits_for_disk: bool = True
    """Whether a record is on the disk, and not only in the operating system's memory, before the answer goes out."""


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    is_full: bool


class Backlog:
    """Whether too much waits, looked up at most once a second in each worker. Thread-safe."""

    def __init__(self, rules: OutboxRules, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.rules = rules
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: _Look | None = None
        self._under_way: Future[bool] | None = None
        self.arrived = threading.Event()
        """Set when this worker has recorded something, so that its delivery need not wait for its next look."""

    def is_full(self, store: Store) -> bool:
        """Whether more than ``max_pending`` accesses wait for any sink.

        One thread asks the database; the others go by the last look meanwhile, and wait where there was none yet.
        """
        if not self.rules.sinks:
            return False
        with self._lock:
            last, other = self._last, self._under_way
            if last is not None and (other is not None or self._monotonic() - last.at < LOOK_EVERY_S):
                return last.is_full
            if other is None:
                mine = self._under_way = Future()
        return other.result() if other is not None else self._look(store, mine)

    def _look(self, store: Store, under_way: Future[bool]) -> bool:
        """As a worker's other threads, raises what the database raises."""
        last = None
        try:
            last = _Look(self._monotonic(), any(self._overflows(store, sink) for sink in self.rules.sinks))
        except BaseException as exc:
            under_way.set_exception(exc)
            raise
        finally:
            with self._lock:
                self._under_way = None
                if last is not None:
                    self._last = last
        under_way.set_result(last.is_full)
        return last.is_full

    def _overflows(self, store: Store, sink: str) -> bool:
        # Accesses that the sink could have: neither what it rejects while it takes others nor refusals, which anybody can cause
        # without a token, may close the images. Counted no further than it matters: the table may hold a night's records.
        took_at = select(func.coalesce(func.max(audit_sink.c.delivered_at), 0)).where(audit_sink.c.name == sink)
        counts = audit_delivery.c.last_error.is_(None) | (audit_event.c.recorded_at > took_at.scalar_subquery())
        waiting = (
            select(audit_delivery.c.event_id)
            .join(audit_event, audit_event.c.id == audit_delivery.c.event_id)
            .where(audit_delivery.c.sink == sink, counts, audit_event.c.outcome == ALLOWED)
            .limit(self.rules.max_pending + 1)
        )
        with store.read() as connection:
            count = connection.execute(select(func.count()).select_from(waiting.subquery())).scalar_one()
        return int(count) > self.rules.max_pending
