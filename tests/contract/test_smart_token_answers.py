"""Odd answers of an EHR around the token: refused revocations, and lifetimes that nobody can read (APP-A27, A38; RFC 7009)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from smart_app.token_response import read_token_response
from tests.contract.smart_actors import FakeEhr, World, a_world, demo_record


@dataclass
class OddEhr(FakeEhr):
    """An EHR whose revocation and token endpoints answer as a test says."""

    revocation: list[Response] = field(default_factory=list)
    """The answers to the next revocations, in order; then 200."""
    token_body: str | None = None
    """Stands in place of the token response; ``{access}`` in it is a token that the EHR knows."""

    def _revoke(self) -> Any:
        self.revoked.append(request.form["token"])
        return self.revocation.pop(0) if self.revocation else ("", 200)

    def _token(self) -> Any:
        granted = super()._token()
        if self.token_body is None:
            return granted
        return Response(self.token_body.replace("{access}", granted.json["access_token"]), mimetype="application/json")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, ehr=OddEhr(fhir=demo_record())) as made:
        yield made


def odd(world: World) -> OddEhr:
    assert isinstance(world.ehr, OddEhr)
    return world.ehr


@pytest.mark.parametrize("status", [429, 503])
def test_rfc7009_each_token_is_revoked_whatever_the_ehr_says_of_the_other(world: World, status: int) -> None:
    """A server that is busy (429) ended the page with 500 once, and the access token lived on."""
    world.clinician.launches(world.ehr)
    odd(world).revocation = [Response("slow down", status), Response("slow down", status)]
    session = world.clinician.session
    page = world.clinician.post(f"/s/{session}/logout")

    assert page.status_code == 200
    assert "The session has ended" in page.text
    assert len(set(world.ehr.revoked)) == 2
    assert world.clinician.get(f"/s/{session}/studies").status_code == 403


def with_life(member: str) -> str:
    return f'{{"access_token": "{{access}}", "token_type": "bearer", "scope": "patient/*.rs", "patient": "demo-a", {member}}}'


UNREADABLE = [
    '"expires_in": Infinity',
    '"expires_in": 1e999',
    '"expires_in": NaN',
    '"expires_in": [300]',
    '"expires_in": {"s": 300}',
    '"expires_in": "1h"',
    '"expires_in": "300", "expires_at": "tomorrow"',
    '"expires_in": 300, "expires_at": 1e999',
    '"expires_in": 300, "expires_at": [7]',
]


@pytest.mark.parametrize("member", UNREADABLE)
def test_a27_a_life_that_nobody_can_read_is_a_short_one_and_ends_no_launch(world: World, member: str) -> None:
    odd(world).token_body = with_life(member)
    page = world.clinician.launches(world.ehr)
    answer = world.clinician.post(f"/s/{world.clinician.session}/token")

    assert page.status_code == 200
    assert answer.json is not None
    assert 0 < answer.json["expires_in"] <= 300


@pytest.mark.parametrize("member", UNREADABLE)
def test_a38_nor_does_it_hold_a_renewal_up(world: World, member: str) -> None:
    world.clinician.launches(world.ehr)
    odd(world).token_body = with_life(member)
    world.clock.passes(seconds=250)
    first, again = (world.clinician.post(f"/s/{world.clinician.session}/token") for _ in range(2))

    assert [first.status_code, again.status_code] == [200, 200]


@pytest.mark.parametrize("body", ['"words"', "[" * 100_000, "not JSON", '{"error": {"code": 7}, "error_description": 7}'])
def test_app_a20_what_is_no_token_response_is_explained_at_once(world: World, body: str) -> None:
    odd(world).token_body = body
    callback = world.clinician.callback_of(world.ehr)
    first, again = world.clinician.get(callback), world.clinician.get(callback)

    assert 400 <= first.status_code < 504
    assert first.status_code != 500
    assert again.status_code == first.status_code
    assert len(world.ehr.token_requests) == 1


@pytest.mark.parametrize("sent", [float("inf"), float("nan"), [300], {"s": 300}, "1h", 0.4, True, -1, None])
def test_a27_only_a_number_of_seconds_is_a_life(sent: object) -> None:
    response = read_token_response({"access_token": "t", "token_type": "bearer", "expires_in": sent})

    assert response is not None
    assert response.expires_in_s is None


def test_a27_a_life_beyond_all_measure_is_still_a_number() -> None:
    response = read_token_response({"access_token": "t", "token_type": "bearer", "expires_in": 10**400})

    assert response is not None
    assert response.expires_in_s == 10**400


@dataclass
class EndlessEhr(FakeEhr):
    """An EHR whose token and revocation endpoints have no end; ``pieces`` are those that somebody took, of 100 kB each."""

    is_endless: bool = True
    pieces: int = 0

    def _token(self) -> Any:
        granted = super()._token()
        return Response(self._without_end(), mimetype="application/json") if self.is_endless else granted

    def _revoke(self) -> Any:
        super()._revoke()
        return Response(self._without_end())

    def _without_end(self) -> Iterator[bytes]:
        yield b'{"access_token": "'
        for _ in range(1000):
            self.pieces += 1
            yield b"a" * 100_000


@pytest.mark.parametrize("when", ["launch", "renewal", "sign-out"])
def test_app_a27_an_answer_without_end_is_left(tmp_path: Path, when: str) -> None:
    """It was read for as long as the timeout lasted, a gigabyte on a fast network, and kept twice."""
    ehr = EndlessEhr(fhir=demo_record(), is_endless=when == "launch")
    with a_world(tmp_path, ehr=ehr) as world:
        page = world.clinician.launches(ehr)
        if when == "launch":
            assert (page.status_code, "answer cannot be used" in page.text) == (502, True)
        else:
            session = world.clinician.session
            ehr.is_endless = True
            world.clock.passes(seconds=280 if when == "renewal" else 0)
            asked = "state" if when == "sign-out" else "studies"
            assert world.clinician.get(f"/s/{session}/{asked}").status_code == 200
            assert world.clinician.post(f"/s/{session}/logout").status_code == 200

    assert 0 < ehr.pieces < 500
