"""``imaging-cds check --issuer``: sound EHRs pass, each broken one is named with its remedy, over real HTTP (issue 4)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from fhir_imaging.settings import ClientAuth, ScopeStyle
from imaging_cds.check_probe import Answer, Prober
from imaging_cds.check_report import Verdict
from imaging_cds.cli import main
from smart_app.imaging_base import BACKEND_MODE
from tests.contract.ehr_check_actors import APP, PATIENT, TOKEN, Bend, CheckedEhr, a_checked_ehr, worse_than
from tests.contract.sandbox_client import a_sandbox

FAULT, WARNING, NOTE = Verdict.FAULT, Verdict.WARNING, Verdict.NOTE
CONFIGURATION = "/fhir/.well-known/smart-configuration"


@pytest.fixture(scope="module")
def running() -> Iterator[CheckedEhr]:
    with a_checked_ehr() as ehr:
        yield ehr


@pytest.fixture
def ehr(running: CheckedEhr) -> CheckedEhr:
    fresh = CheckedEhr(base_url=running.base_url)
    running.__dict__.update(fresh.__dict__)
    running.fill()
    return running


def test_a_sound_ehr_has_nothing_that_would_fail(ehr: CheckedEhr) -> None:
    report = ehr.report()

    assert worse_than(report, Verdict.OK) == []
    assert report.exit_code == 0
    assert {one.area for one in report.findings} == {
        "SMART configuration",
        "Clock",
        "This installation's settings",
        "Identity and keys",
        "Imaging server",
        "Capabilities of the imaging server",
        "Studies and Endpoints",
        "Images",
    }


def configured(**members: Any) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.configuration.update(members)

    return bend


def without(*names: str) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        for name in names:
            del ehr.configuration[name]

    return bend


def known_as(**settings: Any) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.settings.update(settings)

    return bend


def being(**state: Any) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.__dict__.update(state)

    return bend


def answering(path: str, status: int = 200, body: str = "", **headers: str) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.answers[path] = Response(body, status, {name.replace("_", "-"): value for name, value in headers.items()})

    return bend


def with_endpoint(**members: Any) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.endpoint.update(members)

    return bend


def with_study(**members: Any) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.studies[0].update(members)

    return bend


def lists(*capabilities: str) -> Bend:
    return configured(capabilities=["launch-ehr", "client-public", *capabilities])


def stated(**members: Any) -> Bend:
    def bend(ehr: CheckedEhr) -> None:
        ehr.statement.update(members)

    return bend


BROKEN: list[tuple[str, Bend, Verdict, str, str]] = [
    ("no discovery", answering(CONFIGURATION, 404), FAULT, "HTTP 404", "byte for byte"),
    ("discovery behind a sign-in", answering(CONFIGURATION, 401), FAULT, "HTTP 401", "without sign-in"),
    (
        "a redirect",
        answering(CONFIGURATION, 302, Location="https://new.example/fhir"),
        FAULT,
        "HTTP 302",
        "https://new.example",
    ),
    ("a page for people", answering(CONFIGURATION, 200, "<html>"), FAULT, "not a JSON object", "whatever Accept says"),
    (
        "JSON called text",
        answering(CONFIGURATION, 200, "{}", Content_Type="text/plain"),
        WARNING,
        "text/plain",
        "application/json",
    ),
    ("no CORS", answering(CONFIGURATION, 200, "{}"), NOTE, "no CORS", ""),
    ("no token endpoint", without("token_endpoint"), FAULT, "token_endpoint is missing", "nobody can sign in"),
    ("a relative endpoint", configured(authorization_endpoint="../auth/authorize"), WARNING, "is relative", "write it out"),
    (
        "a token endpoint elsewhere",
        configured(token_endpoint="https://idp.example/token"),
        FAULT,
        "another origin",
        'add "https://idp.example" to server_origins',
    ),
    (
        "users sign in elsewhere",
        configured(authorization_endpoint="https://idp.example/authorize"),
        FAULT,
        "another origin",
        'add "https://idp.example" to server_origins',
    ),
    ("plain http", configured(authorization_endpoint="http://ehr.example/a"), FAULT, "plain http", "https"),
    ("no address at all", configured(token_endpoint="javascript:x"), FAULT, "no http(s) address", "correct"),
    ("no PKCE list", without("code_challenge_methods_supported"), WARNING, "is missing", "S256 all the same"),
    ("PKCE plain", configured(code_challenge_methods_supported=["plain"]), WARNING, "lists plain", "S256"),
    (
        "no code grant",
        configured(grant_types_supported=["client_credentials"]),
        WARNING,
        "lacks authorization_code",
        "app launch",
    ),
    ("odd associated endpoints", configured(associated_endpoints=["x"]), WARNING, "not a list of", "shape"),
    ("no capabilities", without("capabilities"), NOTE, "capabilities is empty", ""),
    ("no EHR launch", configured(capabilities=["client-public"]), WARNING, "launch-ehr is not listed", "standalone"),
    ("no picker", lists("launch-standalone"), NOTE, "cannot choose a patient", ""),
    (
        "an authentication that is not taken",
        lambda ehr: (
            ehr.settings.update(client_auth=ClientAuth.PRIVATE_KEY_JWT),
            ehr.configuration.update(token_endpoint_auth_methods_supported=["client_secret_basic"]),
        )[0],
        FAULT,
        "the EHR takes client_secret_basic",
        "Set client_auth",
    ),
    (
        "an algorithm that is not taken",
        lambda ehr: (
            ehr.settings.update(client_auth=ClientAuth.PRIVATE_KEY_JWT),
            ehr.configuration.update(token_endpoint_auth_signing_alg_values_supported=["PS512"]),
        )[0],
        FAULT,
        "the EHR takes PS512",
        "assertion_algorithm",
    ),
    ("a secret that is missing", known_as(client_auth=ClientAuth.SECRET_BASIC), FAULT, "no secret is given", "environment"),
    ("public clients not listed", configured(capabilities=["launch-ehr"]), WARNING, "client-public", "registration"),
    ("no right to search", known_as(scopes="openid patient/ImagingStudy.r"), FAULT, "searching ImagingStudy", "(C1)"),
    (
        "version 1 scopes only, and version 2 by the site's word",
        lambda ehr: (
            ehr.settings.update(scope_style=ScopeStyle.V2),
            ehr.configuration.update(capabilities=["launch-ehr", "client-public", "permission-v1"]),
        )[0],
        WARNING,
        "version 1 only",
        "patient/ImagingStudy.read",
    ),
    ("scopes not listed", configured(scopes_supported=["openid"]), NOTE, "scopes_supported does not list", "registration"),
    ("no refresh", known_as(scopes="openid patient/*.rs"), NOTE, "No refresh token", "online_access"),
    ("no frames", known_as(frame_ancestors=()), NOTE, "frame_ancestors is empty", "origin of its pages"),
    ("no issuer", without("issuer"), WARNING, "issuer is missing", "issuer_aliases"),
    (
        "an issuer of another name",
        answering("/auth/.well-known/openid-configuration", body='{"issuer": "https://x.example"}'),
        WARNING,
        "calls itself https://x.example",
        "issuer_aliases",
    ),
    ("no OpenID configuration", answering("/auth/.well-known/openid-configuration", 404), NOTE, "not readable", ""),
    ("no key set", without("jwks_uri"), FAULT, "jwks_uri is missing", "sso-openid-connect"),
    ("keys elsewhere", configured(jwks_uri="https://keys.example/jwks"), FAULT, "keys are not fetched", "server_origins"),
    ("keys not readable", answering("/auth/jwks", 500), FAULT, "HTTP 500", "publish the keys"),
    ("no usable key", being(keys=[{"kty": "oct", "k": "x"}]), FAULT, "no RSA or EC key", "publish"),
    ("a private key", being(keys=[{"kty": "RSA", "kid": "a", "d": "x"}]), FAULT, "private key", "withdraw"),
    ("only backend services", lists("smart-imaging-access", BACKEND_MODE), WARNING, "for other programs", "imaging_base"),
    ("no mode", lists("smart-imaging-access"), WARNING, "without saying", "imaging_mode_asserted = true"),
    ("no imaging", lists(), WARNING, "names no imaging server", "imaging_base"),
    (
        "imaging on a private address",
        configured(
            associated_endpoints=[
                {
                    "url": "http://images.example/fhir",
                    "capabilities": ["smart-imaging-access", "http://fhir.org/argonaut/smart-imaging/capabilities/app-launch"],
                }
            ]
        ),
        FAULT,
        "not believed to belong to the EHR",
        "token_origins",
    ),
    ("studies without a token", being(needs_token=False, knows_patients=False), FAULT, "without any token", "demand the token"),
    ("no ImagingStudy there", answering("/fhir/ImagingStudy", 404), FAULT, "HTTP 404, where 401", "imaging base"),
    ("a 401 without challenge", answering("/fhir/ImagingStudy", 401), NOTE, "without WWW-Authenticate", ""),
    ("no CapabilityStatement", answering("/fhir/metadata", 404), NOTE, "No CapabilityStatement", ""),
    ("DSTU2", stated(fhirVersion="1.0.2"), WARNING, "1.0.2", "R4, R4B and R5"),
    ("ImagingStudy not listed", stated(rest=[]), FAULT, "ImagingStudy is not listed", "imaging_base"),
    (
        "no search by patient",
        stated(rest=[{"resource": [{"type": "ImagingStudy"}, {"type": "Endpoint"}]}]),
        WARNING,
        "no search by patient",
        "(F1)",
    ),
    ("other patients readable", being(knows_patients=False), FAULT, "another patient brings studies", "(F6)"),
    ("a study without UID", with_study(identifier=[]), WARNING, "no Study Instance UID", "(C5)"),
    ("no studies", being(studies=[]), WARNING, "no readable study", "who has images"),
    ("no Endpoint", with_study(endpoint=[]), WARNING, "name no Endpoint", "(F4)"),
    ("an Endpoint not included", with_study(endpoint=[{"reference": "Endpoint/x"}]), WARNING, "not included", "_include"),
    ("an Endpoint switched off", with_endpoint(status="off"), WARNING, "switched off", "active"),
    ("only a viewer", with_endpoint(connectionType={"code": "ihe-iid"}), WARNING, "only another viewer", "(F4)"),
    ("images elsewhere", with_endpoint(address="https://pacs.example/w"), WARNING, "https://pacs.example/w", "token_origins"),
    ("images that refuse", being(takes_token=False), FAULT, "with this token: HTTP 401", "audience and keys"),
    ("no preflight", being(allows_browsers=False), FAULT, "CORS preflight: HTTP 405", "the header Authorization"),
]


@pytest.mark.parametrize(("bend", "verdict", "what", "remedy"), [one[1:] for one in BROKEN], ids=[one[0] for one in BROKEN])
def test_each_fault_is_named_with_its_remedy(ehr: CheckedEhr, bend: Bend, verdict: Verdict, what: str, remedy: str) -> None:
    bend(ehr)
    report = ehr.report()

    assert [one for one in report.findings if one.verdict is verdict and what in one.what and remedy in one.remedy]
    if verdict is not FAULT:
        return
    assert report.exit_code == 1


def test_the_token_goes_to_nobody_but_the_imaging_server_and_its_images(ehr: CheckedEhr) -> None:
    ehr.report()

    assert {path for path, sent in ehr.asked if sent} == {"/fhir/ImagingStudy", "/dicom-web/studies/2.25.7/metadata"}


def test_without_a_token_the_rest_is_checked(ehr: CheckedEhr) -> None:
    report = ehr.report(token=None)

    assert [one.what for one in worse_than(report, Verdict.OK)] == [
        "Not asked: give --token-file and --patient to try a search as a launch would make it."
    ]


def test_a_server_that_is_not_there_is_said(ehr: CheckedEhr, free_port: int) -> None:
    report = ehr.report(issuer=f"http://127.0.0.1:{free_port}/fhir")

    (fault, *_) = worse_than(report, Verdict.WARNING)
    assert "could not be reached" in fault.what
    assert "firewall" in fault.remedy


def test_a_server_that_speaks_no_tls_is_said(ehr: CheckedEhr) -> None:
    report = ehr.report(issuer=ehr.fhir.replace("http://", "https://"))

    (fault, *_) = worse_than(report, Verdict.WARNING)
    assert "TLS" in fault.what
    assert "certificate" in fault.remedy


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["check", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings in reach."""
    monkeypatch.delenv("IMAGING_CDS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_the_command_speaks_words_and_its_exit_code_counts(
    ehr: CheckedEhr, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    code, words, _ = run(capsys, "--issuer", ehr.fhir, "--token-file", str(token_file), "--patient", PATIENT)

    assert code == 0
    assert "Nothing is known that would fail" in words
    assert TOKEN not in words

    ehr.answers["/auth/jwks"] = Response("", 404)
    code, words, _ = run(capsys, "--issuer", ehr.fhir)
    assert code == 1
    assert "FAULT" in words
    assert "-> The EHR must publish the keys" in words


@pytest.mark.usefixtures("nowhere")
def test_the_command_speaks_json(ehr: CheckedEhr, capsys: pytest.CaptureFixture[str]) -> None:
    del ehr.configuration["code_challenge_methods_supported"]
    code, said, _ = run(capsys, "--issuer", ehr.fhir, "--json")
    report = json.loads(said)

    assert (code, report["issuer"], report["verdict"]) == (0, ehr.fhir, "warning")
    assert {"area": "SMART configuration", "verdict": "warning"}.items() <= next(
        one.items() for one in report["findings"] if "code_challenge" in one["what"]
    )


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("held", ["", "two tokens", "a\nb", "tök€n", "token\u00e9", "a\x00b", "a\x7fb"])
def test_a_file_that_holds_no_access_token_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], held: str) -> None:
    """RFC 6750 §2.1: a bearer token is of visible ASCII characters; anything else cannot stand in its header."""
    (tmp_path / "token").write_text(held, encoding="utf-8")
    code, _, error = run(capsys, "--issuer", "https://ehr.example/fhir", "--token-file", str(tmp_path / "token"))

    assert code == 2
    assert "must hold one access token and nothing else" in error


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--issuer", "ehr.example"], "no http(s) address"),
        (["--issuer", "https://ehr.example/fhir", "--token-file", "nothing-here"], "cannot be read"),
        (["--issuer", "https://ehr.example/fhir", "--config", "nothing-here"], "cannot be read"),
    ],
)
def test_wrong_arguments_end_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, _, error = run(capsys, *arguments)

    assert code == 2
    assert said in error


