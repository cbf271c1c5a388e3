"""The gateway's own token by an assertion that it signs: service accounts, as Google has them (RFC 7523 §2.1; group 20).

By "Using OAuth 2.0 for Server to Server Applications" (https://developers.google.com/identity/protocols/oauth2/service-account);
not verified on the real service.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fhir_imaging.clients.archive_credentials import ClientCredentials
from fhir_imaging.errors import ConfigurationError
from imaging_server.archive_settings import archive_problems
from tests.conftest import free_port_number, serving
from tests.contract.cloud_archives import GoogleStore, TokenEndpoint
from tests.security.gateway_actors import a_world
from tests.security.gateway_stubs import EC_KEY, METADATA, RSA_KEY

ACCOUNT = "gateway@project.iam.gserviceaccount.example"
SCOPE = "https://www.googleapis.com/auth/cloud-healthcare"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return encoded.decode()


@pytest.fixture
def tokens() -> Iterator[TokenEndpoint]:
    endpoint = TokenEndpoint()
    with serving(endpoint.app(), free_port_number()) as endpoint.base:
        yield endpoint


def by_key(tokens: TokenEndpoint, path: Path, **more: Any) -> dict[str, Any]:
    changes = {"client_id": ACCOUNT, "client_secret": None, "client_key": path, "token_scope": SCOPE, **more}
    return {**tokens.settings(), **changes}


def accept_assertions(tokens: TokenEndpoint, public_key: Any, algorithm: str) -> list[dict[str, Any]]:
    """The endpoint checks the assertion as Google's document says; returns the claims that it has seen."""
    seen: list[dict[str, Any]] = []

    def checked() -> Any:
        form = parse_qs(tokens.asked[-1].body)
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        assert set(form) == {"grant_type", "assertion"}
        assert "Authorization" not in tokens.asked[-1].headers
        (assertion,) = form["assertion"]
        claims = jwt.decode(assertion, public_key, algorithms=[algorithm], audience=tokens.url, issuer=ACCOUNT)
        seen.append({**claims, "header": jwt.get_unverified_header(assertion)})
        tokens.issued.append(f"archive-token-{len(tokens.issued) + 1}")
        return {"access_token": tokens.issued[-1], "token_type": "Bearer", "expires_in": 3599}

    tokens.answer = checked
    return seen


@pytest.mark.parametrize("form", ["json", "pem"])
def test_service_account_reads_for_the_gateway(tokens: TokenEndpoint, tmp_path: Path, form: str) -> None:
    """The key file as Google hands it out, or the bare key."""
    file = {"type": "service_account", "private_key_id": "key-1", "private_key": pem(RSA_KEY), "client_email": ACCOUNT}
    path = tmp_path / "account"
    path.write_text(json.dumps(file) if form == "json" else pem(RSA_KEY))
    seen = accept_assertions(tokens, RSA_KEY.public_key(), "RS256")
    archive = GoogleStore()
    archive.accepts = lambda token: token in tokens.issued

    with a_world(tmp_path / "state", pacs=archive, archive=by_key(tokens, path)) as world:
        answers = [world.get(METADATA, world.north.token()) for _ in range(2)]

    assert [one.status for one in answers] == [200, 200]
    assert len(seen) == 1
    assert seen[0]["scope"] == SCOPE
    assert seen[0]["exp"] - seen[0]["iat"] == 300
    assert seen[0]["header"] == {"alg": "RS256", "typ": "JWT", **({"kid": "key-1"} if form == "json" else {})}


def test_elliptic_key_signs_too_and_each_assertion_is_new(tokens: TokenEndpoint, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem(EC_KEY))
    seen = accept_assertions(tokens, EC_KEY.public_key(), "ES256")
    tokens.lifetime_s = 60
    now = [1000.0]
    settings = GoogleStore(base="http://127.0.0.1:1").settings(**by_key(tokens, tmp_path / "key.pem"))
    credential = ClientCredentials(settings, tokens.url, monotonic=lambda: now[0])
    try:
        first = credential.headers()
        now[0] += 3600
        second = credential.headers()
    finally:
        credential.close()

    assert (first, second) == ({"Authorization": "Bearer archive-token-1"}, {"Authorization": "Bearer archive-token-2"})
    assert [one["sub"] for one in seen] == [ACCOUNT, ACCOUNT]
    assert pem(EC_KEY).splitlines()[1] not in repr(credential.__dict__)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no key",
        "{}",
        "{not json",
        '{"private_key": 7}',
        "[]",
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505 - refused for this
        pem(ec.generate_private_key(ec.SECP521R1())),
        pem(RSA_KEY)[:200],
    ],
    ids=["empty", "text", "object", "broken", "number", "list", "other kind", "short", "other curve", "cut"],
)
def test_file_that_is_no_usable_key_is_a_configuration_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    endpoint = TokenEndpoint(base="http://127.0.0.1:1")
    settings = GoogleStore(base="http://127.0.0.1:1").settings(**by_key(endpoint, tmp_path / "key"))

    with pytest.raises(ConfigurationError, match="client_key"):
        ClientCredentials(settings, endpoint.url)


def test_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    endpoint = TokenEndpoint(base="http://127.0.0.1:1")
    settings = GoogleStore(base="http://127.0.0.1:1").settings(**by_key(endpoint, tmp_path / "missing"))

    with pytest.raises(ConfigurationError, match="client_key"):
        ClientCredentials(settings, endpoint.url)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"client_secret": "a secret"}, "not both"),
        ({"client_key": None}, "needs client_id and client_secret"),
        ({"client_id": None}, "needs client_id"),
        ({"token_url": None}, "client_key says nothing without token_url"),
    ],
)
def test_key_goes_with_a_client_and_without_a_secret(changes: dict[str, Any], problem: str | None) -> None:
    endpoint = TokenEndpoint(base="https://login.example")
    settings = GoogleStore(base="https://archive.example").settings(**{**by_key(endpoint, Path("account.json")), **changes})

    problems = archive_problems(settings)

    assert problems == [] if problem is None else any(problem in one for one in problems)
