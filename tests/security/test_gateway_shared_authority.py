"""Two EHRs whose tokens one authorization server vouches for: a token opens nothing under the other one's name.

Spec: SMART Imaging Access F5, groups 5, 6 and 8; RFC 7662 §2.2 (``iss`` and ``aud`` are optional), RFC 8725 §3.8 and §3.9.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from flask import Response, jsonify

from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import METADATA, StubEhr

CLIENT = {"introspection_client_id": "gateway", "introspection_client_secret": "introspection-secret"}
INTROSPECTING: dict[str, Any] = {"jwks_url": None, **CLIENT}
IMAGING = "urn:imaging"


def at_norths_introspection(north: StubEhr) -> dict[str, Any]:
    return {"introspection_url": f"{north.issuer}/introspect", "token_issuer": north.issuer}


def with_norths_keys(north: StubEhr) -> dict[str, Any]:
    none = dict.fromkeys(("introspection_url", *CLIENT))
    return {**none, "jwks_url": f"{north.issuer}/jwks", "token_issuer": north.issuer, "accepted_audiences": (IMAGING,)}


def opened(world: World, token: str) -> dict[str, int]:
    """What each EHR's path answers."""
    headers = {"Authorization": f"Bearer {token}"}
    return {name: world.send("GET", f"/imaging/{name}/dicom-web/main{METADATA}", headers).status for name in ("north", "south")}


def introspected(world: World, **changes: Any) -> str:
    """A token of the shared server, with what it says of it."""
    token = f"opaque-{time.perf_counter_ns()}"
    world.north.introspected[token] = {**world.north.claims("pat-a", **changes), "active": True}
    return token


def audiences(world: World) -> dict[str, Any]:
    return {
        "none": None,
        "foreign": ["http://other.example/fhir"],
        "both": [world.north.fhir_base, world.south.fhir_base],
        "shared": IMAGING,
        "north": world.north.fhir_base,
        "south": [world.south.fhir_base, "http://other.example/fhir"],
        "north's gateway": world.services.settings.base_of("north"),
        "north and shared": [world.north.fhir_base, IMAGING],
    }


NOBODYS = {"north": 401, "south": 401}
NORTHS, SOUTHS = {"north": 200, "south": 401}, {"north": 401, "south": 200}
OF_AUDIENCE = {
    "both": NOBODYS,
    "north": NORTHS,
    "south": SOUTHS,
    "north's gateway": NORTHS,
}


@pytest.mark.parametrize("iss", ["named", "not named"])
@pytest.mark.parametrize(("aud", "expected"), [("none", NOBODYS), ("foreign", NOBODYS), *OF_AUDIENCE.items()])
def test_group_8_an_introspection_answer_must_say_of_which_ehr_a_token_is(
    tmp_path: Path, iss: str, aud: str, expected: dict[str, int]
) -> None:
    """Patient pat-a of the north is another person than pat-a of the south; the server says of neither whose the token is."""
    with a_world(tmp_path, north=INTROSPECTING, south=at_norths_introspection) as world:
        named = {} if iss == "named" else {"iss": None}
        token = introspected(world, aud=audiences(world)[aud], **named)

        assert opened(world, token) == expected
        if aud == "none":
            refused = world.audit()[:2]
            assert [(one.ehr, one.outcome, one.reason) for one in refused] == [
                ("south", "denied", "token-of-which-ehr"),
                ("north", "denied", "token-of-which-ehr"),
            ]
            assert world.pacs.asked == []


def test_group_8_an_issuer_of_each_ehrs_own_tells_too(tmp_path: Path) -> None:
    def of_its_own(north: StubEhr) -> dict[str, Any]:
        return {**at_norths_introspection(north), "token_issuer": "https://login.south.example"}

    with a_world(tmp_path, north=INTROSPECTING, south=of_its_own) as world:
        assert opened(world, introspected(world, aud=None)) == NORTHS
        assert opened(world, introspected(world, aud=None, iss="https://login.south.example")) == SOUTHS
        assert opened(world, introspected(world, aud=None, iss=None)) == NOBODYS


@pytest.mark.parametrize(
    "spelt",
    [
        lambda north: {"introspection_url": f"{north.issuer}/introspect/".replace("http:", "HTTP:"), "token_issuer": None},
        lambda north: {"introspection_url": f"{north.issuer}/other-door", "token_issuer": north.issuer},
        lambda north: {
            "opaque_tokens": True,
            "introspection_url": None,
            **dict.fromkeys(CLIENT),
            "server_origins": (north.base,),
        },
    ],
    ids=["spelt otherwise", "two doors of one issuer", "named by its SMART configuration"],
)
def test_group_8_one_server_is_known_however_it_is_named(tmp_path: Path, spelt: Any) -> None:
    with a_world(tmp_path, north=INTROSPECTING, south=spelt) as world:
        of_north = f"{world.north.issuer}/introspect"
        urls = dict.fromkeys(("authorization_endpoint", "token_endpoint"), f"{world.north.issuer}/any")
        world.south.answers["/fhir/.well-known"] = lambda: jsonify(introspection_endpoint=of_north, **urls)

        assert opened(world, introspected(world, aud=None, iss=None))["north"] == 401
        assert opened(world, introspected(world))["north"] == 200


