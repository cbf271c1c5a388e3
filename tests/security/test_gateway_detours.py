"""Credentials and methods by other ways than their own (SMART Imaging Access groups 1 and 16): they open nothing."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import METADATA, STUDY_A, STUDY_B


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_world(tmp_path_factory.mktemp("gateway"), server={"decision_cache_s": 2.0}) as world:
        yield world


# Group 1: a credential stands in the Authorization header and nowhere else


@pytest.mark.parametrize(
    "header",
    ["Proxy-Authorization", "X-Authorization", "X-Forwarded-Access-Token", "X-Access-Token", "Authentication", "X-Auth-Token"],
)
def test_token_in_another_header_is_none(world: World, header: str) -> None:
    answer = world.send("GET", world.root + METADATA, {header: f"Bearer {world.north.token()}"})

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize("name", ["access_token", "token", "Authorization", "session"])
def test_token_in_a_cookie_is_none(world: World, name: str) -> None:
    """Nothing that a browser sends by itself opens anything: there is no request to forge across sites."""
    answer = world.send("GET", world.root + METADATA, {"Cookie": f"{name}={world.north.token()}"})

    assert (answer.status, world.pacs.asked) == (401, [])
    assert "Set-Cookie" not in answer.headers


def test_token_in_a_form_is_none_and_is_kept_nowhere(world: World) -> None:
    """RFC 6750 §2.2, which a resource server need not offer."""
    token = world.north.token()
    body = f"patient=pat-a&access_token={token}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = world.send("POST", "/imaging/north/fhir/ImagingStudy/_search", headers, body)

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert world.pacs.asked == world.north.asked == []
    assert token not in str(world.audit())
    assert token.encode() not in answer.body


def test_user_and_password_in_the_address_are_none(world: World) -> None:
    token = world.north.token()
    target = f"http://bearer:{token}@{urlsplit(world.url).netloc}{world.root}{METADATA}"
    answer = world.send("GET", target)

    assert answer.status in (400, 401, 404)
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize("padding", ["\t", "\x0b", "\u00a0".encode().decode("latin-1"), "\x0c"])
def test_only_spaces_part_scheme_and_token(world: World, padding: str) -> None:
    answer = world.get(METADATA, Authorization=f"Bearer{padding}{world.north.token()}")

    assert (answer.status, world.pacs.asked) == (401, [])


# Group 16: methods


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "SEARCH", "SUBSCRIBE"])
@pytest.mark.parametrize(
    "path",
    ["/workitems", "/workitems/2.25.1", "/workitems/2.25.1/state", f"/studies/{STUDY_A}/reject/113001%5EDCM", "/modalities"],
)
def test_work_lists_and_stores_are_not_there_by_any_method(world: World, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {world.north.token()}", "Content-Type": "application/dicom+json"}
    answer = world.send(method, world.root + path, headers, body=b"[]")

    assert answer.status in (404, 405)
    assert world.pacs.asked == []


@pytest.mark.parametrize("query", ["_method=DELETE", "method=DELETE", "_httpmethod=PUT", "X-HTTP-Method-Override=DELETE"])
def test_method_in_the_query_is_refused(world: World, query: str) -> None:
    assert world.get(f"{METADATA}?{query}", world.north.token()).status == 400
    assert world.pacs.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"},
        {"Connection": "Upgrade", "Upgrade": "TLS/1.0"},
        {"Expect": "103-checkpoint"},
        {"X-Original-URL": f"/studies/{STUDY_B}/metadata", "X-Rewrite-URL": f"/studies/{STUDY_B}/metadata"},
    ],
    ids=["h2c", "TLS", "Expect", "rewritten"],
)
def test_other_protocols_and_addresses_in_headers_are_not_passed_on(world: World, headers: dict[str, str]) -> None:
    answer = world.send("GET", world.root + METADATA, {"Authorization": f"Bearer {world.north.token()}", **headers})

    assert answer.status in (200, 400, 417)
    assert STUDY_B.encode() not in answer.body
    assert not any(name in one.headers for one in world.pacs.asked for name in headers if name != "Connection")
    assert all(STUDY_B not in one.target for one in world.pacs.asked)
