"""The EHR and the standalone launch over HTTP, against an EHR on a socket (SMART App Launch 2.2, APP-A ids)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.smart_actors import APP, Clinician, FakeEhr, World, a_world, demo_record, query_of


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


def test_a5_an_ehr_launch_ends_on_the_study_list(clinician: Clinician, ehr: FakeEhr) -> None:
    page = clinician.launches(ehr)

    assert page.status_code == 200
    assert "SYNTHETIC, Alma" in page.text
    assert "CT chest" in page.text
    assert "Open images" in page.text


def test_a8_a9_the_authorization_request_says_all_that_is_required(clinician: Clinician, ehr: FakeEhr) -> None:
    clinician.launches(ehr, launch="the-handle")

    (asked,) = ehr.authorizations
    assert asked["aud"] == ehr.fhir_base
    assert asked["launch"] == "the-handle"
    assert asked["redirect_uri"] == f"{APP}/callback"
    assert asked["scope"].startswith("launch openid fhirUser")
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 22
    assert asked["nonce"]


def test_a22_a_public_client_sends_its_id_and_no_secret(clinician: Clinician, ehr: FakeEhr) -> None:
    clinician.launches(ehr)

    (asked,) = ehr.token_requests
    assert asked["client_id"] == "imaging-cds"
    assert asked["redirect_uri"] == f"{APP}/callback"
    assert 43 <= len(asked["code_verifier"]) <= 128
    assert "client_secret" not in asked
    assert "Authorization" not in ehr.token_headers[0]


def test_a6_a_standalone_launch_sends_no_launch_parameter(clinician: Clinician, ehr: FakeEhr) -> None:
    page = clinician.opens(f"/launch/standalone?iss={ehr.fhir_base}")

    (asked,) = ehr.authorizations
    assert page.status_code == 200
    assert "launch" not in asked
    assert asked["scope"].split()[0] == "launch/patient"


def test_no_address_ever_held_the_token(clinician: Clinician, ehr: FakeEhr) -> None:
    page = clinician.launches(ehr)

    assert not any("access-" in address for address in clinician.addresses)
    assert "access-" not in page.text
    assert "code=" in clinician.addresses[-2]
    assert query_of(clinician.addresses[-1]) == {}


def test_a12_a_long_request_goes_by_post_where_the_ehr_offers_it(tmp_path: Path) -> None:
    ehr = FakeEhr(smart_configuration={"capabilities": ["authorize-post"]})
    scopes = " ".join(f"patient/ImagingStudy.rs?modality=M{number}" for number in range(80))
    with a_world(tmp_path, ehr=ehr, scopes=scopes) as world:
        world.clinician.get(f"/launch?iss={ehr.fhir_base}&launch=x")
        page = world.clinician.get(f"/launch/go?iss={ehr.fhir_base}&launch=x")

    assert page.status_code == 200
    assert f'action="{ehr.base_url}/auth/authorize"' in page.text
    assert 'name="code_challenge"' in page.text
    assert "form-action" not in page.headers["Content-Security-Policy"]


def test_an_empty_start_shows_what_the_app_is(clinician: Clinician) -> None:
    page = clinician.opens("/launch")

    assert page.status_code == 200
    assert f"{APP}/launch" in page.text
    assert f"{APP}/callback" in page.text
    assert "patient/ImagingStudy.rs" in page.text


def test_an_absolute_link_leads_to_the_study_after_a_standalone_launch(clinician: Clinician, ehr: FakeEhr) -> None:
    landing = clinician.get("/open/sandbox/2.25.1001")
    address = next(part for part in landing.text.split('"') if part.startswith("/launch/standalone")).replace("&amp;", "&")
    page = clinician.opens(address)

    assert ehr.authorizations[0]["scope"].startswith("launch/patient")
    assert "SYNTHETIC, Alma" in page.text
    assert clinician.addresses[-1].endswith("/viewer/2.25.1001")


@pytest.mark.parametrize(
    "context",
    [
        {"appContext": "2.25.1001"},
        {"appContext": "studies/2.25.1001"},
        {"fhirContext": [{"reference": "ImagingStudy/study-a"}]},
        {"fhirContext": ["ImagingStudy/study-a"]},
    ],
)
def test_a29_the_study_that_the_launch_names_is_opened(clinician: Clinician, ehr: FakeEhr, context: dict[str, object]) -> None:
    ehr.token_changes = context

    clinician.launches(ehr)

    assert clinician.addresses[-1].endswith("/viewer/2.25.1001")


def test_a_deep_link_leads_to_its_slice(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.token_changes = {"appContext": "studies/2.25.1001/series/2.25.1001.1/instances/2.25.1001.1.7"}

    page = clinician.launches(ehr)

    assert query_of(clinician.addresses[-1]) == {"series": "2.25.1001.1", "instance": "2.25.1001.1.7"}
    assert "initialSOPInstanceUID=2.25.1001.1.7" in page.text


@pytest.mark.parametrize(
    "context", [{"appContext": "2.25.9"}, {"fhirContext": [{"reference": "ImagingStudy/of-somebody-else"}]}]
)
def test_a_named_study_that_is_not_the_patients_is_not_opened(
    clinician: Clinician, ehr: FakeEhr, context: dict[str, object]
) -> None:
    ehr.token_changes = context

    page = clinician.launches(ehr)

    assert "not among this patient" in page.text
    assert "/viewer/" not in clinician.addresses[-1]


def test_a_context_in_another_role_does_not_choose_the_study(clinician: Clinician, ehr: FakeEhr) -> None:
    ehr.token_changes = {"fhirContext": [{"reference": "ImagingStudy/study-a", "role": "comparison"}]}

    clinician.launches(ehr)

    assert clinician.addresses[-1].endswith("/studies")


def test_a_launcher_whose_options_extend_the_base_is_recognised_by_prefix(tmp_path: Path) -> None:
    """SMART launchers put their options into the ``iss``; ``aud`` and every call use it as it came."""
    ehr = FakeEhr(fhir=demo_record())
    with a_world(tmp_path, ehr=ehr, iss_is_prefix=True) as world:
        trusted = replace(world.app.services.ehrs[0], fhir_base=ehr.base_url)
        object.__setattr__(world.app.services, "ehrs", (trusted,))
        page = world.clinician.launches(ehr)
        outside = world.clinician.get(f"/launch?iss={ehr.base_url}/fhir/../../evil&launch=x")

    assert page.status_code == 200
    assert ehr.authorizations[-1]["aud"] == ehr.fhir_base
    assert outside.status_code == 403
