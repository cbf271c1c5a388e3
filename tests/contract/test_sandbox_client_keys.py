"""Clients that sign in with keys of their own: the assertion, the keys inline or by URL, and every refusal (SBX-S6)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask, Response, jsonify

from ehr_sandbox.oauth_client_keys import ClientKeys
from ehr_sandbox.oauth_faults import OAuthFault
from ehr_sandbox.settings import RegisteredClient
from tests.conftest import free_port_number, serving
from tests.contract.sandbox_client import (
    REDIRECT_URI,
    ClientKeyPair,
    SandboxClient,
    a_sandbox,
    error_of,
    es384_key,
    rs384_key,
)

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RSA_KEY = rs384_key()
EC_KEY = es384_key()


def _key_client(client_id: str, *keys: ClientKeyPair, **more: Any) -> RegisteredClient:
    return RegisteredClient(
        client_id=client_id,
        name=client_id,
        auth_method="private_key_jwt",
        redirect_uris=(REDIRECT_URI,),
        jwks={"keys": [key.signing.public_jwk for key in keys]} if keys else None,
        **more,
    )


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    clients = (_key_client("keys", RSA_KEY, EC_KEY), _key_client("twice", RSA_KEY, RSA_KEY), _key_client("keyless"))
    with a_sandbox(tmp_path_factory.mktemp("ehr"), clients=clients) as client:
        yield client


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["RS384", "ES384"])
def test_s6_a_right_assertion_is_accepted_once(ehr: SandboxClient, key: ClientKeyPair) -> None:
    assertion = key.assertion("keys", ehr.token_url)

    assert _exchange_with(ehr, assertion).status_code == 200
    assert error_of(_exchange_with(ehr, assertion)) == "invalid_client"


def _exchange_with(ehr: SandboxClient, assertion: str, **changes: Any) -> Any:
    code = ehr.launched(client_id="keys")["code"]
    form = {"client_id": None, "client_assertion": assertion, "client_assertion_type": ASSERTION_TYPE, **changes}
    return ehr.exchange(code, **form)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": int(time.time()) + 3600},
        {"exp": int(time.time()) - 60},
        {"aud": "http://elsewhere/token"},
        {"sub": "other"},
        {"jti": None},
        {"exp": None},
        {"iss": "imaging-cds"},
        {"iss": "nobody"},
    ],
)
def test_s6_an_assertion_with_a_wrong_claim_is_refused(ehr: SandboxClient, claims: dict[str, Any]) -> None:
    assert error_of(_exchange_with(ehr, RSA_KEY.assertion("keys", ehr.token_url, **claims))) == "invalid_client"


def test_s6_other_algorithms_kids_and_jku_are_refused(ehr: SandboxClient) -> None:
    claims = jwt.decode(RSA_KEY.assertion("keys", ehr.token_url), options={"verify_signature": False})
    kid = RSA_KEY.signing.kid
    private_key = RSA_KEY.signing.private_key
    forged = [
        jwt.encode(claims, private_key, algorithm="RS256", headers={"kid": kid}),
        jwt.encode(claims, private_key, algorithm="RS384"),
        jwt.encode(claims, private_key, algorithm="RS384", headers={"kid": "other"}),
        jwt.encode(claims, private_key, algorithm="RS384", headers={"kid": kid, "jku": "https://evil.example"}),
        jwt.encode(claims, "s" * 64, algorithm="HS256", headers={"kid": kid}),
        jwt.encode(claims, rs384_key().signing.private_key, algorithm="RS384", headers={"kid": kid}),
        _unsigned(claims, kid),
        "not a jwt",
    ]

    assert [error_of(_exchange_with(ehr, assertion)) for assertion in forged] == ["invalid_client"] * len(forged)


def _unsigned(claims: dict[str, Any], kid: str) -> str:
    parts = [{"alg": "none", "kid": kid}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, ""])


def test_s6_exactly_one_key_must_match(ehr: SandboxClient) -> None:
    for client_id in ("twice", "keyless"):
        assertion = RSA_KEY.assertion(client_id, ehr.token_url)
        form = {"client_id": None, "client_assertion": assertion, "client_assertion_type": ASSERTION_TYPE}

        assert error_of(ehr.exchange(ehr.launched(client_id=client_id)["code"], **form)) == "invalid_client"


def test_s6_assertion_and_secret_together_are_refused(ehr: SandboxClient) -> None:
    assertion = RSA_KEY.assertion("keys", ehr.token_url)

    assert error_of(_exchange_with(ehr, assertion, client_secret="x")) == "invalid_request"
    assert error_of(_exchange_with(ehr, assertion, client_assertion_type="other")) == "invalid_client"
    assert error_of(_exchange_with(ehr, assertion, client_id="other")) == "invalid_client"


@dataclass
class ServedKeys:
    """The JWKS document of a client, and how often it was asked for."""

    url: str
    keys: list[dict[str, str]]
    cache_control: str = "max-age=600"
    fetches: int = 0


@pytest.fixture
def served_keys() -> Iterator[ServedKeys]:
    app, port = Flask("client-keys"), free_port_number()
    served = ServedKeys(url=f"http://127.0.0.1:{port}/jwks.json", keys=[RSA_KEY.signing.public_jwk])

    @app.get("/jwks.json")
    def jwks() -> Response:
        served.fetches += 1
        response = jsonify({"keys": served.keys})
        response.headers["Cache-Control"] = served.cache_control
        return response

    with serving(app, port):
        yield served


def test_s6_keys_come_from_the_registered_url_and_are_cached(tmp_path: Path, served_keys: ServedKeys) -> None:
    client = _key_client("keys", jwks_url=served_keys.url)
    with a_sandbox(tmp_path, clients=(client,)) as ehr:
        statuses = [_exchange_with(ehr, RSA_KEY.assertion("keys", ehr.token_url)).status_code for _ in range(3)]
        unknown = [error_of(_exchange_with(ehr, EC_KEY.assertion("keys", ehr.token_url))) for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert unknown == ["invalid_client"] * 3
    assert served_keys.fetches == 1


def test_s6_a_rotated_key_is_found_by_fetching_again(served_keys: ServedKeys) -> None:
    client = _key_client("keys", jwks_url=served_keys.url)
    keys = ClientKeys(refetch_cooldown_s=0)
    keys.one_key(client, RSA_KEY.signing.kid, "RSA")
    served_keys.keys = [EC_KEY.signing.public_jwk]

    assert keys.one_key(client, EC_KEY.signing.kid, "EC") is not None
    with pytest.raises(OAuthFault):
        keys.one_key(client, RSA_KEY.signing.kid, "RSA")


def test_s6_a_client_that_forbids_caching_is_asked_every_time(served_keys: ServedKeys) -> None:
    served_keys.cache_control = "no-store"
    client, keys = _key_client("keys", jwks_url=served_keys.url), ClientKeys()
    for _ in range(3):
        keys.one_key(client, RSA_KEY.signing.kid, "RSA")

    assert served_keys.fetches == 3


def test_s6_unreachable_and_malformed_key_documents_are_invalid_client(served_keys: ServedKeys) -> None:
    nowhere = _key_client("keys", jwks_url=f"http://127.0.0.1:{free_port_number()}/jwks.json")
    missing = _key_client("keys", jwks_url=f"{served_keys.url}.none")
    for client in (nowhere, missing):
        with pytest.raises(OAuthFault) as refused:
            ClientKeys().one_key(client, RSA_KEY.signing.kid, "RSA")
        assert refused.value.error == "invalid_client"
