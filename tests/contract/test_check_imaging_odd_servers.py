"""What ``imaging-cds check --imaging`` makes of servers that are right in odd ways, or answer in shapes that nobody expects."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from flask import Response

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


@pytest.mark.parametrize("habit", [_packed, _for_people_too, _without_content, _with_relative_links])
def test_what_a_server_may_do_is_no_fault(habit: Callable[[Response], None], caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110 §11.6.1 (several challenges) and §12.5.3; PS3.18 §10.6.3 (204 for no match); FHIR R4 §2.36 (uri)."""
    caplog.set_level("ERROR", "werkzeug")

    report = _report_on_one_that(habit)

    assert [(row.key, row.outcome.seen) for row in report.of(Verdict.FAULT)] == []
