"""An EHR that names addresses which nobody can read, in its SMART configuration: said in words, never a crash (APP-A2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_imaging.clients.smart_metadata import read_smart_configuration, web_address
from tests.contract.smart_actors import a_world

BASE = "https://ehr.example/fhir"
UNREADABLE = ["https://[x/authorize", "https://ehr.example:99999/a", "mailto:a@b.example", "javascript:x"]


@pytest.mark.parametrize("stated", [*UNREADABLE, "", 7, None])
def test_app_a2_what_is_no_web_address_counts_as_absent(stated: object) -> None:
    assert web_address(stated, BASE) is None


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ("https://ehr.example/authorize", "https://ehr.example/authorize"),
        ("../auth/authorize", "https://ehr.example/auth/authorize"),
        ("//login.example/authorize", "https://login.example/authorize"),
    ],
)
def test_app_a2_a_web_address_is_made_absolute(stated: str, read: str) -> None:
    assert web_address(stated, BASE) == read


@pytest.mark.parametrize("name", ["jwks_uri", "introspection_endpoint", "revocation_endpoint"])
@pytest.mark.parametrize("stated", UNREADABLE)
def test_app_a2_an_odd_address_beside_the_two_that_count_takes_nothing_else_away(name: str, stated: str) -> None:
    document = {"authorization_endpoint": "https://a.example/a", "token_endpoint": "https://a.example/t", name: stated}
    metadata = read_smart_configuration(document, BASE)

    assert metadata is not None
    assert getattr(metadata, name) is None


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_app_a2_a_launch_says_that_the_configuration_cannot_be_read(tmp_path: Path, name: str) -> None:
    with a_world(tmp_path) as world:
        world.ehr.smart_configuration = {name: "https://[x/authorize"}
        page = world.clinician.launches(world.ehr)

    assert page.status_code == 502
    assert "SMART configuration cannot be read" in page.text
    assert f"{world.ehr.fhir_base}/.well-known/smart-configuration" in page.text


def test_app_a2_signing_out_where_the_revocation_address_is_odd(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.ehr.smart_configuration = {"revocation_endpoint": "https://[x/revoke"}
        assert world.clinician.launches(world.ehr).status_code == 200
        assert world.clinician.post(f"/s/{world.clinician.session}/logout").status_code == 200
