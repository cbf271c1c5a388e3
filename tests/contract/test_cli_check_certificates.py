"""``imaging-cds check`` at EHRs behind TLS: the site's own authority counts, and each bad certificate is told (APP-A36)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from cryptography import x509

from imaging_cds.check_report import Finding, Verdict
from imaging_cds.check_tls import Authority, explain_tls
from imaging_cds.cli import main
from tests.conftest import free_port_number
from tests.contract.ehr_check_actors import APP, PATIENT, TOKEN, CheckedEhr, worse_than
from tests.contract.tls_actors import TestAuthority, serving_tls

EXPIRED = {"since": timedelta(days=-2), "until": timedelta(days=-1)}
NOT_YET = {"since": timedelta(days=1), "until": timedelta(days=2)}
OTHER_NAME = {"of": x509.DNSName("ehr.example")}


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority.in_folder(tmp_path / "hospital")


@contextmanager
def behind_tls(authority: TestAuthority, **certificate: Any) -> Iterator[CheckedEhr]:
    """A sound EHR whose certificate this authority has signed."""
    ehr, port = CheckedEhr(), free_port_number()
    ehr.base_url = f"https://127.0.0.1:{port}"
    ehr.fill()
    with serving_tls(ehr.app(), port, authority.chain(**certificate)):
        yield ehr


def first_fault(ehr: CheckedEhr) -> Finding:
    (fault, *_) = worse_than(ehr.report(), Verdict.WARNING)
    return fault


def test_app_a36_the_authority_of_the_settings_counts_for_every_question(authority: TestAuthority) -> None:
    with behind_tls(authority) as ehr:
        ehr.settings["certificate_authority"] = authority.file
        report = ehr.report()

    assert worse_than(report, Verdict.OK) == []


@pytest.mark.parametrize(
    ("certificate", "what", "remedy"),
    [
        (EXPIRED, "has expired", "renew its certificate"),
        (NOT_YET, "not valid yet", "clocks"),
        (OTHER_NAME, "another name", "a name that the certificate holds"),
    ],
    ids=["expired", "not yet", "another name"],
)
def test_app_a36_a_certificate_that_is_not_accepted_is_told_with_its_reason(
    authority: TestAuthority, certificate: dict[str, Any], what: str, remedy: str
) -> None:
    with behind_tls(authority, **certificate) as ehr:
        ehr.settings["certificate_authority"] = authority.file
        fault = first_fault(ehr)

    assert what in fault.what
    assert remedy in fault.remedy


def test_app_a36_an_unknown_authority_leads_to_the_setting(authority: TestAuthority) -> None:
    with behind_tls(authority) as ehr:
        fault = first_fault(ehr)

    assert "an authority that this machine does not know" in fault.what
    assert "certificate_authority of this EHR" in fault.remedy
    assert "--certificate-authority" in fault.remedy


def test_app_a36_another_authority_than_the_settings_name_is_told_apart(authority: TestAuthority, tmp_path: Path) -> None:
    other = TestAuthority.in_folder(tmp_path / "another")
    with behind_tls(authority) as ehr:
        ehr.settings["certificate_authority"] = other.file
        fault = first_fault(ehr)

    assert "nor by certificate_authority of this EHR" in fault.what
    assert "PEM file" in fault.remedy


def test_app_a36_the_authority_counts_at_the_ehrs_own_servers_only(authority: TestAuthority, tmp_path: Path) -> None:
    """Images on another server of the hospital: the setting does not reach there by itself, in a launch neither."""
    second = TestAuthority.in_folder(tmp_path / "images")
    with behind_tls(authority) as ehr, behind_tls(second) as images:
        ehr.settings |= {"certificate_authority": authority.file}
        ehr.configuration["issuer"] = f"{images.base_url}/auth"
        told = [one for one in ehr.report().findings if images.base_url in one.what]

    assert "an authority that this machine does not know" in told[0].what
    assert f'add "{images.base_url}" to server_origins' in told[0].remedy


@pytest.mark.parametrize("place", ["keys", "imaging", "images"])
def test_app_a36_each_server_of_the_ehr_is_told_apart(authority: TestAuthority, tmp_path: Path, place: str) -> None:
    second = TestAuthority.in_folder(tmp_path / "second")
    with behind_tls(authority) as ehr, behind_tls(second) as other:
        ehr.settings |= {"certificate_authority": authority.file}
        if place == "keys":
            ehr.settings["server_origins"] = (other.base_url,)
            ehr.configuration["jwks_uri"] = f"{other.base_url}/auth/jwks"
        elif place == "imaging":
            ehr.settings["imaging_base"] = f"{other.base_url}/fhir"
            ehr.configuration["capabilities"] = ["launch-ehr", "client-public"]
        else:
            ehr.settings["token_origins"] = (other.base_url,)
            ehr.endpoint["address"] = f"{other.base_url}/dicom-web"
        faults = [one for one in worse_than(ehr.report(), Verdict.WARNING) if other.base_url in one.what]

    assert any("nor by certificate_authority" in one.what and "PEM file" in one.remedy for one in faults)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings in reach."""
    monkeypatch.delenv("IMAGING_CDS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nowhere")
def test_app_a36_an_authority_is_tried_before_anything_is_written(
    authority: TestAuthority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    with behind_tls(authority) as ehr:
        asked = ["check", "--issuer", ehr.fhir, "--token-file", str(token), "--patient", PATIENT, "--json"]
        without = main(asked), json.loads(capsys.readouterr().out)
        given = main([*asked, "--certificate-authority", str(authority.file)]), json.loads(capsys.readouterr().out)

    assert (without[0], without[1]["verdict"]) == (1, "fault")
    assert (given[0], [one for one in given[1]["findings"] if one["verdict"] == "fault"]) == (0, [])


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_holds_no_certificate_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    code = main(["check", "--issuer", "https://ehr.example/fhir", "--certificate-authority", str(path)])

    assert code == 2
    assert "cannot be read as PEM certificates" in capsys.readouterr().err


def test_the_configured_ehr_is_asked_with_its_own_settings(
    authority: TestAuthority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with behind_tls(authority) as ehr:
        config = tmp_path / "site.toml"
        ehr_table = {"name": "checked", "fhir_base": ehr.fhir, "certificate_authority": str(authority.file)}
        state = {"state_dir": str(tmp_path / "state")}
        config.write_text(tomli_w.dumps({"public_base_url": APP, "state": state, "ehr": [ehr_table]}))
        code = main(["check", "--issuer", ehr.fhir, "--config", str(config)])
    said, error = capsys.readouterr()

    assert (error, code) == ("", 0)
    assert "The issuer is configured as checked" in said
    assert "certificate" not in said


def test_app_a36_what_openssl_says_else_is_passed_on() -> None:
    refused = ssl.SSLCertVerificationError(1, "refused")
    refused.verify_code, refused.verify_message = 79, "invalid CA certificate"
    told = explain_tls(refused, "https://ehr.example/fhir", Authority.UNSET)

    assert "invalid CA certificate" in told.what
    assert "must mend its certificate" in told.remedy
