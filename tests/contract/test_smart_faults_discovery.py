"""The app and EHRs whose discovery is missing, slow or says too little (SBX-S11 against APP-A1, A3, A11, A15, A26)."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import requests

from ehr_sandbox.faults import DiscoveryFaults
from smart_app.explanations import Reason
from tests.conftest import free_port_number
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained
from tests.contract.smart_actors import APP, query_of


def configuration_of(hospital: Hospital) -> str:
    return f"{hospital.services.settings.fhir_base}/.well-known/smart-configuration"


def asked_scope(hospital: Hospital) -> list[str]:
    """The scopes of the last authorization request."""
    request = next(one for one in reversed(hospital.clinician.addresses) if "/auth/authorize" in one)
    return query_of(request)["scope"].split()


def test_s11_a3_without_a_configuration_the_capability_statement_stands_in(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC, discovery=DiscoveryFaults(no_configuration=True), scopes="patient/*.rs") as hospital:
        page = hospital.launches()

    assert page.status_code == 200
    assert "CT chest" in page.text


def test_s11_a1_without_either_the_exact_address_that_was_tried_is_named(tmp_path: Path) -> None:
    discovery = DiscoveryFaults(no_configuration=True, no_oauth_uris=True)
    with a_hospital(tmp_path, PUBLIC, discovery=discovery) as hospital:
        words = assert_explained(hospital.launches(), Reason.NO_CONFIGURATION)

        assert configuration_of(hospital) in words
        assert not any("/auth/authorize" in one for one in hospital.clinician.addresses)


def test_s11_a1_a_slow_configuration_is_waited_for_within_bounds_and_then_explained(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC, discovery=DiscoveryFaults(delay_s=8.0)) as hospital:
        hospital.app.services.outbound.timeout_s = 1.5
        began = time.monotonic()
        page = hospital.launches()
        took_s = time.monotonic() - began
        words = assert_explained(page, Reason.EHR_UNAVAILABLE)

        assert hospital.services.settings.base_url in words, "the server that did not answer"
        assert took_s < 8.0
        assert 'id="retry"' in page.text
        hospital.services.authorization.faults.discovery = DiscoveryFaults()
        again = hospital.clinician.opens(hospital.clinician.addresses[-1].removeprefix(APP))
        assert again.status_code == 200, "trying again uses the same launch, which was not used up"
        assert "CT chest" in again.text


def test_s11_a11_without_the_pkce_list_s256_is_sent_all_the_same(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC, discovery=DiscoveryFaults(no_pkce_list=True)) as hospital:
        page = hospital.launches()
        request = next(one for one in hospital.clinician.addresses if "/auth/authorize" in one)

    assert page.status_code == 200
    assert query_of(request)["code_challenge_method"] == "S256"


def test_s11_a16_an_ehr_of_v1_is_asked_in_v1_and_the_list_comes(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC, discovery=DiscoveryFaults(only_v1=True)) as hospital:
        page = hospital.launches()
        scopes = asked_scope(hospital)

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert "patient/ImagingStudy.read" in scopes
    assert not [scope for scope in scopes if scope.endswith(".rs")]


def on_another_host(hospital: Hospital) -> str:
    """Moves the authorization server to another host name; its base URL."""
    other = hospital.services.settings.base_url.replace("127.0.0.1", "localhost")
    hospital.services.authorization.faults.discovery = DiscoveryFaults(other_host=other)
    return other


def test_s11_an_authorization_server_on_another_host_gets_nothing_until_it_is_allowed(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC) as hospital:
        other = on_another_host(hospital)
        words = assert_explained(hospital.launches(), Reason.EHR_SERVER_REFUSED)

        assert other in words
        assert not any(one.startswith(other) for one in hospital.clinician.addresses)


def test_s11_a34_an_authorization_server_and_issuer_on_another_host_that_is_allowed(tmp_path: Path) -> None:
    port = free_port_number()
    with a_hospital(tmp_path, PUBLIC, port=port, server_origins=(f"http://localhost:{port}",)) as hospital:
        other = on_another_host(hospital)
        page = hospital.launches()
        went_there = any(one.startswith(f"{other}/auth/authorize") for one in hospital.clinician.addresses)

    assert page.status_code == 200
    assert "CT chest" in page.text
    assert went_there


def signed_in(location: str) -> str:
    """A person's way through the EHR's own pages of a standalone launch: signs in, allows; where the browser goes then."""
    with requests.Session() as browser:
        browser.trust_env = False
        page = browser.get(location, timeout=10)
        for answer in ({"action": "sign-in", "user": "Practitioner/demo-gp"}, {"action": "allow"}):
            pending = re.search(r'name="pending" value="([^"]+)"', page.text)
            assert pending is not None, page.text
            form = {"pending": html.unescape(pending[1]), **answer}
            address = location.partition("/authorize")[0] + "/continue"
            page = browser.post(address, data=form, allow_redirects=False, timeout=10)
    return page.headers["Location"]


def test_s11_a28_a_standalone_launch_where_there_is_no_picker_ends_with_no_patient(tmp_path: Path) -> None:
    with a_hospital(tmp_path, PUBLIC, discovery=DiscoveryFaults(no_standalone_picker=True)) as hospital:
        answer = hospital.starts_standalone()
        while (location := answer.headers.get("Location", "")).startswith("/"):
            answer = hospital.clinician.get(location)
        callback = signed_in(location)
        page = hospital.clinician.opens(callback.removeprefix(APP))

    assert "launch/patient" in query_of(location)["scope"].split()
    assert_explained(page, Reason.NO_PATIENT)
