"""What a collector gets of an installation that traces: one span for each request, and one for each question that it asked.

Spec: OpenTelemetry semantic conventions for HTTP spans; OTLP over HTTP; W3C Trace Context.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.in_front import SAME_WORDS
from fhir_imaging.web import ErrorShape, ErrorSurface, install
from imaging_cds.telemetry import MOST_WAITING, Tracing
from imaging_cds.telemetry_servers import KnownServers
from imaging_cds.telemetry_settings import TelemetrySettings
from tests.conftest import free_port_number
from tests.program_texts import MAKES_AN_INSTALLATION
from tests.security.gateway_stubs import FRAME, METADATA, STUDY_A, STUDY_B
from tests.served_actors import Installation, a_served_installation
from tests.telemetry_actors import CLIENT, SERVER, Collector, ReceivedSpan, a_collector

STUDY = "/imaging/<ehr>/dicom-web/<pacs>/studies/<dicom_uid:study>"
FRAMES = f"{STUDY}/series/<dicom_uid:series>/instances/<dicom_uid:instance>/frames/<dicom_frames:frames>"
API_KEY = "the-key-of-the-collector"
ALL = {"sample_ratio": 1.0}
OURS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with a_collector() as running:
        yield running


@pytest.fixture(scope="module")
def running(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("telemetry")
    (directory / "key").write_text(f"X-Api-Key: {API_KEY}\n")
    telemetry = {"endpoint": collector.endpoint, "headers_file": str(directory / "key"), **ALL}
    with a_served_installation(directory, telemetry=telemetry) as installation:
        yield installation


def trace_of(collector: Collector, reference: str | None) -> tuple[ReceivedSpan, list[ReceivedSpan]]:
    """The request that was answered under this number, and what it asked."""
    (request,) = collector.has(1, lambda one: one.attributes.get("imaging_cds.request_id") == reference)
    return request, [one for one in collector.spans if one.parent_id == request.span_id]


def test_a_frame_is_one_span_with_what_was_asked_for_it_below(running: Installation, collector: Collector) -> None:
    answer = running.gateway(FRAME, running.north.token())
    request, asked = trace_of(collector, answer.headers["X-Request-Id"])

    assert answer.status == 200
    assert (request.name, request.kind, request.parent_id, request.is_error) == (f"GET {FRAMES}", SERVER, "", False)
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": FRAMES,
        "http.response.status_code": 200,
        "imaging_cds.request_id": answer.headers["X-Request-Id"],
        "imaging_cds.ehr": "north",
        "imaging_cds.pacs": "main",
    }
    assert {(one.name, one.attributes["imaging_cds.server.name"]) for one in asked} >= {
        ("GET fhir", "north"),
        ("GET archive", "main"),
    }
    for one in asked:
        assert one.kind == CLIENT
        assert one.trace_id == request.trace_id
        assert set(one.attributes) == {
            "http.request.method",
            "http.response.status_code",
            "imaging_cds.server.role",
            "imaging_cds.server.name",
        }


def test_what_a_list_asks_archives_side_by_side_stands_below_it(running: Installation, collector: Collector) -> None:
    asked_before = len(running.pacs.asked)
    answer = running.get(f"/imaging/north/fhir/ImagingStudy/{STUDY_A}", running.north.token())
    questions = len(running.pacs.asked) - asked_before
    request, asked = trace_of(collector, answer.headers["X-Request-Id"])
    of_archive = [one for one in asked if one.name == "GET archive"]

    assert answer.status == 200
    assert request.name == "GET /imaging/<ehr>/fhir/ImagingStudy/<dicom_uid:study>"
    assert len(of_archive) == questions >= 3, "the study, its series and their instances"
    assert {(one.trace_id, one.attributes["imaging_cds.server.name"]) for one in of_archive} == {(request.trace_id, "main")}


def test_a_refusal_has_its_reason_and_an_address_without_a_route_no_path(running: Installation, collector: Collector) -> None:
    refused = running.gateway(f"/studies/{STUDY_B}/metadata", running.north.token())
    lost = running.get("/no/such/place")

    assert trace_of(collector, refused.headers["X-Request-Id"])[0].attributes["error.type"] == "study-not-of-patient"
    assert trace_of(collector, lost.headers["X-Request-Id"])[0].name == "GET (no route)"


def test_every_worker_sends_its_own_spans_with_the_key_of_the_file(running: Installation, collector: Collector) -> None:
    for _ in range(20):
        running.get("/healthz")
    spans = collector.has(20, lambda one: one.name == "GET /healthz")

    assert {one.resource["service.name"] for one in spans} == {"imaging-cds"}
    assert len({one.resource["service.instance.id"] for one in spans}) in (1, 2), "two workers"
    assert {one["X-Api-Key"] for one in collector.headers} == {API_KEY}
    assert {one["Content-Type"] for one in collector.headers} == {"application/x-protobuf"}
    assert API_KEY not in running.log


def test_a_callers_traceparent_neither_counts_nor_goes_on(running: Installation, collector: Collector) -> None:
    sent = {"Traceparent": OURS, "Tracestate": "vendor=Alma"}
    answer = running.gateway(METADATA, running.north.token(), **sent)
    request, asked = trace_of(collector, answer.headers["X-Request-Id"])

    assert (request.parent_id, request.trace_id == OURS[3:35], request.trace_state) == ("", False, "")
    assert asked
    told = [name.lower() for one in (*running.north.asked, *running.pacs.asked) for name in one.headers]
    assert not {"traceparent", "tracestate"} & set(told)


def test_a_proxy_that_is_believed_begins_traces_and_servers_are_told_where_that_is_set(tmp_path: Path) -> None:
    with a_collector() as collector:
        telemetry = {
            "endpoint": collector.endpoint,
            "sample_ratio": 0.0,
            "accept_traceparent": True,
            "send_traceparent": True,
        }
        with a_served_installation(tmp_path, telemetry=telemetry, server={"trusted_proxies": 1}) as running:
            token = running.north.token()
            running.gateway(METADATA, token, Traceparent=UNSAMPLED)
            running.gateway(METADATA, token)
            running.gateway(METADATA, token, Traceparent="00-Alma")
            traced = running.gateway(METADATA, token, Traceparent=OURS, Tracestate="vendor=Alma")
            request, asked = trace_of(collector, traced.headers["X-Request-Id"])
            told = [one.headers["Traceparent"] for one in running.pacs.asked if "Traceparent" in one.headers]

    assert (request.trace_id, request.parent_id, request.trace_state) == (OURS[3:35], OURS[36:52], "")
    assert {one.trace_id for one in collector.spans} == {request.trace_id}, "the others were not to be traced"
    assert f"00-{request.trace_id}-{next(one.span_id for one in asked if 'archive' in one.name)}-01" in told
    assert any(one.startswith(UNSAMPLED[:35]) and one.endswith("-00") for one in told)


def test_what_waits_is_delivered_when_the_server_stops(tmp_path: Path) -> None:
    with a_collector() as collector:
        with a_served_installation(tmp_path, telemetry={"endpoint": collector.endpoint, **ALL}) as running:
            answers = [running.gateway(FRAME, running.north.token()) for _ in range(4)]
            running.process.send_signal(signal.SIGTERM)
            status = running.process.wait(20)
        arrived = {one.attributes.get("imaging_cds.request_id") for one in collector.spans}

    assert status == 0
    assert {one.headers["X-Request-Id"] for one in answers} <= arrived


def test_a_collector_that_is_down_costs_nobody_an_answer(tmp_path: Path) -> None:
    telemetry = {"endpoint": f"http://127.0.0.1:{free_port_number()}/v1/traces", **ALL}
    with a_served_installation(tmp_path, telemetry=telemetry) as running:
        answers = {running.gateway(FRAME, running.north.token()).status for _ in range(20)}
        running.process.send_signal(signal.SIGTERM)
        status = running.process.wait(20)

    assert (answers, status) == ({200}, 0)
    assert 1 <= running.log.count("traces do not reach") <= 2, "once in each worker"
    assert "Traceback" not in running.log


def test_a_collector_that_hangs_costs_nobody_an_answer_and_the_stop_no_time(tmp_path: Path) -> None:
    with a_collector(hangs=True) as collector:
        telemetry = {"endpoint": collector.endpoint, **ALL}
        with a_served_installation(tmp_path, telemetry=telemetry) as running:
            first = running.gateway(FRAME, running.north.token())
            waiting = threading.Event()
            while not collector.headers:  # a delivery is under way from here on
                waiting.wait(0.05)
            answers = {running.gateway(FRAME, running.north.token()).status for _ in range(20)}
            running.process.send_signal(signal.SIGTERM)
            status = running.process.wait(20)
            delivered = len(collector.bodies)

    assert (first.status, answers, status, delivered) == (200, {200}, 0, 0)
    assert "Traceback" not in running.log


def traced(app: Flask, collector: Collector, *servers: tuple[str, str, str]) -> Tracing:
    tracing = Tracing(TelemetrySettings(endpoint=collector.endpoint, sample_ratio=1.0), KnownServers(servers))
    tracing.install(app)
    return tracing


def test_what_is_traced_is_not_answered_by_the_server_alone() -> None:
    """Its answers would be in no trace."""
    app, seen = Flask("traced", static_folder=None), []
    inner = app.wsgi_app

    def looks(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append(SAME_WORDS in environ)
        return inner(environ, start_response)

    app.wsgi_app = looks  # type: ignore[method-assign]
    with a_collector() as collector:
        app.test_client().get("/a", environ_overrides={SAME_WORDS: lambda: None})
        tracing = traced(app, collector)
        app.test_client().get("/a", environ_overrides={SAME_WORDS: lambda: None})
        tracing.close()

    assert seen == [True, False]


def test_faults_are_told_by_their_kind_alone() -> None:
    """What Python says of them holds addresses."""
    app, archive = Flask("traced", static_folder=None), f"http://127.0.0.1:{free_port_number()}/dicom-web"
    install(app, [ErrorSurface("/", ErrorShape.PROBLEM_JSON)])

    @app.get("/<study>")
    def ask(study: str) -> str:
        with OutboundSession([archive], retries=0) as session:
            return session.get(f"{archive}/studies/{study}?PatientName=Alma").text

    inner = app.wsgi_app

    def breaks(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/Alma":
            raise RuntimeError(environ["PATH_INFO"])
        return inner(environ, start_response)

    app.wsgi_app = breaks  # type: ignore[method-assign]
    with a_collector() as collector:
        tracing = traced(app, collector, (archive, "archive", "main"))
        assert app.test_client().get("/2.25.1").status_code == 503
        with pytest.raises(RuntimeError):
            app.test_client().get("/Alma")
        tracing.close()
        asked, request, broken = collector.has(3)
        said = b"".join(collector.bodies)

    assert (asked.name, asked.attributes["error.type"], asked.is_error) == ("GET archive", "MaxRetryError", True)
    assert (request.name, request.attributes["error.type"], request.is_error) == ("GET /<study>", "upstream-failed", True)
    assert (broken.name, broken.attributes, broken.is_error) == ("(no route)", {}, True)
    assert asked.events + request.events + broken.events == 0
    assert [word for word in (b"Alma", b"2.25.1", b"127.0.0.1", b"Traceback") if word in said] == []


def test_of_what_waits_for_a_collector_that_hangs_the_oldest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine: nothing is given up, which would make room, before all have been asked.
    monkeypatch.setattr("imaging_cds.telemetry.DELIVERY_TIMEOUT_S", 100.0)
    app = Flask("traced", static_folder=None)
    app.add_url_rule("/<number>", view_func=lambda number: "yes")
    install(app, [])
    with a_collector(hangs=True) as collector:
        tracing = traced(app, collector)
        client, count = app.test_client(), 2 * MOST_WAITING
        answers = [client.get("/1", headers={"X-Request-Id": f"number-{number}"}).status_code for number in range(count)]
        collector.may_answer.set()
        last = collector.has(1, lambda one: one.attributes["imaging_cds.request_id"] == f"number-{count - 1}")
        tracing.close()
        arrived = len(collector.spans)

    assert set(answers) == {200}
    assert len(last) == 1
    assert arrived < count


def test_nothing_of_it_is_loaded_unless_it_is_set(tmp_path: Path) -> None:
    code = f"""{MAKES_AN_INSTALLATION}
import sys
import urllib3

create_app(settings)
print([name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "google")])
print(urllib3.HTTPConnectionPool.urlopen.__module__)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)

    assert ran.stdout.splitlines() == ["[]", "urllib3.connectionpool"]
