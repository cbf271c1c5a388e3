"""The audit trail as the settings describe it: which sinks, and with which credential the FHIR server is reached."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from fhir_imaging.audit import AuditLog
from fhir_imaging.audit_settings import AuditSettings
from imaging_cds.audit_trail import delivery_of, open_store
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.settings import ApplicationSettings, from_table
from tests.audit_actors import StubAuditServer, an_access
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
