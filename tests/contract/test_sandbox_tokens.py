"""The token endpoint: codes, refresh, client secrets, id_token (SBX-S4, SBX-S5, SBX-S7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from ehr_sandbox.oauth_keys import client_secret
from ehr_sandbox.settings import RegisteredClient
from tests.contract.sandbox_client import (
    APP,
    EHR_SCOPE,
    REDIRECT_URI,
    SandboxClient,
    a_sandbox,
    error_of,
)

OTHER = RegisteredClient(client_id="other", name="Other app", redirect_uris=(REDIRECT_URI,))


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr"), clients=(OTHER,)) as client:
        yield client


def test_s5_token_response_is_never_cached_and_states_scope_and_context(ehr: SandboxClient) -> None:
    launched = ehr.launched(
        encounter="demo-a-encounter",
        app_context="2.25.1",
        intent="reconcile",
        tenant="t-1",
        fhir_context=({"reference": "ImagingStudy/demo-a-ct"},),
        need_patient_banner=False,
    )
    answer = ehr.exchange(launched["code"])

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 300
    assert body["scope"] == EHR_SCOPE
    assert body["patient"] == "demo-a"
    assert body["encounter"] == "demo-a-encounter"
    assert body["need_patient_banner"] is False
    assert body["fhirContext"] == [{"reference": "ImagingStudy/demo-a-ct"}]
    assert (body["appContext"], body["intent"], body["tenant"]) == ("2.25.1", "reconcile", "t-1")
    assert "refresh_token" not in body


def test_access_token_claims(ehr: SandboxClient) -> None:
    token = ehr.tokens()["access_token"]
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})

    assert header["typ"] == "at+jwt"
    assert header["alg"] == "RS256"
    assert claims["aud"] == [ehr.fhir_base, "http://localhost:8000/imaging/sandbox"]
    assert claims["exp"] - claims["iat"] == 300
    assert claims["fhirUser"] == f"{ehr.fhir_base}/Practitioner/demo-gp"
    assert {"iss", "sub", "nbf", "jti", "client_id", "scope", "patient"} <= set(claims)


def test_s7_id_token_is_verifiable_and_names_the_user(ehr: SandboxClient) -> None:
    handle = ehr.a_launch()
    code = ehr.authorize(launch=handle, scope=EHR_SCOPE, nonce="n-1").headers["Location"].split("code=")[1].split("&")[0]
    id_token = ehr.exchange(code).json()["id_token"]
    keys = ehr.http.get(f"{ehr.base}/auth/jwks", timeout=5).json()
    kid = jwt.get_unverified_header(id_token)["kid"]
    key = next(key for key in jwt.PyJWKSet.from_dict(keys).keys if key.key_id == kid)
    claims = jwt.decode(id_token, key, algorithms=["RS256"], audience="imaging-cds", issuer=f"{ehr.base}/auth")

    assert claims["fhirUser"] == f"{ehr.fhir_base}/Practitioner/demo-gp"
    assert claims["nonce"] == "n-1"


def test_s7_an_id_token_opens_no_fhir(ehr: SandboxClient) -> None:
    assert ehr.fhir("GET", "Patient/demo-a", ehr.tokens()["id_token"]).status_code == 401


def test_s4_a_second_use_of_the_code_revokes_the_tokens_of_the_first(ehr: SandboxClient) -> None:
    code = ehr.launched("launch patient/*.rs offline_access")["code"]
    first = ehr.exchange(code).json()
    assert ehr.fhir("GET", "Patient/demo-a", first["access_token"]).status_code == 200

    assert error_of(ehr.exchange(code)) == "invalid_grant"

    assert ehr.fhir("GET", "Patient/demo-a", first["access_token"]).status_code == 401
    assert error_of(ehr.refresh(first["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "v" * 42}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": f"{APP}/other"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"client_id": "other"}, "invalid_grant"),
        ({"client_id": None}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"client_secret": "x"}, "invalid_client"),
    ],
)
def test_s4_the_code_is_bound_to_client_redirect_uri_and_challenge(
    ehr: SandboxClient, changes: dict[str, Any], error: str
) -> None:
    code = ehr.launched()["code"]

    assert error_of(ehr.exchange(code, **changes)) == error


def test_s4_an_unknown_code_is_refused(ehr: SandboxClient) -> None:
    assert error_of(ehr.exchange("invented")) == "invalid_grant"


def test_s4_a_code_presented_with_a_wrong_verifier_is_spent(ehr: SandboxClient) -> None:
    code = ehr.launched()["code"]
    ehr.exchange(code, code_verifier="w" * 43)

    assert error_of(ehr.exchange(code)) == "invalid_grant"


def test_s4_an_expired_code_is_refused(tmp_path: Path) -> None:
    with a_sandbox(tmp_path, code_lifetime_s=0) as ehr:
        answer = ehr.exchange(ehr.launched()["code"])

    assert error_of(answer) == "invalid_grant"


def test_s4_of_two_simultaneous_uses_at_most_one_gets_tokens(ehr: SandboxClient) -> None:
    code = ehr.launched()["code"]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ehr.exchange(code).status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses).count(200) <= 1
    assert len(statuses) == 4


def test_parameters_in_the_url_of_the_token_endpoint_are_refused(ehr: SandboxClient) -> None:
    answer = ehr.http.post(f"{ehr.token_url}?grant_type=refresh_token", data={"client_id": "other"}, timeout=5)

    assert error_of(answer) == "invalid_request"


def test_s5_refresh_rotates_and_reuse_revokes_the_family(ehr: SandboxClient) -> None:
    first = ehr.tokens("launch patient/*.rs offline_access")
    second = ehr.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["patient"] == "demo-a"
    assert ehr.fhir("GET", "Patient/demo-a", second["access_token"]).status_code == 200

    assert error_of(ehr.refresh(first["refresh_token"])) == "invalid_grant"

    assert ehr.fhir("GET", "Patient/demo-a", second["access_token"]).status_code == 401
    assert error_of(ehr.refresh(second["refresh_token"])) == "invalid_grant"


def test_s5_a_refresh_may_narrow_but_not_widen(ehr: SandboxClient) -> None:
    tokens = ehr.tokens("launch patient/*.rs offline_access")

    assert error_of(ehr.refresh(tokens["refresh_token"], scope="patient/*.cruds")) == "invalid_scope"
    narrowed = ehr.refresh(tokens["refresh_token"], scope="patient/Patient.r").json()
    assert narrowed["scope"] == "patient/Patient.r"
    assert ehr.fhir("GET", "ImagingStudy?patient=demo-a", narrowed["access_token"]).status_code == 403
    assert ehr.refresh(narrowed["refresh_token"]).json()["scope"] == "launch patient/*.rs offline_access"


def test_s5_a_refresh_token_of_another_client_is_refused_and_its_grant_ended(ehr: SandboxClient) -> None:
    tokens = ehr.tokens("launch patient/*.rs online_access")

    assert error_of(ehr.refresh(tokens["refresh_token"], client_id="other")) == "invalid_grant"
    assert error_of(ehr.refresh(tokens["refresh_token"])) == "invalid_grant"


def test_s5_a_public_client_need_not_name_itself_when_it_refreshes(ehr: SandboxClient) -> None:
    """The token is bound to it; ``client_id`` is required with a code only (RFC 6749 sections 3.2.1 and 6)."""
    first = ehr.tokens("launch patient/*.rs offline_access")

    second = ehr.refresh(first["refresh_token"], client_id=None)

    assert second.status_code == 200, second.text
    assert error_of(ehr.refresh("unknown", client_id=None)) == "invalid_grant"
    assert error_of(ehr.refresh(first["refresh_token"], client_id=None)) == "invalid_grant"
    assert ehr.fhir("GET", "Patient/demo-a", second.json()["access_token"]).status_code == 401
    assert error_of(ehr.exchange(ehr.launched()["code"], client_id=None)) == "invalid_client"


def test_s5_a_confidential_client_authenticates_when_it_refreshes(ehr: SandboxClient) -> None:
    client_id = "imaging-cds-confidential"
    auth = (client_id, client_secret(ehr.settings.state_dir, client_id))
    code = ehr.launched("launch patient/*.rs offline_access", client_id=client_id)["code"]
    tokens = ehr.exchange(code, auth=auth, client_id=None).json()

    assert error_of(ehr.refresh(tokens["refresh_token"], client_id=None)) == "invalid_client"
    form: dict[str, str | None] = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert ehr.post_token(form, auth=auth).status_code == 200


def test_s5_online_access_ends_with_the_session(tmp_path: Path) -> None:
    with a_sandbox(tmp_path, online_refresh_lifetime_s=0) as ehr:
        tokens = ehr.tokens("launch patient/*.rs online_access")
        answer = ehr.refresh(tokens["refresh_token"])

    assert error_of(answer) == "invalid_grant"


def test_confidential_client_authenticates_by_basic_only(ehr: SandboxClient) -> None:
    client_id = "imaging-cds-confidential"
    secret = client_secret(ehr.settings.state_dir, client_id)

    def exchange(auth: tuple[str, str] | None, **changes: Any) -> Any:
        code = ehr.launched(client_id=client_id)["code"]
        return ehr.exchange(code, auth=auth, **{"client_id": None, **changes})

    assert exchange((client_id, secret)).status_code == 200
    wrong = exchange((client_id, "wrong"))
    assert error_of(wrong) == "invalid_client"
    assert wrong.status_code == 401
    assert "WWW-Authenticate" in wrong.headers
    assert error_of(exchange(None, client_id=client_id)) == "invalid_client"
    assert error_of(exchange(None, client_id=client_id, client_secret=secret)) == "invalid_client"
    assert error_of(exchange((client_id, secret), client_id="other")) == "invalid_request"


def test_s10_the_token_endpoint_answers_registered_origins_only(ehr: SandboxClient) -> None:
    url = ehr.token_url
    own = ehr.http.options(url, headers={"Origin": APP, "Access-Control-Request-Method": "POST"}, timeout=5)
    foreign = ehr.http.options(url, headers={"Origin": "https://evil.example"}, timeout=5)

    assert own.headers["Access-Control-Allow-Origin"] == APP
    assert "Access-Control-Allow-Credentials" not in own.headers
    assert "Access-Control-Allow-Origin" not in foreign.headers
