"""What ``imaging-cds check --imaging`` makes of servers that are right in odd ways, or answer in shapes that nobody expects."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from flask import Response, request

from imaging_cds.check_gateway import REQUIREMENTS, check_server
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_report import ImagingReport, Verdict
from imaging_cds.check_gateway_subject import Subject, TokenKind
from tests.conftest import free_port_number, serving
from tests.faulty_imaging import FaultyImaging
from tests.faulty_tokens import a_token

DEEP = json.loads("[" * 900 + "]" * 900)
FHIR_JSON, DICOM_JSON = "application/fhir+json", "application/dicom+json"


def _report_on_one_that(habit: Callable[[Response], None]) -> ImagingReport:
    """Of a right server, but for what it does to each of its answers."""
    port = free_port_number()
    server = FaultyImaging(base_url=f"http://127.0.0.1:{port}")
    app = server.app()

    @app.after_request
    def _habit(answer: Response) -> Response:
        habit(answer)
        return answer

    tokens = {TokenKind.GOOD: a_token(), TokenKind.UNSCOPED: a_token(scope="patient/Patient.r")}
    with serving(app, port), closing(Probe([server.base_url])) as probe:
        return check_server(Subject(base=server.imaging, tokens=tokens, patient="pat-a", budget_ms=2000), probe)


def _of_nobody(bundle: Any) -> Any:
    for entry in bundle.get("entry", []):
        entry["resource"]["subject"] = {"reference": "https://ehr.example\ud800/Patient/pat-a"}
    return bundle


@pytest.mark.parametrize(
    ("kind", "bent"),
    [
        (FHIR_JSON, lambda said: said | {"total": [2]}),
        (FHIR_JSON, lambda said: said | {"total": {}}),
        (FHIR_JSON, lambda said: said | {"deep": DEEP}),
        (FHIR_JSON, _of_nobody),
        (DICOM_JSON, lambda said: [one | {"0040A730": {"vr": "SQ", "Value": DEEP}} for one in said]),
    ],
)
def test_an_answer_of_any_shape_ends_no_check(kind: str, bent: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """A right server but for this: the rows that meet it say so, and the others are tried."""
    caplog.set_level("ERROR", "werkzeug")

    def bend(answer: Response) -> None:
        if (answer.status_code, answer.mimetype) == (200, kind):
            answer.set_data(json.dumps(bent(json.loads(answer.get_data()))))

    report = _report_on_one_that(bend)

    assert len(report.rows) == len(REQUIREMENTS)
    assert report.exit_code == 1
    assert len(report.of(Verdict.OK)) > 20


def _packed(answer: Response) -> None:
    answer.set_data(gzip.compress(answer.get_data()))
    answer.headers["Content-Encoding"] = "gzip"


def _for_people_too(answer: Response) -> None:
    if "WWW-Authenticate" in answer.headers:
        answer.headers["WWW-Authenticate"] = f'Basic realm="images", {answer.headers["WWW-Authenticate"]}'


def _without_content(answer: Response) -> None:
    if answer.get_data() == b"[]":
        answer.status_code = 204
        answer.set_data(b"")


def _with_relative_links(answer: Response) -> None:
    if answer.mimetype == FHIR_JSON:
        said = json.loads(answer.get_data())
        for link in said.get("link", []):
            link["url"] = link["url"].partition("/imaging/fhir/")[2]
        answer.set_data(json.dumps(said))


def _with_padding(answer: Response) -> None:
    answer.set_data(answer.get_data().replace(b"--between-the-parts\r\n", b"--between-the-parts \t\r\n"))


def _with_another_scheme(answer: Response) -> None:
    said = answer.headers.get("WWW-Authenticate", "")
    if said:
        words = said.replace("error", "Error") if "error" in said else f'{said} realm="a, b c"'
        answer.headers["WWW-Authenticate"] = f'{words}, DPoP algs="ES256", error="use_dpop_nonce"'


def _without_preflight(answer: Response) -> None:
    if request.method == "OPTIONS":
        answer.status_code = 405
        answer.set_data(b"<h1>no</h1>")


def _with_a_word_about_the_search(answer: Response) -> None:
    if answer.mimetype == FHIR_JSON:
        said = json.loads(answer.get_data())
        word = {"resourceType": "OperationOutcome", "issue": [{"severity": "information", "code": "informational"}]}
        if said["resourceType"] == "Bundle":
            said.setdefault("entry", []).append({"resource": word, "search": {"mode": "outcome"}})
        answer.set_data(json.dumps(said))


HABITS = (
    _packed,
    _for_people_too,
    _without_content,
    _with_relative_links,
    _with_padding,
    _with_another_scheme,
    _without_preflight,
    _with_a_word_about_the_search,
)


@pytest.mark.parametrize("habit", HABITS)
def test_what_a_server_may_do_is_no_fault(habit: Callable[[Response], None], caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110 §11.6.1 (several challenges), §12.5.3; PS3.18 §10.6.3 (204); FHIR R4 §2.36; RFC 2046 §5.1.1 (padding)."""
    caplog.set_level("ERROR", "werkzeug")

    report = _report_on_one_that(habit)

    assert [(row.key, row.outcome.seen) for row in report.of(Verdict.FAULT)] == []
