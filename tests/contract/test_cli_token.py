"""``imaging-cds token`` and ``audit`` against the running demo: what opens, and how each refusal looks (issue 2, item 9)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.interop.outsiders import DemoProcess, a_demo, cli, curl, demo_images, run_cli, studies_of, study_uid, with_images

pytestmark = pytest.mark.xdist_group("outsiders")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, viewer_dir: Any) -> Iterator[DemoProcess]:
    directory = with_images(tmp_path_factory.mktemp("cli") / "demo", demo_images(pytestconfig))
    with a_demo(directory, viewer_dir) as running:
        yield running


@pytest.fixture(scope="module")
def study_a(demo: DemoProcess) -> str:
    return study_uid(studies_of(demo.fhir, demo.token("--patient", "demo-a"), "demo-a")[0])


def metadata_url(demo: DemoProcess, study: str) -> str:
    return f"{demo.gateway}/studies/{study}/metadata"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_token_for_a_patient_opens_the_record_and_the_images(demo: DemoProcess, study_a: str) -> None:
    """The ports come from the demo that ran last in the directory, so that iss and aud fit."""
    token = demo.token("--patient", "demo-a", "--scope", "patient/*.rs")

    claims = claims_of(token)
    assert claims["iss"] == f"{demo.ehr_url}/auth"
    assert claims["aud"] == [demo.fhir, f"{demo.app_url}/imaging/sandbox"]
    assert claims["exp"] - claims["iat"] == 300
    assert curl("GET", f"{demo.fhir}/Patient/demo-a", token).status_code == 200
    assert curl("GET", f"{demo.fhir}/Patient/demo-b", token).status_code == 403
    images = curl("GET", metadata_url(demo, study_a), token)
    assert images.status_code == 200
    assert len(images.json()) > 100


def test_a_token_without_a_patient_is_refused(demo: DemoProcess, study_a: str) -> None:
    """Nobody's patient is guessed: FHIR shows nothing and the gateway answers 403 with its reason."""
    token = demo.token()

    assert "patient" not in claims_of(token)
    assert curl("GET", f"{demo.fhir}/Patient/demo-a", token).status_code == 403
    refused = curl("GET", metadata_url(demo, study_a), token)
    assert refused.status_code == 403
    assert refused.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--patient", "demo-a", "--lifetime", "-120"),
        ("--patient", "demo-a", "--aud", "https://elsewhere.example/fhir"),
        ("--patient", "demo-a", "--scope", "openid fhirUser", "--id-token"),
    ],
    ids=["ended", "for another audience", "id_token"],
)
def test_tokens_that_prove_nothing_here_are_refused_everywhere(
    demo: DemoProcess, study_a: str, arguments: tuple[str, ...]
) -> None:
    token = demo.token(*arguments)

    for url in (f"{demo.fhir}/Patient/demo-a", metadata_url(demo, study_a)):
        refused = curl("GET", url, token)
        assert refused.status_code == 401, url
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("aud", ["fhir", "imaging"])
def test_each_usual_audience_counts_at_the_gateway(demo: DemoProcess, study_a: str, aud: str) -> None:
    """Ownership is asked of FHIR with the same token, so a token for the imaging server alone fails closed there."""
    audience = {"fhir": demo.fhir, "imaging": f"{demo.app_url}/imaging/sandbox"}[aud]

    answer = curl("GET", metadata_url(demo, study_a), demo.token("--patient", "demo-a", "--aud", audience))

    assert answer.status_code == {"fhir": 200, "imaging": 401}[aud]


def test_system_scopes_are_not_granted(demo: DemoProcess, study_a: str) -> None:
    """Backend access is not offered: the command says so, and what is left opens nothing."""
    printed = run_cli("token", "--directory", str(demo.directory), "--patient", "demo-a", "--scope", "system/*.rs")

    assert "does not grant system/*.rs" in printed.stderr
    assert curl("GET", f"{demo.fhir}/Patient/demo-a", printed.stdout.strip()).status_code == 403
    assert curl("GET", metadata_url(demo, study_a), printed.stdout.strip()).status_code in (401, 403)


