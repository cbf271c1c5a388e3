"""Every fault switch of the sandbox does what it says, seen by a client that is not our app (SBX-S11)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from ehr_sandbox.faults import DiscoveryFaults, Faults
from tests.contract.sandbox_client import SandboxClient, a_sandbox, error_of, redirected

SCOPE = "launch openid fhirUser offline_access patient/ImagingStudy.rs patient/Patient.r"
CONFIGURATION = ".well-known/smart-configuration"


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr")) as client:
        yield client


def tokens(ehr: SandboxClient, **faults: Any) -> dict[str, Any]:
    return ehr.tokens(SCOPE, faults=Faults(**faults))


def id_token(answer: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    token = answer["id_token"]
    return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize(
    ("granted_as", "scope"),
    [
        ("split", "launch openid fhirUser offline_access patient/ImagingStudy.r patient/ImagingStudy.s patient/Patient.r"),
        ("v1", "launch openid fhirUser offline_access patient/ImagingStudy.read patient/Patient.read"),
        ("wildcard", "launch openid fhirUser offline_access patient/*.rs"),
        ("identity", "launch openid fhirUser offline_access"),
    ],
)
def test_s11_the_granted_scope_in_other_words(ehr: SandboxClient, granted_as: str, scope: str) -> None:
    assert tokens(ehr, granted_as=granted_as)["scope"] == scope


def test_s11_id_token_of_another_issuer_without_kid_and_from_a_wrong_clock(ehr: SandboxClient) -> None:
    faults = {"id_token_issuer": "https://other.example", "id_token_without_kid": True, "clock_skew_s": 3600}
    header, claims = id_token(tokens(ehr, **faults))

    assert "kid" not in header
    assert claims["iss"] == "https://other.example"
    assert claims["iat"] == pytest.approx(time.time() + 3600, abs=5)


def test_s11_no_expires_in_and_context_as_text(ehr: SandboxClient) -> None:
    named = ({"reference": "ImagingStudy/demo-a-ct"},)
    faults = Faults(no_expires_in=True, fhir_context_as_text=True)
    answer = ehr.tokens(SCOPE, faults=faults, fhir_context=named)

    assert "expires_in" not in answer
    assert answer["fhirContext"] == ["ImagingStudy/demo-a-ct"]


def test_s11_a_refresh_without_a_new_refresh_token_leaves_the_old_one_good(ehr: SandboxClient) -> None:
    refresh_token = tokens(ehr, no_new_refresh_token=True)["refresh_token"]

    for _ in range(2):
        answer = ehr.refresh(refresh_token)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()


def test_s11_a_refresh_that_names_another_patient(ehr: SandboxClient) -> None:
    answer = tokens(ehr, refresh_patient="demo-b")

    assert answer["patient"] == "demo-a"
    assert ehr.refresh(answer["refresh_token"]).json()["patient"] == "demo-b"


def test_s11_an_error_redirect_with_code_description_and_uri(ehr: SandboxClient) -> None:
    faults = Faults(
        authorize_error="access_denied", authorize_error_description="<b>no</b>", authorize_error_uri="https://h.example/1"
    )
    sent = redirected(ehr.authorize(launch=ehr.a_launch(faults=faults), scope=SCOPE))

    assert (sent["error"], sent["error_description"], sent["error_uri"]) == (
        "access_denied",
        "<b>no</b>",
        "https://h.example/1",
    )
    assert "code" not in sent


def test_s11_a_token_endpoint_that_is_down_once_uses_nothing_up(ehr: SandboxClient) -> None:
    faults = Faults(unavailable=("token",), unavailable_times=1, retry_after="1.5")
    code = ehr.launched(SCOPE, faults=faults)["code"]
    first, second = ehr.exchange(code), ehr.exchange(code)

    assert first.status_code == 503
    assert first.headers["Retry-After"] == "1.5"
    assert second.status_code == 200


def test_s11_a_token_error_of_any_code(ehr: SandboxClient) -> None:
    code = ehr.launched(SCOPE, faults=Faults(token_error="invalid_client"))["code"]

    assert error_of(ehr.exchange(code)) == "invalid_client"


def test_s11_a_resource_type_that_is_down_for_ever(ehr: SandboxClient) -> None:
    token = tokens(ehr, unavailable=("ImagingStudy",), retry_after="")["access_token"]

    for _ in range(2):
        down = ehr.fhir("GET", "ImagingStudy?patient=demo-a", token)
        assert down.status_code == 503
        assert "Retry-After" not in down.headers
    assert ehr.fhir("GET", "Patient/demo-a", token).status_code == 200


@pytest.mark.parametrize("style", ["hostile", "low-contrast"])
def test_s11_styles_not_to_be_followed_blindly(ehr: SandboxClient, style: str) -> None:
    url = tokens(ehr, style=style)["smart_style_url"]
    served = ehr.http.get(url, timeout=5)

    assert served.status_code == 200
    assert "color_background" in served.json()


def test_s11_a_style_that_is_not_there(ehr: SandboxClient) -> None:
    assert ehr.http.get(tokens(ehr, style="missing")["smart_style_url"], timeout=5).status_code == 404


@pytest.mark.parametrize("with_uris", [True, False])
def test_s11_no_configuration_with_and_without_the_capability_statement(tmp_path: Path, *, with_uris: bool) -> None:
    faults = DiscoveryFaults(no_configuration=True, no_oauth_uris=not with_uris)
    with a_sandbox(tmp_path, discovery_faults=faults) as ehr:
        statement = ehr.fhir("GET", "metadata").json()

        assert ehr.fhir("GET", CONFIGURATION).status_code == 404
        assert ("extension" in statement["rest"][0]["security"]) is with_uris


def test_s11_a_configuration_that_is_slow_foreign_and_lacks_things(tmp_path: Path) -> None:
    faults = DiscoveryFaults(
        delay_s=0.3, issuer="https://idp.example", no_pkce_list=True, no_standalone_picker=True, only_v1=True
    )
    with a_sandbox(tmp_path, discovery_faults=faults) as ehr:
        answer = ehr.fhir("GET", CONFIGURATION)
        document = answer.json()

    assert answer.elapsed.total_seconds() >= 0.3
    assert document["issuer"] == "https://idp.example"
    assert "code_challenge_methods_supported" not in document
    assert not {"context-standalone-patient", "permission-v2"} & set(document["capabilities"])


def test_s11_the_authorization_server_on_another_host(tmp_path: Path) -> None:
    with a_sandbox(tmp_path) as ehr:
        other = ehr.base.replace("127.0.0.1", "localhost")
        ehr.services.authorization.faults.discovery = DiscoveryFaults(other_host=other)
        document = ehr.fhir("GET", CONFIGURATION).json()
        _, claims = id_token(tokens(ehr))
        page = ehr.http.get(document["authorization_endpoint"], params=ehr.request(), timeout=5)

    assert document["issuer"] == claims["iss"] == f"{other}/auth"
    assert document["token_endpoint"].startswith(other)
    assert page.status_code == 200
