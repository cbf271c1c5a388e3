"""Launches at EHRs of four vendors' shapes, with the example settings that docs/examples gives for each (smart-launch.md §6).

The shapes are re-typed from public documentation; no vendor's system was ever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from flask import Flask, request

from fhir_imaging.settings import EhrSettings
from imaging_cds.settings import load
from tests.conftest import CHECKOUT, free_port_number, serving
from tests.contract.smart_actors import PATIENT, FakeEhr, World, a_world, demo_record, imaging_study

EXAMPLES = CHECKOUT / "docs" / "examples"
SECRETS = {f"IMAGING_CDS__EHR__{name}__CLIENT_SECRET": "synthetic-secret-of-a-test" for name in ("ATHENA", "MEDITECH", "EPIC")}
LONG_ID = "e" + "Abc-4.9" * 9


def example(name: str) -> EhrSettings:
    """The EHR of one example file, read as the product reads its settings."""
    (ehr,) = load(EXAMPLES / f"{name}.toml", SECRETS).ehr
    return ehr


@dataclass
class VendorEhr(FakeEhr):
    """An EHR with an issuer and habits of a vendor's. ``issuer_path`` is below the origin that signs in.

    Sign-in and images are at origins of their own where the example's are; ``asked`` is every request's host and path.
    """

    sign_in_url: str | None = None
    images_url: str | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    issuer_path: str = "/auth"
    discovery_issuer_path: str | None = None
    endpoint_refused: bool = False
    bare_capabilities: tuple[str, ...] = ()
    searches: list[str] = field(default_factory=list)
    known_as: dict[str, Any] = field(default_factory=dict)

    def app(self) -> Flask:
        app = super().app()
        app.before_request(lambda: self.asked.append((request.host, request.path)))
        return app

    def settings(self, **changes: Any) -> EhrSettings:
        """The example's settings with this EHR's addresses, which are known only once it listens."""
        of_the_place = {
            "imaging_base": f"{self.images_url}/fhir" if self.images_url else None,
            "server_origins": (self.sign_in_url,) if self.sign_in_url else (),
            "issuer_aliases": (self.issuer,),
        }
        return super().settings(**{**self.known_as, **of_the_place, **changes})

    @property
    def issuer(self) -> str:
        return f"{self.sign_in_url or self.base_url}{self.issuer_path}"

    def _configuration(self) -> Any:
        stated = (
            f"{self.sign_in_url or self.base_url}{self.discovery_issuer_path}" if self.discovery_issuer_path else self.issuer
        )
        signs_in = self.sign_in_url or self.base_url
        self.smart_configuration = {
            "authorization_endpoint": f"{signs_in}/auth/authorize",
            "token_endpoint": f"{signs_in}/auth/token",
            "jwks_uri": f"{signs_in}/auth/jwks",
            **self.smart_configuration,
            "issuer": stated,
            "capabilities": list(self.bare_capabilities),
        }
        return super()._configuration()

    def _id_token(self, asked: dict[str, str]) -> str:
        self.id_token_changes = {"iss": self.issuer, **self.id_token_changes}
        return super()._id_token(asked)

    def _search(self, resource_type: str) -> Any:
        self.searches.append(request.full_path)
        if self.endpoint_refused and "_include" in request.args:
            return "", 403
        if self.images_url and resource_type == "ImagingStudy":
            # As our own imaging server tells them (F3): their subjects are the EHR's, in full.
            own = {"subject": {"reference": f"{self.fhir_base}/Patient/{PATIENT}"}}
            self.fhir["ImagingStudy"] = [{**one, **own} for one in self.fhir["ImagingStudy"]]
        return super()._search(resource_type)


@contextmanager
def a_site(tmp_path: Path, name: str, ehr: VendorEhr, **changes: Any) -> Iterator[World]:
    """The example's settings, with the addresses of the test's EHR in place of the vendor's."""
    known = example(name)
    ehr.client_id = known.client_id
    of_the_place = ("name", "fhir_base", "imaging_base", "server_origins", "issuer_aliases")
    ehr.known_as = {one.name: getattr(known, one.name) for one in fields(known) if one.name not in of_the_place}
    with ExitStack() as stack:
        if known.server_origins:
            ehr.sign_in_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        if known.imaging_base:
            ehr.images_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        yield stack.enter_context(a_world(tmp_path, ehr=ehr, **changes))


def oracle() -> VendorEhr:
    return VendorEhr(
        fhir=demo_record(),
        issuer_path="/oidc/idsps/tenant/",
        discovery_issuer_path="/tenants/tenant",
        bare_capabilities=("launch-ehr", "launch-standalone", "permission-v1", "permission-v2", "permission-online"),
        token_changes={"expires_in": 570, "tenant": "ec2458f2", "need_patient_banner": True},
        refresh_changes={"refresh_token": None},
    )


