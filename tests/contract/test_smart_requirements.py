"""SMART App Launch 2.2, A1-A40 of the app: those that no other test file shows, and that none is without a test."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask, Response, jsonify, request
from jwt.algorithms import ECAlgorithm

from fhir_imaging.clients.smart_metadata import OAUTH_URIS
from fhir_imaging.scopes import parse_scopes
from fhir_imaging.settings import DEFAULT_SCOPES, ClientAuth
from tests.citations import LAUNCH, citations
from tests.contract.smart_actors import APP, GATEWAY, STUDY_A, Clinician, FakeEhr, World, a_world, demo_record, query_of


@pytest.mark.parametrize("requirement", [one for one in LAUNCH if one not in ("A41", "A42", "A43", "A44")])
def test_each_requirement_of_the_launch_is_named_by_a_test(requirement: str) -> None:
    assert citations("launch")[requirement]


@dataclass
class ListeningEhr(FakeEhr):
    """An EHR that notes how it was asked for its discovery, and may have a CapabilityStatement."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    statement: dict[str, Any] | None = None

    def app(self) -> Flask:
        app = super().app()

        @app.before_request
        def _listen() -> Response | None:
            if request.path.startswith("/fhir/") and request.path.endswith(("smart-configuration", "metadata")):
                self.asked.append((request.path, request.headers.get("Accept", "")))
            known = self.statement is not None and request.path == "/fhir/metadata"
            return jsonify(self.statement) if known else None

        return app


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, ehr=ListeningEhr(fhir=demo_record())) as made:
        yield made


def listening(world: World) -> ListeningEhr:
    assert isinstance(world.ehr, ListeningEhr)
    return world.ehr


def test_app_a1_the_configuration_is_read_below_the_iss_as_json(world: World) -> None:
    world.clinician.launches(world.ehr)

    assert listening(world).asked == [("/fhir/.well-known/smart-configuration", "application/json")]


def test_app_a2_relative_addresses_of_the_configuration_are_below_the_fhir_base(world: World) -> None:
    world.ehr.smart_configuration = {"authorization_endpoint": "../auth/authorize", "token_endpoint": "/auth/token"}

    assert world.clinician.launches(world.ehr).status_code == 200


def test_app_a3_the_capability_statement_is_asked_only_where_there_is_no_configuration(world: World) -> None:
    uris = [
        {"url": "authorize", "valueUri": f"{world.ehr.base_url}/auth/authorize"},
        {"url": "token", "valueUri": f"{world.ehr.base_url}/auth/token"},
    ]
    security = {"extension": [{"url": OAUTH_URIS, "extension": uris}]}
    listening(world).statement = {"resourceType": "CapabilityStatement", "rest": [{"security": security}]}
    # Such a server names no keys, so an id_token of its could not be verified.
    world.ehr.dropped = {"id_token"}
    world.ehr.without_configuration = True
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert [path for path, _ in listening(world).asked] == ["/fhir/.well-known/smart-configuration", "/fhir/metadata"]


def test_app_a7_one_redirect_uri_is_shown_for_registration_and_sent_twice_alike(world: World) -> None:
    world.clinician.launches(world.ehr)
    index = world.clinician.get("/").text

    sent = {world.ehr.authorizations[0]["redirect_uri"], world.ehr.token_requests[0]["redirect_uri"]}
    assert sent == {f"{APP}/callback"}
    assert f"{APP}/callback" in index
    assert f"{APP}/launch" in index


def test_app_a9_a_final_slash_of_the_iss_is_kept_in_aud(tmp_path: Path) -> None:
    class Slashed(FakeEhr):
        @property
        def fhir_base(self) -> str:
            return f"{self.base_url}/fhir/"

    with a_world(tmp_path, ehr=Slashed(fhir=demo_record())) as world:
        page = world.clinician.launches(world.ehr)

        assert page.status_code == 200
        assert world.ehr.authorizations[0]["aud"].endswith("/fhir/")


@pytest.mark.parametrize("method", list(ClientAuth))
def test_app_a11_every_client_type_proves_possession_by_s256(tmp_path: Path, method: ClientAuth) -> None:
    with a_world(tmp_path, client_auth=method, client_secret="s3cret-of-the-registration") as world:
        world.clinician.launches(world.ehr)
        world.clinician.launches(world.ehr)
        ehr = world.ehr

    for asked, exchanged in zip(ehr.authorizations, ehr.token_requests, strict=True):
        digest = hashlib.sha256(exchanged["code_verifier"].encode()).digest()
        assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert asked["code_challenge_method"] == "S256"
        assert re.fullmatch(r"[A-Za-z0-9\-._~]{43,128}", exchanged["code_verifier"])
    assert len({one["code_challenge"] for one in ehr.authorizations}) == 2


