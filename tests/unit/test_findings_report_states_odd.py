"""A report of whatever shape says how far it has come, or nothing; it never stops a card."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.report_states import ReportState, read_any_report


@pytest.mark.parametrize("status", [None, [], {}, ["final"], {"final": 1}, 7, True], ids=repr)
def test_a_status_that_is_no_text_is_unknown(status: Any) -> None:
    report = read_any_report({"resourceType": "DiagnosticReport", "id": "r", "status": status})

    assert report is not None
    assert report.state is ReportState.UNKNOWN
