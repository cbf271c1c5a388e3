"""The chart's examinations are held to the checked LOINC table by reading the file: the sandbox imports nothing of ours."""

from __future__ import annotations

import csv

from ehr_sandbox.chart_catalogue import orderables
from ehr_sandbox.chart_contexts import is_study_complete
from tests.conftest import CHECKOUT


def test_every_examination_of_the_list_is_in_the_loinc_table_under_its_name() -> None:
    lines = (CHECKOUT / "imaging_findings" / "tables" / "loinc_studies.csv").read_text(encoding="utf-8").splitlines()
    table = csv.reader(line for line in lines if not line.startswith("#"))
    names = {row[0]: row[1] for row in table}

    listed = list(orderables())

    assert {one.code: names.get(one.code) for one in listed} == {one.code: one.display for one in listed}
    assert len({one.code for one in listed}) == len(listed)


def test_hook_of_a_completed_study_is_any_reverse_domain_name_of_it() -> None:
    assert is_study_complete("org.imaging-cds.imaging-study-complete")
    assert is_study_complete("com.example.imaging-study-complete")
    for other in ("imaging-study-complete", "org.example.imaging-study-completed", "org.example.not-imaging-study-complete"):
        assert not is_study_complete(other), other
