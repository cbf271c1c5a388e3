"""``imaging-cds check`` looks whether the EHR's sign-in may stand in the frame of a chart (smart-launch.md §4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Response

from imaging_cds.check_frames import framing_refusal
from imaging_cds.check_report import Finding, Verdict
from tests.contract.ehr_check_actors import APP, CheckedEhr, a_checked_ehr

CHART = "https://chart.example"
SIGN_IN = "https://login.example/authorize"
CSP = "Content-Security-Policy"
XFO = "X-Frame-Options"
WARNING, NOTE, OK = Verdict.WARNING, Verdict.NOTE, Verdict.OK


@pytest.fixture(scope="module")
def running() -> Iterator[CheckedEhr]:
    with a_checked_ehr() as ehr:
        yield ehr


@pytest.fixture
def ehr(running: CheckedEhr) -> CheckedEhr:
    running.__dict__.update(CheckedEhr(base_url=running.base_url).__dict__)
    running.fill()
    return running


def verdict(ehr: CheckedEhr) -> Finding:
    (found,) = [one for one in ehr.report().findings if "sign-in page" in one.what]
    return found


def answers(ehr: CheckedEhr, status: int = 200, path: str = "/auth/authorize", **headers: str) -> None:
    ehr.answers[path] = Response("", status, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "headers",
    [{"X_Frame_Options": "DENY"}, {"X_Frame_Options": "sameorigin"}, {"Content_Security_Policy": "frame-ancestors 'self'"}],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_sign_in_that_forbids_frames_leads_to_the_setting(ehr: CheckedEhr, status: int, headers: dict[str, str]) -> None:
    answers(ehr, status, **headers)
    found = verdict(ehr)

    assert (found.verdict, CHART in found.what, next(iter(headers.values())) in found.what) == (WARNING, True, True)
    assert "sign_in_refuses_frames = true" in found.remedy


def test_where_the_setting_is_made_all_is_well(ehr: CheckedEhr) -> None:
    ehr.settings["sign_in_refuses_frames"] = True
    answers(ehr, X_Frame_Options="DENY")

    assert (verdict(ehr).verdict, verdict(ehr).remedy) == (OK, "")


def test_where_nobody_embeds_the_app_it_is_only_noted(ehr: CheckedEhr) -> None:
    """Without frame_ancestors the app itself refuses frames, and a launch has its own window."""
    ehr.settings["frame_ancestors"] = ()
    answers(ehr, X_Frame_Options="DENY")
    found = verdict(ehr)

    assert (found.verdict, "sign_in_refuses_frames" in found.remedy) == (NOTE, True)


def test_a_sign_in_that_allows_the_chart_is_well(ehr: CheckedEhr) -> None:
    assert (verdict(ehr).verdict, CHART in verdict(ehr).what) == (OK, True)


def test_a_setting_that_is_not_needed_is_noted(ehr: CheckedEhr) -> None:
    ehr.settings["sign_in_refuses_frames"] = True
    (found,) = [one for one in ehr.report().findings if "sign_in_refuses_frames is set" in one.what]

    assert found.verdict is NOTE


@pytest.mark.parametrize("status", [400, 403, 404, 500, 204])
def test_an_error_that_says_nothing_of_frames_shows_nothing(ehr: CheckedEhr, status: int) -> None:
    answers(ehr, status)
    found = verdict(ehr)

    assert (found.verdict, "could not be seen" in found.what, f"HTTP {status}" in found.what) == (NOTE, True, True)
    assert "inside the EHR's frame" in found.remedy


def test_a_sign_in_that_cannot_be_reached_from_here_shows_nothing(ehr: CheckedEhr) -> None:
    ehr.configuration["authorization_endpoint"] = "http://127.0.0.1:9/authorize"

    assert (verdict(ehr).verdict, "could not be reached" in verdict(ehr).what) == (NOTE, True)


def test_redirects_are_gone_after_within_the_ehr(ehr: CheckedEhr) -> None:
    answers(ehr, 302, Location="/auth/login?session=1")
    answers(ehr, 200, "/auth/login", X_Frame_Options="DENY")

    assert verdict(ehr).verdict is WARNING


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        (f"{APP}/callback?code=secret-code", APP),
        ("https://idp.example/login?ticket=secret-code", "https://idp.example"),
        ("/auth/authorize", "http://127.0.0.1"),
        ("mailto:nobody@ehr.example", "HTTP 302"),
    ],
)
def test_what_leads_elsewhere_is_not_followed_and_not_printed(ehr: CheckedEhr, location: str, leads: str) -> None:
    answers(ehr, 302, Location=location)
    found = verdict(ehr)

    assert (found.verdict, "could not be seen" in found.what, leads in found.what) == (NOTE, True, True)
    assert "secret-code" not in found.what


@pytest.mark.parametrize(
    "headers",
    [{"X_Frame_Options": "DENY"}, {"Content_Security_Policy": f"frame-ancestors {CHART}"}],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_a_redirect_elsewhere_says_of_frames_is_not_the_sign_ins_word(
    ehr: CheckedEhr, status: int, headers: dict[str, str]
) -> None:
    """A browser frames the page behind it; another identity provider's page was not looked at."""
    answers(ehr, status, Location="https://idp.example/login", **headers)
    found = verdict(ehr)

    assert (found.verdict, "could not be seen" in found.what, "https://idp.example" in found.what) == (NOTE, True, True)
    assert "inside the EHR's frame" in found.remedy


