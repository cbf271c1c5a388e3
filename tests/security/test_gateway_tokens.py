"""What counts as a token (SMART Imaging Access F5, groups 1 to 4): each forged, stale or foreign one is refused."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization

from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import EC_KEY, METADATA, OTHER_RSA_KEY, RSA_KEY, as_jwk, base64url, sign_raw

SOUTH = "/imaging/south/dicom-web/main"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 2.0}) as world:
        yield world


# Group 1: presence and transport


@pytest.mark.parametrize(
    "authorization",
    ["Basic dXNlcjpwYXNz", "Negotiate abc", "", " ", "Token abc"],
)
def test_other_schemes_are_no_credential(world: World, authorization: str) -> None:
    answer = world.get(METADATA, Authorization=authorization)

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert world.pacs.asked == []


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Bearer a b", "Bearer a,Bearer b", "Bearer a\tb", "Bearer \xe4", "Bearer =", "Bearer a;b"],
)
def test_malformed_bearer_is_refused(world: World, authorization: str) -> None:
    assert world.is_refused(world.get(METADATA, Authorization=authorization))


def test_scheme_name_is_case_insensitive(world: World) -> None:
    assert world.get(METADATA, Authorization=f"bEARER {world.north.token()}").status == 200


def test_two_authorization_headers_are_refused(world: World) -> None:
    connection = http.client.HTTPConnection(urlsplit(world.url).netloc, timeout=10)
    connection.putrequest("GET", world.root + METADATA)
    connection.putheader("Authorization", f"Bearer {world.north.token()}")
    connection.putheader("Authorization", f"Bearer {world.north.token('pat-b')}")
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()

    assert status == 401
    assert world.pacs.asked == []


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "bearer_token"])
def test_token_in_the_query_is_refused(world: World, name: str) -> None:
    answer = world.get(f"{METADATA}?{name}={world.north.token()}")

    assert answer.status == 400
    assert world.pacs.asked == world.north.asked == []


# Group 2: time


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"exp": "soon"},
        {"exp": str(int(time.time()) + 300)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**30},
        {"exp": [int(time.time()) + 300]},
        {"nbf": int(time.time()) + 600},
        {"nbf": "now"},
        {"iat": int(time.time()) + 600},
        {"iat": -1},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_time_claims_that_do_not_hold_are_refused(world: World, changes: dict[str, Any]) -> None:
    claims = world.north.claims()
    claims.update(changes)
    token = sign_raw({name: value for name, value in claims.items() if value is not None})

    assert world.is_refused(world.get(METADATA, token))


def test_clock_skew_is_accepted_up_to_the_leeway(world: World) -> None:
    just_over = world.north.token(exp=int(time.time()) - 5, nbf=int(time.time()) + 20)

    assert world.get(METADATA, just_over).status == 200


# Group 3: header and algorithm


def unsigned(claims: dict[str, Any], alg: str) -> str:
    head = {"alg": alg, "typ": "at+jwt", "kid": "k1"}
    return (b".".join(base64url(json.dumps(part).encode()) for part in (head, claims)) + b".").decode()


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_unsigned_token_is_refused(world: World, alg: str) -> None:
    assert world.is_refused(world.get(METADATA, unsigned(world.north.claims(), alg)))


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_symmetric_signature_with_the_public_key_is_refused(world: World, alg: str) -> None:
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = {"alg": alg, "typ": "at+jwt", "kid": "k1"}
    signing_input = b".".join(base64url(json.dumps(part).encode()) for part in (head, world.north.claims()))
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    token = (signing_input + b"." + base64url(hmac.digest(pem, signing_input, digest))).decode()

    assert world.is_refused(world.get(METADATA, token))


@pytest.mark.parametrize(
    "headers",
    [
        {"jwk": as_jwk(OTHER_RSA_KEY, "k1")},
        {"jku": "http://attacker.example/jwks", "kid": "k1"},
        {"x5u": "http://attacker.example/cert"},
        {"kid": "../../dev/null"},
        {"kid": "unknown"},
        {"kid": "e1"},
    ],
    ids=["embedded jwk", "jku", "x5u", "kid as path", "unknown kid", "kid of another type"],
)
def test_key_named_by_the_token_itself_does_not_count(world: World, headers: dict[str, Any]) -> None:
    token = world.north.token(key=OTHER_RSA_KEY, headers=headers)

    assert world.is_refused(world.get(METADATA, token))


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False}, {"kid": 7}, {"typ": 7}, {"alg": ["RS256"]}], ids=str)
def test_headers_that_change_the_meaning_are_refused(world: World, header: dict[str, Any]) -> None:
    assert world.is_refused(world.get(METADATA, sign_raw(world.north.claims(), header)))


def test_key_serves_the_one_algorithm_that_its_publisher_gave_it(world: World) -> None:
    """RFC 8725 §3.1."""
    assert world.is_refused(world.get(METADATA, world.north.token(alg="RS384", headers={"kid": "k1"})))


@pytest.mark.parametrize("alg", ["PS256", "RS512", "EdDSA", "ES256K"])
def test_algorithms_outside_the_list_are_refused(world: World, alg: str) -> None:
    assert world.is_refused(world.get(METADATA, sign_raw(world.north.claims(), {"alg": alg})))


@pytest.mark.parametrize(("alg", "key", "kid"), [("RS256", RSA_KEY, "k1"), ("ES256", EC_KEY, "e1")])
def test_listed_algorithms_are_accepted(world: World, alg: str, key: Any, kid: str) -> None:
    assert world.get(METADATA, world.north.token(alg=alg, key=key, headers={"kid": kid})).status == 200


def test_altered_claims_are_refused(world: World) -> None:
    head, _, signature = world.north.token("pat-b").split(".")
    forged = base64url(json.dumps(world.north.claims("pat-a")).encode()).decode()

    assert world.is_refused(world.get(METADATA, f"{head}.{forged}.{signature}"))


@pytest.mark.parametrize("token", ["a.b.c", "...", "e30.e30.e30", "A" * 20_000, "e30.W10." + "A" * 40, "opaque"])
def test_garbage_is_refused(world: World, token: str) -> None:
    assert world.is_refused(world.get(METADATA, token))


# Group 4: issuer, audience, kind


def near(url: str) -> list[str]:
    return [f"{url}/", url.upper(), url.replace("127.0.0.1", "localhost"), url + "?", f" {url}", url.replace("http:", "https:")]


@pytest.mark.parametrize("number", range(6))
def test_issuer_must_match_byte_for_byte(world: World, number: int) -> None:
    assert world.is_refused(world.get(METADATA, world.north.token(iss=near(world.north.issuer)[number])))


@pytest.mark.parametrize("issuer", [None, "", 1, ["list"]])
def test_issuer_must_be_there(world: World, issuer: Any) -> None:
    claims = world.north.claims()
    claims["iss"] = issuer
    claims = {name: value for name, value in claims.items() if value is not None}

    assert world.is_refused(world.get(METADATA, sign_raw(claims)))


@pytest.mark.parametrize("number", range(6))
def test_audience_must_match_byte_for_byte(world: World, number: int) -> None:
    assert world.is_refused(world.get(METADATA, world.north.token(aud=[near(world.north.fhir_base)[number]])))


@pytest.mark.parametrize("audience", ["viewer", [], [["nested"]], {"a": 1}, 7, "imaging"])
def test_audience_of_somebody_else_is_refused(world: World, audience: Any) -> None:
    assert world.is_refused(world.get(METADATA, sign_raw({**world.north.claims(), "aud": audience})))


def test_audience_may_be_the_fhir_base_alone_or_the_imaging_servers_own_base(world: World) -> None:
    own = f"{world.url}/imaging/north"

    assert world.get(METADATA, world.north.token(aud=world.north.fhir_base)).status == 200
    assert world.get(METADATA, world.north.token(aud=[own])).status == 200


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ({"typ": "JWT"}, {"nonce": "n", "aud": "viewer"}),
        ({"typ": "JWT"}, {"nonce": "n"}),
        ({"typ": "JWT"}, {"at_hash": "h"}),
        ({"typ": "JWT"}, {"scope": None}),
        ({"typ": "JWT"}, {"client_id": None}),
        ({"typ": "client-authentication+jwt"}, {}),
        ({"typ": "logout+jwt"}, {}),
        ({"typ": "dpop+jwt"}, {}),
        ({}, {"scope": ["patient/ImagingStudy.rs"]}),
        ({"typ": "JWT"}, {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
        ({"typ": "JWT"}, {"typ": "Refresh"}),
        ({"typ": "JWT"}, {"typ": "Offline"}),
        ({"typ": "JWT"}, {"typ": "ID"}),
        ({"typ": "JWT"}, {"token_use": "id"}),
        ({}, {"cnf": {"jkt": "thumbprint-of-a-key"}}),
    ],
    ids=[
        "id_token",
        "id_token with our audience",
        "id_token with at_hash",
        "without scope",
        "without client",
        "client assertion",
        "logout token",
        "DPoP proof",
        "scope as list",
        "logout token of plain JWT",
        "refresh token",
        "offline token",
        "id_token by its own word",
        "id_token of a pool",
        "bound to a key",
    ],
)
def test_tokens_of_other_kinds_are_refused(world: World, headers: dict[str, Any], changes: dict[str, Any]) -> None:
    assert world.is_refused(world.get(METADATA, world.north.token(headers=headers, **changes)))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT"])
def test_access_token_types_are_accepted(world: World, kind: str) -> None:
    assert world.get(METADATA, world.north.token(headers={"typ": kind})).status == 200


@pytest.mark.parametrize("scope", ["", " ", "   "])
def test_token_that_may_do_nothing_is_a_good_token_that_opens_nothing(world: World, scope: str) -> None:
    answer = world.get(METADATA, world.north.token(scope=scope))

    assert (answer.status, answer.problem) == (403, "insufficient-scope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    assert world.pacs.asked == []


def client_assertion(world: World) -> str:
    """What a client proves itself with at the token endpoint (C2: never a bearer token)."""
    claims = {"iss": "viewer", "sub": "viewer", "aud": f"{world.north.issuer}/token", "exp": int(time.time()) + 60, "jti": "1"}
    return sign_raw(claims, {"typ": "JWT"})


def test_client_assertion_is_no_access_token(world: World) -> None:
    assert world.is_refused(world.get(METADATA, client_assertion(world)))
