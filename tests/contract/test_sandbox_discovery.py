"""What the sandbox EHR says about itself (SBX-S1, SBX-S2, SBX-S7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from tests.contract.sandbox_client import SandboxClient, a_sandbox

WELL_KNOWN = ".well-known/smart-configuration"


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr")) as client:
        yield client


@pytest.mark.parametrize("accept", ["application/json", "text/html", "application/fhir+xml", None])
def test_s1_discovery_is_json_for_every_origin_whatever_is_accepted(ehr: SandboxClient, accept: str | None) -> None:
    answer = ehr.fhir("GET", WELL_KNOWN, headers={"Accept": accept, "Origin": "https://anywhere.example"})

    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.json()["code_challenge_methods_supported"] == ["S256"]


def test_s1_every_address_of_discovery_is_absolute(ehr: SandboxClient) -> None:
    document = ehr.fhir("GET", WELL_KNOWN).json()

    addresses = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri")) or name == "issuer"]
    assert len(addresses) == 7
    assert all(address.startswith(f"{ehr.base}/auth") for address in addresses)


def test_s1_discovery_names_the_imaging_server_as_associated_endpoint(ehr: SandboxClient) -> None:
    document = ehr.fhir("GET", WELL_KNOWN).json()

    assert document["associated_endpoints"] == [{"url": "http://localhost:8000/imaging/sandbox", "capabilities": []}]
    assert "smart-imaging-access" in document["capabilities"]
    assert "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch" in document["capabilities"]


def test_s2_capabilities_are_complete(ehr: SandboxClient) -> None:
    required = {
        *("launch-ehr", "launch-standalone", "authorize-post", "sso-openid-connect"),
        *("client-public", "client-confidential-symmetric", "client-confidential-asymmetric"),
        *("context-banner", "context-style", "context-ehr-patient", "context-ehr-encounter"),
        *("context-standalone-patient", "permission-patient", "permission-user", "permission-offline"),
        *("permission-online", "permission-v1", "permission-v2"),
    }

    assert required <= set(ehr.fhir("GET", WELL_KNOWN).json()["capabilities"])


def test_s7_jwks_holds_bare_public_keys(ehr: SandboxClient) -> None:
    keys = ehr.http.get(f"{ehr.base}/auth/jwks", timeout=5).json()["keys"]

    assert [set(key) for key in keys] == [{"kty", "n", "e", "kid", "alg", "use"}]


def test_openid_configuration_names_its_issuer_and_keys(ehr: SandboxClient) -> None:
    document = ehr.http.get(f"{ehr.base}/auth/.well-known/openid-configuration", timeout=5).json()

    assert document["issuer"] == f"{ehr.base}/auth"
    assert document["jwks_uri"] == f"{ehr.base}/auth/jwks"


def test_the_style_is_public_json(ehr: SandboxClient) -> None:
    style = ehr.http.get(ehr.tokens()["smart_style_url"], timeout=5)

    assert style.headers["Access-Control-Allow-Origin"] == "*"
    assert style.json()["color_background"].startswith("#")


def test_metadata_is_a_valid_capability_statement_with_smart_security(ehr: SandboxClient) -> None:
    answer = ehr.fhir("GET", "metadata")

    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    statement = CapabilityStatement.model_validate(answer.json())
    assert statement.fhirVersion == "4.0.1"
    security = answer.json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    uris = {entry["url"]: entry["valueUri"] for entry in security["extension"][0]["extension"]}
    assert uris["token"] == ehr.token_url


def test_keys_and_secrets_are_made_once_with_mode_0600(tmp_path: Path) -> None:
    with a_sandbox(tmp_path, seed=False) as first:
        jwks = first.http.get(f"{first.base}/auth/jwks", timeout=5).json()
    with a_sandbox(tmp_path, seed=False) as second:
        assert second.http.get(f"{second.base}/auth/jwks", timeout=5).json() == jwks

    secret_files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".sqlite3-wal",)]
    assert {oct(path.stat().st_mode & 0o077) for path in secret_files} == {"0o0"}
