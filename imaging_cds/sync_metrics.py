"""How synchronisations fare, for Prometheus: looked up in the shared database, so any worker tells of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from pacs_sync.counts import Counts

Look = Callable[[], Sequence[Counts]]


class SyncFigures(Collector):
    """Collector of the configured synchronisations; says nothing while the database cannot be asked."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """For prometheus_client."""
        try:
            found = self._look()
        except SQLAlchemyError:
            return
        waiting = GaugeMetricFamily("imaging_cds_sync_waiting", "Studies that wait to be brought over.", labels=("sync",))
        lag = GaugeMetricFamily("imaging_cds_sync_lag_seconds", "How long the oldest of them has been due.", labels=("sync",))
        held = GaugeMetricFamily("imaging_cds_sync_held", "Studies that wait for a person.", labels=("sync", "reason"))
        dead = GaugeMetricFamily("imaging_cds_sync_dead", "Studies that were laid aside.", labels=("sync",))
        looked = GaugeMetricFamily(
            "imaging_cds_sync_looked_at_seconds", "When the archive was last looked at.", labels=("sync",)
        )
        came = CounterMetricFamily("imaging_cds_sync_studies", "What became of studies.", labels=("sync", "outcome"))
        for one in found:
            waiting.add_metric((one.sync,), one.waiting + one.under_way)
            lag.add_metric((one.sync,), one.lag_s)
            dead.add_metric((one.sync,), one.dead)
            looked.add_metric((one.sync,), one.looked_at or 0)
            for reason, number in one.held.items():
                held.add_metric((one.sync, reason.value), number)
            for outcome, number in one.outcomes.items():
                came.add_metric((one.sync, outcome.value), number)
        yield from (waiting, lag, held, dead, looked, came)
