"""An OpenTelemetry collector at the wire: it keeps every byte that it gets, and reads spans out of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import free_port_number, serving

PATH = "/v1/traces"
SERVER, CLIENT, ERROR = 2, 3, 2
"""SpanKind and StatusCode as OTLP numbers them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSpan:
    """One span; ``resource`` is who sent it."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    is_error: bool
    events: int
    attributes: dict[str, str | int]
    resource: dict[str, str | int]


@dataclass
class Collector:
    """Takes traces by OTLP over HTTP. While ``hangs`` it answers nothing."""

    base: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    @property
    def endpoint(self) -> str:
        """Where traces go."""
        return f"{self.base}{PATH}"

    def app(self) -> Flask:
        """The collector as an application."""
        app = Flask("collector")

        @app.post(PATH)
        def take() -> Response:
            self.headers.append(dict(request.headers))
            body = request.get_data()
            self.may_answer.wait(100)
            self.bodies.append(body)
            return Response(b"", self.status, content_type="application/x-protobuf")

        return app

    @property
    def spans(self) -> list[ReceivedSpan]:
        """All that came so far."""
        return [span for body in list(self.bodies) for span in _spans(body)]

    def has(
        self, count: int, holds: Callable[[ReceivedSpan], bool] = lambda one: True, seconds: float = 60.0
    ) -> list[ReceivedSpan]:
        """So many spans of a kind at least, waited for; the time is only there to end a test that fails."""
        deadline = time.monotonic() + seconds
        while True:
            found = [one for one in self.spans if holds(one)]
            if len(found) >= count or time.monotonic() > deadline:
                assert len(found) >= count, [one.name for one in self.spans]
                return found
            time.sleep(0.05)


def _spans(body: bytes) -> Iterator[ReceivedSpan]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for one in scope.spans:
                yield ReceivedSpan(
                    name=one.name,
                    kind=one.kind,
                    trace_id=one.trace_id.hex(),
                    span_id=one.span_id.hex(),
                    parent_id=one.parent_span_id.hex(),
                    trace_state=one.trace_state,
                    is_error=one.status.code == ERROR,
                    events=len(one.events) + len(one.links),
                    attributes=_values(one.attributes),
                    resource=_values(resource.resource.attributes),
                )


def _values(attributes: Any) -> dict[str, str | int]:
    return {one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value for one in attributes}


@contextmanager
def a_collector(*, hangs: bool = False) -> Iterator[Collector]:
    """Running; at its end it lets everybody go."""
    collector = Collector()
    if not hangs:
        collector.may_answer.set()
    with serving(collector.app(), free_port_number()) as collector.base:
        try:
            yield collector
        finally:
            collector.may_answer.set()
