"""A launch address opened again in its browser: never silently an earlier patient (SMART App Launch 2.2 A5, A8, A21, A40)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from smart_app.explanations import Reason
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained
from tests.contract.smart_actors import World, a_world, demo_record, query_of
from tests.contract.test_smart_invoke_display import PatientRefused

HANDLE = "always-the-same"
BRUNO = {
    "resourceType": "Patient",
    "id": "demo-b",
    "name": [{"family": "Synthetic", "given": ["Bruno"]}],
    "gender": "male",
    "birthDate": "1981",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An EHR that takes one handle again and again, as test launchers do."""
    with a_world(tmp_path) as made:
        made.ehr.fhir["Patient"].append(BRUNO)
        yield made


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Hospital]:
    """The sandbox EHR, which takes each handle once."""
    with a_hospital(tmp_path, PUBLIC) as made:
        yield made


def launches(world: World, patient: str = "demo-a", *more: tuple[str, str]) -> TestResponse:
    """A start for this patient, to its last page; ``more`` is said at the second step only."""
    world.ehr.token_changes = {"patient": patient}
    if not more:
        return world.clinician.launches(world.ehr, HANDLE)
    query = [("iss", world.ehr.fhir_base), ("launch", HANDLE), *more]
    return world.clinician.opens(f"/launch/go?{urlencode(query)}")


def comes(world: World, navigation: str, patient: str = "demo-a") -> TestResponse:
    """The address once more, as a browser that says how it came."""
    return launches(world, patient, ("navigation", navigation))


def link(page: TestResponse, element: str) -> str:
    """Where the link of that id leads."""
    found = re.search(rf'id="{element}" href="([^"]+)"', page.text)
    assert found is not None, page.text
    return html.unescape(found[1])


def session_of(path: str) -> str:
    return path.split("/")[2]


def asked(world: World) -> int:
    """How often the EHR was asked for a sign-in."""
    return len(world.ehr.authorizations)


def test_a5_a_fresh_start_with_the_handle_of_another_patient_is_asked_about_and_shows_nobody_elses_images(world: World) -> None:
    launches(world)
    asking = launches(world, "demo-b")
    question = comes(world, "navigate", "demo-b")

    assert asking.status_code == 200
    assert "SYNTHETIC" not in asking.text, "the browser is only asked how it came"
    assert query_of(link(asking, "onward"))["navigation"] == "unknown"
    assert "launch-again.js" in asking.text
    assert question.status_code == 200
    assert "Still this patient?" in question.text
    assert "CT chest" not in question.text
    assert asked(world) == 1


@pytest.mark.parametrize("navigation", ["navigate", "unknown", "prerender", "", "RELOAD"])
def test_a5_every_way_but_reload_and_back_asks_whose_session_is_meant(navigation: str, world: World) -> None:
    launches(world)
    session = world.clinician.session
    question = comes(world, navigation)

    for words in ("SYNTHETIC, Alma", "2 Mar 1964", "Female", "DEMO-1001", "Continue with SYNTHETIC, Alma"):
        assert words in question.text
    assert session_of(link(question, "continue")) == session
    assert question.headers["Cache-Control"] == "no-store"
    assert question.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("navigation", ["reload", "back_forward"])
def test_a5_a21_reload_and_back_lead_to_the_living_session_without_a_question(navigation: str, world: World) -> None:
    launches(world)
    session, steps = world.clinician.session, len(world.clinician.addresses)
    page = comes(world, navigation)

    assert "CT chest" in page.text
    assert world.clinician.addresses[steps:] == [f"/s/{session}/studies"]
    assert asked(world) == 1


def test_a5_the_launch_url_itself_cannot_say_how_the_browser_came(world: World) -> None:
    launches(world)
    query = urlencode({"iss": world.ehr.fhir_base, "launch": HANDLE, "navigation": "reload", "fresh": "1"})
    asking = world.clinician.opens(f"/launch?{query}")

    assert link(asking, "onward").startswith("/launch/go?")
    assert asked(world) == 1


def test_a5_continue_leads_into_the_session_that_was_named(world: World) -> None:
    launches(world)
    session = world.clinician.session
    page = world.clinician.opens(link(comes(world, "navigate"), "continue"))

    assert "SYNTHETIC, Alma" in page.text
    assert "CT chest" in page.text
    assert world.clinician.session == session


