"""Lung findings that a signed report states as its coded conclusion, where no Observation says the same.

A Lung-RADS category counts as an Observation's does; a nodule has neither size nor type there, so no interval comes of it.
Spec: clinical rules, section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_imaging.tolerant import dicts
from imaging_findings import codes
from imaging_findings.findings import Author, Finding, Kind, Nodule
from imaging_findings.history import ReportFacts, read_report, reported
from imaging_findings.observations import LUNG_RADS_CATEGORIES

_MODIFIER_S = codes.LUNG_RADS_MODIFIER_S.code


def read_report_findings(resource: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The Lung-RADS categories and the nodule in a signed report's ``conclusionCode``; one without a version has no scheme."""
    report = read_report(resource)
    if report is None:
        return ()
    stated = [codes.codings(concept) for concept in dicts(resource.get("conclusionCode"))]
    own = [[one for one in concept if one.system == codes.LUNG_RADS] for concept in stated]
    is_modified = any(one.code == _MODIFIER_S for concept in own for one in concept)
    found: list[Finding] = []
    for concept in own:
        # Two categories in one concept contradict each other: then none is coded, as in an Observation.
        if len({(one.code, one.version) for one in concept}) == 1 and concept[0].code in LUNG_RADS_CATEGORIES:
            found.append(_finding(Kind.LUNG_RADS, report, resource, concept[0], modifier_s=is_modified))
    if not found and any(one.is_same(codes.SOLITARY_NODULE) for concept in stated for one in concept):
        found.append(_finding(Kind.NODULE, report, resource))
    return tuple(found)


def with_concluded(
    findings: Sequence[Finding], concluded: Iterable[Finding], reports: Sequence[ReportFacts]
) -> tuple[Finding, ...]:
    """The findings with those conclusions that no signed Observation of the same study or report says already."""
    results = {report.reference: report.results for report in reports}
    new = [one for one in concluded if not any(_says(other, one, results) for other in findings)]
    return (*findings, *new)


def _finding(
    kind: Kind,
    report: ReportFacts,
    resource: Mapping[str, Any],
    coded: codes.Code | None = None,
    *,
    modifier_s: bool = False,
) -> Finding:
    return replace(
        reported(resource, report, kind),
        category=coded.code if coded else None,
        scheme=coded,
        modifier_s=modifier_s,
        nodule=Nodule(count=1) if kind is Kind.NODULE else Nodule(),
    )


def _says(observation: Finding, conclusion: Finding, results: Mapping[str, frozenset[str]]) -> bool:
    same_study = conclusion.study_reference is not None and observation.study_reference == conclusion.study_reference
    is_result = observation.reference in results.get(conclusion.reference, frozenset())
    if observation.author is not Author.PERSON or not (same_study or is_result):
        return False
    return conclusion.kind is Kind.NODULE or observation.category == conclusion.category
