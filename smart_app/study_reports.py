"""Reports beside their studies.

Spec: FHIR R4/R5 DiagnosticReport.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_imaging.study import ImagingStudy, concept_text
from fhir_imaging.tolerant import dicts, text
from smart_app.study_words import date_words

REPORT_WORDS = {
    "final": "Final report",
    "amended": "Amended report",
    "corrected": "Corrected report",
    "appended": "Report with addendum",
    "preliminary": "Preliminary report",
    "registered": "Report pending",
    "partial": "Partial report",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One report beside its study; ``conclusion`` is quoted as written."""

    state: str
    title: str
    conclusion: str | None
    issued: str | None


class ReportsByStudy:
    """Each report read once, found by its study: a long history has hundreds of both.

    R4 says ``imagingStudy``, R5 ``study``; some EHRs only share the accession number.
    """

    def __init__(self, reports: Iterable[Mapping[str, Any]]) -> None:
        self._rows: dict[str, dict[int, ReportRow]] = {}
        for position, report in enumerate(reports):
            references = {
                text(one.get("reference")) or "" for name in ("imagingStudy", "study") for one in dicts(report.get(name))
            }
            marks = {ref.rpartition("ImagingStudy/")[2] for ref in references if "ImagingStudy/" in ref}
            if not references:
                marks = {
                    f"accession {text(one.get('value'))}" for one in dicts(report.get("identifier")) if text(one.get("value"))
                }
            for mark in marks:
                self._rows.setdefault(mark, {})[position] = _report_row(report)

    def of(self, study: ImagingStudy) -> tuple[ReportRow, ...]:
        """The study's reports in the order in which they came."""
        found = self._rows.get(study.resource_id or "", {}) | self._rows.get(f"accession {study.accession}", {})
        return tuple(row for _, row in sorted(found.items(), key=lambda one: one[0]))


def _report_row(report: Mapping[str, Any]) -> ReportRow:
    issued = text(report.get("issued")) or text(report.get("effectiveDateTime"))
    return ReportRow(
        state=REPORT_WORDS.get(text(report.get("status")) or "", "Report"),
        title=concept_text(report.get("code")) or "Report",
        conclusion=text(report.get("conclusion")),
        issued=date_words(issued, _moment(issued)) if issued else None,
    )


def _moment(stated: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stated)
    except ValueError:
        return None
