"""The audit trail as the settings describe it: which sinks, and with which credential the FHIR server is reached."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Response

from fhir_imaging.audit import AuditLog
from fhir_imaging.audit_settings import AuditSettings
from fhir_imaging.audit_sinks import OutgoingEvent, Sink
from imaging_cds.audit_trail import delivery_of, open_store, sinks_of
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.settings import ApplicationSettings, from_table
from tests.audit_actors import StubAuditServer, an_access, as_event
from tests.conftest import free_port_number, serving


@pytest.fixture
def server() -> Iterator[StubAuditServer]:
    stub = StubAuditServer()
    with serving(stub.app(), free_port_number()) as base:
        stub.base = base
        yield stub


def settings_with(tmp_path: Path, audit: dict[str, Any]) -> ApplicationSettings:
    table = app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer"))
    return from_table({**table, "state": {"state_dir": str(tmp_path / "state")}, "audit": audit})


def deliver(settings: ApplicationSettings) -> int:
    """How many events arrive of two records that one worker wrote."""
    store = open_store(settings)
    try:
        store.migrate()
        AuditLog(store).append(an_access("2.25.1", ehr="sandbox"))
        AuditLog(store).append(an_access("2.25.2", ehr="an EHR of last year"))
        return delivery_of(settings, store).deliver_due()
    finally:
        store.close()


def test_nothing_is_queued_where_there_is_no_sink(tmp_path: Path) -> None:
    assert deliver(settings_with(tmp_path, {})) == 0


def test_without_a_credential_none_is_sent(tmp_path: Path, server: StubAuditServer) -> None:
    assert deliver(settings_with(tmp_path, {"fhir_base": server.fhir_base})) == 2
    assert server.authorizations == [None, None]


def test_user_and_password_are_sent_as_basic(tmp_path: Path, server: StubAuditServer) -> None:
    deliver(settings_with(tmp_path, {"fhir_base": server.fhir_base, "fhir_user": "u", "fhir_password": "p"}))

    assert set(server.authorizations) == {"Basic " + base64.b64encode(b"u:p").decode()}


def test_fixed_bearer_token_is_sent(tmp_path: Path, server: StubAuditServer) -> None:
    deliver(settings_with(tmp_path, {"fhir_base": server.fhir_base, "fhir_bearer_token": "fixed"}))

    assert set(server.authorizations) == {"Bearer fixed"}


def test_client_with_a_secret_gets_its_token_once(tmp_path: Path, server: StubAuditServer) -> None:
    client = {"fhir_token_url": f"{server.base}/token", "fhir_client_id": "audit", "fhir_client_secret": "s"}
    deliver(settings_with(tmp_path, {"fhir_base": server.fhir_base, **client}))

    assert set(server.authorizations) == {"Bearer token-of-the-audit-client"}
    assert server.forms == [{"grant_type": "client_credentials", "scope": "system/AuditEvent.cu"}]


def test_client_without_a_secret_signs_as_backend_service(tmp_path: Path, server: StubAuditServer) -> None:
    """SMART App Launch 2.2 "Backend Services"."""
    client = {"fhir_token_url": f"{server.base}/token", "fhir_client_id": "audit"}
    deliver(settings_with(tmp_path, {"fhir_base": server.fhir_base, **client}))

    (form,) = server.forms
    claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("audit", "audit", f"{server.base}/token")
    assert 0 < claims["exp"] - time.time() <= 300
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert set(server.authorizations) == {"Bearer token-of-the-audit-client"}


def a_client(server: StubAuditServer, kind: str) -> dict[str, str]:
    secret = {"fhir_client_secret": "s"} if kind == "secret" else {}
    return {
        "fhir_base": server.fhir_base,
        "fhir_token_url": f"{server.base}/token",
        "fhir_client_id": "audit",
        **secret,
    }


def numbered_tokens(server: StubAuditServer) -> Callable[[], Any]:
    return lambda: {"access_token": f"token-{len(server.forms)}", "token_type": "Bearer", "expires_in": 300}


@contextmanager
def sink_of(settings: ApplicationSettings, monotonic: Callable[[], float]) -> Iterator[Sink]:
    """The FHIR sink of the settings, its client by a clock of the test."""
    (sink,) = sinks_of(settings, monotonic=monotonic)
    try:
        yield sink
    finally:
        sink.close()


def always() -> bool:
    return True


def an_event(key: str) -> OutgoingEvent:
    return OutgoingEvent(key=key, resource=as_event(an_access(), key), is_repeated=False)


@pytest.mark.parametrize("kind", ["secret", "keys"])
def test_revoked_token_of_the_sinks_client_is_replaced_within_the_next_event(
    tmp_path: Path, server: StubAuditServer, kind: str
) -> None:
    """A token that the server takes no more costs no pause of the sink."""
    server.token = numbered_tokens(server)
    now = [1000.0]
    with sink_of(settings_with(tmp_path, a_client(server, kind)), lambda: now[0]) as sink:
        first = sink.send([an_event("1")], may_go_on=always)
        now[0] += 60
        server.is_open_to = lambda authorization: authorization == "Bearer token-2"
        second = sink.send([an_event("2"), an_event("3")], may_go_on=always)

    assert (first.delivered, second.delivered, second.failure) == ({"1"}, {"2", "3"}, None)
    assert server.authorizations == ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-2"]


@pytest.mark.parametrize("kind", ["secret", "keys"])
def test_client_that_the_audit_server_refuses_for_good_does_not_storm(
    tmp_path: Path, server: StubAuditServer, kind: str
) -> None:
    """Each look of the delivery offers one event and ends there; tokens are asked for once in ten seconds."""
    server.token, server.is_open_to = numbered_tokens(server), lambda _: False
    now = [1000.0]
    with sink_of(settings_with(tmp_path, a_client(server, kind)), lambda: now[0]) as sink:
        for _ in range(20):
            sent = sink.send([an_event("1"), an_event("2")], may_go_on=always)
            assert (sent.delivered, sent.rejected, sent.failure) == (set(), {}, "the server answered 401")
            now[0] += 0.9

    assert len(server.forms) == 2
    assert len(server.authorizations) == 21


@pytest.mark.parametrize(("status", "asked"), [(400, 2), (503, 5)])
def test_sink_without_a_token_says_so_and_leaves_the_token_endpoint_alone(
    tmp_path: Path, server: StubAuditServer, status: int, asked: int
) -> None:
    """A no is remembered for five seconds; an endpoint that is down is left alone after five outages."""
    server.token = lambda: Response('{"error": "invalid_client"}', status, content_type="application/json")
    now = [1000.0]
    with sink_of(settings_with(tmp_path, a_client(server, "keys")), lambda: now[0]) as sink:
        for _ in range(12):
            sent = sink.send([an_event("1")], may_go_on=always)
            assert sent.failure == "no token could be had for the server"
            now[0] += 0.5 if status == 400 else 0.1

    assert len(server.forms) == asked
    assert server.authorizations == []


def test_events_name_the_ehr_s_own_addresses_and_keep_those_of_an_ehr_that_is_no_more(
    tmp_path: Path, server: StubAuditServer
) -> None:
    deliver(settings_with(tmp_path, {"fhir_base": server.fhir_base}))

    patients = {event["entity"][0]["what"]["reference"] for event in server.events.values()}
    assert "http://127.0.0.1:8001/fhir/Patient/pat-a" in patients
    assert len(patients) == 2


def test_secrets_are_hidden_where_settings_are_shown(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, {"fhir_base": "https://a.example", "fhir_bearer_token": "do-not-show"})

    assert "do-not-show" not in repr(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"fhir_base": "https://user:secret@audit.example/fhir"},
        {"fhir_base": "https://audit.example/fhir?key=secret"},
        {"fhir_base": "https://audit.example/fhir", "fhir_client_secret": "secret"},
    ],
    ids=["password in the address", "query", "secret without token endpoint"],
)
def test_settings_that_could_never_deliver_are_refused_and_not_repeated(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="fhir_") as refused:
        AuditSettings(**settings)  # type: ignore[arg-type]

    assert "secret@" not in str(refused.value)
    assert "key=" not in str(refused.value)