def test_a8_a_new_sign_in_echoes_the_handle_and_opens_the_other_patients_session(world: World) -> None:
    launches(world)
    first = world.clinician.session
    world.ehr.fhir["ImagingStudy"].clear()
    page = world.clinician.opens(link(comes(world, "navigate", "demo-b"), "anew"))

    assert world.ehr.authorizations[-1]["launch"] == HANDLE
    assert world.ehr.authorizations[-1]["state"] != world.ehr.authorizations[0]["state"]
    assert world.clinician.session != first
    assert "SYNTHETIC, Bruno" in page.text
    assert "Alma" not in page.text


def test_a5_a_handle_that_opened_two_sessions_is_asked_about_at_reload_and_back_too(world: World) -> None:
    launches(world)
    anew = link(comes(world, "navigate", "demo-b"), "anew")
    world.clinician.opens(anew)
    latest = world.clinician.session

    for navigation in ("reload", "back_forward"):
        question = comes(world, navigation)

        assert "Continue with SYNTHETIC, Bruno" in question.text
        assert session_of(link(question, "continue")) == latest


def test_a21_the_address_of_a_new_sign_in_counts_once(world: World) -> None:
    """The back button across its posted sign-in, and a bookmark of it, begin no third one."""
    launches(world)
    anew = link(comes(world, "navigate"), "anew")
    world.clinician.opens(anew)
    again = world.clinician.opens(anew)

    assert asked(world) == 2
    assert link(again, "onward")
    assert link(comes(world, "navigate"), "anew") != anew


def test_a8_a_new_sign_in_that_the_ehr_refuses_is_explained_and_leaves_the_session(strict: Hospital) -> None:
    strict.launches()
    session = strict.clinician.session
    first = next(one for one in strict.clinician.addresses if one.startswith("/launch/go?"))
    question = strict.clinician.opens(f"{first}&navigation=navigate")
    refused = strict.clinician.opens(link(question, "anew"))

    assert_explained(refused, Reason.REQUEST_REFUSED)
    assert "CT chest" in strict.clinician.opens(f"/s/{session}/studies").text
    assert "CT chest" in strict.clinician.opens(f"{first}&navigation=back_forward").text, "still the one session of its handle"


def test_a5_a_launch_whose_session_has_ended_offers_a_new_sign_in(world: World) -> None:
    launches(world)
    world.clinician.post(f"/s/{world.clinician.session}/logout")
    for navigation in ("navigate", "reload", "back_forward"):
        ended = comes(world, navigation, "demo-b")

        assert_explained(ended, Reason.LAUNCH_USED)
    page = world.clinician.opens(link(ended, "anew"))

    assert "SYNTHETIC, Bruno" in page.text


def test_a5_a38_a_session_that_the_ehr_no_longer_renews_counts_as_ended(world: World) -> None:
    launches(world)
    world.ehr.live_refresh_tokens.clear()
    world.clock.passes(seconds=290)

    assert_explained(comes(world, "navigate"), Reason.LAUNCH_USED)


def test_a5_another_browser_finds_nothing_and_begins(world: World) -> None:
    launches(world)
    first = world.clinician.session
    stranger = world.another_clinician()
    page = stranger.launches(world.ehr, HANDLE)

    assert page.status_code == 200
    assert stranger.session != first
    assert asked(world) == 2


def test_a5_where_handles_recur_nobody_is_asked(tmp_path: Path) -> None:
    with a_world(tmp_path, launch_handles_recur=True) as world:
        world.ehr.fhir["Patient"].append(BRUNO)
        launches(world)
        first = world.clinician.session
        page = launches(world, "demo-b")

        assert world.clinician.session != first
        assert "SYNTHETIC, Bruno" in page.text
        assert asked(world) == 2


def without_patient(world: World) -> None:
    world.ehr.fhir["Patient"] = []


def without_refresh(world: World) -> None:
    world.ehr.token_error = ("temporarily_unavailable", 503)
    world.clock.passes(seconds=301)


