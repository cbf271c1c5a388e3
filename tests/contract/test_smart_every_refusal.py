"""Each way to end has a page of its own that a request leads to: what happened, what to do, what support needs.

Spec: smart-launch.md §8 (errors), APP-A20, A39; security groups 27 and 34.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response
from werkzeug.test import TestResponse

from fhir_imaging import web
from smart_app.explanations import EXPLANATIONS, Reason
from tests.contract.smart_actors import STUDY_A, STUDY_B, World, a_world, busy

Scenario = Callable[[World], TestResponse]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        web.install(made.app.flask, [])
        yield made


def visits(path: str) -> Scenario:
    return lambda world: world.clinician.get(path.replace("{base}", world.ehr.fhir_base))


def launches(**changes: Any) -> Scenario:
    """A launch at an EHR that behaves as ``changes`` say."""

    def scenario(world: World) -> TestResponse:
        for name, value in changes.items():
            setattr(world.ehr, name, value(world) if callable(value) else value)
        return world.clinician.launches(world.ehr)

    return scenario


def declined(error: str) -> Scenario:
    return launches(redirect_changes={"code": "", "error": error})


def then(path: str, prepare: Callable[[World], None] = lambda world: None) -> Scenario:
    """A page of a session in which something has changed since."""

    def scenario(world: World) -> TestResponse:
        world.clinician.launches(world.ehr)
        prepare(world)
        return world.clinician.get(f"/s/{world.clinician.session}/{path}")

    return scenario


def in_another_browser(world: World) -> TestResponse:
    return world.another_clinician().get(world.clinician.callback_of(world.ehr))


def too_late(world: World) -> TestResponse:
    callback = world.clinician.callback_of(world.ehr)
    world.clock.passes(minutes=16)
    return world.clinician.get(callback)


def from_elsewhere(world: World) -> TestResponse:
    world.clinician.launches(world.ehr)
    return world.clinician.post(f"/s/{world.clinician.session}/logout", from_own_page=False)


def without_images(world: World) -> None:
    world.ehr.fhir["ImagingStudy"][0].pop("endpoint")
    world.ehr.fhir["Endpoint"].clear()


def five_hours_later(world: World) -> None:
    world.ehr.live_refresh_tokens.clear()
    world.clock.passes(hours=5)


def renewed_for_another(world: World) -> None:
    world.ehr.refresh_changes = {"patient": "demo-b"}
    world.clock.passes(seconds=280)


def answering(status: int) -> list[Response | None]:
    return [Response("{}", status, mimetype="application/fhir+json") for _ in range(8)]


def used_before(world: World) -> TestResponse:
    world.clinician.launches(world.ehr, launch="once")
    world.clinician.post(f"/s/{world.clinician.session}/logout")
    return world.clinician.launches(world.ehr, launch="once")


def two_patients(world: World) -> dict[str, Any]:
    other = {"type": "smart_on_fhir", "locations": [world.ehr.fhir_base], "fhirVersions": ["4.0.1"], "patient": "demo-b"}
    return {"authorization_details": [other]}


SCENARIOS: dict[Reason, Scenario] = {
    Reason.LAUNCH_PARAMETERS: visits("/launch?iss={base}"),
    Reason.UNKNOWN_EHR: visits("/launch?iss=https://who.example/fhir&launch=x"),
    Reason.NOT_A_STUDY: visits("/open/sandbox/not-a-uid"),
    Reason.STATE_UNKNOWN: visits("/callback?state=made-up&code=x"),
    Reason.OTHER_BROWSER: in_another_browser,
    Reason.LAUNCH_USED: used_before,
    Reason.LAUNCH_EXPIRED: too_late,
    Reason.ISSUER_MIX_UP: launches(redirect_changes={"iss": "https://other.example"}),
    Reason.DENIED: declined("access_denied"),
    Reason.SIGN_IN_FAILED: declined("login_required"),
    Reason.SCOPE_REFUSED: declined("invalid_scope"),
    Reason.CLIENT_REJECTED: launches(token_error=("invalid_client", 401)),
    Reason.CODE_REFUSED: launches(token_error=("invalid_grant", 400)),
    Reason.REQUEST_REFUSED: declined("invalid_request"),
    Reason.AUTHORIZATION_FAILED: declined("something_else"),
    Reason.EHR_UNAVAILABLE: declined("temporarily_unavailable"),
    Reason.EHR_SERVER_REFUSED: launches(smart_configuration={"token_endpoint": "http://127.0.0.1:9/token"}),
    Reason.NO_CONFIGURATION: launches(without_configuration=True),
    Reason.TOKEN_UNREADABLE: launches(token_changes={"token_type": "mac"}),
    Reason.IDENTITY_INVALID: launches(id_token_changes={"aud": "another-app"}),
    Reason.NO_PATIENT: launches(dropped={"patient"}),
    Reason.TWO_PATIENTS: launches(token_changes=two_patients),
    Reason.SESSION_UNKNOWN: visits("/s/never-existed/studies"),
    Reason.SESSION_ENDED: then("studies", five_hours_later),
    Reason.PATIENT_CHANGED: then("studies", renewed_for_another),
    Reason.NO_IMAGING_PERMISSION: launches(token_changes={"scope": "launch openid fhirUser patient/Patient.r"}),
    Reason.IMAGING_UNAVAILABLE: launches(fhir_answers=answering(500)),
    Reason.IMAGING_BUSY: launches(fhir_answers=lambda world: [busy(90)]),
    Reason.REPORT_NOT_AVAILABLE: then("reports/none/forms/0"),
    Reason.NO_IMAGING_SERVICE: launches(fhir_answers=answering(404)),
    Reason.STUDY_NOT_OF_PATIENT: then(f"viewer/{STUDY_B}"),
    Reason.STUDY_NOT_AVAILABLE: then(f"viewer/{STUDY_A}", without_images),
    Reason.VIEWER_MISSING: visits("/ohif/3.13.2-r1/app.js"),
    Reason.NOT_SAME_ORIGIN: from_elsewhere,
    Reason.DISPLAY_REQUEST: then("IHEInvokeImageDisplay?requestType=WARD"),
    Reason.DISPLAY_OTHER_PATIENT: then(
        "IHEInvokeImageDisplay?requestType=PATIENT&patientID=DEMO-9^^^https://imaging-cds.example/demo/mrn"
    ),
    Reason.DISPLAY_PATIENT_NOT_COMPARED: then("IHEInvokeImageDisplay?requestType=PATIENT&patientID=DEMO-1001^^^elsewhere"),
}


def test_no_reason_is_without_a_way_to_it() -> None:
    # An archive that knows better whose images these are stands in test_smart_viewer_page.
    assert {*SCENARIOS, Reason.STUDY_OF_ANOTHER_PERSON} == set(Reason) == set(EXPLANATIONS)


@pytest.mark.parametrize("reason", SCENARIOS, ids=str)
def test_a20_every_refusal_says_what_happened_what_to_do_and_what_support_needs(world: World, reason: Reason) -> None:
    page = SCENARIOS[reason](world)

    said = EXPLANATIONS[reason]
    assert page.status_code == said.status
    words = (
        page.text.replace("&#39;", "'").replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    assert f"<h1>{said.title}</h1>" in words
    assert said.what in words
    assert "What you can do:" in words
    assert said.remedy in words
    assert f"<dd><code>{reason.value}</code></dd>" in words
    reference = re.search(r"For support: reference number ([0-9a-f]{16})", words)
    assert reference is not None
    assert page.headers["X-Request-Id"] == reference[1], "the number is the log's"
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", words)


@pytest.mark.parametrize("reason", SCENARIOS, ids=str)
def test_group_34_no_refusal_shows_a_token_a_code_or_the_patient(world: World, reason: Reason) -> None:
    page = SCENARIOS[reason](world)

    codes = [asked["state"] for asked in world.ehr.authorizations]
    for secret in ("access-", "Alma", "SYNTHETIC", "DEMO-1001", "1964", *codes, *world.ehr.live_refresh_tokens):
        assert secret not in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("reason", SCENARIOS, ids=str)
def test_trying_again_is_offered_only_where_it_repeats_nothing(world: World, reason: Reason) -> None:
    page = SCENARIOS[reason](world)

    safe = {
        Reason.NO_CONFIGURATION: True,
        Reason.IMAGING_UNAVAILABLE: True,
        Reason.IMAGING_BUSY: True,
        Reason.NO_IMAGING_SERVICE: False,
        Reason.VIEWER_MISSING: True,
        Reason.EHR_UNAVAILABLE: False,  # at the callback: the code counts once
    }
    assert ('id="retry"' in page.text) is safe.get(reason, False)
    if reason is Reason.EHR_UNAVAILABLE:
        assert "open Imaging from there again" in page.text


def test_an_ehr_that_is_back_answers_the_second_try(world: World) -> None:
    world.ehr.fhir_answers = answering(500)
    refused = world.clinician.launches(world.ehr)
    world.ehr.fhir_answers.clear()
    again = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert 'href=""' in refused.text
    assert again.status_code == 200


def test_a_late_callback_spends_nothing_and_is_forgotten_in_the_end(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    world.clock.passes(minutes=16)
    late = world.clinician.get(callback)
    world.clock.passes(hours=1)
    much_later = world.clinician.get(callback)

    assert "has expired" in late.text
    assert "cannot be continued" in much_later.text
    assert world.ehr.token_requests == []
