"""``imaging-cds check --imaging`` at our own imaging server: nothing in it is red (issue 5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_imaging.settings import origin_of
from fhir_imaging.tolerant import as_dict
from imaging_cds.check_gateway import check_server
from imaging_cds.check_gateway_probe import Probe, Question
from imaging_cds.check_gateway_report import ImagingReport, Verdict
from imaging_cds.check_gateway_subject import Subject
from tests.demo_hospital import OTHER_PATIENT, PATIENT
from tests.imaging_check_actors import CheckedDemo, a_checked_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheckedDemo]:
    with a_checked_demo(tmp_path_factory.mktemp("checked")) as running:
        yield running


def report_on(demo: CheckedDemo, base: str) -> ImagingReport:
    probe, other = Probe([base, demo.app_url]), demo.studies[OTHER_PATIENT][0]
    told = as_dict(probe.ask(Question(url=f"{demo.fhir}/ImagingStudy/{other}", token=demo.token(OTHER_PATIENT))).json())
    series = told["series"][0]
    subject = Subject(
        base=base,
        tokens=demo.tokens(),
        patient=PATIENT,
        other_patient=OTHER_PATIENT,
        other_study=other,
        other_series=series["uid"],
        other_instance=series["instance"][0]["uid"],
        # Generous: this is about right and wrong, on machines that do much else.
        budget_ms=2000,
    )
    try:
        return check_server(subject, probe)
    finally:
        probe.close()


def test_our_imaging_fhir_endpoint_and_gateway_are_green(demo: CheckedDemo) -> None:
    """F1-F10, W1-W7, P1, P4, P5 and M1-M16 as they can be seen from outside."""
    report = report_on(demo, demo.fhir)

    assert [(row.key, row.outcome.seen) for row in report.of(Verdict.FAULT)] == []
    assert [(row.key, row.outcome.seen) for row in report.of(Verdict.NOT_TRIED)] == []
    assert report.exit_code == 0


def test_the_sandboxs_own_studies_lead_to_a_green_gateway(demo: CheckedDemo) -> None:
    """The EHR serves ImagingStudy itself, and its Endpoints lead to our gateway at another origin."""
    report = report_on(demo, demo.sandbox.fhir_base)
    gateway = [row for row in report.rows if row.ids[0].startswith("W")]

    assert origin_of(demo.sandbox.fhir_base) != origin_of(demo.app_url)
    assert [(row.key, row.outcome.seen) for row in gateway if row.outcome.verdict is Verdict.FAULT] == []
    assert len([row for row in gateway if row.outcome.verdict is Verdict.OK]) > 12
