"""One token written in several ways: whoever ends access by a token's name ends it for all of them (group 6, P7)."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from jwt.utils import base64url_decode, base64url_encode

from imaging_server.jwt_tokens import named_part
from imaging_server.revocations import Revocation, RevocationLog
from tests.security.gateway_actors import a_world
from tests.security.gateway_stubs import EC_KEY, METADATA

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: (r, s) and (r, ORDER - s) are signatures of the same words."""


def with_the_other_signature(token: str) -> str:
    signed, _, signature = token.rpartition(".")
    raw = base64url_decode(signature)
    other = raw[:32] + (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    return f"{signed}.{base64url_encode(other).decode()}"


def test_group_6_a_token_without_a_number_is_ended_in_each_of_its_spellings(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        claims = {name: value for name, value in world.north.claims("pat-a").items() if name != "jti"}
        token = jwt.encode(claims, EC_KEY, algorithm="ES256", headers={"kid": "e1", "typ": "at+jwt"})
        other = with_the_other_signature(token)
        assert [world.get(METADATA, one).status for one in (token, other)] == [200, 200]
        references = {one.token_reference for one in world.audit()}
        assert len(references) == 1

        RevocationLog(world.store).mark(Revocation(marked_at=int(time.time()), token_reference=references.pop()))
        time.sleep(1.5)

        assert [world.get(METADATA, one).status for one in (token, other)] == [401, 401]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["header", "claims", "signature"])
@pytest.mark.parametrize("padding", ["=", "==", "\t", "+"])
def test_group_3_a_token_that_is_not_written_as_the_standard_has_it_opens_nothing(
    tmp_path: Path, place: int, padding: str
) -> None:
    with a_world(tmp_path) as world:
        pieces = world.north.token().split(".")
        pieces[place] += padding

        assert world.get(METADATA, ".".join(pieces)).status == 401
        assert world.pacs.asked == []


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.b", "..", "", "e30.e30.c2ln", "eyJhbGciOjF9.x"])
def test_what_is_no_jwt_is_known_by_all_of_it(token: str) -> None:
    assert named_part(token) == token


def test_a_jwt_is_known_by_what_is_signed() -> None:
    token = jwt.encode({"sub": "a"}, EC_KEY, algorithm="ES256")

    assert named_part(token) == token.rpartition(".")[0]
    assert named_part(with_the_other_signature(token)) == named_part(token)
