"""``imaging-cds check --imaging`` calls nothing kept that it has not seen: what refuses everybody proves nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing

import pytest
from flask import Response, request

from imaging_cds.check_gateway import check_server
from imaging_cds.check_gateway_guard import GUARD_REQUIREMENTS
from imaging_cds.check_gateway_paths import PATH_REQUIREMENTS
from imaging_cds.check_gateway_patients import PATIENT_REQUIREMENTS
from imaging_cds.check_gateway_probe import Probe
from imaging_cds.check_gateway_reach import REACH_REQUIREMENTS
from imaging_cds.check_gateway_report import ImagingReport, Verdict
from imaging_cds.check_gateway_subject import Subject, TokenKind
from tests.conftest import free_port_number, serving
from tests.faulty_archive import STUDIES, STUDY_B
from tests.faulty_imaging import FaultyImaging
from tests.faulty_tokens import a_token, capability_of

OF_SEARCHES = {one.key for one in PATIENT_REQUIREMENTS} | {"F5:altered", "F5:unsigned", "F5:ended", "F8:no-patient"}
OF_IMAGES = {one.key for one in (*GUARD_REQUIREMENTS, *REACH_REQUIREMENTS, *PATH_REQUIREMENTS)} | {"M3:missing", "M5:addresses"}


def report_on(
    server: Callable[[str], FaultyImaging], good: str, before: Callable[[], Response | None] = lambda: None
) -> ImagingReport:
    """Of a right server, whose answers ``before`` may give in its place."""
    port = free_port_number()
    made = server(f"http://127.0.0.1:{port}")
    app = made.app()
    app.before_request_funcs[None].insert(0, before)
    tokens = {
        TokenKind.GOOD: good,
        TokenKind.SECOND: a_token(jti="second"),
        TokenKind.ENDED: a_token(exp=1),
        TokenKind.PATIENTLESS: a_token(None),
    }
    subject = Subject(
        base=made.imaging,
        tokens=tokens,
        patient="pat-a",
        other_patient="pat-b",
        other_study=STUDY_B,
        other_series=STUDIES[STUDY_B].series,
        budget_ms=2000,
    )
    with serving(app, port), closing(Probe([made.base_url], sleep=lambda _: None)) as probe:
        return check_server(subject, probe)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "werkzeug")


@pytest.mark.parametrize("good", [a_token(exp=1), a_token(scope="patient/Patient.r"), a_token(None)])
def test_refusals_by_a_server_that_refuses_the_good_token_too_prove_nothing(good: str) -> None:
    """F5, F6, F8, M9, M10: such as where an ended token was lent as the good one."""
    report = report_on(FaultyImaging, good)

    assert not {row.key for row in report.of(Verdict.OK)} & OF_SEARCHES


def test_refusals_by_an_address_where_no_images_are_prove_nothing() -> None:
    """W3, W4, W5, M1-M3, M5, P5: everything there is 404, for everybody."""

    def nothing_there() -> Response | None:
        is_there = not request.path.startswith("/dicom-web")
        return None if is_there else Response("{}", status=404, mimetype="application/problem+json")

    report = report_on(FaultyImaging, a_token(), nothing_there)

    assert not {row.key for row in report.of(Verdict.OK)} & OF_IMAGES
    assert "W1:study" in {row.key for row in report.of(Verdict.FAULT)}


def test_large_values_that_nobody_is_given_prove_no_guard() -> None:
    """W3, M5: BulkDataURI leads nowhere."""
    report = report_on(FaultyImaging, a_token(), lambda: Response(status=404) if "/bulkdata/" in request.path else None)

    assert "W3:large-values" in {row.key for row in report.of(Verdict.NOT_TRIED)}


def test_a_capability_that_is_read_in_either_size_of_letters_is_none_the_less_checked() -> None:
    """W6: the last letter of a hexadecimal digest in capitals is the same digest."""
    good = next(one for one in (a_token(jti=str(number)) for number in range(500)) if capability_of(one).endswith("a"))

    def in_small_letters() -> None:
        environ = request.environ
        environ["RAW_URI"] = re.sub(r"cap=\w+", lambda found: found[0].lower(), str(environ["RAW_URI"]))

    report = report_on(lambda base: FaultyImaging(base, capability=True), good, in_small_letters)

    assert [(row.key, row.outcome.seen) for row in report.of(Verdict.FAULT)] == []
    assert {"W6:capability", "M8:bound"} <= {row.key for row in report.of(Verdict.OK)}


def test_an_address_that_is_the_same_for_every_token_carries_no_capability() -> None:
    """W6, M8: such as one that names a site."""
    report = report_on(lambda base: FaultyImaging(base, images_at=f"{base}/dicom-web?site=1"), a_token())

    assert [(row.key, row.outcome.seen) for row in report.of(Verdict.FAULT)] == []
    assert {"W6:capability", "M8:bound"} <= {row.key for row in report.of(Verdict.NOT_OFFERED)}
