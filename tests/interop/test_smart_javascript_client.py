"""The official JavaScript SMART client (npm ``fhirclient``) is launched by the sandbox EHR and reads there and at our server.

Headless, in Node: an app of a few lines around the client (npm/smart_app.cjs), opened as the EHR opens it. Nothing of ours
is on the client's side, so discovery, PKCE, token response, launch context, refresh and FHIR of the sandbox are what a foreign
app needs. It sends no ``client_id`` when it refreshes, as a public client may (RFC 6749 §3.2.1, §6), and SMART's own table of
the refresh request names none. Needs ``make counterparts``.

Spec: SMART App Launch 2.2; issue 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.settings import RegisteredClient
from tests.conftest import free_port_number
from tests.demo_hospital import OTHER_PATIENT, PATIENT, DemoHospital, a_demo_hospital, signed_by
from tests.interop.node_process import running_script

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]
CLIENT = "javascript-app"


@dataclass(frozen=True, slots=True)
class Opened:
    """The app as the EHR opened it for patient A: what it read, and each address on the way there."""

    found: dict[str, Any]
    addresses: list[str]

    def parameters(self, path: str) -> dict[str, str]:
        """Of the one request to this path."""
        (address,) = [one for one in self.addresses if urlsplit(one).path == path]
        return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@dataclass(frozen=True, slots=True)
class Site:
    """The hospital of the demo, and the foreign app registered there."""

    hospital: DemoHospital
    app_url: str

    def opens(self, launch: str) -> requests.Response:
        """In a browser that has no other session."""
        with requests.Session() as browser:
            browser.trust_env = False
            query = urlencode({"iss": self.hospital.sandbox.fhir_base, "launch": launch})
            return browser.get(f"{self.app_url}/launch?{query}", timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home, port = tmp_path_factory.mktemp("hospital"), free_port_number()
    app_url = f"http://127.0.0.1:{port}"
    client = RegisteredClient(
        client_id=CLIENT, name="JavaScript app", redirect_uris=(f"{app_url}/callback",), launch_urls=(f"{app_url}/launch",)
    )
    with a_demo_hospital(DemoHospital, home, lambda sandbox: [signed_by(sandbox, "sandbox")], clients=(client,)) as hospital:
        imaging = f"{hospital.app_url}/imaging/sandbox/fhir"
        with running_script(home, "smart_app.cjs", str(port), CLIENT, imaging, OTHER_PATIENT):
            yield Site(hospital, app_url)


@pytest.fixture(scope="module")
def opened(site: Site) -> Opened:
    context = LaunchContext(patient=PATIENT, user="Practitioner/demo-gp")
    page = site.opens(site.hospital.authorization.issue_launch(CLIENT, context))
    assert page.status_code == 200, page.text
    return Opened(page.json(), [one.url for one in [*page.history, page]])


def test_the_client_is_launched_with_pkce_and_no_token_stands_in_an_address(site: Site, opened: Opened) -> None:
    asked = opened.parameters("/auth/authorize")

    assert (asked["code_challenge_method"], asked["aud"]) == ("S256", site.hospital.sandbox.fhir_base)
    assert set(opened.found["granted"].split()) == {"launch", "openid", "fhirUser", "patient/*.rs", "offline_access"}
    assert "code" in opened.parameters("/callback")
    assert not any("eyJ" in one for one in opened.addresses)


def test_it_reads_its_patient_the_user_and_the_studies_and_nobody_else(opened: Opened) -> None:
    read = opened.found["ehr"]

    assert (read["patient"], read["user"]) == (PATIENT, "demo-gp")
    assert len(read["studies"]) == 3
    assert read["refusal"] == 403


def test_its_token_opens_the_imaging_fhir_endpoint_for_the_same_patient_only(site: Site, opened: Opened) -> None:
    read = opened.found["imaging"]

    assert set(site.hospital.studies[PATIENT]) <= set(read["studies"]) <= set(opened.found["ehr"]["studies"])
    assert all(number >= 1 for number in read["images"])
    assert read["refusal"] == 403


def test_it_refreshes_without_naming_itself_and_reads_on(opened: Opened) -> None:
    refreshed = opened.found["refreshed"]

    assert "failed" not in refreshed, refreshed
    assert refreshed["isAnother"] is True
    assert refreshed["ehr"] == opened.found["ehr"]
    assert refreshed["imaging"] == opened.found["imaging"]


def test_a_launch_that_the_ehr_never_began_opens_nothing(site: Site) -> None:
    page = site.opens("made-up")

    assert page.status_code != 200
    assert PATIENT not in page.text
