"""Words of an EHR that no page, header or form can hold: said in words, never a crash, and nothing of them logged (APP-A27)."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from fhir_imaging import web
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from tests.contract.smart_actors import (
    STUDY_A,
    FakeEhr,
    World,
    a_world,
    demo_record,
    imaging_study,
    patient_a,
    report_on,
    wado_endpoint,
)

HALF = "\ud800"
"""Half of a character, as JSON carries it and UTF-8 does not: left by a system that counts in pairs and cuts."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        web.install(made.app.flask, [])
        yield made


def with_half(record: str, **changes: Any) -> Callable[[FakeEhr], None]:
    made = {"ImagingStudy": imaging_study, "Patient": patient_a, "DiagnosticReport": report_on, "Endpoint": wado_endpoint}
    return lambda ehr: ehr.fhir.update({record: [{**made[record](), **changes}]})


HALVES: dict[str, Callable[[FakeEhr], None]] = {
    "study": with_half("ImagingStudy", description=f"CT chest {HALF}", modality=[{"code": HALF}], started=HALF),
    "series": with_half("ImagingStudy", series=[{"uid": "2.25.1001.1", "bodySite": {"display": HALF}}]),
    "patient": with_half("Patient", name=[{"family": f"Synthetic{HALF}"}], birthDate=HALF),
    "report": with_half("DiagnosticReport", conclusion=f"Nodule {HALF}", id=HALF),
    "image server": with_half("Endpoint", address=f"https://pacs{HALF}.example/dicom"),
    "scope": lambda ehr: ehr.token_changes.update(scope=f"launch patient/*.rs {HALF}"),
    "user": lambda ehr: ehr.id_token_changes.update(fhirUser=f"Practitioner/{HALF}"),
    "named study": lambda ehr: ehr.token_changes.update(fhirContext=[{"type": "ImagingStudy", "identifier": {"value": HALF}}]),
}


@pytest.mark.parametrize("where", HALVES)
def test_half_a_character_takes_no_page_down(world: World, where: str) -> None:
    HALVES[where](world.ehr)
    page = world.clinician.launches(world.ehr)
    base = f"/s/{world.clinician.session}"
    stream = world.clinician.get(f"{base}/studies/stream").text
    panel = world.clinician.get(f"{base}/studies/{STUDY_A}/panel")
    viewer = world.clinician.get(f"{base}/viewer/{STUDY_A}")

    assert (page.status_code, panel.status_code) == (200, 200)
    assert viewer.status_code == (409 if where == "image server" else 200)
    assert "CT chest" in page.text
    assert '"kind":"failed"' not in stream


def test_half_a_character_in_a_refusal_takes_no_page_down(world: World) -> None:
    world.ehr.token_changes = {"scope": f"launch {HALF}"}

    assert world.clinician.launches(world.ehr).status_code == 403


CHARSETS = {
    "utf-7": b"+2AA-Nodule",
    "unicode_escape": b"\\ud800Nodule",
    "undefined": b"Nodule",
    "a\0b": b"Nodule",
    HALF: b"Nodule",
}


@pytest.mark.parametrize("charset", CHARSETS, ids=ascii)
def test_a_reports_text_is_read_whatever_its_charset_is_called(world: World, charset: str) -> None:
    form = {"contentType": f"text/plain; charset={charset}", "data": base64.b64encode(CHARSETS[charset]).decode()}
    world.ehr.fhir["DiagnosticReport"] = [{**report_on(), "conclusion": None, "presentedForm": [form]}]
    page = world.clinician.launches(world.ehr)
    opened = world.clinician.get(f"/s/{world.clinician.session}/reports/report-a/forms/0")

    assert (page.status_code, opened.status_code) == (200, 200)
    assert "Nodule" in page.text
    assert opened.data.decode().endswith("Nodule")