def test_app_a11_pkce_is_sent_whatever_discovery_lists(world: World) -> None:
    world.ehr.smart_configuration = {"code_challenge_methods_supported": ["plain"]}

    assert world.clinician.launches(world.ehr).status_code == 200
    assert world.ehr.authorizations[0]["code_challenge_method"] == "S256"


def test_app_a14_the_nonce_goes_with_openid_only_and_nothing_depends_on_the_time_of_sign_in(tmp_path: Path) -> None:
    with a_world(tmp_path, scopes="patient/*.rs") as world:
        world.ehr.dropped = {"id_token"}
        world.clinician.launches(world.ehr)
        without = world.ehr.authorizations[0]
    with a_world(tmp_path / "other") as world:
        world.clinician.launches(world.ehr)
        world.clinician.launches(world.ehr)
        nonces = {one["nonce"] for one in world.ehr.authorizations}

    assert "nonce" not in without
    assert len(nonces) == 2
    assert "max_age" not in without


def test_app_a15_what_is_asked_by_default_follows_the_grammar() -> None:
    read = parse_scopes(DEFAULT_SCOPES)

    assert len(read.clinical) + len(read.other) == len(DEFAULT_SCOPES.split())
    assert read.other == {"openid", "fhirUser", "online_access"}
    assert all(one.resource_type != "*" for one in read.clinical)


@pytest.mark.parametrize("granted", ["patient/ImagingStudy.sr", "patient/ImagingStudy.", "launch openid", ""])
def test_app_a15_app_a17_letters_in_another_order_grant_nothing_and_what_is_missing_is_named(
    world: World, granted: str
) -> None:
    world.ehr.token_changes = {"scope": granted}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 403
    assert "patient/ImagingStudy.rs" in page.text
    assert world.ehr.fhir_requests == []


def test_app_a16_an_ehr_of_v1_alone_is_asked_in_v1(world: World) -> None:
    world.ehr.smart_configuration = {"capabilities": ["permission-v1", "smart-imaging-access"]}
    world.ehr.token_changes = {"scope": "launch patient/*.read"}
    page = world.clinician.launches(world.ehr)

    assert "patient/ImagingStudy.read" in world.ehr.authorizations[0]["scope"].split()
    assert not any(scope.endswith((".rs", ".r")) for scope in world.ehr.authorizations[0]["scope"].split())
    assert page.status_code == 200


def test_app_a26_a_rejected_client_is_told_what_the_ehr_lists(tmp_path: Path) -> None:
    with a_world(tmp_path, client_auth=ClientAuth.SECRET_BASIC, client_secret="s3cret-of-the-registration") as world:
        world.ehr.smart_configuration = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
        world.ehr.token_error = ("invalid_client", 401)
        page = world.clinician.launches(world.ehr)

    assert "does not accept this application" in page.text
    assert "client_auth here is client_secret_basic; the EHR lists private_key_jwt" in page.text
    assert "s3cret" not in page.text


def test_app_a26_a_list_that_disagrees_stops_no_launch(tmp_path: Path) -> None:
    """Real lists are incomplete, so the EHR's answer decides."""
    with a_world(tmp_path, client_auth=ClientAuth.SECRET_BASIC, client_secret="s3cret-of-the-registration") as world:
        world.ehr.smart_configuration = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}

        assert world.clinician.launches(world.ehr).status_code == 200


def test_app_a24_the_other_algorithm_is_used_where_the_ehr_lists_only_that(tmp_path: Path) -> None:
    with a_world(tmp_path, client_auth=ClientAuth.PRIVATE_KEY_JWT) as world:
        world.ehr.smart_configuration = {"token_endpoint_auth_signing_alg_values_supported": ["RS384"]}
        world.clinician.launches(world.ehr)

    assert jwt.get_unverified_header(world.ehr.token_requests[0]["client_assertion"])["alg"] == "RS384"


def test_app_a32_a_grant_for_two_patients_shows_neither(world: World) -> None:
    details = {"type": "smart_on_fhir", "locations": [world.ehr.fhir_base], "patient": "demo-b"}
    world.ehr.token_changes = {"authorization_details": [details]}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 403
    assert "named two patients" in page.text
    assert world.ehr.fhir_requests == []


def test_app_a32_a_second_patient_on_refresh_stops_the_session(world: World) -> None:
    world.clinician.launches(world.ehr)
    details = {"type": "smart_on_fhir", "locations": [world.ehr.fhir_base], "patient": "demo-b"}
    world.ehr.refresh_changes = {"authorization_details": [details]}
    world.clock.passes(seconds=250)

    assert world.clinician.post(f"/s/{world.clinician.session}/token").status_code == 401
    assert "the patient changed" in world.clinician.get(f"/s/{world.clinician.session}/studies").text


