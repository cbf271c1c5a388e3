"""Which study a finding belongs to where it does not say so itself: its group's, or that of the report that names it.

A measurement group (HL7 dicom-sr: ``hasMember``) states the study once for all members; a report's ``result`` does it through
the report's ``imagingStudy``, where that is one study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from fhir_imaging.tolerant import dicts, text
from imaging_findings.findings import Finding
from imaging_findings.history import ReportFacts
from imaging_findings.observations import reference_of, relative_reference, study_reference_of
from imaging_findings.stated_days import day_of

Place = tuple[str, date | None]


def places_of_members(resources: Iterable[Mapping[str, Any]]) -> dict[str, Place]:
    """Study and day by member, from Observations that name both members and a study."""
    places: dict[str, Place] = {}
    for resource in resources:
        study = study_reference_of(resource)
        if study is None or reference_of(resource, "Observation") == "Observation":
            continue
        day = day_of(text(resource.get("effectiveDateTime")))
        for member in dicts(resource.get("hasMember")):
            reference = relative_reference(text(member.get("reference")), "Observation")
            if reference:
                places.setdefault(reference, (study, day))
    return places


def placed(findings: Sequence[Finding], members: Mapping[str, Place], reports: Sequence[ReportFacts]) -> tuple[Finding, ...]:
    """The findings, each with its study where one can be told."""
    return tuple(one if one.study_reference else _placed(one, members, reports) for one in findings)


def _placed(finding: Finding, members: Mapping[str, Place], reports: Sequence[ReportFacts]) -> Finding:
    study, day = members.get(finding.reference, (None, None))
    named = [report.studies for report in reports if finding.reference in report.results]
    if study is None and len(named) == 1 and len(named[0]) == 1:
        study = next(iter(named[0]))
    return replace(finding, study_reference=study, study_date=finding.study_date or day) if study else finding
