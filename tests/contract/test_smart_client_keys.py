"""Our own signing keys at an EHR: which one signs, and that a rotation is never seen by the user (APP-A24, APP-A25)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
import tomli_w
from flask import jsonify, request
from jwt.types import Options

from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import ClientAuth
from imaging_cds.cli import main
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_cds.settings import load
from tests.contract.smart_actors import FakeEhr, World, a_world, demo_record

DAY = 24 * 3600


@dataclass
class KeyKeepingEhr(FakeEhr):
    """An EHR that verifies client assertions by the JWKS that it fetched last, as one that caches it does."""

    known_keys: dict[str, Any] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def fetches(self, jwks: dict[str, Any]) -> None:
        self.known_keys = {key["kid"]: key for key in jwks["keys"]}

    def accepts(self, form: dict[str, str]) -> bool:
        header = jwt.get_unverified_header(form["client_assertion"])
        key = self.known_keys.get(header["kid"])
        if key is None:
            return False
        audience = f"{self.base_url}/auth/token"
        # Dated by the test's clock, not by this machine's.
        unbound: Options = {"verify_exp": False, "verify_iat": False}
        signed = form["client_assertion"]
        claims = jwt.decode(signed, jwt.PyJWK(key).key, [header["alg"]], audience=audience, options=unbound)
        self.seen.append({**header, **claims})
        return True

    def _token(self) -> Any:
        if not self.accepts(request.form.to_dict()):
            return jsonify(error="invalid_client"), 401
        return super()._token()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    ehr = KeyKeepingEhr(fhir=demo_record())
    with a_world(tmp_path, ehr=ehr, client_auth=ClientAuth.PRIVATE_KEY_JWT) as made:
        yield made


def ehr_of(world: World) -> KeyKeepingEhr:
    assert isinstance(world.ehr, KeyKeepingEhr)
    return world.ehr


def published(world: World) -> dict[str, Any]:
    answer = world.clinician.get("/.well-known/jwks.json")
    assert answer.json is not None
    return dict(answer.json)


def test_app_a24_each_request_has_an_assertion_of_its_own_refresh_included(world: World) -> None:
    ehr = ehr_of(world)
    ehr.fetches(published(world))
    world.clinician.launches(ehr)
    world.clock.passes(seconds=250)
    renewed = world.clinician.post(f"/s/{world.clinician.session}/token")

    assert renewed.status_code == 200
    assert len({one["jti"] for one in ehr.seen}) == len(ehr.seen) == 2
    for one in ehr.seen:
        assert (one["typ"], one["alg"]) == ("JWT", "ES384")
        assert one["iss"] == one["sub"] == "imaging-cds"
        assert one["exp"] - one["iat"] <= 300
    assert all(form["client_assertion_type"].endswith(":jwt-bearer") for form in ehr.token_requests)


def test_app_a25_a_rotation_is_seen_by_nobody(world: World) -> None:
    """The EHR fetches our keys once a day, at worst just before we publish the new one."""
    ehr, keys, now = ehr_of(world), world.app.services.keys, world.app.services.now()
    ehr.fetches(published(world))
    before = {key["kid"] for key in published(world)["keys"]}
    fresh = keys.rotate("ES384", signs_from=now + DAY, overlap_s=DAY)

    assert {key["kid"] for key in published(world)["keys"]} == before | {fresh.kid}
    assert world.clinician.launches(ehr).status_code == 200
    old = ehr.seen[-1]["kid"]
    assert old in before

    ehr.fetches(published(world))
    world.clock.passes(hours=25)
    # An hour into the new day the new key signs, and the old one may still be asked for.
    assert {old, fresh.kid} <= {key["kid"] for key in published(world)["keys"]}
    world.clock.passes(hours=24)
    assert old not in {key["kid"] for key in published(world)["keys"]}


def test_app_a25_after_the_overlap_the_new_key_signs(tmp_path: Path) -> None:
    keys = ClientKeys.of(tmp_path / "state")
    first = jwt.get_unverified_header(keys.assertion("ES384", client_id="c", audience="a", now=1))["kid"]
    fresh = keys.rotate("ES384", signs_from=100, overlap_s=50)

    def kid(at: int) -> str:
        return str(jwt.get_unverified_header(keys.assertion("ES384", client_id="c", audience="a", now=at))["kid"])

    assert [kid(99), kid(100), kid(1000)] == [first, fresh.kid, fresh.kid]
    assert [len(keys.published(at)) for at in (0, 149, 150)] == [3, 3, 2]


def test_app_a25_another_worker_sees_the_rotation_without_a_restart(tmp_path: Path) -> None:
    one, other = ClientKeys.of(tmp_path / "state"), ClientKeys.of(tmp_path / "state")
    fresh = one.rotate("RS384", signs_from=0, overlap_s=60)

    assert fresh.kid in {key["kid"] for key in other.jwks(0)["keys"]}
    assert all(set(key) <= {"kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"} for key in other.jwks(0)["keys"])


def test_app_a25_a_key_that_was_dropped_and_removed_does_not_come_back(tmp_path: Path) -> None:
    keys = ClientKeys.of(tmp_path / "state")
    fresh = keys.rotate("ES384", signs_from=0, overlap_s=0)
    (tmp_path / "state" / "client-es384.pem").unlink()
    again = ClientKeys.of(tmp_path / "state")

    assert not (tmp_path / "state" / "client-es384.pem").exists()
    assert [key.kid for key in again.published(1) if key.algorithm == "ES384"] == [fresh.kid]


def test_app_a25_two_rotations_in_a_row_keep_order(tmp_path: Path) -> None:
    keys = ClientKeys.of(tmp_path / "state")
    second = keys.rotate("ES384", signs_from=100, overlap_s=10)
    third = keys.rotate("ES384", signs_from=200, overlap_s=10)
    signer = jwt.get_unverified_header(keys.assertion("ES384", client_id="c", audience="a", now=150))["kid"]

    assert signer == second.kid
    assert {key.kid for key in keys.published(211) if key.algorithm == "ES384"} == {third.kid}


@pytest.mark.parametrize("content", ["", "[]", '{"keys": [{"name": "../x", "algorithm": "ES384"}]}', '{"keys": [{"a": 1}]}'])
def test_app_a25_a_damaged_schedule_is_said_to_be(tmp_path: Path, content: str) -> None:
    ClientKeys.of(tmp_path / "state")
    (tmp_path / "state" / "client-keys.json").write_text(content)

    with pytest.raises(ConfigurationError):
        ClientKeys.of(tmp_path / "state")


def test_app_a25_the_command_rotates_and_says_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "app.toml"
    config.write_text(tomli_w.dumps(app_table(DemoOptions(directory=tmp_path, viewer_dir=tmp_path / "viewer"))))
    arguments = ["keys", "rotate", "--config", str(config), "--algorithm", "ES384", "--signs-after", "2", "--overlap", "3"]

    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert main(["keys", "list", "--config", str(config)]) == 0
    listed = capsys.readouterr().out.splitlines()

    assert "published now:" in said
    assert len([line for line in listed if line.startswith("ES384")]) == 2
    assert any("signs, dropped at" in line for line in listed)
    assert any("signs from" in line for line in listed)
    state = load(config).state.state_dir
    assert all(path.stat().st_mode & 0o077 == 0 for path in state.glob("client-*"))


@pytest.mark.parametrize("hours", ["-1", "soon", "99999"])
def test_the_command_refuses_times_that_are_none(tmp_path: Path, hours: str) -> None:
    with pytest.raises(SystemExit):
        main(["keys", "rotate", "--algorithm", "ES384", "--signs-after", hours])
