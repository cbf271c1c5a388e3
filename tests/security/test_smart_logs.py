"""What a launch leaves in the log: no token, no code, no session, no patient (security group 34)."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from fhir_imaging import web
from tests.contract.smart_actors import STUDY_A, a_world, query_of


def test_group_34_the_log_of_a_whole_launch_names_nothing_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with a_world(tmp_path) as world, caplog.at_level(logging.DEBUG, logger="imaging_cds"):
        web.install(world.app.flask, [])
        world.clinician.launches(world.ehr, launch="the-launch-handle")
        session = world.clinician.session
        token = world.clinician.post(f"/s/{session}/token").json
        world.clinician.get(f"/s/{session}/viewer/{STUDY_A}")
        world.clinician.get("/callback?state=unknown&error=access_denied&error_description=said")
        world.clinician.get("/launch?iss=https://who.example&launch=the-launch-handle")
        world.clinician.get("/s/unknown/studies")

    assert token is not None
    callback = next(address for address in world.clinician.addresses if "code=" in address)
    secrets = [token["access_token"], session, "the-launch-handle", *query_of(callback).values()]
    patient = ["Alma", "SYNTHETIC", "DEMO-1001", "1964-03-02"]
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("imaging_cds"))
    assert "/s/<session_id>/viewer/<study_instance_uid>" in logged
    assert [one for one in (*secrets, *patient) if one in logged] == []


def test_refusals_keep_their_own_pages_beside_the_applications_error_handler(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        web.install(world.app.flask, [])
        explained = world.clinician.get("/launch?iss=https://who.example&launch=x")
        unknown = world.clinician.get("/nowhere")

    assert "not known here" in explained.text
    assert explained.headers["X-Request-Id"] in explained.text
    assert unknown.status_code == 404
    assert "There is nothing at this address." in unknown.text
