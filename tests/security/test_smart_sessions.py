"""Whose session it is: binding to the browser, no mixing of launches, no fixation (security groups 26, 29, 31; APP-A10)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from fhir_imaging.store.tables import sealed_record
from tests.contract.smart_actors import (
    APP,
    STUDY_A,
    STUDY_B,
    World,
    a_world,
    imaging_study,
    patient_a,
    report_on,
    wado_endpoint,
)

COOKIE = "imaging_cds_window"


def stored_records(world: World) -> int:
    with world.app.services.store.read() as connection:
        return len(connection.execute(select(sealed_record)).all())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def test_the_cookie_is_random_secure_httponly_cross_site_and_partitioned(world: World) -> None:
    answer = world.clinician.get(f"/launch?iss={world.ehr.fhir_base}&launch=x")

    cookie = answer.headers["Set-Cookie"]
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"} <= set(cookie.split("; "))
    assert len(cookie.split(";")[0].removeprefix(f"{COOKIE}=")) == 43


def test_group_26_no_other_host_can_plant_the_browsers_cookie(tmp_path: Path) -> None:
    """A server under the same domain set a value of its own; Invoke Image Display led to every session opened under it."""
    secure = "https://imaging.hospital.example"
    with a_world(tmp_path, app={"public_base_url": secure}) as world:
        browser = world.app.flask.test_client()
        browser.set_cookie(COOKIE, "A" * 43, domain="imaging.hospital.example")
        answer = browser.get(f"/launch?iss={world.ehr.fhir_base}&launch=x", base_url=secure)
        onward = browser.get(answer.headers["Location"], base_url=secure)

        thief = world.app.flask.test_client()
        thief.set_cookie(COOKIE, "A" * 43, domain="imaging.hospital.example")
        refused = thief.get(f"/launch/go?iss={world.ehr.fhir_base}&launch=x", base_url=secure)

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert {"Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert (onward.status_code, refused.status_code) == (303, 403), "the sign-in begins with our own cookie only"


@pytest.mark.parametrize("route", ["studies", "named", f"viewer/{STUDY_A}", "ohif/viewer", "ohif/app-config.js", "state"])
def test_the_session_id_alone_opens_nothing(world: World, route: str) -> None:
    world.clinician.launches(world.ehr)
    answer = world.another_clinician().get(f"/s/{world.clinician.session}/{route}")

    assert answer.status_code in (401, 403)
    assert "SYNTHETIC" not in answer.text


@pytest.mark.parametrize("route", ["token", "logout", "window-ticket", f"window/{STUDY_A}"])
def test_the_session_id_alone_changes_nothing(world: World, route: str) -> None:
    world.clinician.launches(world.ehr)
    answer = world.another_clinician().post(f"/s/{world.clinician.session}/{route}")

    assert answer.status_code in (401, 403)
    assert "access-" not in answer.text
    assert world.clinician.get(f"/s/{world.clinician.session}/studies").status_code == 200


def test_unknown_and_foreign_sessions_are_answered_alike(world: World) -> None:
    world.clinician.launches(world.ehr)
    stranger = world.another_clinician()

    foreign = stranger.post(f"/s/{world.clinician.session}/token")
    unknown = stranger.post("/s/never-existed/token")

    assert (foreign.status_code, foreign.json) == (unknown.status_code, unknown.json)


def test_a10_a_callback_in_another_browser_is_refused_and_spends_nothing(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    victim = world.another_clinician()
    victim.get(f"/launch?iss={world.ehr.fhir_base}&launch=other")

    answer = victim.get(callback)

    assert answer.status_code == 403
    assert world.ehr.token_requests == []
    assert world.clinician.get(callback).status_code == 303


def test_a10_a_callback_without_any_cookie_is_refused(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)

    assert world.another_clinician().get(callback).status_code == 403


def test_a_planted_cookie_does_not_lead_to_the_victims_session(world: World) -> None:
    """Fixation: the attacker knows the cookie, but the session's id is made after the sign-in and known to the victim alone."""
    planted = "A" * 43
    for clinician in (world.clinician, attacker := world.another_clinician()):
        clinician.client.set_cookie(COOKIE, planted, domain="localhost")
    world.clinician.launches(world.ehr)

    assert attacker.get("/s/guess/studies").status_code == 403
    assert world.clinician.session not in str(world.ehr.authorizations)


