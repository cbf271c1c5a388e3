"""What stands beside the images: the study's reports, what the judgement says of it, and the earlier studies to compare with.

Spec: smart-launch.md §8; what is said of findings is the list's, word for word.
"""

from __future__ import annotations

from dataclasses import dataclass

from smart_app.patient_imaging import PatientImaging
from smart_app.study_findings import Highlight
from smart_app.study_list import StudyRow
from smart_app.study_reports import ReportRow

MOST_OTHERS = 12
"""How many further studies the panel names; the list has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorStudy:
    """An earlier study of the same region by the same kind of machine; ``can_compare``: its images are on the same server."""

    row: StudyRow
    can_compare: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPanel:
    """The panel of one study. ``notes`` are whole sentences on what could not be had."""

    row: StudyRow
    reports: tuple[ReportRow, ...]
    lines: tuple[Highlight, ...]
    priors: tuple[PriorStudy, ...]
    priors_left_out: int
    notes: tuple[str, ...]


def read_panel(imaging: PatientImaging, row: StudyRow, *, for_patient: bool) -> ReportPanel:
    """The panel beside ``row``. A patient or proxy gets no clinicians' lines; their rows hold released reports only."""
    priors = [other for other in imaging.studies.rows if other.is_prior_of(row)]
    shown = priors[:MOST_OTHERS]
    return ReportPanel(
        row=row,
        reports=row.reports,
        lines=() if for_patient else imaging.highlights.of(row),
        priors=tuple(PriorStudy(row=one, can_compare=_on_one_server(one, row)) for one in shown),
        priors_left_out=len(priors) - len(shown),
        notes=imaging.notes,
    )


def _on_one_server(prior: StudyRow, row: StudyRow) -> bool:
    """The viewer hangs side by side what one data source holds."""
    return prior.can_open and prior.address == row.address
