"""``imaging-cds check`` says of an EHR what a launch there would meet, and nothing else (issue 4, SMART App Launch A2, A16)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fhir_imaging.settings import ScopeStyle
from imaging_cds.check_report import Finding, Verdict
from tests.contract.ehr_check_actors import CheckedEhr, a_checked_ehr

FAULT, WARNING, NOTE, OK = Verdict.FAULT, Verdict.WARNING, Verdict.NOTE, Verdict.OK


@pytest.fixture(scope="module")
def running() -> Iterator[CheckedEhr]:
    with a_checked_ehr() as ehr:
        yield ehr


@pytest.fixture
def ehr(running: CheckedEhr) -> CheckedEhr:
    running.__dict__.update(CheckedEhr(base_url=running.base_url).__dict__)
    running.fill()
    return running


def said(ehr: CheckedEhr, words: str) -> list[Finding]:
    """The findings that say these words."""
    return [one for one in ehr.report().findings if words in one.what]


@pytest.mark.parametrize(
    ("style", "offered", "verdict"),
    [
        (ScopeStyle.AUTO, ["permission-v1"], OK),
        (ScopeStyle.V1, ["permission-v1"], OK),
        (ScopeStyle.V2, ["permission-v1"], WARNING),
        (ScopeStyle.V2, ["permission-v1", "permission-v2"], None),
        (ScopeStyle.AUTO, ["permission-v2"], None),
    ],
)
def test_app_a16_the_grammar_is_judged_by_what_a_launch_would_ask(
    ehr: CheckedEhr, style: ScopeStyle, offered: list[str], verdict: Verdict | None
) -> None:
    """A launch asks an EHR that offers version 1 only in version 1, by itself."""
    ehr.settings["scope_style"] = style
    ehr.configuration["capabilities"] = ["launch-ehr", "client-public", *offered]

    assert [one.verdict for one in said(ehr, "version 1 only")] == ([verdict] if verdict else [])


def test_app_a16_scopes_are_looked_for_in_the_grammar_in_which_they_are_asked(ehr: CheckedEhr) -> None:
    ehr.configuration["capabilities"] = ["launch-ehr", "client-public", "permission-v1"]
    ehr.configuration["scopes_supported"] = ["openid", "fhirUser", "launch", "online_access", "patient/*.read"]

    assert said(ehr, "scopes_supported does not list") == []


OUTCOME = {"resourceType": "OperationOutcome", "id": "o", "issue": [{"severity": "warning", "code": "suppressed"}]}


def test_f6_a_remark_in_place_of_another_patients_studies_is_none_of_them(ehr: CheckedEhr) -> None:
    ehr.knows_patients = False
    ehr.studies = [OUTCOME]

    assert said(ehr, "another patient brings studies") == []
    assert [one.verdict for one in said(ehr, "A search for another patient")] == [NOTE]


def test_f6_another_patients_study_beside_a_remark_is_a_fault(ehr: CheckedEhr) -> None:
    ehr.knows_patients = False
    ehr.studies.append(OUTCOME)

    assert [one.verdict for one in said(ehr, "another patient brings studies")] == [FAULT]


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("stated", ["https://[x/authorize", "https://ehr.example:99999/x", "javascript:x"])
def test_app_a2_an_address_that_cannot_be_read_is_a_fault_in_words(ehr: CheckedEhr, name: str, stated: str) -> None:
    ehr.configuration[name] = stated

    (fault,) = said(ehr, f"{name} is no http(s) address")
    assert (fault.verdict, stated in fault.what, "must correct" in fault.remedy) == (FAULT, True, True)
    assert said(ehr, f"{name} is missing") == []


@pytest.mark.parametrize("where", ["issuer", "associated", "endpoint"])
def test_app_a2_odd_addresses_elsewhere_end_no_check(ehr: CheckedEhr, where: str) -> None:
    odd: Any = "https://[x/fhir"
    if where == "issuer":
        ehr.configuration["issuer"] = odd
    elif where == "associated":
        ehr.configuration["associated_endpoints"] = [{"url": odd, "capabilities": ["smart-imaging-access"]}]
    else:
        ehr.endpoint["address"] = odd

    assert ehr.report().findings


def test_the_origin_to_be_added_names_nobody(ehr: CheckedEhr) -> None:
    """An address with a user in it is no origin that server_origins could hold."""
    ehr.configuration["token_endpoint"] = "https://somebody:secret@IDP.example:443/token"

    (fault,) = said(ehr, "token_endpoint is on another origin")
    assert 'add "https://idp.example" to server_origins' in fault.remedy


def test_group_24_an_address_with_a_user_in_it_is_not_asked(ehr: CheckedEhr) -> None:
    """As in a launch; the address was said to be out of reach once."""
    ehr.configuration["jwks_uri"] = f"{ehr.base_url.replace('//', '//somebody:secret@')}/auth/jwks"

    (fault,) = [one for one in said(ehr, "/auth/jwks") if one.verdict is FAULT]
    assert "holds a user's name, so it is not asked" in fault.what
    assert all(path != "/auth/jwks" for path, _ in ehr.asked)


class Astray(BaseHTTPRequestHandler):
    """A server that redirects to nowhere; werkzeug would not send such a header."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "https://[x/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def test_app_a2_a_redirect_to_what_is_no_address_is_said(ehr: CheckedEhr) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Astray) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        report = ehr.report(issuer=f"http://127.0.0.1:{server.server_port}/fhir")
        server.shutdown()
        thread.join()

    assert report.findings[0].verdict is FAULT
    assert "an address that cannot be read" in report.findings[0].what