def epic() -> VendorEhr:
    record = demo_record()
    record["ImagingStudy"] = [imaging_study(patient=LONG_ID, study_id=f"{LONG_ID}s")]
    record["Patient"][0]["id"] = LONG_ID
    record["DiagnosticReport"] = []
    return VendorEhr(
        fhir=record,
        issuer_path="/interconnect/oauth2",
        endpoint_refused=True,
        smart_configuration={"scopes_supported": ["launch", "openid", "profile", "fhirUser"]},
        bare_capabilities=("launch-ehr", "permission-v1", "permission-v2"),
        token_changes={"patient": LONG_ID, "scope": "launch openid fhirUser patient/ImagingStudy.read patient/Patient.read"},
    )


def athena() -> VendorEhr:
    # Its discovery once lacked PKCE while the server enforced it.
    return VendorEhr(fhir=demo_record(), issuer_path="/oauth2/default", bare_capabilities=("permission-v1", "permission-v2"))


def meditech() -> VendorEhr:
    listed = [f"imaging.observation.category.{number}" for number in range(581)]
    granted = "launch openid fhirUser patient/*.rs observation.imaging.read MEDITECH:special"
    return VendorEhr(
        fhir=demo_record(),
        issuer_path="",
        smart_configuration={"scopes_supported": listed, "grant_types_supported": ["client_credentials"]},
        token_changes={"scope": granted},
    )


SHAPES: dict[str, Callable[[], VendorEhr]] = {
    "oracle-health": oracle,
    "epic": epic,
    "athenahealth": athena,
    "meditech": meditech,
}


def test_every_example_is_tried_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_an_example_is_settings_that_the_product_reads(name: str) -> None:
    ehr = example(name)

    assert urlsplit(ehr.fhir_base).hostname is not None
    assert all(urlsplit(origin).hostname.endswith(".example") for origin in (ehr.fhir_base, *ehr.server_origins))  # type: ignore[union-attr]
    assert "patient/ImagingStudy.rs" in ehr.scopes


@pytest.mark.parametrize("name", SHAPES)
def test_a_launch_at_each_vendors_shape_ends_on_the_study_list(tmp_path: Path, name: str) -> None:
    with a_site(tmp_path, name, SHAPES[name]()) as world:
        page = world.clinician.launches(world.ehr)

    assert page.status_code == 200, page.text
    assert "CT chest" in page.text


def test_app_a38_oracle_570_seconds_and_no_new_refresh_token(tmp_path: Path) -> None:
    ehr = oracle()
    with a_site(tmp_path, "oracle-health", ehr) as world:
        world.clinician.launches(ehr)
        (kept,) = ehr.live_refresh_tokens
        for _ in range(3):
            world.clock.passes(seconds=460)
            assert world.clinician.post(f"/s/{world.clinician.session}/token").status_code == 200
            # The EHR goes on with the one it gave at first.
            ehr.live_refresh_tokens.add(kept)
        used = [asked["refresh_token"] for asked in ehr.token_requests if asked["grant_type"] == "refresh_token"]

    assert used == [kept] * 3


def hosts_of(ehr: VendorEhr, path: str) -> set[str]:
    return {host for host, asked in ehr.asked if asked == path}


@pytest.mark.parametrize("name", ["oracle-health", "athenahealth"])
def test_sign_in_and_images_at_origins_of_their_own(tmp_path: Path, name: str) -> None:
    ehr = SHAPES[name]()
    with a_site(tmp_path, name, ehr) as world:
        page = world.clinician.launches(ehr)

    assert page.status_code == 200
    assert "CT chest" in page.text
    record, signs_in, images = (urlsplit(url or "").netloc for url in (ehr.base_url, ehr.sign_in_url, ehr.images_url))
    assert len({record, signs_in, images}) == 3
    assert hosts_of(ehr, "/auth/authorize") == hosts_of(ehr, "/auth/token") == hosts_of(ehr, "/auth/jwks") == {signs_in}
    assert hosts_of(ehr, "/fhir/ImagingStudy") == {images}
    assert hosts_of(ehr, "/fhir/DiagnosticReport") == {record}


@pytest.mark.parametrize("name", ["oracle-health", "athenahealth"])
def test_sign_in_at_another_origin_counts_only_where_the_site_names_it(tmp_path: Path, name: str) -> None:
    ehr = SHAPES[name]()
    with a_site(tmp_path, name, ehr, server_origins=()) as world:
        page = world.clinician.launches(ehr)

    assert page.status_code == 502
    assert "server_origins" in page.text
    assert hosts_of(ehr, "/auth/token") == set(), "neither the code nor a token is sent there"


