"""What leaves an installation that traces, to the last byte: no token, name, number, UID, query or host (security group 34).

Ordinary use, misuse and faults; the collector's own key is the one secret that it gets, in a header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.gateway_stubs import FRAME
from tests.security.test_gateway_logs import NAMES, SECRETS, fail, misuse, use
from tests.security.whole_application import PATIENT_NUMBER, WholeApplication, a_whole_application
from tests.served_actors import a_served_installation
from tests.telemetry_actors import CLIENT, SERVER, Collector, ReceivedSpan, a_collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SURROUNDINGS = {
    "OTEL_SERVICE_NAME": "Alma",
    "OTEL_RESOURCE_ATTRIBUTES": "owner=Alma",
    "OTEL_EXPORTER_OTLP_HEADERS": "x-owner=Alma",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-owner=Alma",
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_TRACES_EXPORTER": "console",
}
"""What the SDK would look at where nobody tells it anything."""
KEYS = {
    *("http.request.method", "http.response.status_code", "http.route", "error.type"),
    *("imaging_cds.request_id", "imaging_cds.ehr", "imaging_cds.pacs", "imaging_cds.server.role", "imaging_cds.server.name"),
}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with a_collector() as running:
        yield running


def said(collector: Collector) -> str:
    """All bytes of all deliveries but the random ids, which may spell anything, and the headers that came with them."""
    sent = b"\n".join(collector.bodies)
    for number in {number for one in collector.spans for number in (one.trace_id, one.span_id)}:
        sent = sent.replace(bytes.fromhex(number), b"")
    return json.dumps(collector.headers) + sent.decode("latin-1")


def test_group_34_no_span_of_the_imaging_server_holds_anything_of_a_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
    with a_collector() as collector:
        telemetry = {"endpoint": collector.endpoint, "sample_ratio": 1.0, "accept_traceparent": True}
        tables = {"imaging_server": {"decision_cache_s": 0.2}, "server": {"trusted_proxies": 1}}
        with a_served_installation(tmp_path, telemetry=telemetry, **tables) as running:
            use(running)
            misuse(running)
            fail(running)
            followed = {"Traceparent": PARENT, "Tracestate": "vendor=Alma-MRN-A", "Baggage": "patient=pat-a"}
            running.gateway(FRAME, running.north.token(), **followed)
            running.gateway(FRAME, running.north.token(), Host="SYNTHETIC.example", X_Forwarded_Host="Alma.example")
            running.get("/imaging/north/dicom-web/main/studies", "Alma", method="ALMA", X_Request_Id="2.25.11")
        everything, spans = said(collector), collector.spans
        hosts = (running.north.base, running.pacs.base)

    assert len([one for one in spans if one.kind == SERVER]) > 30
    assert len([one for one in spans if one.kind == CLIENT]) > 30
    assert [word for word in (*NAMES, *SECRETS, "ALMA") if word in everything] == []
    assert re.findall(r"2\.25\.\d+", everything) == []
    assert [host for host in hosts if host.removeprefix("http://") in everything] == []
    assert [word for word in ("patient=", "vendor=", "Bearer ", "Traceback") if word in everything] == []
    assert {key for one in spans for key in one.attributes} == KEYS
    assert sum(one.events for one in spans) == 0, "an event would hold the text of an exception"


def test_group_34_no_span_of_a_launch_a_list_or_a_card_holds_anything_of_a_patient(
    collector: Collector, tmp_path: Path
) -> None:
    telemetry = {"endpoint": collector.endpoint, "sample_ratio": 1.0}
    with a_whole_application(tmp_path, telemetry=telemetry) as world:
        world.launch()
        calls_hooks(world)
        world.send("GET", f"/launch?iss={world.ehr.fhir_base}/Alma&launch=demo-a", {})
        world.send("GET", "/callback?code=Alma-the-code&state=Alma", {"Cookie": world.cookie})
        world.send("GET", f"/s/{world.session}/Alma?patient=demo-a", {"Cookie": f"{world.cookie}; Alma=1"})
        launched = (world.token, world.session, world.cookie, world.ehr.base_url.removeprefix("http://"))
    everything, spans = said(collector), collector.spans

    assert below(spans, lambda one: one.name == "POST /cds-services/<service_id>") >= {"GET fhir"}
    assert below(spans, lambda one: one.name.startswith("GET /s/<")) >= {"GET fhir"}
    assert below(spans, lambda one: one.name == "GET /callback") >= {"POST authorization"}
    assert [word for word in (*NAMES, *SECRETS, *launched, PATIENT_NUMBER, "demo-a", "Alma") if word in everything] == []
    assert re.findall(r"2\.25\.\d+", everything) == []
    assert {key for one in spans for key in one.attributes} <= KEYS


def calls_hooks(world: WholeApplication) -> None:
    """As an EHR calls them without prefetch, so that we ask it ourselves."""
    may_read = {"access_token": world.token, "token_type": "Bearer", "expires_in": 300, "subject": "imaging-cds"}
    hook = {
        "hook": "patient-view",
        "hookInstance": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "fhirServer": world.ehr.fhir_base,
        "fhirAuthorization": {**may_read, "scope": "patient/*.rs", "patient": "demo-a"},
        "context": {"userId": "Practitioner/gp", "patientId": "demo-a"},
    }
    for service in world.services:
        world.send("POST", f"/cds-services/{service}", {"Content-Type": "application/json"}, json.dumps(hook).encode())


def below(spans: list[ReceivedSpan], holds: Callable[[ReceivedSpan], bool]) -> set[str]:
    """What such requests asked."""
    requests = {one.span_id for one in spans if holds(one)}
    return {one.name for one in spans if one.parent_id in requests}
