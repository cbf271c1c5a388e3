"""Brings audit records to their sinks, behind the requests: in any worker, after any crash, each once in effect.

Spec: SMART Imaging Access group 34; IHE ITI BALP.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from fhir_imaging.audit import AuditRecord, opened_record
from fhir_imaging.audit_outbox import LEASE_S, Outbox, Taken, purge
from fhir_imaging.audit_sinks import MayGoOn, OutgoingEvent, Sent, Sink
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.engine import Store

log = logging.getLogger("imaging_cds.audit")

BATCH = 50
LOOK_EVERY_S = 1.0
GATHER_S = 0.2
"""What comes within this time goes together: a write and a wait for the disk less for each."""
AFTER_FAULT_S = 5
PURGE_EVERY_S = 3600.0
_DAY_S = 86_400
_ENOUGH = 3
"""So often an event may be what a sink fails at, while others arrive, before it is taken for the cause."""

AsEvent = Callable[[AuditRecord, str], dict[str, object]]
"""The AuditEvent of a record under an id; the sites' addresses that it needs are known to whoever made this."""


class AuditDelivery:
    """One worker's part of the delivery. ``start`` it after the fork; ``stop`` it before the store is closed.

    A worker that is killed loses nothing: what it had taken is due again when its lease ends.
    """

    def __init__(
        self,
        store: Store,
        sinks: Sequence[Sink],
        as_event: AsEvent,
        *,
        keep_days: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._sinks = sinks
        self._as_event = as_event
        self._keep_days = keep_days
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._purged_at: float | None = None

    def start(self) -> None:
        """Begins, where there is anything to do."""
        if self._sinks or self._keep_days is not None:
            self._thread = threading.Thread(target=self._run, name="audit-delivery", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends after the event under way; the rest of the batch is given back, for another worker or the next start."""
        self._stopping.set()
        self._store.backlog.arrived.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.warning("audit: a sink does not answer; what it was being sent is sent again in %d s", LEASE_S)
                return
        for sink in self._sinks:
            sink.close()

    def deliver_due(self) -> int:
        """Offers every sink what is due for it, until nothing is; says how many events arrived.

        In turn, so that one that is slow holds up the others for no more than one batch.
        """
        going, arrived = list(self._sinks), 0
        while going and not self._stopping.is_set():
            sent = [(sink, self._deliver_batch(sink)) for sink in going]
            arrived += sum(len(one.delivered) for _, one in sent if one is not None)
            going = [sink for sink, one in sent if one is not None and one.failure is None]
        return arrived

    def purge_due(self) -> int:
        """Removes what the site no longer keeps, at most once an hour in a worker; says how many records."""
        now = time.monotonic()
        if self._keep_days is None or (self._purged_at is not None and now - self._purged_at < PURGE_EVERY_S):
            return 0
        self._purged_at = now
        before, removed = self._now() - self._keep_days * _DAY_S, 0
        while not self._stopping.is_set() and (some := purge(self._store, before=before)):
            removed += some
        if removed:
            log.info("audit: %d records older than %d days removed", removed, self._keep_days)
        return removed

    def _run(self) -> None:
        arrived = self._store.backlog.arrived
        while not self._stopping.is_set():
            arrived.clear()
            try:
                self.deliver_due()
                self.purge_due()
            except Exception as exc:  # the thread must outlive whatever the database, one record or one sink does
                log.error("audit: delivery failed, next attempt in %d s: %s", AFTER_FAULT_S, type(exc).__name__)
                self._stopping.wait(AFTER_FAULT_S)
            arrived.wait(LOOK_EVERY_S)
            self._stopping.wait(GATHER_S)

    def _deliver_batch(self, sink: Sink) -> Sent | None:
        """What became of one batch; None where nothing is due."""
        outbox = Outbox(self._store, sink.name)
        may_go_on = self._may_go_on(until=time.monotonic() + LEASE_S / 2)
        taken = outbox.take(now=self._now(), limit=BATCH)
        if not taken:
            return None
        events, unreadable = self._events(taken)
        sent = sink.send(events, may_go_on=may_go_on)
        sent.rejected |= unreadable
        self._settle(outbox, sink, taken, sent)
        return sent

    def _may_go_on(self, *, until: float) -> MayGoOn:
        return lambda: not self._stopping.is_set() and time.monotonic() < until

    def _events(self, taken: Sequence[Taken]) -> tuple[list[OutgoingEvent], dict[str, str]]:
        events, unreadable = [], {}
        for one in taken:
            try:
                resource = self._event(one)
            except Exception as exc:  # whatever is wrong with one record, it must not hold up the others
                unreadable[one.event_key] = f"no event can be made of it: {type(exc).__name__}"
                continue
            events.append(OutgoingEvent(key=one.event_key, resource=resource, is_repeated=one.attempts > 1))
        return events, unreadable

    def _event(self, taken: Taken) -> dict[str, object]:
        record = opened_record(self._store.sealer, taken.body, taken.event_key or None)
        if record is None:
            raise ConfigurationError(["altered, or sealed with the key of another installation"])
        return self._as_event(record, taken.event_key)

    def _settle(self, outbox: Outbox, sink: Sink, taken: Sequence[Taken], sent: Sent) -> None:
        by_key = {one.event_key: one for one in taken}
        now = self._now()
        suspect = by_key.get(sent.suspect or "")
        if sent.failure is not None and sent.delivered and suspect is not None and suspect.attempts >= _ENOUGH:
            # The sink works: it took others just before, and has failed at this one again and again.
            sent.rejected[suspect.event_key], sent.failure = sent.failure, None
        if sent.delivered:
            outbox.delivered([by_key[key] for key in sent.delivered], now=now)
        if sent.rejected:
            outbox.rejected({by_key[key].event_id: why for key, why in sent.rejected.items()}, now=now)
            log.error(
                "audit: the sink %s rejected %d events: %s", sink.name, len(sent.rejected), next(iter(sent.rejected.values()))
            )
        left = [one for key, one in by_key.items() if key not in sent.delivered | set(sent.rejected)]
        outbox.give_back([one for one in left if one.event_key in sent.tried], now=now, tried=True)
        outbox.give_back([one for one in left if one.event_key not in sent.tried], now=now)
        if sent.failure is not None:
            pause = outbox.failed(sent.failure, now=now, wait_s=sent.wait_s)
            log.error("audit: the sink %s failed, next attempt in %d s: %s", sink.name, pause, sent.failure)

    def _now(self) -> int:
        return int(self._clock())
