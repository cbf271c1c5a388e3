"""The app against the strict sandbox EHR, which shares no code with it: client types, context, refresh and fault switches."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from flask import Flask, jsonify

from ehr_sandbox.oauth_keys import client_secret
from ehr_sandbox.settings import Faults, RegisteredClient
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.settings import ClientAuth
from smart_app.explanations import Reason
from tests.conftest import free_port_number, serving
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained
from tests.contract.smart_actors import APP, STUDY_A, a_world


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Hospital]:
    with a_hospital(tmp_path, PUBLIC) as made:
        yield made


def test_a_public_client_launches_reads_and_refreshes(hospital: Hospital) -> None:
    page = hospital.launches()
    hospital.app.clock.passes(seconds=250)
    renewed = hospital.token()

    assert page.status_code == 200
    assert "SYNTHETIC, Alma" in page.text
    assert "Final report" in page.text
    assert "Open images" in page.text
    assert renewed.status_code == 200


def test_the_study_of_the_cards_link_is_opened(hospital: Hospital) -> None:
    page = hospital.launches(app_context=f"studies/{STUDY_A}")

    assert page.status_code == 200
    assert hospital.clinician.addresses[-1].endswith(f"/viewer/{STUDY_A}")


def test_the_study_of_fhir_context_is_opened(hospital: Hospital) -> None:
    hospital.launches(fhir_context=({"reference": "ImagingStudy/study-a"},))

    assert hospital.clinician.addresses[-1].endswith(f"/viewer/{STUDY_A}")


def test_a23_client_secret_basic(tmp_path: Path) -> None:
    client = RegisteredClient(
        client_id="imaging-cds-confidential",
        name="Imaging",
        auth_method="client_secret_basic",
        redirect_uris=(f"{APP}/callback",),
    )
    secret = client_secret(tmp_path / "ehr", client.client_id)
    known_as = {"client_auth": ClientAuth.SECRET_BASIC, "client_secret": secret}
    with a_hospital(tmp_path, client, **known_as) as hospital:
        page = hospital.launches()
        hospital.app.clock.passes(seconds=250)

        assert page.status_code == 200
        assert hospital.token().status_code == 200


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_a24_private_key_jwt_by_our_published_keys(tmp_path: Path, algorithm: str) -> None:
    keys = Flask("our_keys")
    keys.add_url_rule("/.well-known/jwks.json", view_func=lambda: jsonify(ClientKeys.of(tmp_path / "state").jwks(0)))
    with serving(keys, free_port_number()) as published:
        client = RegisteredClient(
            client_id="imaging-cds-keys",
            name="Imaging",
            auth_method="private_key_jwt",
            redirect_uris=(f"{APP}/callback",),
            jwks_url=f"{published}/.well-known/jwks.json",
        )
        signing = {"assertion_algorithm": algorithm}
        with a_hospital(tmp_path, client, app_settings=signing, client_auth=ClientAuth.PRIVATE_KEY_JWT) as hospital:
            # Assertions are dated by our clock and judged by the sandbox's, so it must not run far ahead.
            page = hospital.launches(faults=Faults(access_token_lifetime_s=5))
            hospital.app.clock.passes(seconds=5)

            assert page.status_code == 200
            assert hospital.token().status_code == 200


def test_a12_a_long_request_is_posted_and_accepted(tmp_path: Path) -> None:
    scopes = " ".join(["openid patient/*.rs", *(f"patient/ImagingStudy.rs?modality=M{number}" for number in range(60))])
    with a_hospital(tmp_path, PUBLIC, scopes=scopes) as hospital:
        page = hospital.launches()
        fields = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', page.text))
        target = re.search(r'<form method="post" action="([^"]+)"', page.text)
        assert target is not None
        with requests.Session() as browser:
            browser.trust_env = False
            sent = {name: html.unescape(value) for name, value in fields.items()}
            answer = browser.post(target[1], data=sent, allow_redirects=False, timeout=10)
        listed = hospital.clinician.opens(answer.headers["Location"].removeprefix(APP))

    assert len(fields["scope"]) > 1500
    assert listed.status_code == 200
    assert "CT chest" in listed.text


def test_s11_missing_patient_is_explained(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(missing_patient=True))

    assert "No patient was handed over" in page.text


def test_s11_denied_scopes_are_named(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(denied_scopes=("patient/DiagnosticReport.rs", "patient/Patient.r")))

    assert page.status_code == 200
    assert "patient/DiagnosticReport.s" in page.text
    assert "patient/Patient.r" in page.text
    assert "Patient demo-a" in page.text
    assert "CT chest" in page.text


def test_s11_without_any_scope_the_missing_permission_is_explained(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(denied_scopes=("*",)))

    assert "patient/ImagingStudy.rs" in assert_explained(page, Reason.NO_IMAGING_PERMISSION)


def test_s11_no_refresh_token_ends_the_session_with_its_token(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(no_refresh_token=True))
    hospital.app.clock.passes(seconds=301)

    assert hospital.token().status_code == 401


def test_s11_tokens_of_five_seconds_are_renewed_unseen(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(access_token_lifetime_s=5))
    for _ in range(3):
        hospital.app.clock.passes(seconds=5)
        answer = hospital.token()
        assert answer.status_code == 200
        assert answer.json["expires_in"] == 5


def test_s11_logout_revokes_so_that_the_ehr_forgets(hospital: Hospital) -> None:
    hospital.launches()
    token = hospital.token().json["access_token"]
    hospital.clinician.post(f"/s/{hospital.clinician.session}/logout")

    assert hospital.services.authorization.grant_of_token(token, None) is None


def launch_of(hospital: Hospital) -> str:
    """The address of the first step after the launch URL, as a reload of the frame opens it again."""
    return next(address for address in hospital.clinician.addresses if address.startswith("/launch/go?"))


def test_a5_a_launch_opened_again_in_its_browser_leads_back_to_its_session(hospital: Hospital) -> None:
    hospital.launches()
    session, steps = hospital.clinician.session, len(hospital.clinician.addresses)
    page = hospital.clinician.opens(f"{launch_of(hospital)}&navigation=reload")

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert hospital.clinician.addresses[steps:] == [f"/s/{session}/studies"], "the EHR is not asked again"


def test_a5_a_launch_on_a_study_opened_again_leads_to_that_study(hospital: Hospital) -> None:
    hospital.launches(fhir_context=({"reference": "ImagingStudy/study-a"},))
    session = hospital.clinician.session
    page = hospital.clinician.opens(f"{launch_of(hospital)}&navigation=back_forward")

    assert page.status_code == 200
    assert hospital.clinician.session == session
    assert hospital.clinician.addresses[-1].split("?")[0].endswith(f"/viewer/{STUDY_A}")


def test_a5_a_launch_opened_again_after_its_session_is_explained(hospital: Hospital) -> None:
    hospital.launches()
    hospital.clinician.post(f"/s/{hospital.clinician.session}/logout")
    steps = len(hospital.clinician.addresses)
    words = assert_explained(hospital.clinician.opens(launch_of(hospital)), Reason.LAUNCH_USED)

    assert "This launch was already used" in words
    assert "open Imaging from there again" in words
    assert hospital.clinician.addresses[steps:] == [], "the EHR is not asked again"


def test_a5_a_launch_whose_token_has_run_out_is_explained(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(no_refresh_token=True))
    hospital.app.clock.passes(seconds=301)

    assert_explained(hospital.clinician.opens(launch_of(hospital)), Reason.LAUNCH_USED)


def test_a5_a_launch_handle_counts_once_and_never_in_another_browser(hospital: Hospital) -> None:
    hospital.launches()
    session = hospital.clinician.session
    stranger = hospital.anew().clinician
    page = stranger.opens(launch_of(hospital).replace("/launch/go?", "/launch?"))

    assert_explained(page, Reason.REQUEST_REFUSED)
    assert not any(session in address for address in stranger.addresses)


def test_a5_where_the_ehr_repeats_its_handles_each_start_is_a_new_one(tmp_path: Path) -> None:
    with a_world(tmp_path, launch_handles_recur=True) as world:
        world.clinician.launches(world.ehr, launch="always-the-same")
        first = world.clinician.session
        page = world.clinician.launches(world.ehr, launch="always-the-same")

    assert page.status_code == 200
    assert world.clinician.session != first
