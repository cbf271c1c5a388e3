"""Introspection, revocation and the management page (SBX-S10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ehr_sandbox.authorization import TokenOptions
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.oauth_keys import client_secret
from tests.contract.sandbox_client import EHR_SCOPE, USER, SandboxClient, a_sandbox


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr")) as client:
        yield client


def _introspect(ehr: SandboxClient, token: str, **more: Any) -> Any:
    if "headers" not in more:
        more.setdefault("auth", ("imaging-server", client_secret(ehr.settings.state_dir, "imaging-server")))
    return ehr.http.post(f"{ehr.base}/auth/introspect", data={"token": token}, timeout=5, **more)


def _revoke(ehr: SandboxClient, token: str, client_id: str = "imaging-cds") -> Any:
    return ehr.http.post(f"{ehr.base}/auth/revoke", data={"token": token, "client_id": client_id}, timeout=5)


def test_s10_a_resource_server_learns_scope_client_expiry_context_and_user(ehr: SandboxClient) -> None:
    tokens = ehr.tokens(EHR_SCOPE, encounter="e-1")
    found = _introspect(ehr, tokens["access_token"]).json()

    assert found["active"] is True
    assert (found["patient"], found["encounter"]) == ("demo-a", "e-1")
    assert (found["client_id"], found["scope"]) == ("imaging-cds", EHR_SCOPE)
    assert found["fhirUser"] == f"{ehr.fhir_base}/{USER}"
    assert found["aud"] == [ehr.fhir_base, "http://localhost:8000/imaging/sandbox"]
    assert {"exp", "iss", "sub", "jti"} <= set(found)


def test_s10_what_is_not_a_live_access_token_is_just_inactive(ehr: SandboxClient) -> None:
    tokens = ehr.tokens("launch openid patient/*.rs offline_access")
    signature_broken = tokens["access_token"][:-8] + "AAAAAAAA"
    expired = ehr.services.authorization.issue_token(
        "imaging-cds", "patient/*.rs", LaunchContext(patient="demo-a"), TokenOptions(lifetime_s=-1)
    )

    for token in (tokens["refresh_token"], tokens["id_token"], signature_broken, expired.access_token, "x", ""):
        assert _introspect(ehr, token).json() == {"active": False}


def test_s10_introspection_needs_authentication(ehr: SandboxClient) -> None:
    token = ehr.tokens()["access_token"]
    secret = client_secret(ehr.settings.state_dir, "imaging-cds-confidential")

    assert _introspect(ehr, token, auth=("imaging-server", "wrong")).status_code == 401
    assert _introspect(ehr, token, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert _introspect(ehr, token, headers={}).status_code == 401
    public = ehr.http.post(f"{ehr.base}/auth/introspect", data={"token": token, "client_id": "imaging-cds"}, timeout=5)
    assert public.status_code == 401
    other = _introspect(ehr, token, auth=("imaging-cds-confidential", secret))
    assert other.json() == {"active": False}


def test_s10_a_client_may_ask_about_its_own_token_by_bearer(ehr: SandboxClient) -> None:
    token = ehr.tokens()["access_token"]

    assert _introspect(ehr, token, headers={"Authorization": f"Bearer {token}"}).json()["active"] is True


def test_s10_revoking_an_access_token_ends_it_alone(ehr: SandboxClient) -> None:
    tokens = ehr.tokens("launch patient/*.rs offline_access")

    assert _revoke(ehr, tokens["access_token"]).status_code == 200

    assert _introspect(ehr, tokens["access_token"]).json() == {"active": False}
    assert ehr.fhir("GET", "Patient/demo-a", tokens["access_token"]).status_code == 401
    assert ehr.refresh(tokens["refresh_token"]).status_code == 200


def test_s10_revoking_a_refresh_token_ends_the_grant(ehr: SandboxClient) -> None:
    tokens = ehr.tokens("launch patient/*.rs offline_access")

    assert _revoke(ehr, tokens["refresh_token"]).status_code == 200

    assert ehr.fhir("GET", "Patient/demo-a", tokens["access_token"]).status_code == 401
    assert ehr.refresh(tokens["refresh_token"]).status_code == 400


def test_s10_nobody_revokes_the_tokens_of_another_client(ehr: SandboxClient) -> None:
    token = ehr.services.authorization.issue_token(
        "imaging-cds-confidential", "patient/*.rs", LaunchContext(patient="demo-a")
    ).access_token

    assert _revoke(ehr, token).status_code == 200
    assert _revoke(ehr, "unknown").status_code == 200
    assert ehr.fhir("GET", "Patient/demo-a", token).status_code == 200


def test_the_management_page_lists_and_ends_the_users_own_grants(ehr: SandboxClient) -> None:
    tokens = ehr.tokens()
    url = f"{ehr.base}/auth/manage"
    assert "Sign in" in ehr.http.get(url, timeout=5).text
    page = ehr.http.post(url, data={"action": "sign-in", "user": USER}, timeout=5)
    assert "Connected apps" in page.text
    assert "Read and search all records of this patient" in page.text
    for grant in re.findall(r'name="grant" value="([^"]+)"', page.text):
        page = ehr.http.post(url, data={"action": "revoke", "grant": grant}, timeout=5)

    assert "No app has access" in page.text
    assert ehr.fhir("GET", "Patient/demo-a", tokens["access_token"]).status_code == 401


def test_the_management_page_ends_no_grant_of_another_user(ehr: SandboxClient) -> None:
    tokens = ehr.tokens()
    grant, _ = ehr.services.authorization.grant_of_token(tokens["access_token"], None) or (None, {})
    assert grant is not None
    url = f"{ehr.base}/auth/manage"
    ehr.http.post(url, data={"action": "sign-in", "user": "Patient/demo-b"}, timeout=5)
    answer = ehr.http.post(url, data={"action": "revoke", "grant": grant.grant_id}, timeout=5)
    cross_site = ehr.http.post(url, data={"action": "sign-out"}, headers={"Sec-Fetch-Site": "cross-site"}, timeout=5)
    ehr.http.post(url, data={"action": "sign-out"}, timeout=5)

    assert answer.status_code == 400
    assert cross_site.status_code == 403
    assert ehr.fhir("GET", "Patient/demo-a", tokens["access_token"]).status_code == 200