@pytest.mark.parametrize(
    ("named", "south"),
    [
        ("introspection_endpoint", {"introspection_url": None, **CLIENT}),
        ("jwks_uri", dict.fromkeys(("introspection_url", *CLIENT))),
    ],
)
def test_group_24_an_ehr_cannot_say_that_anothers_server_vouches_for_its_tokens(
    tmp_path: Path, named: str, south: dict[str, Any]
) -> None:
    """Only the site can, by ``server_origins``; then what says of neither whose it is opens nothing at either."""
    with a_world(tmp_path, north=INTROSPECTING, south=lambda _: south) as world:
        place = f"{world.north.issuer}/{'introspect' if named == 'introspection_endpoint' else 'jwks'}"
        urls = dict.fromkeys(("authorization_endpoint", "token_endpoint"), f"{world.south.issuer}/any")
        world.south.answers["/fhir/.well-known"] = lambda: jsonify({"issuer": world.north.issuer, named: place, **urls})
        audience = world.south.fhir_base
        token = world.north.token(aud=audience) if named == "jwks_uri" else introspected(world, aud=audience)

        assert world.send("GET", f"/imaging/south/dicom-web/main{METADATA}", {"Authorization": f"Bearer {token}"}).status == 503
        assert (world.north.paths(), world.pacs.asked) == ([], [])


def test_group_8_an_ehr_that_may_share_the_server_and_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    """Only where the token does not say itself whose it is; nobody else waits for an EHR that is down."""

    def maybe(north: StubEhr) -> dict[str, Any]:
        return {"opaque_tokens": True, "introspection_url": None, **dict.fromkeys(CLIENT), "server_origins": (north.base,)}

    with a_world(tmp_path, north=INTROSPECTING, south=maybe) as world:
        world.south.answers["/fhir/.well-known"] = lambda: Response("", 503)

        assert opened(world, introspected(world, aud=None, iss=None))["north"] == 503
        assert opened(world, introspected(world))["north"] == 200
        world.south.answers.update(dict.fromkeys(("/fhir/.well-known", "/fhir"), lambda: Response("", 404)))
        assert opened(world, introspected(world, aud=None, iss=None))["north"] == 200, "it has no authorization server there"


def test_an_ehr_with_a_server_of_its_own_may_leave_both_out(tmp_path: Path) -> None:
    """RFC 7662: an answer of the one server that is configured for this EHR alone."""
    with a_world(tmp_path, north=INTROSPECTING) as world:
        assert opened(world, introspected(world, aud=None, iss=None)) == NORTHS


def test_entries_for_one_fhir_server_have_the_same_patients(tmp_path: Path) -> None:
    def again(north: StubEhr) -> dict[str, Any]:
        return {**at_norths_introspection(north), "fhir_base": north.fhir_base}

    with a_world(tmp_path, north=INTROSPECTING, south=again) as world:
        assert opened(world, introspected(world, aud=None, iss=None)) == {"north": 200, "south": 200}


@pytest.mark.parametrize(("aud", "expected"), [("shared", NOBODYS), ("north and shared", NORTHS), *OF_AUDIENCE.items()])
def test_group_8_a_signed_token_must_name_an_audience_of_one_ehr_where_keys_and_issuer_are_shared(
    tmp_path: Path, aud: str, expected: dict[str, int]
) -> None:
    with a_world(tmp_path, north={"accepted_audiences": (IMAGING,)}, south=with_norths_keys) as world:
        assert opened(world, world.north.token(aud=audiences(world)[aud])) == expected


def test_group_8_one_key_server_of_two_issuers_tells_by_the_issuer(tmp_path: Path) -> None:
    def of_its_own(north: StubEhr) -> dict[str, Any]:
        return {**with_norths_keys(north), "token_issuer": "https://login.south.example"}

    with a_world(tmp_path, north={"accepted_audiences": (IMAGING,)}, south=of_its_own) as world:
        assert opened(world, world.north.token(aud=IMAGING)) == NORTHS
        assert opened(world, world.north.token(aud=IMAGING, iss="https://login.south.example")) == SOUTHS


def test_group_23_a_storm_of_a_token_of_nobody_reaches_the_server_once(tmp_path: Path) -> None:
    with a_world(tmp_path, north=INTROSPECTING, south=at_norths_introspection) as world:
        token = introspected(world, aud=None)

        assert [world.get(METADATA, token).status for _ in range(8)] == [401] * 8
        assert world.north.paths().count("/auth/introspect") == 1