def test_app_a32_the_tenant_stands_in_the_log_and_further_members_change_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ehr.token_changes = {"tenant": "org-7", "__epic.dstu2.patient": "x", "https://ehr.example/more": {"a": 1}}
    with caplog.at_level(logging.INFO, logger="imaging_cds"):
        page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert any("tenant org-7" in record.getMessage() for record in caplog.records)


def test_app_a33_the_same_token_goes_to_the_associated_endpoint(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        mode = "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch"
        imaging = {"url": f"{world.ehr.base_url}/fhir", "capabilities": ["smart-imaging-access", mode]}
        world.ehr.smart_configuration = {"capabilities": ["launch-ehr"], "associated_endpoints": [imaging]}
        page = world.clinician.launches(world.ehr)

    assert "CT chest" in page.text
    assert "names no imaging server" not in page.text


def test_app_a34_an_elliptic_id_token_is_verified_by_the_ehrs_own_keys(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())

    class Elliptic(FakeEhr):
        def _id_token(self, asked: dict[str, str]) -> str:
            claims = jwt.decode(super()._id_token(asked), options={"verify_signature": False})
            return jwt.encode(claims, key, algorithm="ES384", headers={"kid": "elliptic"})

        def _jwks(self) -> Any:
            jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
            return jsonify(keys=[{**{name: jwk[name] for name in ("kty", "crv", "x", "y")}, "kid": "elliptic"}])

    with a_world(tmp_path, ehr=Elliptic(fhir=demo_record())) as world:
        assert world.clinician.launches(world.ehr).status_code == 200


@pytest.mark.parametrize("user", ["Practitioner/gp", "https://elsewhere.example/fhir/PractitionerRole/7", None, 7])
def test_app_a35_a_user_whose_record_cannot_be_read_stops_nothing(world: World, user: object) -> None:
    world.ehr.id_token_changes = {"fhirUser": user}

    assert world.clinician.launches(world.ehr).status_code == 200
    assert not any("Practitioner" in asked for asked in world.ehr.fhir_requests)


def test_app_a36_the_token_is_in_no_address_page_or_cookie_and_goes_as_bearer(world: World) -> None:
    page = world.clinician.launches(world.ehr)
    cookie = world.clinician.client.get_cookie("imaging_cds_window", domain="localhost")

    assert world.ehr.fhir_requests
    assert not any("access-" in asked for asked in world.ehr.fhir_requests)
    assert "access-" not in page.text
    assert cookie is not None
    assert "access-" not in cookie.value
    assert not any("access-" in address for address in world.clinician.addresses)


def test_app_a37_only_permitted_servers_are_offered_to_the_viewer(world: World) -> None:
    elsewhere = demo_record()
    elsewhere["Endpoint"][0]["address"] = "https://other.example/dicom-web"
    world.ehr.fhir = elsewhere
    page = world.clinician.launches(world.ehr)
    viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}")

    assert "https://other.example/dicom-web" in page.text
    assert viewer.status_code == 409
    assert GATEWAY not in page.text


def test_app_a40_every_page_of_a_session_says_whose_record_it_is(world: World) -> None:
    listed = world.clinician.launches(world.ehr).text
    viewer = world.clinician.get(f"/s/{world.clinician.session}/viewer/{STUDY_A}").text

    for page in (listed, viewer):
        title = page.partition("<title>")[2].partition("</title>")[0]
        assert "SYNTHETIC, Alma" in page.partition("<main")[0] + title
        assert "SYNTHETIC" in title
        assert "DEMO-1001" in page


def test_app_a40_app_a30_without_a_banner_the_patient_is_still_named(world: World) -> None:
    world.ehr.token_changes = {"need_patient_banner": False, "intent": "something-new"}
    page = world.clinician.launches(world.ehr).text

    assert "SYNTHETIC, Alma" in page


def test_app_a13_a_launch_from_the_chart_asks_for_no_picker(world: World) -> None:
    world.clinician.launches(world.ehr)

    asked = world.ehr.authorizations[0]["scope"].split()
    assert asked[0] == "launch"
    assert "launch/patient" not in asked
    assert not any(scope.startswith(("user/*", "patient/*", "system/")) for scope in asked)


def test_app_a10_the_state_is_new_each_time_and_says_nothing(world: World) -> None:
    states = set()
    for _ in range(3):
        world.clinician.launches(world.ehr)
        states.add(world.ehr.authorizations[-1]["state"])

    assert len(states) == 3
    assert all(len(state) >= 22 and "demo" not in state for state in states)
    assert Clinician(world.app).get(f"/callback?state={states.pop()}&code=x").status_code == 403
    assert query_of(world.clinician.addresses[-1]) == {}