@pytest.mark.parametrize(
    "token", ["access-\nfolded", "access-\r\nX: y", "access-\u20ac", f"access-{HALF}", "access-\0", "\u00e9"]
)
def test_group_34_a_token_that_no_header_holds_is_none_and_is_not_logged(
    world: World, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The library's failure to send it quotes it: base64 that was folded at 76 letters stood in the log."""
    world.ehr.token_changes = {"access_token": token}
    with caplog.at_level(logging.DEBUG, logger="imaging_cds"):
        page = world.clinician.launches(world.ehr)

    assert page.status_code == 502
    assert "answer cannot be used" in page.text
    assert not any("/s/" in address for address in world.clinician.addresses)
    assert "access-" not in caplog.text.replace("access-\\", "")


@pytest.mark.parametrize("token", ["r\nfolded", f"r{HALF}"])
def test_app_a38_a_refresh_token_that_cannot_be_sent_is_none(world: World, token: str) -> None:
    world.ehr.token_changes = {"refresh_token": token}
    page = world.clinician.launches(world.ehr)
    world.clock.passes(seconds=280)
    later = world.clinician.get(f"/s/{world.clinician.session}/studies")
    signed_out = world.clinician.post(f"/s/{world.clinician.session}/logout")

    assert [page.status_code, later.status_code, signed_out.status_code] == [200] * 3
    assert len(world.ehr.revoked) == 1, "the access token"


@pytest.mark.parametrize("claims", [{"exp": 10**400}, {"iat": -(10**400)}, {"iat": 10**400}], ids=["exp", "iat", "future"])
def test_app_a34_a_moment_beyond_all_measure_is_only_a_moment(world: World, claims: dict[str, Any]) -> None:
    world.ehr.id_token_changes = claims

    assert world.clinician.launches(world.ehr).status_code == (403 if claims.get("iat", 0) > 0 else 200)


def test_app_a34_an_id_token_with_half_a_character_is_none(world: World) -> None:
    world.ehr.token_changes = {"id_token": f"{HALF}.a.b"}

    assert world.clinician.launches(world.ehr).status_code == 403


@dataclass
class OpenIdEhr(FakeEhr):
    """An EHR that names its keys only in its OpenID configuration."""

    document: str = "{}"

    def app(self) -> Flask:
        self.smart_configuration = {"jwks_uri": None}
        app = super().app()
        app.add_url_rule("/auth/.well-known/openid-configuration", "openid", lambda: self.document)
        return app


@pytest.mark.parametrize("document", ["[" * 100_000, '{"jwks_uri": "http:\\t//127.0.0.1:1/keys"}', '{"jwks_uri": 7}', "[]"])
def test_app_a34_an_openid_configuration_that_nobody_can_read_is_explained(tmp_path: Path, document: str) -> None:
    with a_world(tmp_path, ehr=OpenIdEhr(fhir=demo_record(), document=document)) as world:
        page = world.clinician.launches(world.ehr)

    assert page.status_code in (403, 502)
    assert "For support" in page.text


def test_group_24_an_address_with_a_tab_in_it_is_asked_or_refused_like_any_other() -> None:
    with OutboundSession(["https://ehr.example"]) as session, pytest.raises(UpstreamRefused):
        session.check_origin("https:\t//evil.example/keys")
    with OutboundSession(["https://ehr.example"]) as session, pytest.raises(UpstreamRefused):
        session.check_origin("https:\t//somebody@ehr.example/keys")


@pytest.mark.parametrize("url", ["https://ehr.example/fhir/Patient", "https://ehr.example/fhir/Patient?page=2"])
@pytest.mark.parametrize("value", ["a\nb", "\u20ac", HALF])
def test_group_34_a_question_that_cannot_be_put_does_not_quote_its_header(url: str, value: str) -> None:
    with OutboundSession(["https://ehr.example"], retries=0) as session, pytest.raises(UpstreamError) as raised:
        session.ask(url, headers={"Authorization": f"Bearer {value}"})

    assert value not in "".join(traceback.format_exception(raised.value))
