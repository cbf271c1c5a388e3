"""Does a screening examination answer a follow-up? One judgement for the chart, order entry, signing and booking.

The row says it (``screening_answers``), and nobody else: its clinical owner decides once, and every hook follows. Lung-RADS 3
and 4A ask for a low-dose CT that counts as a diagnostic one (29252-4); an order for the yearly screening (79086-5) may be meant
for the next round, so it does not end the reminder before the images are read (decision 0005).

Spec: clinical rules L3, L4A, Gf and section 4 (suggestion).
"""

from __future__ import annotations

from imaging_findings.advice import Guidance
from imaging_findings.findings import Kind
from imaging_findings.rules import Urgency

NOT_BY_SCREENING = "a screening examination does not fulfil the follow-up"
"""What every hook calls it; the finding's own card names the order and says that it does not answer it."""


def is_answered_by_screening(guidance: Guidance) -> bool:
    """Whether a screening examination in time answers what the guidance asks for.

    Without a row in force (an uncoded category) a screening answers a screening's own follow-up and a routine one.
    """
    if guidance.answer is not None:
        return guidance.answer.by_images and guidance.answer.by_screening
    return guidance.finding.kind is Kind.LUNG_RADS or guidance.urgency is Urgency.INFO


def screening_words(examination: str) -> str:
    """Why not, in one sentence without a full stop."""
    return f"a screening examination does not answer it: the follow-up asks for {examination} of a known finding"
