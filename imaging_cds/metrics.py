"""What is counted for Prometheus: requests, decisions, questions to other servers, bytes. Nobody's name is ever a label.

Labels are routes' templates, names out of the configuration and words of closed vocabularies. With several workers each writes
its numbers into files of one directory (``prepare_workers``), and whichever is asked adds them up.

This module is imported only where metrics are on, and after ``prepare_workers``: prometheus_client decides at its import.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging import web
from fhir_imaging.clients.breaker import Outcome, State
from fhir_imaging.in_front import watch_bodies
from fhir_imaging.web import RequestSummary
from imaging_cds.metrics_workers import DIRECTORY_VARIABLE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ALLOWED = "allowed"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STATES = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
_DECIDING = frozenset({"imaging_server", "imaging_fhir"})
_OPEN_TO_ALL = frozenset({"imaging_fhir.capability"})
Pending = Callable[[], int]
M = TypeVar("M", bound=MetricWrapperBase)


@dataclass(slots=True)
class _UnderWay:
    """What is found out about a request while it is answered."""

    route: str = "(no route)"
    ehr_was_asked: bool = False


_REQUEST: ContextVar[_UnderWay | None] = ContextVar("request_under_way", default=None)


class Metrics:
    """The counters of one worker. Thread-safe."""

    def __init__(self, *, pending: Pending | None = None, looked_up: Iterable[Collector] = ()) -> None:
        """``pending`` counts the audit records that wait for a sink, at each reading; ``looked_up`` are asked then too."""
        self._pending = pending
        self._looked_up = tuple(looked_up)
        own = self._own = CollectorRegistry()
        self._requests = _by_labels(
            Counter("imaging_cds_requests", "Requests answered.", ("route", "method", "status"), registry=own)
        )
        self._seconds = _by_labels(
            Histogram("imaging_cds_request_seconds", "Until an answer's headers.", ("route",), buckets=_SECONDS, registry=own)
        )
        self._decisions = _by_labels(
            Counter("imaging_cds_decisions", "Requests to the imaging server: allowed, or why not.", ("reason",), registry=own)
        )
        self._cached = Counter("imaging_cds_decisions_from_cache", "Decisions for which no EHR had to be asked.", registry=own)
        self._upstream = _by_labels(
            Histogram(
                "imaging_cds_upstream_seconds",
                "Until another server's headers, by how it went.",
                ("server", "outcome"),
                buckets=_SECONDS,
                registry=own,
            )
        )
        self._bytes = _by_labels(Counter("imaging_cds_sent_bytes", "Bytes of bodies sent.", ("route",), registry=own))
        self._streams = Gauge("imaging_cds_open_streams", "Bodies on their way.", registry=own, multiprocess_mode="livesum")
        self._breakers = _by_labels(
            Gauge(
                "imaging_cds_breaker_state",
                "0 a server is asked, 1 it is tried again, 2 it is left alone; the worst of all workers.",
                ("server",),
                registry=own,
                multiprocess_mode="livemax",
            )
        )

    def install(self, app: Flask) -> None:
        """Counts every request of an application; below ``/imaging/`` also what is sent, to its last byte."""
        web.observe(app, self._answered)
        watch_bodies(app, self._sending)
        app.wsgi_app = self._counting(app.wsgi_app)  # type: ignore[method-assign, assignment]

    def knows(self, servers: Iterable[str]) -> None:
        """Shows the servers' breakers before anything has happened to them."""
        for server in servers:
            self._breakers(server).set(_STATES[State.CLOSED])

    def watch(self, server: str, outcome: Outcome, seconds: float, state: State) -> None:
        """A question to another server (``fhir_imaging.clients.breaker.Watch``)."""
        self._upstream(server, outcome.value).observe(seconds)
        self._breakers(server).set(_STATES[state])
        under_way = _REQUEST.get()
        if under_way is not None and not server.endswith("-archive"):
            under_way.ehr_was_asked = True

    def as_text(self) -> bytes:
        """Everything in Prometheus' text format, of all workers where there are several."""
        registry = self._own
        if os.environ.get(DIRECTORY_VARIABLE):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + generate_latest(self._now())

    def _now(self) -> CollectorRegistry:
        """What is not counted but looked up."""
        registry = CollectorRegistry()
        if self._pending is not None:
            registry.register(_Waiting(self._pending))
        for one in self._looked_up:
            registry.register(one)
        return registry

    def _answered(self, one: RequestSummary) -> None:
        under_way = _REQUEST.get() or _UnderWay()
        under_way.route = one.route
        self._requests(one.route, one.method, one.status).inc()
        self._seconds(one.route).observe(one.duration_s)
        if _is_decision(one):
            self._decisions(one.reason or ALLOWED).inc()
            if not under_way.ehr_was_asked and one.reason is None:
                self._cached.inc()

    @contextmanager
    def _sending(self, route: str, length: int) -> Iterator[None]:
        """A body that the server sends by itself."""
        self._streams.inc()
        try:
            yield
        finally:
            self._streams.dec()
            self._bytes(route).inc(length)

    def _counting(self, wsgi: WSGIApplication) -> WSGIApplication:
        def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            under_way = _UnderWay()
            before = _REQUEST.set(under_way)
            try:
                body = wsgi(environ, start_response)
            finally:
                _REQUEST.reset(before)
            if not str(environ.get("PATH_INFO", "")).startswith("/imaging/"):
                return body
            return _CountedBody(body, self._streams, self._bytes(under_way.route))

        return counted


def _by_labels(metric: M) -> Callable[..., M]:
    """Finds the number of its labels' values: a frame needs eight of them, and prometheus_client writes and locks for each."""
    return lru_cache(maxsize=4096)(metric.labels)


def _is_decision(one: RequestSummary) -> bool:
    endpoint = one.endpoint or ""
    return endpoint.partition(".")[0] in _DECIDING and one.method != "OPTIONS" and endpoint not in _OPEN_TO_ALL


class _CountedBody:
    """A body on its way to a client; the server calls ``close`` at its end and when the client goes away."""

    def __init__(self, body: Iterable[bytes], streams: Gauge, sent: Counter) -> None:
        self._body = body
        self._pieces = iter(body)
        self._streams = streams
        self._sent = sent
        self._bytes = 0
        self._is_open = True
        streams.inc()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._bytes += len(piece)
        return piece

    def close(self) -> None:
        """Counts once, and closes the body."""
        if self._is_open:
            self._is_open = False
            self._streams.dec()
            self._sent.inc(self._bytes)
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


class _Waiting:
    """How many audit records wait, while the database can be asked."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For prometheus_client."""
        try:
            yield GaugeMetricFamily("imaging_cds_audit_pending", "Audit records that wait for a sink.", self._pending())
        except SQLAlchemyError:
            return
