"""Findings whose guideline the site has switched off: no interval is computed, and the reader's own word stays.

Nothing is said where nobody has said anything: a card for every finding would be noise that the site chose not to have.
"""

from __future__ import annotations

from imaging_findings.advice import Guidance, Suppressed
from imaging_findings.findings import Finding
from imaging_findings.history import StudyFacts
from imaging_findings.rules import Urgency


def without_guideline(finding: Finding, study: StudyFacts | None, title: str) -> Guidance:
    """The finding as it is. ``title`` is what the guideline would be about."""
    name = finding.assessment.name if finding.assessment else finding.kind.value
    return Guidance(
        rule_id=f"no-guideline/{name}",
        finding=finding,
        study=study,
        urgency=Urgency.INFO,
        notes=(f"At this site no guideline is in force for {title}, so no interval is computed.",),
    )


def unless_nothing_is_said(guidance: Guidance) -> Guidance | Suppressed:
    """Kept where the reader recommended something, or where an unsigned AI result stands beside the reader's."""
    if guidance.finding.recommended or guidance.quotes or guidance.ai is not None:
        return guidance
    reason = "no guideline is in force for it at this site, and the reader recommended nothing"
    return Suppressed(finding=guidance.finding, reason=reason, by=guidance.rule_id, rule_id=guidance.rule_id)
