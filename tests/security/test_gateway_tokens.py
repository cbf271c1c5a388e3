"""What counts as a token (SMART Imaging Access F5, groups 1 to 6 and 8): each forged, stale or foreign one is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from flask import Response, jsonify, redirect

from tests.security.gateway_actors import (
    EC_KEY,
    OTHER_RSA_KEY,
    PRIOR_A,
    RSA_KEY,
    STUDY_A,
    Answer,
    World,
    a_world,
    as_jwk,
)

METADATA = f"/studies/{STUDY_A}/metadata"
SOUTH = "/imaging/south/dicom-web/main"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 2.0}) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.start_anew()
    return running


def is_refused(world: World, answer: Answer) -> bool:
    """401 by RFC 6750, nothing asked of the archive, recorded."""
    challenged = answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    recorded = world.audit()[0]
    return answer.status == 401 and challenged and world.pacs.asked == [] and recorded.outcome == "denied"


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
    assert is_refused(world, world.get(METADATA, Authorization=authorization))


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

    assert is_refused(world, world.get(METADATA, token))


def test_clock_skew_is_accepted_up_to_the_leeway(world: World) -> None:
    just_over = world.north.token(exp=int(time.time()) - 5, nbf=int(time.time()) + 20)

    assert world.get(METADATA, just_over).status == 200


# Group 3: header and algorithm


def sign_raw(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """RS256 over any claims, also those that PyJWT would not write."""
    head = {"alg": "RS256", "typ": "at+jwt", "kid": "k1"} | (header or {})
    signing_input = b".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signing_input, RSA_KEY)
    return (signing_input + b"." + _b64(signature)).decode()


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def unsigned(claims: dict[str, Any], alg: str) -> str:
    head = {"alg": alg, "typ": "at+jwt", "kid": "k1"}
    return (b".".join(_b64(json.dumps(part).encode()) for part in (head, claims)) + b".").decode()


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_unsigned_token_is_refused(world: World, alg: str) -> None:
    assert is_refused(world, world.get(METADATA, unsigned(world.north.claims(), alg)))


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_symmetric_signature_with_the_public_key_is_refused(world: World, alg: str) -> None:
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = {"alg": alg, "typ": "at+jwt", "kid": "k1"}
    signing_input = b".".join(_b64(json.dumps(part).encode()) for part in (head, world.north.claims()))
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    token = (signing_input + b"." + _b64(hmac.digest(pem, signing_input, digest))).decode()

    assert is_refused(world, world.get(METADATA, token))


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

    assert is_refused(world, world.get(METADATA, token))


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False}, {"kid": 7}, {"typ": 7}, {"alg": ["RS256"]}], ids=str)
def test_headers_that_change_the_meaning_are_refused(world: World, header: dict[str, Any]) -> None:
    assert is_refused(world, world.get(METADATA, sign_raw(world.north.claims(), header)))


@pytest.mark.parametrize("alg", ["PS256", "RS512", "EdDSA", "ES256K"])
def test_algorithms_outside_the_list_are_refused(world: World, alg: str) -> None:
    assert is_refused(world, world.get(METADATA, sign_raw(world.north.claims(), {"alg": alg})))


@pytest.mark.parametrize(("alg", "key", "kid"), [("RS256", RSA_KEY, "k1"), ("RS384", RSA_KEY, "k1"), ("ES256", EC_KEY, "e1")])
def test_listed_algorithms_are_accepted(world: World, alg: str, key: Any, kid: str) -> None:
    assert world.get(METADATA, world.north.token(alg=alg, key=key, headers={"kid": kid})).status == 200


def test_altered_claims_are_refused(world: World) -> None:
    head, _, signature = world.north.token("pat-b").split(".")
    forged = _b64(json.dumps(world.north.claims("pat-a")).encode()).decode()

    assert is_refused(world, world.get(METADATA, f"{head}.{forged}.{signature}"))


@pytest.mark.parametrize("token", ["a.b.c", "...", "e30.e30.e30", "A" * 20_000, "e30.W10." + "A" * 40, "opaque"])
def test_garbage_is_refused(world: World, token: str) -> None:
    assert is_refused(world, world.get(METADATA, token))


# Group 4: issuer, audience, kind


def near(url: str) -> list[str]:
    return [f"{url}/", url.upper(), url.replace("127.0.0.1", "localhost"), url + "?", f" {url}", url.replace("http:", "https:")]


@pytest.mark.parametrize("number", range(6))
def test_issuer_must_match_byte_for_byte(world: World, number: int) -> None:
    assert is_refused(world, world.get(METADATA, world.north.token(iss=near(world.north.issuer)[number])))


@pytest.mark.parametrize("issuer", [None, "", 1, ["list"]])
def test_issuer_must_be_there(world: World, issuer: Any) -> None:
    claims = world.north.claims()
    claims["iss"] = issuer
    claims = {name: value for name, value in claims.items() if value is not None}

    assert is_refused(world, world.get(METADATA, sign_raw(claims)))


@pytest.mark.parametrize("number", range(6))
def test_audience_must_match_byte_for_byte(world: World, number: int) -> None:
    assert is_refused(world, world.get(METADATA, world.north.token(aud=[near(world.north.fhir_base)[number]])))


@pytest.mark.parametrize("audience", ["viewer", [], [["nested"]], {"a": 1}, 7, "imaging"])
def test_audience_of_somebody_else_is_refused(world: World, audience: Any) -> None:
    assert is_refused(world, world.get(METADATA, sign_raw({**world.north.claims(), "aud": audience})))


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
        ({}, {"scope": ""}),
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
        "empty scope",
    ],
)
def test_tokens_of_other_kinds_are_refused(world: World, headers: dict[str, Any], changes: dict[str, Any]) -> None:
    assert is_refused(world, world.get(METADATA, world.north.token(headers=headers, **changes)))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT"])
def test_access_token_types_are_accepted(world: World, kind: str) -> None:
    assert world.get(METADATA, world.north.token(headers={"typ": kind})).status == 200


# Group 5: keys


@pytest.fixture
def fresh(tmp_path: Any) -> Iterator[World]:
    """A world whose gateway has fetched no key yet."""
    with a_world(tmp_path / "state") as world:
        yield world


def test_unknown_kid_costs_one_refetch(fresh: World) -> None:
    fresh.get(METADATA, fresh.north.token())
    for _ in range(5):
        assert fresh.get(METADATA, fresh.north.token(headers={"kid": "new"})).status == 401

    assert fresh.north.paths().count("/auth/jwks") <= 2


def test_key_that_two_entries_share_by_kid_names_none(fresh: World) -> None:
    fresh.north.keys.append(as_jwk(OTHER_RSA_KEY, "k1"))

    assert fresh.get(METADATA, fresh.north.token(key=OTHER_RSA_KEY)).status == 401


def test_encryption_key_does_not_sign(fresh: World) -> None:
    fresh.north.keys[:] = [{**as_jwk(RSA_KEY, "k1"), "use": "enc"}]

    assert fresh.get(METADATA, fresh.north.token()).status == 401


@pytest.mark.parametrize("status", [500, 404, 302])
def test_without_keys_nothing_is_served(fresh: World, status: int) -> None:
    fresh.north.answers["/auth/jwks"] = lambda: Response("no", status, headers={"Location": "/elsewhere"})

    answer = fresh.get(METADATA, fresh.north.token())

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert fresh.pacs.asked == []
    assert fresh.audit()[0].reason == "authorization-unavailable"


# Group 6: introspection


def ask_south(world: World, token: str, path: str = METADATA) -> Answer:
    return world.send("GET", SOUTH + path, {"Authorization": f"Bearer {token}"})


def test_introspected_token_opens_its_patients_study(world: World) -> None:
    world.south.introspected["opaque-1"] = {**world.south.claims(), "active": True}

    answer = ask_south(world, "opaque-1")

    (asked,) = [one for one in world.south.asked if one.path == "/auth/introspect"]
    assert answer.status == 200
    assert asked.headers["Authorization"].startswith("Basic ")
    assert "opaque-1" in asked.body
    assert world.north.asked == []


def test_introspection_without_issuer_and_audience_counts_from_the_configured_server(world: World) -> None:
    world.south.introspected["opaque-2"] = {**world.south.claims(iss=None, aud=None), "active": True}

    assert ask_south(world, "opaque-2").status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"active": False},
        {"active": "true"},
        {"active": 1},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"scope": None},
        {"iss": "http://other.example"},
        {"aud": "http://other.example"},
        {"token_type": "refresh_token"},
        {"nbf": int(time.time()) + 600},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_introspection_answer_that_does_not_hold_is_refused(world: World, changes: dict[str, Any]) -> None:
    token = f"opaque-{hashlib.sha256(str(changes).encode()).hexdigest()}"
    said = {**world.south.claims(), "active": True, **changes}
    world.south.introspected[token] = {name: value for name, value in said.items() if value is not None}

    assert is_refused(world, ask_south(world, token))


@pytest.mark.parametrize(
    "instead",
    [
        lambda: Response("oops", 500),
        lambda: Response("no", 401),
        lambda: Response("slow", 429),
        lambda: Response("<html>", 200),
        lambda: jsonify([True]),
        lambda: jsonify({}),
        lambda: redirect("/fhir/metadata"),
        lambda: Response('{"active": true, "x": "' + "x" * 100_000 + '"}', 200),
        lambda: Response("[" * 100_000, 200),
    ],
    ids=["500", "401", "429", "html", "list", "no active", "redirect", "too large", "too deep"],
)
def test_introspection_that_says_nothing_usable_fails_closed(world: World, instead: Any) -> None:
    world.south.answers["/auth/introspect"] = instead

    answer = ask_south(world, "opaque-unknown")

    assert (answer.status, world.pacs.asked) == (503, [])
    assert "/fhir/metadata" not in world.south.paths()
    assert world.audit()[0].reason == "authorization-unavailable"


def test_introspection_is_asked_once_for_many_requests_at_once(world: World) -> None:
    """Single flight (group 23)."""
    world.south.introspected["opaque-3"] = {**world.south.claims(), "active": True}
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask_south(world, "opaque-3").status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 8
    assert world.south.paths().count("/auth/introspect") == 1
    assert world.south.paths().count("/fhir/ImagingStudy") == 1


def test_revocation_is_noticed_when_the_decision_has_ended(world: World) -> None:
    """The bound N is 2 s in this test."""
    world.south.introspected["opaque-4"] = {**world.south.claims(), "active": True}
    before = ask_south(world, "opaque-4").status
    world.south.introspected["opaque-4"] = {"active": False}
    time.sleep(2.1)

    assert (before, ask_south(world, "opaque-4").status) == (200, 401)


def test_introspected_token_ends_with_its_own_exp(world: World) -> None:
    """min(exp, N): a cached yes does not outlive the token, leeway aside."""
    world.south.introspected["opaque-5"] = {**world.south.claims(exp=int(time.time()) - 29), "active": True}
    before = ask_south(world, "opaque-5").status
    time.sleep(2.1)

    assert (before, ask_south(world, "opaque-5").status) == (200, 401)


def test_kept_answer_about_a_signature_belongs_to_the_whole_token(fresh: World) -> None:
    token = fresh.north.token()
    head, claims, signature = token.split(".")
    good = fresh.get(METADATA, token)
    other_signature = fresh.get(METADATA, f"{head}.{claims}.{signature[:-4]}AAAA")

    assert (good.status, other_signature.status) == (200, 401)


def test_signed_token_ends_with_its_own_exp(world: World) -> None:
    token = world.north.token(exp=int(time.time()) - 28)
    before = world.get(METADATA, token).status
    time.sleep(3.1)

    assert (before, world.get(METADATA, token).status) == (200, 401)


# Group 8: the patient claim


@pytest.mark.parametrize(
    "patient",
    [
        None,
        "",
        "Patient/pat-a",
        ["pat-a"],
        ["pat-a", "pat-b"],
        {"id": "pat-a"},
        7,
        True,
        " pat-a",
        "pat-a\n",
        "pat-a,pat-b",
        "*",
    ],
    ids=repr,
)
def test_patient_claim_in_another_shape_opens_nothing(world: World, patient: Any) -> None:
    claims = {**world.north.claims(), "patient": patient}
    token = sign_raw({name: value for name, value in claims.items() if value is not None})

    retrieved, searched = world.get(METADATA, token), world.get("/studies", token)

    assert (retrieved.status, retrieved.problem) == (403, "no-patient-in-context")
    assert (searched.status, searched.problem) == (403, "no-patient-in-context")
    assert world.pacs.asked == []


@pytest.mark.parametrize("header", ["X_Patient", "Patient", "X_Patient_Id"])
def test_patient_in_a_header_does_not_override_the_claim(world: World, header: str) -> None:
    assert world.get(METADATA, world.north.token("pat-b"), **{header: "pat-a"}).status == 403


@pytest.mark.parametrize("query", ["patient=pat-a", "Patient=pat-a", "subject=pat-a"])
def test_patient_in_the_query_is_refused(world: World, query: str) -> None:
    assert world.get(f"{METADATA}?{query}", world.north.token("pat-b")).status == 400


# The EHR's own word about the token


@pytest.mark.parametrize(
    ("status", "expected"), [(401, 401), (403, 403), (404, 403), (400, 503), (500, 503), (503, 503), (429, 503), (302, 503)]
)
def test_ehr_that_refuses_or_fails_opens_nothing(world: World, status: int, expected: int) -> None:
    world.north.answers["/fhir/ImagingStudy"] = lambda: Response("{}", status, headers={"Location": "/fhir/elsewhere"})
    token = world.north.token()

    retrieved, searched = world.get(METADATA, token), world.get("/studies", token)

    assert (retrieved.status, searched.status) == (expected, expected)
    assert world.pacs.asked == []
    assert {one.outcome for one in world.audit()[:2]} == {"denied"}


@pytest.mark.parametrize("body", ["<html>", "[]", '"x"', "{", '{"resourceType":"Bundle","entry":[1,{"resource":7}]}'])
def test_ehr_that_answers_rubbish_opens_nothing(world: World, body: str) -> None:
    world.north.answers["/fhir/ImagingStudy"] = lambda: Response(body, 200, content_type="application/fhir+json")

    answer = world.get(METADATA, world.north.token())

    assert answer.status in (403, 503)
    assert world.pacs.asked == []


def test_token_goes_to_its_own_ehr_only_and_never_to_the_archive(world: World) -> None:
    token = world.north.token()

    world.get(f"/studies/{PRIOR_A}/metadata", token)

    assert all(token not in str(one) for one in [*world.pacs.asked, *world.south.asked])
    assert any(one.headers.get("Authorization") == f"Bearer {token}" for one in world.north.asked)
