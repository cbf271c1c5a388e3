"""The report of a prior study at order time: signed, or only begun, and however the two are linked.

The rules of findings quote signed reports that name a study or a result. Whether a prior has been read is another question: a
report may say so by its order or accession number alone, and one that is only begun is still no missing one (O4, O6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imaging_findings.history import ReportFacts, read_report
from imaging_findings.order_facts import PriorStudy
from imaging_findings.report_states import AnyReport, ReportState, StudyNames, is_about, read_any_report


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorReport:
    """One report of any status that is not withdrawn, with the resource, from which a signed one is quoted."""

    state: AnyReport
    sent: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def read_prior_reports(resources: Iterable[Mapping[str, Any]]) -> tuple[PriorReport, ...]:
    """The reports of the chart that somebody may still rely on or wait for."""
    read = ((read_any_report(one), one) for one in resources)
    return tuple(PriorReport(state=state, sent=sent) for state, sent in read if state is not None)


def signed_report_of(study: PriorStudy, reports: Sequence[PriorReport]) -> ReportFacts | None:
    """The signed report that means this study."""
    names = _names_of(study)
    signed = (one for one in reports if one.state.state is ReportState.SIGNED and is_about(one.state, names))
    return next((facts for one in signed if (facts := read_report(one.sent)) is not None), None)


def begun_report_of(study: PriorStudy, reports: Sequence[PriorReport]) -> AnyReport | None:
    """The report of this study that nobody has signed yet."""
    names = _names_of(study)
    unsigned = (one.state for one in reports if one.state.state is ReportState.UNSIGNED)
    return next((one for one in unsigned if is_about(one, names)), None)


def _names_of(study: PriorStudy) -> StudyNames:
    return StudyNames(
        references=frozenset({study.reference}) | study.same_as,
        uid=str(study.study_instance_uid),
        orders=study.based_on,
        accessions=study.accessions,
    )