def test_the_sign_in_is_asked_without_anything_secret(ehr: CheckedEhr) -> None:
    ehr.report()
    (asked,) = ehr.sign_ins

    assert set(asked) == {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "aud",
        "code_challenge",
        "code_challenge_method",
    }
    assert (asked["redirect_uri"], asked["aud"]) == (f"{APP}/callback", ehr.fhir)
    assert ("/auth/authorize", "") in ehr.asked, "no token goes there"


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({}, False),
        ({XFO: "DENY"}, True),
        ({XFO: "SAMEORIGIN, SAMEORIGIN"}, True),
        ({XFO: "ALLOWALL"}, False),
        ({XFO: "DENY", CSP: f"frame-ancestors {CHART}"}, False),
        ({XFO: "DENY", CSP: "default-src 'self'"}, True),
        ({CSP: "frame-ancestors 'none'"}, True),
        ({CSP: "frame-ancestors"}, True),
        ({CSP: "default-src 'self'; Frame-Ancestors *"}, False),
        ({CSP: "frame-ancestors https:"}, False),
        ({CSP: "frame-ancestors http:"}, False),
        ({CSP: "frame-ancestors http://chart.example"}, False),
        ({CSP: "frame-ancestors chart.example"}, False),
        ({CSP: "frame-ancestors https://CHART.example/pages"}, False),
        ({CSP: "frame-ancestors https://*.example"}, False),
        ({CSP: "frame-ancestors https://*.chart.example"}, True),
        ({CSP: "frame-ancestors https://chart.example:8443"}, True),
        ({CSP: "frame-ancestors https://chart.example:443"}, False),
        ({CSP: "frame-ancestors chart.example:443"}, False),
        ({CSP: "frame-ancestors https://*"}, False),
        ({CSP: "frame-ancestors https://*:443"}, False),
        ({CSP: "frame-ancestors http://*"}, False),
        ({CSP: "frame-ancestors *:*"}, False),
        ({CSP: "frame-ancestors https://*:8443"}, True),
        ({CSP: "frame-ancestors https://chart.example:*"}, False),
        ({CSP: f"frame-ancestors {CHART}, frame-ancestors 'self'"}, True),
        ({CSP: f"frame-ancestors {CHART}; frame-ancestors 'none'"}, False),
    ],
)
def test_headers_are_read_as_browsers_read_them(headers: dict[str, str], is_refused: bool) -> None:
    assert (framing_refusal(headers, SIGN_IN, CHART) is not None) is is_refused


@pytest.mark.parametrize("headers", [{XFO: "SAMEORIGIN"}, {CSP: "frame-ancestors 'self'"}])
def test_a_chart_of_the_sign_ins_own_origin_is_itself(headers: dict[str, str]) -> None:
    assert framing_refusal(headers, SIGN_IN, "https://login.example") is None


def test_a_port_that_is_named_must_be_the_charts() -> None:
    headers = {CSP: "frame-ancestors https://chart.example:8443"}

    assert framing_refusal(headers, SIGN_IN, "https://chart.example:8443") is None


@pytest.mark.parametrize("source", [CHART, f"{CHART}:443", "https://*"])
def test_a_source_without_its_charts_port_stands_for_the_schemes_own(source: str) -> None:
    headers = {CSP: f"frame-ancestors {source}"}

    assert framing_refusal(headers, SIGN_IN, "https://chart.example:8443") is not None