@pytest.mark.usefixtures("nowhere")
def test_the_sandbox_passes_with_a_token_of_its_own(
    ehr: CheckedEhr, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any settings of this installation; the images stand on another server that the sandbox vouches for."""
    with a_sandbox(tmp_path / "state", associated_endpoints=(ehr.base_url,)) as sandbox:
        endpoint = sandbox.services.store.read("Endpoint", "demo-wado") or {}
        sandbox.services.store.put(endpoint | {"address": f"{ehr.base_url}/dicom-web"})
        ehr.token = sandbox.a_token("patient/*.rs", PATIENT)
        token_file = tmp_path / "token"
        token_file.write_text(ehr.token)
        code, said, _ = run(capsys, "--issuer", sandbox.fhir_base, "--token-file", str(token_file), "--json")
    report = json.loads(said)

    assert [one for one in report["findings"] if one["verdict"] in ("fault", "warning")] == []
    assert [one for one in report["findings"] if one["area"] == "Images" and one["verdict"] == "ok"]
    assert code == 0


@pytest.mark.parametrize(("ahead", "verdict"), [(0, Verdict.OK), (60, WARNING), (-3600, FAULT), (3600, FAULT)])
def test_clocks_that_disagree_are_told(ehr: CheckedEhr, ahead: int, verdict: Verdict) -> None:
    late = Prober(APP, clock=lambda: datetime.now(UTC) - timedelta(seconds=ahead))
    (clock,) = [one for one in ehr.report(prober=late).findings if one.area == "Clock"]

    assert clock.verdict is verdict
    assert ("NTP" in clock.remedy) is (verdict is not Verdict.OK)


@pytest.mark.parametrize("headers", [{}, {"Date": "now"}])
def test_a_server_need_not_say_what_time_it_has(headers: dict[str, str]) -> None:
    assert Answer(url="https://ehr.example", status=200, headers=headers).skew_s(datetime.now(UTC)) is None
