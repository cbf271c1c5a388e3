"""Which records of communication answer one finding: about it, and made by then to somebody who can act.

A record about the finding itself counts from the study on. One about its report or study counts only when it was made after the
finding was signed: what was told of a study yesterday says nothing of an addendum of today. Spec: clinical rules, section 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from imaging_findings.communications import CommunicationFacts
from imaging_findings.facts import Facts
from imaging_findings.findings import Finding
from imaging_findings.history import ReportFacts

# Categories 1 and 2 are told to a professional; what a patient was told does not meet them.
_TO_PROFESSIONALS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One finding, as often as it was written down, with what its communication is compared with."""

    carriers: Sequence[Finding]
    """The finding's own Observations and reports; at least one."""
    category: int
    issued: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is on record about one finding."""

    counted: tuple[CommunicationFacts, ...] = ()
    """Records that somebody was told, the earliest first."""
    set_aside: tuple[tuple[CommunicationFacts, str], ...] = ()
    """Records that do not count for this finding, each with the reason."""


def told_of(asked: Asked, facts: Facts) -> Told:
    """The records about the finding, its reports or its study, parted into those that count and those that do not."""
    names = {one.reference for one in asked.carriers if one.reference.startswith("Observation/")}
    reports = {one.reference: one for finding in asked.carriers for one in facts.reports_of(finding)}
    around = {one.study_reference for one in asked.carriers if one.study_reference} | set(reports)
    around |= {one.reference for one in asked.carriers} - names
    around = around.union(*(one.studies for one in reports.values()))
    counted: list[CommunicationFacts] = []
    aside: list[tuple[CommunicationFacts, str]] = []
    for record in sorted(facts.communications, key=_by_time):
        of_finding = bool(record.about & names)
        if not of_finding and not record.about & around and not _is_part_of(record, reports.values()):
            continue
        why = _why_not(record, asked, facts, of_finding=of_finding)
        if why is None:
            counted.append(record)
        else:
            aside.append((record, why))
    return Told(counted=tuple(counted), set_aside=tuple(aside))


def _by_time(record: CommunicationFacts) -> tuple[bool, float]:
    return (record.at is None, record.at.timestamp() if record.at else 0.0)


def _is_part_of(record: CommunicationFacts, reports: Iterable[ReportFacts]) -> bool:
    return any(record.reference in report.results for report in reports)


def _why_not(record: CommunicationFacts, asked: Asked, facts: Facts, *, of_finding: bool) -> str | None:
    """Why a record does not count for this finding; None where it does."""
    if not record.took_place:
        return "its words do not say that anybody was told"
    if record.only_to_patient and asked.category in _TO_PROFESSIONALS:
        return "it was to the patient's side only"
    if record.at is not None and any(_is_before_study(record.at, one, facts) for one in asked.carriers):
        return "it was before the study"
    if of_finding:
        return None
    if record.at is None:
        return "it is not about this finding, and its time is not recorded"
    if asked.issued is None:
        return "it is not about this finding, whose time of signing is not known"
    return "it was before this finding was signed" if record.at < asked.issued else None


def _is_before_study(at: datetime, finding: Finding, facts: Facts) -> bool:
    if finding.taken is not None:
        return at < finding.taken
    study = facts.study_of(finding)
    day = (study.day if study else None) or finding.study_date
    return day is not None and at.date() < day