def test_a_cookie_that_we_did_not_make_counts_as_none(world: World) -> None:
    world.clinician.client.set_cookie(COOKIE, "short", domain="localhost")
    answer = world.clinician.get(f"/launch?iss={world.ehr.fhir_base}&launch=x")

    assert COOKIE in answer.headers["Set-Cookie"]


def test_two_launches_in_one_browser_stay_apart(world: World) -> None:
    world.clinician.launches(world.ehr)
    session_a = world.clinician.session
    world.ehr.token_changes = {"patient": "demo-b"}
    world.ehr.fhir = {
        "ImagingStudy": [imaging_study(STUDY_B, patient="demo-b", study_id="study-b", description="CT abdomen")],
        "Endpoint": [wado_endpoint()],
        "Patient": [
            {"resourceType": "Patient", "id": "demo-b", "name": [{"family": "Synthetic", "given": ["Bruno"]}]},
            patient_a(),
        ],
        "DiagnosticReport": [report_on()],
    }
    world.clinician.launches(world.ehr)
    session_b = world.clinician.session

    page_a = world.clinician.get(f"/s/{session_a}/studies")
    page_b = world.clinician.get(f"/s/{session_b}/studies")

    assert session_a != session_b
    assert "Alma" in page_a.text
    assert "Bruno" not in page_a.text
    assert "CT abdomen" not in page_a.text
    assert "Bruno" in page_b.text
    assert "CT abdomen" in page_b.text


def test_group_29_a_study_of_another_patient_is_left_out_and_said(world: World) -> None:
    world.ehr.fhir["ImagingStudy"].append(imaging_study(STUDY_B, patient="demo-b", study_id="b", description="CT of B"))
    page = world.clinician.launches(world.ehr)

    assert "CT of B" not in page.text
    assert "1 entry was left out" in page.text


def test_group_29_the_viewer_refuses_a_study_of_another_patient(world: World) -> None:
    world.ehr.fhir["ImagingStudy"].append(imaging_study(STUDY_B, patient="demo-b", study_id="b"))
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_B}")

    assert page.status_code == 403
    assert "not among this patient" in page.text


def test_the_viewers_shell_opens_only_studies_that_were_checked(world: World) -> None:
    world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    before = world.clinician.get(f"{base}/ohif/viewer?StudyInstanceUIDs={STUDY_A}")
    page = world.clinician.get(f"{base}/viewer/{STUDY_A}")
    other = world.clinician.get(f"{base}/ohif/viewer?StudyInstanceUIDs={STUDY_A},{STUDY_B}")
    injected = world.clinician.get(f"{base}/ohif/viewer?StudyInstanceUIDs={STUDY_A}&configUrl=https://evil.example/c.js")

    assert page.status_code == 200
    assert [before.status_code, other.status_code, injected.status_code] == [403, 403, 403]


def test_the_viewers_configuration_holds_no_token_and_no_patient(world: World) -> None:
    world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    page = world.clinician.get(f"{base}/viewer/{STUDY_A}")
    config = world.clinician.get(f"{base}/ohif/app-config.js")

    assert config.status_code == 200
    assert "/imaging/sandbox/dicom-web/demo" in config.text
    for text in (config.text, page.text):
        assert "access-" not in text
    assert "demo-a" not in config.text


def test_a_window_ticket_carries_the_session_to_a_new_window_once(world: World) -> None:
    world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    ticket = world.clinician.post(f"{base}/window-ticket").json
    assert ticket is not None
    new_window = world.another_clinician()

    opened = new_window.post(f"{base}/window/{STUDY_A}", data=ticket)
    again = world.another_clinician().post(f"{base}/window/{STUDY_A}", data=ticket)

    assert opened.status_code == 303
    assert opened.headers["Location"].endswith(f"/viewer/{STUDY_A}")
    assert new_window.get(f"{base}/studies").status_code == 200
    assert again.status_code == 403