def test_oracle_refreshes_are_not_less_than_a_minute_apart(tmp_path: Path) -> None:
    """Neither a viewer that asks often nor refused tokens renew sooner; a token refused after a minute is renewed."""
    ehr = oracle()
    with a_site(tmp_path, "oracle-health", ehr) as world:
        world.clinician.launches(ehr)
        (kept,) = ehr.live_refresh_tokens
        token = f"/s/{world.clinician.session}/token"
        renewed_at = []
        for second in range(20, 201, 20):
            world.clock.passes(seconds=20)
            before = len(ehr.token_requests)
            assert world.clinician.post(token, json={"refused": True}).status_code == 200
            assert world.clinician.post(token).status_code == 200
            ehr.live_refresh_tokens.add(kept)
            renewed_at += [second] * (len(ehr.token_requests) - before)

    assert renewed_at == [60, 120, 180]


def test_oracle_errors_offer_their_page_of_information(tmp_path: Path) -> None:
    ehr = oracle()
    uri = "https://authorization.ehr.example/errors/urn:error:1"
    ehr.redirect_changes = {"code": "", "error": "access_denied", "error_uri": uri}
    with a_site(tmp_path, "oracle-health", ehr) as world:
        page = world.clinician.launches(ehr)

    assert f'href="{uri}"' in page.text
    assert 'target="_blank"' in page.text


def test_oracle_has_no_picker_for_providers_and_that_is_explained(tmp_path: Path) -> None:
    ehr = oracle()
    ehr.dropped = {"patient"}
    with a_site(tmp_path, "oracle-health", ehr) as world:
        page = world.clinician.opens(f"/launch/standalone?iss={ehr.fhir_base}")

    assert page.status_code == 403
    assert "No patient was handed over" in page.text
    assert "start Imaging from there" in page.text


def test_oracle_a_plain_url_entry_sends_nothing_and_gets_the_landing_page(tmp_path: Path) -> None:
    with a_site(tmp_path, "oracle-health", oracle()) as world:
        page = world.clinician.opens("/launch")

    assert page.status_code == 200


@pytest.mark.parametrize("granted", ["openid fhirUser launch online_access", "", "launch"])
def test_oracle_trimmed_scopes_are_named(tmp_path: Path, granted: str) -> None:
    ehr = oracle()
    ehr.token_changes["scope"] = granted
    with a_site(tmp_path, "oracle-health", ehr) as world:
        page = world.clinician.launches(ehr)

    assert page.status_code == 403
    assert "patient/ImagingStudy.rs" in page.text


def test_epic_is_asked_in_v1_signs_rs384_and_its_token_stays_opaque(tmp_path: Path) -> None:
    ehr = epic()
    with a_site(tmp_path, "epic", ehr) as world:
        page = world.clinician.launches(ehr)

    assert "patient/ImagingStudy.read" in ehr.authorizations[0]["scope"].split()
    assert jwt.get_unverified_header(ehr.token_requests[0]["client_assertion"])["alg"] == "RS384"
    assert any(f"patient={LONG_ID}" in asked for asked in ehr.searches)
    assert len(LONG_ID) == 64
    assert "did not say where the images are" in page.text


def test_epic_without_persistent_access_the_session_ends_and_says_so(tmp_path: Path) -> None:
    ehr = epic()
    ehr.dropped = {"refresh_token"}
    with a_site(tmp_path, "epic", ehr) as world:
        world.clinician.launches(ehr)
        world.clock.passes(seconds=301)
        page = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert page.status_code == 403
    assert "Go back to the patient" in page.text
    assert "online_access" in page.text


def test_athena_sends_s256_though_discovery_lists_none_and_prints_the_aud_of_a_refusal(tmp_path: Path) -> None:
    ehr = athena()
    with a_site(tmp_path, "athenahealth", ehr) as world:
        world.clinician.launches(ehr)
        ehr.redirect_changes = {"code": "", "error": "invalid_request", "error_description": "audience"}
        page = world.clinician.launches(ehr)

    assert ehr.authorizations[0]["code_challenge_method"] == "S256"
    assert f"<dt><code>aud</code></dt><dd><code>{ehr.fhir_base}</code>" in page.text


def test_athena_an_issuer_elsewhere_counts_only_where_the_site_names_it(tmp_path: Path) -> None:
    ehr = athena()
    ehr.id_token_changes = {"iss": "https://identity.provider.example/oauth2/other"}
    with a_site(tmp_path, "athenahealth", ehr) as world:
        page = world.clinician.launches(ehr)

    assert page.status_code == 403
    assert "identity could not be confirmed" in page.text


def test_meditech_scopes_of_another_grammar_grant_nothing_and_hide_nothing(tmp_path: Path) -> None:
    ehr = meditech()
    with a_site(tmp_path, "meditech", ehr) as world:
        page = world.clinician.launches(ehr)
        asked = ehr.authorizations[0]["scope"].split()
        ehr.token_changes["scope"] = "launch openid observation.imaging.read MEDITECH:special"
        without = world.clinician.launches(ehr)

    assert "offline_access" in asked
    assert page.status_code == 200
    assert without.status_code == 403
