"""Further forgeries of tokens, and servers that cannot say (SMART Imaging Access groups 3 to 6; RFC 8725)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import NameOID
from flask import Response

from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import METADATA, OTHER_RSA_KEY, RSA_KEY, base64url, sign_raw


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 2.0}) as world:
        yield world


# Group 3: what a header of a token may say


def certificate() -> str:
    """A self-signed certificate of the attacker's key, as ``x5c`` has it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "attacker.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, OTHER_RSA_KEY.public_key(), 1, now, now + timedelta(days=1))
    signed = made.sign(OTHER_RSA_KEY, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"x5c": [certificate()]},
        {"x5c": [certificate()], "kid": "k1"},
        {"x5t": "aGFzaA", "x5t#S256": "aGFzaA"},
        {"kid": ""},
        {"kid": "k1' OR '1'='1"},
        {"kid": "k1\x00"},
        {"kid": "K1"},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
    ids=lambda headers: json.dumps(headers)[:24],
)
def test_whatever_the_header_says_the_attackers_signature_does_not_count(world: World, headers: dict[str, Any]) -> None:
    assert world.is_refused(world.get(METADATA, world.north.token(key=OTHER_RSA_KEY, headers=headers)))
    assert {one.path for one in world.north.asked} <= {"/auth/jwks"}, "and nothing that it names is fetched"


def with_header(world: World, text: str) -> str:
    """The EHR's own signature over a header that no library would write."""
    signing_input = b".".join((base64url(text.encode()), base64url(json.dumps(world.north.claims()).encode())))
    signature = RSA_KEY.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())
    return (signing_input + b"." + base64url(signature)).decode()


@pytest.mark.parametrize(
    "text",
    [
        '{"alg":"RS256","alg":"none","typ":"at+jwt","kid":"k1"}',
        '{"alg":"rs256","typ":"at+jwt","kid":"k1"}',
        '{"alg":"RS256 ","typ":"at+jwt","kid":"k1"}',
        '{"typ":"at+jwt","kid":"k1"}',
        '{"alg":null,"typ":"at+jwt","kid":"k1"}',
        "[]",
        "null",
        '"RS256"',
        "{" * 2000,
    ],
)
def test_header_that_does_not_say_a_listed_algorithm_plainly_is_refused(world: World, text: str) -> None:
    assert world.is_refused(world.get(METADATA, with_header(world, text)))


def psychic(world: World) -> str:
    """ECDSA with r = s = 0, which holds for any text where nobody looks (CVE-2022-21449)."""
    head = {"alg": "ES256", "typ": "at+jwt", "kid": "e1"}
    parts = [base64url(json.dumps(one).encode()).decode() for one in (head, world.north.claims())]
    return ".".join([*parts, base64url(bytes(64)).decode()])


def encrypted(world: World) -> str:
    """Five parts: a JWE."""
    return world.north.token() + ".AAAA.AAAA"


def json_form(world: World) -> str:
    """RFC 7515 §7.2, which is no bearer token."""
    head, claims, signature = world.north.token().split(".")
    return base64url(json.dumps({"protected": head, "payload": claims, "signature": signature}).encode()).decode()


def nested(world: World) -> str:
    return sign_raw({"iss": "attacker", "jwt": world.north.token()}, {"cty": "JWT"})


def signed_twice(world: World) -> str:
    head, claims, signature = world.north.token().split(".")
    return f"{head}.{claims}.{signature}{signature}"


def without_signature(world: World) -> str:
    return world.north.token().rpartition(".")[0] + "."


def claims_twice(world: World) -> str:
    """The patient stated twice: whichever counts, it was not signed by the EHR."""
    head, claims, signature = world.north.token("pat-b").split(".")
    plain = base64.urlsafe_b64decode(claims + "==").decode()
    doubled = base64url((plain[:-1] + ', "patient": "pat-a"}').encode()).decode()
    return f"{head}.{doubled}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [psychic, encrypted, json_form, nested, signed_twice, without_signature, claims_twice],
    ids=lambda forge: forge.__name__,
)
def test_signature_that_is_none_is_refused(world: World, forge: Callable[[World], str]) -> None:
    assert world.is_refused(world.get(METADATA, forge(world)))


# Group 4: whose token it is


def near_by_port(url: str) -> list[str]:
    parts = urlsplit(url)
    return [
        url.replace(f":{parts.port}", f":{(parts.port or 0) + 1}"),
        url.replace(f":{parts.port}", ""),
        url.replace(f":{parts.port}", f":0{parts.port}"),
        url.replace("/auth", "/AUTH").replace("/fhir", "/FHIR"),
        url.replace("127.0.0.1", "127.0.0.1."),
        f"{url}#",
        f"{url}/.",
        f"{url}\u200b",
    ]


@pytest.mark.parametrize("number", range(8))
def test_issuer_and_audience_of_another_port_or_spelling_are_refused(world: World, number: int) -> None:
    issuer, audience = near_by_port(world.north.issuer)[number], near_by_port(world.north.fhir_base)[number]

    assert world.is_refused(world.get(METADATA, world.north.token(iss=issuer)))
    assert world.is_refused(world.get(METADATA, world.north.token(aud=[audience])))


@pytest.mark.parametrize("number", range(8))
def test_introspected_issuer_and_audience_are_compared_as_strictly(world: World, number: int) -> None:
    for claim, url in (("iss", world.south.issuer), ("aud", world.south.fhir_base)):
        token = f"opaque-{claim}-{number}"
        world.south.introspected[token] = {**world.south.claims(), "active": True, claim: near_by_port(url)[number]}

        assert world.is_refused(ask_south(world, token))


# Group 5 and 6: an authorization server in trouble is no verdict


def ask_south(world: World, token: str) -> Answer:
    return world.send("GET", "/imaging/south/dicom-web/main" + METADATA, {"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("status", [429, 503])
def test_authorization_server_that_is_busy_says_when_to_come_back(world: World, status: int) -> None:
    world.south.answers["/auth/introspect"] = lambda: Response("busy", status, headers={"Retry-After": "17"})

    answer = ask_south(world, f"opaque-busy-{status}")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "17")
    assert world.pacs.asked == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_ehr_whose_discovery_fails_leaves_tokens_unchecked_and_not_refused(tmp_path: Any, status: int) -> None:
    """Without its SMART configuration nobody knows its keys; a 401 would send every viewer back to its sign-in."""
    with a_world(tmp_path / "state", north={"jwks_url": None}) as world:
        world.north.answers["/fhir/.well-known"] = lambda: Response("busy", status, headers={"Retry-After": "9"})
        token = world.north.token()
        during = world.get(METADATA, token)
        reason = world.audit()[0].reason
        asked = list(world.pacs.asked)
        world.north.answers.clear()
        after = world.get(METADATA, token)

        assert (during.status, during.headers["Retry-After"], reason) == (503, "9", "authorization-unavailable")
        assert (asked, "/fhir/metadata" in world.north.paths()) == ([], False)
        assert after.status == 200


def test_token_of_the_right_key_still_opens(world: World) -> None:
    """The other side of all these: nothing here is refused for another reason."""
    assert world.get(METADATA, with_header(world, '{"alg":"RS256","typ":"at+jwt","kid":"k1"}')).status == 200
    assert world.get(METADATA, sign_raw(world.north.claims())).status == 200
    assert world.get(METADATA, world.north.token(key=RSA_KEY, exp=int(time.time()) + 5)).status == 200