def test_a_window_ticket_expires_and_counts_for_its_session_only(world: World) -> None:
    world.clinician.launches(world.ehr)
    first = world.clinician.session
    ticket_of_first = world.clinician.post(f"/s/{first}/window-ticket").json
    late = world.clinician.post(f"/s/{first}/window-ticket").json
    world.clinician.launches(world.ehr)
    stranger = world.another_clinician()

    other_session = stranger.post(f"/s/{world.clinician.session}/window/{STUDY_A}", data=ticket_of_first)
    world.clock.passes(seconds=61)
    too_late = stranger.post(f"/s/{first}/window/{STUDY_A}", data=late)

    assert [other_session.status_code, too_late.status_code] == [403, 403]


def test_a21_two_callbacks_at_once_exchange_the_code_once(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    cookie = world.clinician.client.get_cookie(COOKIE, domain="localhost")
    assert cookie is not None
    answers: list[TestResponse] = []

    def arrive() -> None:
        with world.app.flask.test_client(use_cookies=False) as client:
            answers.append(client.get(callback, base_url=APP, headers={"Cookie": f"{COOKIE}={cookie.value}"}))

    threads = [threading.Thread(target=arrive) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(world.ehr.token_requests) == 1


def test_a5_a_launch_that_one_browser_completed_opens_nothing_in_another(world: World) -> None:
    world.clinician.launches(world.ehr, launch="one-start")
    session = world.clinician.session
    world.ehr.redirect_changes = {"code": "", "error": "invalid_request"}
    thief = world.another_clinician()
    page = thief.launches(world.ehr, launch="one-start")

    assert len(world.ehr.authorizations) == 2, "the other browser is sent to the EHR, which refuses the used handle"
    assert page.status_code == 403
    assert "did not accept the sign-in request" in page.text
    assert not any(session in address for address in thief.addresses)
    assert "SYNTHETIC" not in page.text


def test_a5_a_completed_launch_is_kept_by_digest_only(world: World, tmp_path: Path) -> None:
    world.clinician.launches(world.ehr, launch="a-handle-to-be-kept-by-digest")
    stored = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())

    assert b"used-launch" in stored
    assert b"a-handle-to-be-kept-by-digest" not in stored


def test_what_has_ended_is_swept_away_at_the_next_launch(world: World) -> None:
    world.ehr.dropped = {"id_token"}  # dated by the EHR's own clock, which does not move here
    world.clinician.launches(world.ehr)
    world.clock.passes(hours=13)
    world.another_clinician().get(f"/launch?iss={world.ehr.fhir_base}&launch=x")
    before = stored_records(world)
    world.another_clinician().launches(world.ehr)

    assert before == 4, "the launch, its session, the browser's list of its sessions, and that the launch was used"
    assert stored_records(world) == 5, "only of the first launch, that it was used, stays for a day"


def test_tokens_are_not_readable_in_the_state_directory(world: World, tmp_path: Path) -> None:
    world.clinician.launches(world.ehr)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())

    assert b"access-" not in stored
    assert world.clinician.session.encode() not in stored


@pytest.mark.parametrize("field", ["description", "name", "conclusion"])
def test_group_27_text_from_the_record_is_never_markup(world: World, field: str) -> None:
    evil = "</script><script>alert(1)</script>"
    if field == "name":
        world.ehr.fhir["Patient"][0]["name"] = [{"family": evil}]
    elif field == "description":
        world.ehr.fhir["ImagingStudy"][0]["description"] = evil
    else:
        world.ehr.fhir["DiagnosticReport"][0]["conclusion"] = evil
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert "<script>alert" not in page.text.lower()


def test_every_page_of_a_session_has_a_strict_policy_and_is_not_cached(world: World) -> None:
    world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    for path in (f"{base}/studies", f"{base}/viewer/{STUDY_A}", "/", "/open/sandbox/2.25.1"):
        page = world.clinician.get(path)
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert "X-Frame-Options" not in page.headers
        assert " style=" not in page.text
        assert "<script>" not in page.text
