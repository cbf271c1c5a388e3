"""Forged and odd id_tokens (APP-A34; security group 3): only the issuer's keys and our own list of algorithms decide."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from flask import Flask, jsonify
from jwt.algorithms import RSAAlgorithm

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from smart_app.identity import Expectation, Identity, IdentityFault, IdentityVerifier
from tests.contract.smart_actors import FOREIGN_KEY, KEY

NOW = int(time.time())
PUBLIC_PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def issuer(serve: Callable[[Flask, int], str], free_port: int) -> str:
    app = Flask("issuer")
    key = {name: value for name, value in RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True).items() if name != "key_ops"}
    base = f"http://127.0.0.1:{free_port}"
    openid = "/.well-known/openid-configuration"
    app.add_url_rule("/jwks", "jwks", lambda: jsonify(keys=[{**key, "kid": "k1", "alg": "RS256"}]))
    app.add_url_rule(openid, "right", lambda: jsonify(issuer=base, jwks_uri=f"{base}/jwks"))
    app.add_url_rule(f"/broken{openid}", "broken", lambda: "<html>")
    app.add_url_rule(f"/listed{openid}", "listed", lambda: jsonify([]))
    return serve(app, free_port)


@pytest.fixture
def verifier(issuer: str) -> Iterator[IdentityVerifier]:
    with OutboundSession([issuer]) as outbound:
        yield IdentityVerifier(outbound)


def expecting(issuer: str, **changes: Any) -> Expectation:
    values = {
        "issuers": (issuer,),
        "client_id": "app",
        "nonce": None,
        "jwks_uri": f"{issuer}/jwks",
        "leeway_s": 60,
        "now": NOW,
    }
    return Expectation(**{**values, **changes})


def claims(issuer: str, **changes: Any) -> dict[str, Any]:
    return {"iss": issuer, "aud": "app", "sub": "gp", "iat": NOW, "exp": NOW + 300, **changes}


def signed(issuer: str, *, key: Any = KEY, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode(claims(issuer, **more), key, algorithm=algorithm, headers={"kid": "k1"} if headers is None else headers)


def test_a_right_token_names_the_user(verifier: IdentityVerifier, issuer: str) -> None:
    token = signed(issuer, fhirUser="Practitioner/1")

    assert verifier.verify(token, expecting(issuer)) == Identity("gp", "Practitioner/1")


def test_the_keys_are_found_by_openid_configuration_where_smart_names_none(verifier: IdentityVerifier, issuer: str) -> None:
    assert verifier.verify(signed(issuer), expecting(issuer, jwks_uri=None)) == Identity("gp", None)


def test_an_audience_list_with_ourselves_as_authorized_party_passes(verifier: IdentityVerifier, issuer: str) -> None:
    token = signed(issuer, aud=["app", "other"], azp="app")

    assert isinstance(verifier.verify(token, expecting(issuer)), Identity)


def test_the_clock_may_differ_within_the_leeway(verifier: IdentityVerifier, issuer: str) -> None:
    expected = expecting(issuer)

    assert isinstance(verifier.verify(signed(issuer, exp=NOW - 59, iat=NOW + 59), expected), Identity)
    assert isinstance(verifier.verify(signed(issuer, exp=NOW - 61), expected), IdentityFault)
    assert isinstance(verifier.verify(signed(issuer, iat=NOW + 61), expected), IdentityFault)


@pytest.mark.parametrize("token", ["", "a.b", "not a token", "e30.e30.", "eyJhbGciOiJSUzI1NiJ9.WyJsaXN0Il0.AAAA"])
def test_what_is_no_jwt_names_nobody(verifier: IdentityVerifier, issuer: str, token: str) -> None:
    assert isinstance(verifier.verify(token, expecting(issuer)), IdentityFault)


def test_alg_none_names_nobody(verifier: IdentityVerifier, issuer: str) -> None:
    token = jwt.encode(claims(issuer), None, algorithm="none")

    assert verifier.verify(token, expecting(issuer)) == IdentityFault("its signature algorithm is not accepted")


def test_hs256_with_the_public_key_as_secret_names_nobody(verifier: IdentityVerifier, issuer: str) -> None:
    def part(value: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signing = part({"alg": "HS256", "kid": "k1"}) + b"." + part(claims(issuer))
    mac = base64.urlsafe_b64encode(hmac.digest(PUBLIC_PEM, signing, hashlib.sha256)).rstrip(b"=")
    token = (signing + b"." + mac).decode()

    assert verifier.verify(token, expecting(issuer)) == IdentityFault("its signature algorithm is not accepted")


@pytest.mark.parametrize("header", [{}, {"kid": "k1"}, {"kid": "unknown"}, {"jku": "https://evil.example/jwks"}])
def test_a_foreign_key_names_nobody_whatever_the_header_says(
    verifier: IdentityVerifier, issuer: str, header: dict[str, str]
) -> None:
    token = signed(issuer, key=FOREIGN_KEY, headers=header)

    assert verifier.verify(token, expecting(issuer)) == IdentityFault("its signature does not match any key of the issuer")


def test_an_embedded_key_is_not_believed(verifier: IdentityVerifier, issuer: str) -> None:
    own = RSAAlgorithm.to_jwk(FOREIGN_KEY.public_key(), as_dict=True)
    token = signed(issuer, key=FOREIGN_KEY, headers={"jwk": own})

    assert isinstance(verifier.verify(token, expecting(issuer)), IdentityFault)


@pytest.mark.parametrize("wrong", ["{}/", "{}/x", "HTTP{}"])
def test_an_issuer_that_differs_in_one_character_is_another(verifier: IdentityVerifier, issuer: str, wrong: str) -> None:
    token = signed(wrong.format(issuer))

    assert verifier.verify(token, expecting(issuer)) == IdentityFault("its issuer (iss) is not this EHR's")


def test_keys_on_a_server_that_nobody_configured_are_not_fetched(verifier: IdentityVerifier, issuer: str) -> None:
    with pytest.raises(UpstreamRefused):
        verifier.verify(signed(issuer), expecting(issuer, jwks_uri="http://127.0.0.1:9/jwks"))


def test_an_issuer_without_readable_configuration_fails_closed(verifier: IdentityVerifier, issuer: str) -> None:
    missing, broken, listed = f"{issuer}/missing", f"{issuer}/broken", f"{issuer}/listed"

    with pytest.raises(UpstreamError):
        verifier.verify(signed(missing), expecting(missing, jwks_uri=None))
    for base in (broken, listed):
        judged = verifier.verify(signed(base), expecting(base, jwks_uri=None))
        assert judged == IdentityFault("the issuer does not publish its keys")
