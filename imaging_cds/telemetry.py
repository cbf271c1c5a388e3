"""Traces for OpenTelemetry: a span for each request, and one below it for each question that it asked of another server.

A span says what a line of the log says, and nothing of a caller's: the route's template, names out of the configuration, words
of closed vocabularies, numbers. No address, host, header, parameter or text of an exception is ever given to the SDK.

This module is imported only where telemetry is on, in each worker after the fork: the SDK has a thread of its own.

Spec: OpenTelemetry semantic conventions for HTTP spans; W3C Trace Context §3.2 (traceparent); OTLP over HTTP, binary Protobuf.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from urllib3 import BaseHTTPResponse, HTTPConnectionPool

from fhir_imaging import web
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import ImagingError
from fhir_imaging.followed import FOLLOWED
from fhir_imaging.in_front import SAME_WORDS
from fhir_imaging.settings import origin_of
from fhir_imaging.web import RequestSummary
from imaging_cds.settings import ApplicationSettings
from imaging_cds.telemetry_servers import KnownServers, known_servers
from imaging_cds.telemetry_settings import TelemetrySettings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("imaging_cds.telemetry")

DELIVERY_TIMEOUT_S = 5.0
"""How long the collector may take for one delivery; nobody but the thread that delivers waits for it."""
ENDING_S = 1.5
"""How long a worker that ends waits for its last delivery."""
MOST_WAITING = 2048
"""Spans of one worker that wait for delivery; of more, the oldest are dropped."""
_BETWEEN_DELIVERIES_MS = 2000
_TRACEPARENT = TraceContextTextMapPropagator()
_NAMES = ("ehr", "pacs")
_ask_untraced = HTTPConnectionPool.urlopen


@dataclass(frozen=True, slots=True)
class _Traced:
    """A request that is traced, as its questions know it (``FOLLOWED``)."""

    tracing: Tracing
    span: Span


class Tracing:
    """The traces of one worker. Thread-safe; ``close`` it at the end."""

    def __init__(self, settings: TelemetrySettings, servers: KnownServers) -> None:
        """``servers`` says which role a server has that is asked."""
        self._settings = settings
        self._servers = servers
        self._collector = _Collector(settings)
        # Not Resource.create, and no argument left out: the SDK would look into OTEL_… variables, past the settings.
        names = {"service.name": settings.service_name, "service.instance.id": uuid.uuid4().hex}
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(settings.sample_ratio), resource=Resource(names), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._collector,
                max_queue_size=MOST_WAITING,
                schedule_delay_millis=_BETWEEN_DELIVERIES_MS,
                max_export_batch_size=MOST_WAITING // 4,
                export_timeout_millis=DELIVERY_TIMEOUT_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("imaging_cds")

    @classmethod
    def of(cls, settings: ApplicationSettings) -> Tracing:
        """As the settings of an installation describe it."""
        return cls(settings.telemetry, known_servers(settings))

    def install(self, app: Flask) -> None:
        """Traces every request of an application. Comes last: whatever answers in front of the application is told of too."""
        web.observe(app, self._answered)
        app.wsgi_app = self._tracing(app.wsgi_app)  # type: ignore[method-assign, assignment]
        # The one method by which all questions leave, those of requests and those of the archives' own pools. It is changed for
        # the whole process, in which nothing is traced that no Tracing has begun.
        HTTPConnectionPool.urlopen = _ask  # type: ignore[assignment, method-assign]

    def close(self) -> None:
        """Delivers what waits, as far as that takes no more than ``ENDING_S``: the SDK itself would wait for half a minute."""
        ending = threading.Thread(target=self._provider.shutdown, name="telemetry-ending", daemon=True)
        ending.start()
        ending.join(ENDING_S)

    def question(
        self, request: Span, method: str, server: tuple[str, str], headers: Mapping[str, str]
    ) -> tuple[Span, Mapping[str, str]]:
        """The span of a question that is asked now, and the headers to ask it with."""
        role, name = server
        named = {"imaging_cds.server.name": name} if name else {}
        about = {"http.request.method": method, "imaging_cds.server.role": role, **named}
        span = self._tracer.start_span(
            f"{method} {role}", set_span_in_context(request, Context()), SpanKind.CLIENT, attributes=about
        )
        if not self._settings.send_traceparent:
            return span, headers
        told: dict[str, str] = {}
        _TRACEPARENT.inject(told, set_span_in_context(span, Context()))
        return span, {**headers, **told}

    def server(self, pool: HTTPConnectionPool, target: str) -> tuple[str, str]:
        """Role and name of the server that a question goes to."""
        return self._servers.of((pool.scheme or "", pool.host, pool.port or 0), target)

    def _tracing(self, wsgi: WSGIApplication) -> WSGIApplication:
        def traced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ.pop(SAME_WORDS, None)  # what the server answered by itself would be in no trace
            span = self._tracer.start_span(web.NO_ROUTE, self._parent(environ), SpanKind.SERVER)
            if not span.is_recording() and not self._settings.send_traceparent:
                return wsgi(environ, start_response)
            before = FOLLOWED.set(_Traced(self, span))
            try:
                return wsgi(environ, start_response)
            except Exception:
                span.set_status(StatusCode.ERROR)
                raise
            finally:
                FOLLOWED.reset(before)
                span.end()

        return traced

    def _parent(self, environ: WSGIEnvironment) -> Context:
        """The span that began the request elsewhere. What comes along in ``tracestate`` would be the caller's own text."""
        sent = environ.get("HTTP_TRACEPARENT") if self._settings.accept_traceparent else None
        return _TRACEPARENT.extract({"traceparent": sent}, Context()) if sent else Context()

    def _answered(self, one: RequestSummary) -> None:
        request = FOLLOWED.get()
        if not isinstance(request, _Traced):
            return
        span = request.span
        span.update_name(f"{one.method} {one.route}")
        span.set_attributes(_said(one))
        if one.status >= 500:
            span.set_status(StatusCode.ERROR)


