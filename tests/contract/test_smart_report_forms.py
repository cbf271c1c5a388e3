"""The attached forms of a report: from the EHR only, for its own patient only, and never as a page that could do anything."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request
from werkzeug.test import TestResponse

from tests.contract.smart_actors import FakeEhr, World, a_world, demo_record, report_on

PDF = b"%PDF-1.4 synthetic"
SCRIPT = b"<script>alert(1)</script><p>A nodule.</p>"


def inline(content_type: str, content: bytes) -> dict[str, Any]:
    return {"contentType": content_type, "data": base64.b64encode(content).decode()}


@dataclass
class EhrWithDocuments(FakeEhr):
    """An EHR whose reports have documents. ``documents`` are its raw Binaries, by id."""

    documents: dict[str, Response] = field(default_factory=dict)
    refusals: list[int] = field(default_factory=list)
    """Statuses of the next answers to reads of a report."""
    authorizations_seen: list[str] = field(default_factory=list)

    def _read(self, resource_type: str, resource_id: str) -> Any:
        self.authorizations_seen.append(request.headers.get("Authorization", ""))
        if resource_type == "DiagnosticReport" and self.refusals:
            return Response("{}", self.refusals.pop(0))
        if resource_type == "Binary" and resource_id in self.documents:
            return self.documents[resource_id]
        return super()._read(resource_type, resource_id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, ehr=EhrWithDocuments(fhir=demo_record())) as made:
        yield made


def opened(world: World, *forms: dict[str, Any], position: int = 0, report: str = "report-a", **more: Any) -> TestResponse:
    world.ehr.fhir["DiagnosticReport"] = [{**report_on(), "presentedForm": list(forms), **more}]
    world.clinician.launches(world.ehr)
    return world.clinician.get(f"/s/{world.clinician.session}/reports/{report}/forms/{position}")


def documents(world: World) -> EhrWithDocuments:
    assert isinstance(world.ehr, EhrWithDocuments)
    return world.ehr


def test_a_pdf_opens_in_the_browsers_own_viewer(world: World) -> None:
    answer = opened(world, inline("application/pdf", PDF))
    listed = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert answer.data == PDF
    assert answer.content_type == "application/pdf"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert f'href="/s/{world.clinician.session}/reports/report-a/forms/0" target="_blank" rel="noopener"' in listed.text


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/pdf", SCRIPT),
        ("image/svg+xml", SCRIPT),
        ("application/xml", SCRIPT),
        ("text/rtf", rb"{\rtf1 a}"),
        ("", SCRIPT),
    ],
)
def test_group_27_what_a_browser_might_run_is_kept_as_a_file(world: World, content_type: str, content: bytes) -> None:
    answer = opened(world, inline(content_type, content))

    assert answer.content_type == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_group_27_html_is_handed_out_as_its_words(world: World) -> None:
    answer = opened(world, inline("text/html", SCRIPT))
    listed = world.clinician.get(f"/s/{world.clinician.session}/studies")

    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text == "A nodule."
    assert "A nodule." in listed.text
    assert "alert(1)" not in listed.text


def test_a_document_behind_a_binary_is_fetched_with_the_sessions_token(world: World) -> None:
    documents(world).documents["7"] = Response(PDF, mimetype="application/pdf")
    answer = opened(world, {"contentType": "application/pdf", "url": "Binary/7"})

    assert answer.data == PDF
    assert documents(world).authorizations_seen[-1].startswith("Bearer access-")


def test_a_binary_that_comes_as_a_resource_is_unpacked(world: World) -> None:
    world.ehr.fhir["Binary"] = [{"resourceType": "Binary", "id": "7", **inline("application/pdf", PDF)}]
    answer = opened(world, {"contentType": "application/pdf", "url": f"{world.ehr.fhir_base}/Binary/7"})

    assert answer.data == PDF


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/report.pdf",
        "//elsewhere.example/report.pdf",
        "/other/report.pdf",
        "../auth/token",
        "file:///etc/passwd",
        "Binary/7/../../../auth",
        "",
    ],
)
def test_group_25_a_document_elsewhere_gets_neither_token_nor_request(world: World, url: str) -> None:
    before = [{"contentType": "application/pdf", "url": url}]
    answer = opened(world, *before)

    assert answer.status_code == 404
    assert "cannot be opened" in answer.text
    assert not [path for path in world.ehr.fhir_requests if "Binary" in path and ".." in path]


@pytest.mark.parametrize(
    ("report", "position", "more"),
    [
        ("report-a", 5, {}),
        ("unknown", 0, {}),
        ("report-a", 0, {"subject": {"reference": "Patient/demo-b"}}),
        ("report-a", 0, {"subject": {"reference": "https://elsewhere.example/fhir/Patient/demo-a"}}),
        ("report-a", 0, {"status": "entered-in-error"}),
        ("a%20b", 0, {}),
    ],
)
def test_group_29_only_the_patients_own_reports_open(world: World, report: str, position: int, more: dict[str, Any]) -> None:
    answer = opened(world, inline("application/pdf", PDF), report=report, position=position, **more)

    assert answer.status_code == 404
    assert PDF not in answer.data


def test_another_browser_opens_nothing(world: World) -> None:
    opened(world, inline("application/pdf", PDF))
    answer = world.another_clinician().get(f"/s/{world.clinician.session}/reports/report-a/forms/0")

    assert answer.status_code == 403
    assert PDF not in answer.data


def test_a_window_without_the_frames_cookie_opens_it_once_with_a_ticket(world: World) -> None:
    opened(world, inline("application/pdf", PDF))
    session = f"/s/{world.clinician.session}"
    asked = world.clinician.post(f"{session}/window-ticket")
    assert asked.json is not None
    ticket = asked.json["ticket"]
    window, late = world.another_clinician(), world.another_clinician()
    sent = window.post(f"{session}/reports/report-a/forms/0", data={"ticket": ticket})
    shown = window.get(sent.headers["Location"])
    again = late.post(f"{session}/reports/report-a/forms/0", data={"ticket": ticket})

    assert sent.status_code == 303
    assert ticket not in sent.headers["Location"]
    assert shown.data == PDF
    assert again.status_code == 403


@pytest.mark.parametrize(("ticket", "from_own_page"), [("", True), ("guessed", True), ("guessed", False)])
def test_group_28_a_window_without_a_ticket_opens_nothing(world: World, ticket: str, from_own_page: bool) -> None:
    opened(world, inline("application/pdf", PDF))
    path = f"/s/{world.clinician.session}/reports/report-a/forms/0"
    answer = world.another_clinician().post(path, data={"ticket": ticket}, from_own_page=from_own_page)

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_a39_a_refused_token_is_renewed_once(world: World) -> None:
    opened(world, inline("application/pdf", PDF))
    world.clock.passes(seconds=30)
    documents(world).refusals = [401]
    answer = world.clinician.get(f"/s/{world.clinician.session}/reports/report-a/forms/0")

    assert answer.data == PDF
    assert world.ehr.token_requests[-1]["grant_type"] == "refresh_token"


def test_an_ehr_that_does_not_give_the_document_is_explained(world: World) -> None:
    documents(world).documents["7"] = Response("secret words", 403)
    answer = opened(world, {"contentType": "application/pdf", "url": "Binary/7"})

    assert answer.status_code == 404
    assert "HTTP 403" in answer.text
    assert "secret words" not in answer.text