@pytest.mark.parametrize("trouble", [without_patient, without_refresh])
def test_a40_a_patient_who_cannot_be_read_is_still_named_by_what_the_session_knows(trouble: Any, world: World) -> None:
    launches(world)
    trouble(world)
    question = comes(world, "navigate")

    assert question.status_code == 200
    assert "cannot be read just now" in question.text
    assert "Continue with Patient demo-a" in question.text
    assert "Alma" not in question.text


def test_a39_a40_a_revoked_token_is_renewed_once_to_name_the_patient(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=PatientRefused(fhir=demo_record())) as world:
        launches(world)
        world.clock.passes(seconds=30)
        question = comes(world, "navigate")

    assert "Continue with SYNTHETIC, Alma" in question.text
    assert [one["grant_type"] for one in world.ehr.token_requests] == ["authorization_code", "refresh_token"]


def test_a39_a40_a_session_that_was_revoked_at_the_ehr_counts_as_ended(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=PatientRefused(fhir=demo_record())) as world:
        launches(world)
        world.ehr.live_refresh_tokens.clear()
        world.clock.passes(seconds=30)

        assert_explained(comes(world, "navigate"), Reason.LAUNCH_USED)


def test_a40_what_is_not_the_patient_asked_for_names_nobody(world: World) -> None:
    launches(world)
    world.ehr.fhir["Patient"][0]["resourceType"] = "OperationOutcome"
    question = comes(world, "navigate")

    assert "Continue with Patient demo-a" in question.text


def test_a40_without_the_right_to_read_the_patient_it_is_not_asked_for(world: World) -> None:
    world.ehr.dropped = {"id_token"}
    world.ehr.token_changes = {"scope": "launch patient/ImagingStudy.rs"}
    world.clinician.launches(world.ehr, HANDLE)
    world.ehr.fhir_requests.clear()
    question = world.clinician.opens(
        f"/launch/go?{urlencode({'iss': world.ehr.fhir_base, 'launch': HANDLE, 'navigation': 'navigate'})}"
    )

    assert "Continue with Patient demo-a" in question.text
    assert world.ehr.fhir_requests == []


def test_a40_what_the_record_does_not_say_is_said(world: World) -> None:
    launches(world, "demo-b")
    question = comes(world, "navigate", "demo-b")
    whose = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", question.text[question.text.index("<dl") :]))

    assert "Born 1981" in whose
    assert "MRN not given" in whose


def test_a36_no_address_on_the_way_names_the_patient(world: World) -> None:
    launches(world)
    asking, question = launches(world, "demo-a"), comes(world, "navigate")
    world.clinician.opens(link(question, "anew"))
    links = [*re.findall(r'href="([^"]*)"', asking.text + question.text), *world.clinician.addresses]

    assert [one for one in links if re.search("alma|synthetic|1964|DEMO-1001|demo-a", one, re.IGNORECASE)] == []
    assert [one for page in (asking, question) for one in re.findall(r"access-[\w-]{8,}", page.text)] == []


def test_a5_a_name_is_text_on_the_page(world: World) -> None:
    world.ehr.fhir["Patient"][0]["name"] = [{"text": "<script>alert(1)</script>"}]
    launches(world)

    assert "<script>alert" not in comes(world, "navigate").text


def test_a5_only_the_ehr_of_the_launch_may_frame_the_question(tmp_path: Path) -> None:
    with a_world(tmp_path, frame_ancestors=("https://chart.example",)) as world:
        launches(world)
        for page in (launches(world), comes(world, "navigate")):
            assert "frame-ancestors 'self' https://chart.example" in page.headers["Content-Security-Policy"]


def test_a5_what_an_earlier_release_noted_still_counts(world: World) -> None:
    """Records without a count of their sessions, as they were kept before."""
    launches(world)
    services = world.app.services
    handle = services.used_launches.handle_of(world.ehr.fhir_base, HANDLE)
    session = services.sessions.find(world.clinician.session, now=services.now())
    assert session is not None
    services.used_launches._records.add(
        {"session": world.clinician.session},
        expires_at=session.session_expires_at,
        record_id=f"{session.bindings[0]}/{handle}",
    )

    assert "CT chest" in comes(world, "reload").text
    assert query_of(link(comes(world, "navigate"), "anew"))["fresh"] == "1"
