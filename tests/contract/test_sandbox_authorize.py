"""The authorization endpoint: what is refused, and where (SBX-S3, SBX-S8)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ehr_sandbox.settings import Faults, RegisteredClient
from tests.contract.sandbox_client import APP, EHR_SCOPE, REDIRECT_URI, SandboxClient, a_sandbox, redirected

OTHER = RegisteredClient(client_id="other", name="Other app", redirect_uris=(REDIRECT_URI,))
NARROW = RegisteredClient(
    client_id="narrow", name="Narrow app", redirect_uris=(REDIRECT_URI,), scopes=("launch", "patient/Patient.r")
)
CAUTIOUS = RegisteredClient(client_id="cautious", name="Asks", redirect_uris=(REDIRECT_URI,), ask_consent=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxClient]:
    with a_sandbox(tmp_path_factory.mktemp("ehr"), clients=(OTHER, NARROW, CAUTIOUS)) as client:
        yield client


@pytest.fixture
def ehr(shared: SandboxClient) -> SandboxClient:
    shared.http.cookies.clear()
    return shared


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": f"{APP}/callback/"},
        {"redirect_uri": f"{APP}/callback?x=1"},
        {"redirect_uri": "http://localhost:8000.evil.example/callback"},
        {"redirect_uri": None},
        {"client_id": "imaging-server"},
    ],
)
def test_s3_wrong_client_or_redirect_uri_is_a_page_and_never_a_redirect(ehr: SandboxClient, changes: dict[str, Any]) -> None:
    answer = ehr.authorize(**changes)

    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "This cannot go on" in answer.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"state": None}, "invalid_request"),
        ({"request_uri": "https://x.example"}, "request_not_supported"),
        ({"launch": "invented", "scope": EHR_SCOPE}, "invalid_request"),
        ({"launch": "invented"}, "invalid_scope"),
    ],
)
def test_s3_other_faults_go_back_to_the_app_with_their_code(ehr: SandboxClient, changes: dict[str, Any], error: str) -> None:
    answer = redirected(ehr.authorize(**changes))

    assert answer["error"] == error
    assert answer["error_description"]
    assert "code" not in answer


@pytest.mark.parametrize("suffix", ["/", "?", "/Patient"])
def test_s3_aud_must_equal_the_fhir_base_byte_for_byte(ehr: SandboxClient, suffix: str) -> None:
    answer = redirected(ehr.authorize(aud=ehr.fhir_base + suffix))

    assert answer["error"] == "invalid_request"
    assert ehr.fhir_base in answer["error_description"]


def test_s3_confidential_clients_need_pkce_too(ehr: SandboxClient) -> None:
    answer = redirected(ehr.authorize(client_id="imaging-cds-confidential", code_challenge=None))

    assert answer["error"] == "invalid_request"


def test_s3_a_launch_opens_once_for_its_own_client_without_a_page(ehr: SandboxClient) -> None:
    handle = ehr.a_launch()

    foreign = redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE, client_id="other"))
    first = redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE, state="s1"))
    second = redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE))

    assert foreign["error"] == "invalid_request"
    assert first["state"] == "s1"
    assert first["code"]
    assert second["error"] == "invalid_request"


def test_s3_a_request_refused_for_another_reason_does_not_spend_the_launch(ehr: SandboxClient) -> None:
    handle = ehr.a_launch()

    redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE, aud="http://elsewhere"))

    assert "code" in redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE))


def test_s3_an_expired_launch_is_refused(tmp_path: Path) -> None:
    with a_sandbox(tmp_path, launch_lifetime_s=0) as ehr:
        answer = ehr.launched()

    assert answer["error"] == "invalid_request"


def test_s3_authorize_takes_a_form_post(ehr: SandboxClient) -> None:
    form = ehr.request(launch=ehr.a_launch(), scope=EHR_SCOPE)
    answer = ehr.http.post(f"{ehr.base}/auth/authorize", data=form, timeout=5, allow_redirects=False)

    assert "code" in redirected(answer)


def test_s3_a_repeated_parameter_is_a_page(ehr: SandboxClient) -> None:
    parameters = [*ehr.request().items(), ("scope", "openid")]
    answer = ehr.http.get(f"{ehr.base}/auth/authorize", params=parameters, timeout=5, allow_redirects=False)

    assert answer.status_code == 400


def test_s3_a_head_request_or_a_prefetch_does_not_spend_the_launch(ehr: SandboxClient) -> None:
    handle = ehr.a_launch()
    url, parameters = f"{ehr.base}/auth/authorize", ehr.request(launch=handle, scope=EHR_SCOPE)

    assert ehr.http.head(url, params=parameters, timeout=5).status_code == 503
    prefetch = {"Sec-Purpose": "prefetch;prerender"}
    assert ehr.http.get(url, params=parameters, headers=prefetch, timeout=5).status_code == 503
    assert "code" in redirected(ehr.authorize(launch=handle, scope=EHR_SCOPE))


def test_pages_answer_under_their_own_host_name_only(ehr: SandboxClient) -> None:
    for path in ("authorize", "manage"):
        answer = ehr.http.get(f"{ehr.base}/auth/{path}", headers={"Host": "rebound.example"}, timeout=5)

        assert answer.status_code == 421


def test_s8_standalone_goes_through_sign_in_picker_and_consent(ehr: SandboxClient) -> None:
    page = ehr.authorize(state="s8")
    assert "Sign in" in page.text
    page = ehr.answer(page, "sign-in", user="Practitioner/demo-gp")
    assert "Choose a patient" in page.text
    found = ehr.answer(page, "search", name="brun")
    assert "Bruno" in found.text
    assert "Alma" not in found.text
    page = ehr.answer(page, "choose-patient", patient="demo-b")
    assert "Allow Imaging CDS?" in page.text
    answer = redirected(ehr.answer(page, "allow"))

    assert answer["state"] == "s8"
    assert ehr.exchange(answer["code"]).json()["patient"] == "demo-b"


def test_s8_the_picker_finds_by_identifier(ehr: SandboxClient) -> None:
    page = ehr.answer(ehr.authorize(), "sign-in", user="Practitioner/demo-gp")

    assert "Bruno" in ehr.answer(page, "search", name="DEMO-1002").text


def test_s8_patient_scopes_force_the_picker_in_an_ehr_launch_without_patient(ehr: SandboxClient) -> None:
    page = ehr.authorize(launch=ehr.a_launch(patient=None), scope="launch patient/*.rs")

    assert "Choose a patient" in page.text


def test_user_scopes_alone_need_no_patient(ehr: SandboxClient) -> None:
    assert "patient" not in ehr.tokens("launch openid user/Practitioner.rs", patient=None)


def test_a_denied_consent_goes_back_as_access_denied(ehr: SandboxClient) -> None:
    page = ehr.authorize(launch=ehr.a_launch("cautious"), scope=EHR_SCOPE, client_id="cautious", state="d")
    answer = redirected(ehr.answer(page, "deny"))

    assert answer["error"] == "access_denied"
    assert answer["state"] == "d"


def test_a_consent_page_works_once(ehr: SandboxClient) -> None:
    page = ehr.authorize(launch=ehr.a_launch("cautious"), scope=EHR_SCOPE, client_id="cautious")
    redirected(ehr.answer(page, "allow"))

    assert ehr.answer(page, "allow").status_code == 400


def test_consent_cannot_be_given_before_a_patient_is_chosen(ehr: SandboxClient) -> None:
    page = ehr.answer(ehr.authorize(), "sign-in", user="Practitioner/demo-gp")

    assert ehr.answer(page, "allow").status_code == 400
    assert ehr.answer(page, "choose-patient", patient="nobody").status_code == 400


def test_a_form_posted_from_another_site_is_refused(ehr: SandboxClient) -> None:
    form = {"action": "allow", "pending": "x"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = ehr.http.post(f"{ehr.base}/auth/continue", data=form, headers=headers, timeout=5)

        assert answer.status_code == 403


def test_a_patient_who_signs_in_is_the_patient_in_context(ehr: SandboxClient) -> None:
    page = ehr.answer(ehr.authorize(), "sign-in", user="Patient/demo-b")
    tokens = ehr.exchange(redirected(ehr.answer(page, "allow"))["code"]).json()

    assert tokens["patient"] == "demo-b"


def test_a_user_may_change_before_consent_and_a_second_launch_remembers_the_user(ehr: SandboxClient) -> None:
    page = ehr.answer(ehr.authorize(), "sign-in", user="Practitioner/demo-gp")
    assert "Choose a patient" in ehr.authorize().text

    page = ehr.answer(page, "sign-out")

    assert "Sign in" in page.text
    assert ehr.answer(page, "sign-in", user="Practitioner/nobody").status_code == 400
    assert "Sign in" in ehr.authorize().text


def test_pages_refuse_foreign_frames_and_foreign_content(ehr: SandboxClient) -> None:
    policy = ehr.authorize().headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert f"form-action 'self' {ehr.base} {APP}" in policy


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("launch patient/*.rs system/*.rs", "launch patient/*.rs"),
        ("launch patient/Patient.sr patient/Patient.dus", "launch"),
        ("launch patient/*.read patient/Observation.write", "launch patient/*.read patient/Observation.write"),
        ("launch patient/Nonsense.rs", "launch"),
        ("launch patient/Observation.rs?nosuch=1", "launch"),
        ("launch patient/Observation.rs?category=laboratory", "launch patient/Observation.rs?category=laboratory"),
        ("launch launch/encounter", "launch"),
        ("launch launch __vendor", "launch"),
    ],
)
def test_scopes_that_cannot_be_enforced_are_not_granted(ehr: SandboxClient, asked: str, granted: str) -> None:
    assert ehr.tokens(asked)["scope"] == granted


def test_a_client_gets_no_more_than_it_registered(ehr: SandboxClient) -> None:
    code = ehr.launched("launch openid patient/Patient.r patient/*.rs", client_id="narrow")["code"]

    assert ehr.exchange(code, client_id="narrow").json()["scope"] == "launch patient/Patient.r"


def test_s11_denied_scopes_missing_patient_no_refresh_and_short_tokens(ehr: SandboxClient) -> None:
    scope = "launch patient/Patient.r patient/ImagingStudy.rs offline_access"
    denied = ehr.tokens(scope, faults=Faults(denied_scopes=("patient/ImagingStudy.rs",)))
    nothing = ehr.tokens(scope, faults=Faults(denied_scopes=("*",)))
    faulty = ehr.tokens(scope, faults=Faults(missing_patient=True, no_refresh_token=True, access_token_lifetime_s=5))

    assert denied["scope"] == "launch patient/Patient.r offline_access"
    assert nothing["scope"] == ""
    assert "patient" not in faulty
    assert "refresh_token" not in faulty
    assert faulty["expires_in"] == 5


def test_secrets_are_unguessable(ehr: SandboxClient) -> None:
    code = ehr.launched()["code"]

    assert len(base64.urlsafe_b64decode(code + "==")) == 32
