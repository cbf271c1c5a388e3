"""The EHR and the standalone launch over HTTP, against an EHR on a socket (SMART App Launch 2.2, APP-A ids)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.contract.smart_actors import APP, Clinician, Clock, FakeEhr, SmartApp, demo_record, make_app, query_of


@pytest.fixture
def ehr(serve: Callable[[Flask, int], str], free_port: int) -> FakeEhr:
    fake = FakeEhr(fhir=demo_record())
    fake.base_url = serve(fake.app(), free_port)
    return fake


@pytest.fixture
def app(ehr: FakeEhr, tmp_path: Path) -> Iterator[SmartApp]:
    made = make_app(tmp_path, (ehr.settings(),), Clock())
    yield made
    made.services.outbound.close()
    made.services.store.close()


@pytest.fixture
def clinician(app: SmartApp) -> Clinician:
    return Clinician(app)


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
