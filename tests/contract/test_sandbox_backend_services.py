"""A service signs in by itself and gets what it is registered for, nothing else (SMART App Launch 2.2, Backend Services)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
import requests

from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.settings import SYNC_CLIENT, SYNC_SCOPES, RegisteredClient, demo_clients
from tests.contract.sandbox_client import APP, SandboxClient, a_sandbox, error_of, es384_key, rs384_key

KEY, OTHER_KEY = es384_key(), rs384_key()
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EVERYTHING = " ".join(SYNC_SCOPES)


def registered() -> RegisteredClient:
    """The demo's own registration, with keys that need no server."""
    (client,) = [one for one in demo_clients(APP) if one.client_id == SYNC_CLIENT]
    return replace(client, jwks_url=None, jwks={"keys": [KEY.signing.public_jwk]})


def an_app_with_keys() -> RegisteredClient:
    return replace(registered(), client_id="app", scopes=("*",))


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr"), clients=(registered(), an_app_with_keys())) as client:
        yield client


def ask(ehr: SandboxClient, scope: str | None, client_id: str = SYNC_CLIENT, key: Any = KEY) -> requests.Response:
    assertion = key.assertion(client_id, ehr.token_url)
    form = {"grant_type": "client_credentials", "scope": scope}
    return ehr.post_token({**form, "client_assertion": assertion, "client_assertion_type": ASSERTION_TYPE})


def a_token_of(ehr: SandboxClient, scope: str) -> str:
    answer = ask(ehr, scope)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def test_it_gets_a_token_of_five_minutes_for_what_it_asked_and_nothing_of_a_launch(ehr: SandboxClient) -> None:
    body = ask(ehr, EVERYTHING).json()
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})

    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["scope"], body["expires_in"]) == (EVERYTHING, 300)
    assert claims["sub"] == claims["client_id"] == SYNC_CLIENT
    assert claims["aud"] == [ehr.fhir_base]
    assert not {"patient", "fhirUser"} & set(claims)


def test_it_sees_every_patient_and_writes_studies(ehr: SandboxClient) -> None:
    token = a_token_of(ehr, EVERYTHING)
    study = {"resourceType": "ImagingStudy", "id": "2.25.99", "status": "available", "subject": {"reference": "Patient/demo-b"}}

    found = ehr.fhir("GET", "Patient?identifier=DEMO-1001,DEMO-1002", token).json()
    assert {entry["resource"]["id"] for entry in found["entry"]} == {"demo-a", "demo-b"}
    assert ehr.fhir("PUT", "ImagingStudy/2.25.99", token, json=study).status_code == 201
    assert ehr.fhir("GET", "ImagingStudy/2.25.99", token).json()["subject"] == study["subject"]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "Condition?patient=demo-a", "system/Condition.s"),
        ("PUT", "Patient/demo-a", "system/Patient.u"),
        ("DELETE", "ImagingStudy/demo-a-ct", "system/ImagingStudy.d"),
    ],
)
def test_it_does_nothing_that_it_is_not_registered_for(ehr: SandboxClient, method: str, path: str, needed: str) -> None:
    more = {"json": {"resourceType": "Patient", "id": "demo-a"}} if method == "PUT" else {}
    answer = ehr.fhir(method, path, a_token_of(ehr, EVERYTHING), **more)

    assert answer.status_code == 403
    assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Patient.rs system/Condition.rs", "system/Patient.rs"),
        ("system/Patient.r system/Patient.r", "system/Patient.r"),
        ("system/ImagingStudy.cruds system/ImagingStudy.rs", "system/ImagingStudy.rs"),
        ("system/*.rs user/Patient.rs patient/Patient.rs openid system/Device.rs", "system/Device.rs"),
    ],
)
def test_of_more_than_is_registered_only_that_is_given(ehr: SandboxClient, asked: str, granted: str) -> None:
    assert ask(ehr, asked).json()["scope"] == granted


@pytest.mark.parametrize("scope", ["system/*.cruds", "patient/Patient.rs launch", "", None, "system/Patient.sr"])
def test_without_any_scope_left_it_is_refused(ehr: SandboxClient, scope: str | None) -> None:
    assert error_of(ask(ehr, scope)) == "invalid_scope"


def test_an_app_that_may_have_all_of_its_users_may_have_nothing_by_itself(ehr: SandboxClient) -> None:
    assert error_of(ask(ehr, "system/Patient.rs", "app")) == "invalid_scope"


@pytest.mark.parametrize("client_id", ["imaging-cds", "imaging-cds-confidential"])
def test_without_keys_of_its_own_no_client_acts_by_itself(ehr: SandboxClient, client_id: str) -> None:
    assert error_of(ask(ehr, EVERYTHING, client_id)) == "invalid_client"
    form: dict[str, str | None] = {"grant_type": "client_credentials", "scope": EVERYTHING, "client_id": "imaging-cds"}
    assert error_of(ehr.post_token(form)) == "unauthorized_client"


def test_somebody_elses_key_is_refused(ehr: SandboxClient) -> None:
    assert error_of(ask(ehr, EVERYTHING, key=OTHER_KEY)) == "invalid_client"


def test_no_user_can_give_it_away(ehr: SandboxClient) -> None:
    """A launch of the same client asks in vain for what only its own account has."""
    context = LaunchContext(patient="demo-a")
    issued = ehr.services.authorization.issue_token(SYNC_CLIENT, "system/Patient.rs", context)

    assert issued.scope == ""


def test_the_grant_is_announced(ehr: SandboxClient) -> None:
    for path in ("fhir/.well-known/smart-configuration", "auth/.well-known/openid-configuration"):
        assert "client_credentials" in ehr.http.get(f"{ehr.base}/{path}", timeout=5).json()["grant_types_supported"]
