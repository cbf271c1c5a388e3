"""The app and tokens that live briefly, renew oddly or are lost (SBX-S11 against APP-A27, A38, A39)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ehr_sandbox.settings import Faults
from smart_app.explanations import Reason
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained
from tests.contract.smart_actors import APP


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC) as made:
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


def studies(hospital: Hospital) -> Any:
    """The study list, loaded again."""
    return hospital.clinician.opens(f"/s/{hospital.clinician.session}/studies")


def stolen_refresh_token(hospital: Hospital) -> str:
    """The refresh token that the app holds, as somebody who broke into its store would have it."""
    session = hospital.app.services.sessions.find(hospital.clinician.session, now=hospital.app.services.now())
    assert session is not None
    assert session.refresh_token is not None
    return session.refresh_token


def refresh_elsewhere(hospital: Hospital, refresh_token: str) -> None:
    """Uses a refresh token past the app."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "imaging-cds"}
    with requests.Session() as other:
        other.trust_env = False
        answer = other.post(f"{hospital.services.settings.issuer}/token", data=form, timeout=10)
    assert answer.status_code == 200


def test_s11_a38_tokens_of_five_seconds_are_renewed_ahead_and_nobody_notices(hospital: Hospital) -> None:
    pages = [hospital.launches(faults=Faults(access_token_lifetime_s=5))]
    for _ in range(4):
        hospital.app.clock.passes(seconds=4)
        assert hospital.token().status_code == 200
        pages.append(studies(hospital))

    assert [page.status_code for page in pages] == [200] * 5
    assert all("CT chest" in page.text for page in pages)
    assert all("could not" not in page.text for page in pages)


def test_s11_a38_many_requests_at_once_renew_five_second_tokens_in_single_flight(hospital: Hospital) -> None:
    """The sandbox ends the whole grant when a refresh token comes twice, so success means that each came once."""
    hospital.launches(faults=Faults(access_token_lifetime_s=5))
    path = f"/s/{hospital.clinician.session}/token"
    statuses: list[int] = []
    cookie = hospital.clinician.client.get_cookie("imaging_cds_window", domain="localhost")
    assert cookie is not None

    def ask() -> None:
        headers = {"Sec-Fetch-Site": "same-origin", "Cookie": f"{cookie.key}={cookie.value}"}
        with hospital.app.flask.test_client(use_cookies=False) as browser:
            statuses.append(browser.post(path, base_url=APP, headers=headers).status_code)

    for _ in range(2):
        hospital.app.clock.passes(seconds=5)
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert statuses == [200] * 12
    assert studies(hospital).status_code == 200


def test_s11_a39_without_a_refresh_token_the_end_of_the_token_is_the_end_of_the_session(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(no_refresh_token=True))
    hospital.app.clock.passes(seconds=301)

    words = assert_explained(studies(hospital), Reason.SESSION_ENDED)
    assert "open Imaging from there again" in words
    assert "online_access" in words
    assert hospital.token().status_code == 401


def test_s11_a27_without_expires_in_a_short_life_is_assumed_and_renewed(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(no_expires_in=True))
    first = hospital.token().json
    hospital.app.clock.passes(seconds=first["expires_in"] + 1)
    second = hospital.token().json

    assert page.status_code == 200
    assert 0 < first["expires_in"] <= 300
    assert second["access_token"] != first["access_token"]
    assert studies(hospital).status_code == 200


def test_s11_tokens_of_570_seconds_are_used_for_most_of_their_life(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(access_token_lifetime_s=570))
    first = hospital.token().json
    hospital.app.clock.passes(seconds=400)
    kept = hospital.token().json
    hospital.app.clock.passes(seconds=100)
    renewed = hospital.token().json

    assert first["expires_in"] == 570
    assert kept["access_token"] == first["access_token"]
    assert renewed["access_token"] != first["access_token"]


def test_s11_a38_an_ehr_that_sends_no_new_refresh_token_is_asked_with_the_old_one(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(no_new_refresh_token=True))
    kept = stolen_refresh_token(hospital)
    for _ in range(3):
        hospital.app.clock.passes(seconds=290)
        assert hospital.token().status_code == 200

    assert stolen_refresh_token(hospital) == kept


def test_s11_a38_a_refresh_that_names_another_patient_stops_the_session(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(refresh_patient="demo-b"))
    hospital.app.clock.passes(seconds=290)

    refused = hospital.token()
    words = assert_explained(studies(hospital), Reason.PATIENT_CHANGED)

    assert refused.status_code == 401
    assert "demo-b" not in words
    assert "access_token" not in refused.text
    assert_explained(studies(hospital), Reason.PATIENT_CHANGED)


def test_s11_a38_reuse_of_a_stolen_refresh_token_ends_the_grant_and_so_the_session(hospital: Hospital) -> None:
    hospital.launches()
    refresh_elsewhere(hospital, stolen_refresh_token(hospital))
    hospital.app.clock.passes(seconds=290)

    assert hospital.token().status_code == 401
    assert_explained(studies(hospital), Reason.SESSION_ENDED)


def test_s11_a39_a_token_that_was_revoked_early_is_renewed_once_and_the_list_comes(hospital: Hospital) -> None:
    hospital.launches()
    token = hospital.token().json["access_token"]
    found = hospital.services.authorization.grant_of_token(token, None)
    assert found is not None
    hospital.services.authorization.records.revoke_access_token(str(found[1]["jti"]), 1.0)
    hospital.app.clock.passes(seconds=10)

    page = studies(hospital)

    assert page.status_code == 200
    assert "CT chest" in page.text


def test_s11_a39_a_grant_that_was_revoked_ends_the_session(hospital: Hospital) -> None:
    hospital.launches()
    token = hospital.token().json["access_token"]
    found = hospital.services.authorization.grant_of_token(token, None)
    assert found is not None
    hospital.services.authorization.records.revoke_grant(found[0].grant_id, 1.0)
    hospital.app.clock.passes(seconds=10)

    assert_explained(studies(hospital), Reason.SESSION_ENDED)


def test_s11_a38_a_token_endpoint_that_is_down_on_refresh_leaves_a_token_that_still_lives(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(access_token_lifetime_s=100, unavailable=("refresh",), unavailable_times=1))
    first = hospital.token().json["access_token"]
    hospital.app.clock.passes(seconds=85)
    kept = hospital.token()
    hospital.app.clock.passes(seconds=5)
    renewed = hospital.token()

    assert kept.status_code == 200
    assert kept.json["access_token"] == first
    assert renewed.json["access_token"] != first


def test_s11_a39_a_token_endpoint_that_stays_down_is_told_as_such_and_not_as_an_end(hospital: Hospital) -> None:
    hospital.launches(faults=Faults(access_token_lifetime_s=100, unavailable=("refresh",), unavailable_times=1))
    hospital.app.clock.passes(seconds=101)

    words = assert_explained(studies(hospital), Reason.EHR_UNAVAILABLE)
    assert "Try again" in words
    assert studies(hospital).status_code == 200, "the session goes on once the EHR answers"
