"""The app and EHRs that refuse, are down, or send the browser back twice (SBX-S11 against APP-A20, A21, A26, A39)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from ehr_sandbox.settings import Faults
from smart_app.explanations import Reason
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained
from tests.contract.smart_actors import APP, query_of

HOSTILE = "<img src=x onerror=alert(1)> Call +1 555 0100 now and say your password. https://attacker.example/ " + "x" * 2000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC, app_settings={"busy_wait_s": 0}) as made:
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("access_denied", Reason.DENIED),
        ("invalid_request", Reason.REQUEST_REFUSED),
        ("invalid_scope", Reason.SCOPE_REFUSED),
        ("unauthorized_client", Reason.CLIENT_REJECTED),
        ("unsupported_response_type", Reason.REQUEST_REFUSED),
        ("server_error", Reason.EHR_UNAVAILABLE),
        ("temporarily_unavailable", Reason.EHR_UNAVAILABLE),
        ("login_required", Reason.SIGN_IN_FAILED),
        ("invented_by_the_vendor", Reason.AUTHORIZATION_FAILED),
    ],
)
def test_s11_a20_each_error_redirect_has_its_page_and_tells_the_code(hospital: Hospital, error: str, reason: Reason) -> None:
    page = hospital.launches(faults=Faults(authorize_error=error))

    words = assert_explained(page, reason)
    assert error in words
    assert not any("/s/" in address for address in hospital.clinician.addresses)


def test_s11_a20_a_hostile_description_is_quoted_short_and_harmless(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(authorize_error="access_denied", authorize_error_description=HOSTILE))

    assert_explained(page, Reason.DENIED)
    assert "<img" not in page.text
    assert "x" * 600 not in page.text
    assert 'href="https://attacker.example' not in page.text


@pytest.mark.parametrize(
    ("uri", "is_offered"),
    [("https://ehr.example/errors/42", True), ("javascript:alert(1)", False), ("data:text/html,x", False), ("//x", False)],
)
def test_s11_a20_error_uri_is_a_link_that_a_person_may_follow_and_we_never_do(
    hospital: Hospital, uri: str, *, is_offered: bool
) -> None:
    page = hospital.launches(faults=Faults(authorize_error="access_denied", authorize_error_uri=uri))

    assert_explained(page, Reason.DENIED)
    assert (f'href="{uri}"' in page.text) is is_offered
    assert not is_offered or 'rel="noopener noreferrer"' in page.text
    assert page.status_code == 403, "a page, not a redirect"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("invalid_client", Reason.CLIENT_REJECTED),
        ("unauthorized_client", Reason.CLIENT_REJECTED),
        ("invalid_grant", Reason.CODE_REFUSED),
        ("invalid_scope", Reason.SCOPE_REFUSED),
        ("unsupported_grant_type", Reason.REQUEST_REFUSED),
        ("invalid_request", Reason.REQUEST_REFUSED),
        ("invented_by_the_vendor", Reason.AUTHORIZATION_FAILED),
    ],
)
def test_s11_a26_each_error_of_the_token_endpoint_has_its_page(hospital: Hospital, error: str, reason: Reason) -> None:
    words = assert_explained(hospital.launches(faults=Faults(token_error=error)), reason)

    assert error in words


def test_s11_a21_a_replayed_callback_posts_no_code_again_and_leads_to_the_same_session(hospital: Hospital) -> None:
    hospital.launches()
    session = hospital.clinician.session
    callback = next(one for one in hospital.clinician.addresses if "/callback?" in one).removeprefix(APP)

    again = hospital.clinician.opens(callback)

    assert again.status_code == 200
    assert hospital.clinician.session == session
    assert hospital.token().status_code == 200, "a code that came twice would have ended the grant"


def test_s11_a21_a_replayed_callback_in_another_browser_opens_nothing(hospital: Hospital) -> None:
    hospital.launches()
    callback = next(one for one in hospital.clinician.addresses if "/callback?" in one).removeprefix(APP)
    thief = hospital.anew()

    words = assert_explained(thief.clinician.opens(callback), Reason.OTHER_BROWSER)

    assert query_of(callback)["code"] not in words
    assert hospital.token().status_code == 200


def test_s11_a20_an_error_with_a_foreign_state_says_nothing_of_a_launch(hospital: Hospital) -> None:
    page = hospital.clinician.get("/callback?error=access_denied&state=invented&error_description=%3Cb%3E")

    assert_explained(page, Reason.STATE_UNKNOWN)


def test_s11_a_token_endpoint_that_is_down_is_explained_and_nothing_is_retried_blindly(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(unavailable=("token",)))

    words = assert_explained(page, Reason.EHR_UNAVAILABLE)
    assert "Try again" not in words, "the code was spent as far as anybody knows: only a new launch helps"
    assert "open Imaging from there again" in words


def in_http_date(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("retry_after", ["1", "0", "1.5", "soon", "", "-3", "9" * 6, "date"])
def test_s11_a_study_search_that_is_busy_once_is_asked_again_whatever_retry_after_says(
    hospital: Hospital, retry_after: str
) -> None:
    said = in_http_date(1) if retry_after == "date" else retry_after
    faults = Faults(unavailable=("ImagingStudy",), unavailable_times=1, retry_after=said)
    page = hospital.launches(faults=faults)
    if page.status_code != 200:
        assert_explained(page, Reason.IMAGING_BUSY)
        page = studies(hospital)

    assert page.status_code == 200
    assert "CT chest" in page.text


def studies(hospital: Hospital) -> Any:
    return hospital.clinician.opens(f"/s/{hospital.clinician.session}/studies")


def test_s11_a_study_search_that_stays_down_never_reads_as_no_studies(hospital: Hospital) -> None:
    words = assert_explained(hospital.launches(faults=Faults(unavailable=("ImagingStudy",))), Reason.IMAGING_BUSY)

    assert "That does not mean there are none." in words
    assert "Try again" in words


def test_s11_reports_that_are_down_leave_the_studies_and_are_said_to_be_missing(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(unavailable=("DiagnosticReport",)))

    words = html.unescape(page.text)
    assert page.status_code == 200
    assert "CT chest" in words
    assert "Final report" not in words
    assert "reports" in words.lower()


def test_s11_a35_a_patient_that_cannot_be_read_fails_nothing(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(unavailable=("Patient",)))

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert "Patient demo-a" in page.text
