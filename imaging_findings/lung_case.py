"""One study's lung findings on their way through the rules, and which guidance comes before another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from imaging_findings.advice import Guidance
from imaging_findings.facts import Facts
from imaging_findings.findings import Finding
from imaging_findings.history import StudyFacts
from imaging_findings.rules import Packs


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The findings of one study. ``day`` is that of its images; None where nobody states it."""

    facts: Facts
    packs: Packs
    today: date
    study: StudyFacts | None
    day: date | None
    screening: bool
    people: tuple[Finding, ...]
    machines: tuple[Finding, ...]


def order_of(guidance: Guidance) -> tuple[int, date, str]:
    """The most urgent first, then the longest due."""
    due = guidance.next_step.due.latest if guidance.next_step else date.max
    return (-guidance.urgency.loudness, due, guidance.finding.reference)
