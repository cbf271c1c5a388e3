"""Every way in which a launch ends early has a page of its own that says why (APP-A4, A5, A20, A21, A28; RFC 9207)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from fhir_imaging.settings import ClientAuth
from tests.contract.smart_actors import APP, FOREIGN_KEY, Clinician, FakeEhr, World, a_world, demo_record


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


@pytest.fixture
def ehr(world: World) -> FakeEhr:
    return world.ehr


@pytest.fixture
def clinician(world: World) -> Clinician:
    return world.clinician


def test_a4_an_unknown_iss_is_refused_and_nothing_is_sent(clinician: Clinician, ehr: FakeEhr) -> None:
    page = clinician.get("/launch?iss=http://127.0.0.1:9/fhir&launch=x")

    assert page.status_code == 403
    assert "not known here" in page.text
    assert "http://127.0.0.1:9/fhir" in page.text
    assert ehr.authorizations == []


def test_a4_a_trailing_slash_is_another_iss(clinician: Clinician, ehr: FakeEhr) -> None:
    assert clinician.get(f"/launch?iss={ehr.fhir_base}/&launch=x").status_code == 403


@pytest.mark.parametrize("query", ["iss={base}", "launch=x", "iss={base}&launch="])
def test_a5_an_incomplete_launch_is_explained(clinician: Clinician, ehr: FakeEhr, query: str) -> None:
    page = clinician.get(f"/launch?{query.format(base=ehr.fhir_base)}")

    assert page.status_code == 400
    assert "The launch is incomplete" in page.text


def test_a_browser_without_cookies_is_offered_a_new_window_and_the_handle_is_unspent(world: World, ehr: FakeEhr) -> None:
    clinician = Clinician(world.app, keeps_cookies=False)

    page = clinician.launches(ehr, launch="handle-7")

    assert page.status_code == 403
    assert "Open in new window" in page.text
    assert "launch=handle-7" in page.text
    assert ehr.authorizations == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("access_denied", "Access was not allowed"),
        ("invalid_scope", "refused the permissions"),
        ("unauthorized_client", "does not accept this application"),
        ("temporarily_unavailable", "does not answer"),
        ("something_else", "could not complete the sign-in"),
    ],
)
def test_a20_each_error_has_its_page(clinician: Clinician, ehr: FakeEhr, error: str, words: str) -> None:
    said = "<script>alert(1)</script>"
    ehr.redirect_changes = {"code": "", "error": error, "error_description": said, "error_uri": "https://ehr.example/help"}

    page = clinician.launches(ehr)

    assert page.status_code >= 400
    assert words in page.text
    assert said not in page.text
    assert "&lt;script&gt;" in page.text
    assert 'href="https://ehr.example/help"' in page.text


def test_a20_an_error_uri_that_is_no_web_address_is_not_offered(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.redirect_changes = {"code": "", "error": "access_denied", "error_uri": "javascript:alert(1)"}

    assert "javascript:" not in clinician.launches(ehr).text


def test_a20_an_error_without_a_known_state_is_not_believed(clinician: Clinician) -> None:
    page = clinician.get("/callback?error=access_denied&state=made-up")

    assert page.status_code == 400
    assert "cannot be continued" in page.text


def test_a21_reloading_the_callback_repeats_nothing_and_finds_the_session(clinician: Clinician, ehr: FakeEhr) -> None:
    callback = clinician.callback_of(ehr)
    first = clinician.get(callback)
    second = clinician.get(callback)

    assert first.status_code == second.status_code == 303
    assert first.headers["Location"] == second.headers["Location"]
    assert len(ehr.token_requests) == 1


def test_a21_reloading_a_failed_callback_repeats_nothing(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.token_error = ("invalid_grant", 400)
    callback = clinician.callback_of(ehr)
    first, second = clinician.get(callback), clinician.get(callback)

    assert first.status_code == second.status_code == 403
    assert "has run out" in second.text
    assert len(ehr.token_requests) == 1


def test_rfc9207_an_answer_of_another_issuer_is_refused_before_the_code_is_spent(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.redirect_changes = {"iss": "https://other.example"}

    page = clinician.launches(ehr)

    assert page.status_code == 403
    assert "another EHR" in page.text
    assert ehr.token_requests == []


def test_rfc9207_the_right_issuer_passes(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.redirect_changes = {"iss": f"{ehr.base_url}/auth"}

    assert clinician.launches(ehr).status_code == 200


def test_an_expired_launch_is_explained(world: World) -> None:
    callback = world.clinician.callback_of(world.ehr)
    world.clock.passes(hours=1)

    assert world.clinician.get(callback).status_code == 400
    assert world.ehr.token_requests == []


@pytest.mark.parametrize(
    ("error", "words"),
    [("invalid_client", "does not accept this application"), ("invalid_grant", "has run out"), ("odd", "could not complete")],
)
def test_a26_errors_of_the_token_endpoint_have_pages(clinician: Clinician, ehr: FakeEhr, error: str, words: str) -> None:
    ehr.token_error = (error, 400)

    page = clinician.launches(ehr)

    assert words in page.text
    assert "<b>said</b>" not in page.text


def test_a27_an_answer_without_a_bearer_token_is_explained(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.token_changes = {"token_type": "mac"}

    page = clinician.launches(ehr)

    assert page.status_code == 502
    assert "cannot be used" in page.text


def test_a28_no_patient_is_explained_and_never_guessed(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.dropped = {"patient"}

    page = clinician.launches(ehr)

    assert page.status_code == 403
    assert "No patient was handed over" in page.text
    assert ehr.fhir_requests == []


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://foreign.example"},
        {"aud": "another-app"},
        {"exp": 1},
        {"exp": None},
        {"iat": 4102444800},
        {"nonce": "of-another-sign-in"},
        {"sub": None},
        {"aud": ["imaging-cds", "other"]},
    ],
)
def test_a34_an_id_token_that_does_not_hold_ends_the_launch(
    clinician: Clinician, ehr: FakeEhr, claims: dict[str, object]
) -> None:
    ehr.id_token_changes = claims

    page = clinician.launches(ehr)

    assert page.status_code == 403
    assert "identity could not be confirmed" in page.text
    assert ehr.fhir_requests == []


def test_a34_a_signature_by_another_key_ends_the_launch(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.id_token_key = FOREIGN_KEY

    assert "identity could not be confirmed" in clinician.launches(ehr).text


def test_a34_without_kid_every_key_is_tried(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.id_token_header = {}

    assert clinician.launches(ehr).status_code == 200


def test_a34_a_configured_alias_of_the_issuer_is_believed(tmp_path: Path) -> None:
    ehr = FakeEhr(fhir=demo_record(), id_token_changes={"iss": "https://idp.example/tenant"})
    with a_world(tmp_path, ehr=ehr, issuer_aliases=("https://idp.example/tenant",)) as world:
        assert world.clinician.launches(ehr).status_code == 200


def test_a_launch_without_id_token_still_works(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.dropped = {"id_token"}

    assert clinician.launches(ehr).status_code == 200


def test_no_discovery_names_the_address_tried(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.without_configuration = True

    page = clinician.launches(ehr)

    assert page.status_code == 502
    assert f"{ehr.fhir_base}/.well-known/smart-configuration" in page.text


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_group_24_a_server_that_nobody_configured_gets_nothing(clinician: Clinician, ehr: FakeEhr, name: str) -> None:
    ehr.smart_configuration = {name: "http://127.0.0.1:9/elsewhere"}

    page = clinician.launches(ehr)

    assert page.status_code == 502
    assert "may not be used" in page.text
    assert "http://127.0.0.1:9" in page.text


def test_a23_a_confidential_client_uses_http_basic(tmp_path: Path) -> None:
    known_as = {"client_id": "secret-app", "client_auth": ClientAuth.SECRET_BASIC, "client_secret": "s3cret"}
    ehr = FakeEhr(fhir=demo_record(), client_id="secret-app")
    with a_world(tmp_path, ehr=ehr, **known_as) as world:
        page = world.clinician.launches(ehr)

    assert page.status_code == 200
    assert ehr.token_headers[0]["Authorization"] == "Basic c2VjcmV0LWFwcDpzM2NyZXQ="
    assert "client_id" not in ehr.token_requests[0]


def test_every_refusal_renders_in_the_ehrs_frame_and_is_not_cached(tmp_path: Path) -> None:
    with a_world(tmp_path, frame_ancestors=("https://ehr.example",)) as world:
        page = world.clinician.get(f"/launch?{urlencode({'iss': 'https://who.example', 'launch': 'x'})}")

    assert "frame-ancestors 'self' https://ehr.example" in page.headers["Content-Security-Policy"]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    assert APP not in page.text
