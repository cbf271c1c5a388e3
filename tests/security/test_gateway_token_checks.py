"""How tokens are checked with their EHR, and the patient in them (groups 5, 6 and 8)."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response, jsonify, redirect

from tests.security.gateway_actors import Answer, World, a_world
from tests.security.gateway_stubs import METADATA, OTHER_RSA_KEY, PRIOR_A, RSA_KEY, as_jwk, sign_raw

SOUTH = "/imaging/south/dicom-web/main"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 2.0}) as world:
        yield world


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

    assert world.is_refused(ask_south(world, token))


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
    world.south.introspected["opaque-5"] = {**world.south.claims(exp=int(time.time()) - 24), "active": True}
    before = ask_south(world, "opaque-5").status
    time.sleep(7.1)

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


@pytest.mark.parametrize(
    "body",
    ["<html>", "[]", '"x"', "{", "[" * 100_000, '{"resourceType":"Bundle","entry":[1,{"resource":7}]}'],
    ids=lambda body: body[:9],
)
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