def _said(one: RequestSummary) -> dict[str, str | int]:
    named = {f"imaging_cds.{name}": one.names[name] for name in _NAMES if name in one.names}
    return {
        "http.request.method": one.method,
        "http.route": one.route,
        "http.response.status_code": one.status,
        "imaging_cds.request_id": one.reference,
        **named,
        **({"error.type": one.reason} if one.reason else {}),
    }


def _ask(
    pool: HTTPConnectionPool,
    method: str,
    url: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *args: Any,
    **kwargs: Any,
) -> BaseHTTPResponse:
    """``HTTPConnectionPool.urlopen``, with a span where the question is part of a request that is traced."""
    request = FOLLOWED.get()
    if not isinstance(request, _Traced):
        return _ask_untraced(pool, method, url, body, headers, *args, **kwargs)
    tracing = request.tracing
    sent = pool.headers if headers is None else headers
    span, sent = tracing.question(request.span, method, tracing.server(pool, url), sent)
    before = FOLLOWED.set(None)  # what urllib3 asks again is part of this question
    try:
        answer = _ask_untraced(pool, method, url, body, sent, *args, **kwargs)
        span.set_attribute("http.response.status_code", answer.status)
        if answer.status >= 400:
            span.set_status(StatusCode.ERROR)
        return answer
    except Exception as fault:
        span.set_attribute("error.type", type(fault).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        FOLLOWED.reset(before)
        span.end()


class _Collector(SpanExporter):
    """The way to the collector: one try for each delivery, by a session like those to all other servers.

    What cannot be delivered is dropped, and told in the log once until it can be again.
    """

    def __init__(self, settings: TelemetrySettings) -> None:
        self._endpoint = settings.endpoint or ""
        self._origin = origin_of(self._endpoint)
        authority = settings.certificate_authority
        self._session = OutboundSession(
            [self._endpoint],
            timeout_s=DELIVERY_TIMEOUT_S,
            retries=0,
            pool=1,
            authorities={self._origin: authority} if authority else None,
        )
        self._headers = {**settings.headers, "Content-Type": "application/x-protobuf"}
        self._fault = ""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """In the SDK's thread."""
        body = encode_spans(spans).SerializeToString()
        try:
            with self._session.post(self._endpoint, data=body, headers=self._headers, stream=True) as answer:
                fault = "" if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}"
        except ImagingError as error:
            fault = error.code
        if fault and not self._fault:
            log.warning("traces do not reach %s (%s); they are dropped until they do", self._origin, fault)
        elif self._fault and not fault:
            log.warning("traces reach %s again", self._origin)
        self._fault = fault
        return SpanExportResult.FAILURE if fault else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the connection."""
        self._session.close()
