"""What ``imaging-cds audit`` prints of a day at the gateway: everything that happened, and no token in any form (group 34)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import tomli_w

from imaging_cds.cli import main
from imaging_cds.demo_plan import DemoOptions, app_table
from imaging_server.policy import Reason
from tests.conftest import CHECKOUT
from tests.security.gateway_actors import World, a_world
from tests.security.gateway_stubs import FRAME, METADATA, STUDY_A, STUDY_B

OPAQUE = "opaque-token-of-nobody-in-particular"
FORMS = [(), ("--json",), ("--csv",), ("--fhir",), ("--summary",), ("--summary", "--json")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path / "state") as made:
        yield made


def a_day(world: World) -> list[str]:
    """Opens, searches, and tries what it may not, with tokens in every place; the tokens."""
    token, other = world.north.token(), world.north.token(scope="openid")
    world.south.introspected[OPAQUE] = {**world.south.claims(jti=OPAQUE), "active": True}
    for path in (METADATA, FRAME, "/studies?limit=1", f"/studies/{STUDY_B}/metadata", f"/studies?access_token={token}"):
        world.get(path, token)
        world.get(path, other)
        world.get(path, X_Request_Id=token)
    fhir = "/imaging/north/fhir/ImagingStudy"
    for query in (f"patient=pat-a&identifier={token}", f"patient={token}", f"patient=pat-a&_id={quote(token)}"):
        world.send("GET", f"{fhir}?{query}", {"Authorization": f"Bearer {token}"})
    world.send("DELETE", f"/imaging/north/dicom-web/main/studies/{STUDY_A}", {"Authorization": f"Bearer {token}"})
    searched = f"/fhir/ImagingStudy?patient=pat-a&identifier={OPAQUE}"
    for below in (f"/dicom-web/main{METADATA}", f"/dicom-web/main/studies?PatientID={OPAQUE}", searched):
        world.send("GET", f"/imaging/south{below}", {"Authorization": f"Bearer {OPAQUE}"})
    world.get(METADATA, f"{token}x")
    return [token, other, OPAQUE]


def config_of(directory: Path) -> Path:
    table = app_table(DemoOptions(directory=directory, viewer_dir=directory / "viewer"))
    table["state"] = {"state_dir": str(directory / "state")}
    path = directory / "app.toml"
    path.write_text(tomli_w.dumps(table))
    return path


def test_group_34_no_form_of_the_trail_holds_a_token(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens, config = a_day(world), config_of(tmp_path)
    capsys.readouterr()
    printed = []
    for form in FORMS:
        every = () if "--summary" in form else ("--all",)
        assert main(["audit", "--config", str(config), *every, *form]) == 0
        printed.append(capsys.readouterr().out)

    # The signature alone is as secret as the whole.
    secrets = [part for token in tokens for part in (token, token.rpartition(".")[2], token[-32:])]
    for text in printed:
        assert [secret for secret in secrets if secret in text] == []
        assert "eyJ" not in text
    assert all(printed)


def test_officer_sees_who_did_what_to_whom_and_why_not(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a_day(world)
    config = config_of(tmp_path)
    capsys.readouterr()

    main(["audit", "--config", str(config), "--patient", "pat-a", "--study", STUDY_B, "--json"])
    tried = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    main(["audit", "--config", str(config), "--summary", "--json"])
    summary = json.loads(capsys.readouterr().out)

    assert {(one["user"], one["client_id"], one["outcome"]) for one in tried} == {("Practitioner/p1", "viewer", "denied")}
    assert {one["reason"] for one in tried} == {"study-not-of-patient", "insufficient-scope"}
    north = next(one for one in summary["users"] if (one["ehr"], one["user"]) == ("north", "Practitioner/p1"))
    assert (north["patients"], north["studies_opened"]) == (1, 1)
    assert {"study-not-of-patient", "token-missing", "token-invalid", "insufficient-scope", "method-not-allowed"} <= {
        one["reason"] for one in summary["reasons"]
    }


def test_every_reason_of_a_denial_is_explained() -> None:
    explained = (CHECKOUT / "docs" / "audit.md").read_text()
    others = ("token-missing", "token-invalid", "token-refused-by-ehr", "no-means-to-check-tokens", "too-many-requests")
    more = ("authorization-unavailable", "audit-backlog", "method-not-allowed", "origin-not-allowed", "patient-mismatch")

    assert [one for one in (*Reason, *others, *more) if f"`{one}" not in explained] == []