def test_scopes_narrow_what_a_token_opens(demo: DemoProcess, study_a: str) -> None:
    token = demo.token("--patient", "demo-a", "--scope", "patient/Patient.r")

    assert curl("GET", f"{demo.fhir}/Patient/demo-a", token).status_code == 200
    assert curl("GET", f"{demo.fhir}/ImagingStudy?patient=demo-a", token).status_code == 403
    assert curl("GET", metadata_url(demo, study_a), token).status_code == 403


def test_lifetime_client_and_user_are_as_asked(demo: DemoProcess) -> None:
    user = "Practitioner/demo-radiologist"
    more = ("--lifetime", "42", "--client", "imaging-cds-keys", "--user", user)
    claims = claims_of(demo.token("--patient", "demo-a", *more))

    assert claims["exp"] - claims["iat"] == 42
    assert claims["client_id"] == "imaging-cds-keys"
    assert claims["fhirUser"] == f"{demo.fhir}/{user}"


def test_wrong_arguments_are_explained(demo: DemoProcess, tmp_path: Any) -> None:
    _, unknown = cli("token", "--directory", str(demo.directory), "--client", "nobody", code=2)
    _, nowhere = cli("token", "--directory", str(tmp_path / "none"), code=2)
    _, zero = cli("token", "--directory", str(demo.directory), "--lifetime", "0", code=2)

    assert "no client 'nobody' is registered" in unknown
    assert "start it with imaging-cds demo" in nowhere
    assert "a negative number" in zero


def audited(demo: DemoProcess, *arguments: str) -> list[dict[str, Any]]:
    printed, _ = cli("audit", "--config", str(demo.directory / "app.toml"), "--json", *arguments)
    return [json.loads(line) for line in printed.splitlines()]


def test_audit_lists_who_opened_what_and_what_was_refused(demo: DemoProcess, study_a: str) -> None:
    token = demo.token("--patient", "demo-a", "--user", "Practitioner/demo-radiologist")
    study_b = study_uid(studies_of(demo.fhir, demo.token("--patient", "demo-b"), "demo-b")[0])
    assert curl("GET", metadata_url(demo, study_a), token).status_code == 200
    assert curl("GET", metadata_url(demo, study_b), token).status_code == 403

    opened = audited(demo, "--user", "Practitioner/demo-radiologist", "--study", study_a)
    denied = audited(demo, "--patient", "demo-a", "--study", study_b)
    table = run_cli("audit", "--config", str(demo.directory / "app.toml"), "--study", study_b).stdout

    assert [(one["outcome"], one["patient_id"], one["ehr"]) for one in opened] == [("allowed", "demo-a", "sandbox")]
    assert [(one["outcome"], one["study_instance_uid"]) for one in denied] == [("denied", study_b)]
    assert denied[0]["reason"]
    assert "denied" in table
    assert study_b in table
    assert token not in json.dumps(opened + denied)


def test_audit_filters_narrow_the_list(demo: DemoProcess, study_a: str) -> None:
    assert curl("GET", metadata_url(demo, study_a), demo.token("--patient", "demo-a")).status_code == 200
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()

    assert len(audited(demo, "--limit", "1")) == 1
    assert audited(demo, "--study", study_a)
    assert audited(demo, "--since", tomorrow) == []
    assert audited(demo, "--until", tomorrow)
    assert audited(demo, "--ehr", "another") == []
    assert audited(demo, "--patient", "demo-c") == []
    nothing, _ = cli("audit", "--config", str(demo.directory / "app.toml"), "--patient", "demo-c")
    assert "Nothing recorded" in nothing
    times = [one["recorded_at"] for one in audited(demo)]
    assert times == sorted(times, reverse=True)


def test_a_time_that_is_none_is_explained(demo: DemoProcess) -> None:
    _, wrong = cli("audit", "--config", str(demo.directory / "app.toml"), "--since", "yesterday", code=2)
    assert "--since" in wrong
