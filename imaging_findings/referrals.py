"""Findings that only a referral or a discussion answers (Bosniak III, LI-RADS 4).

Nothing that is read here shows whether a referral was made, so their cards would warn for good.
After a time that the site sets the card is information, and says why; it is never dropped. No code of a referral is in the
checked tables (PS3.16 holds none), so no order, visit or task ends one: a referral of another matter would silence it.

Spec: clinical rules Gf, Y2, Y6-Y8; X5 (over-alerting). No source states the time: a clinician decides.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from imaging_findings.advice import Guidance, Judgement
from imaging_findings.findings import Author
from imaging_findings.rules import AnsweredBy, Urgency

WARNING_DAYS = 180
"""How many days after its study such a finding is a warning, unless the site says otherwise."""


def with_old_referrals_quiet(judgement: Judgement, today: date, warning_days: int = WARNING_DAYS) -> Judgement:
    """The same judgement, in which a referral of long ago informs; what still warns stands before it."""
    guidance = [_quiet(one, today, warning_days) for one in judgement.guidance]
    if guidance == list(judgement.guidance):
        return judgement
    return replace(judgement, guidance=tuple(sorted(guidance, key=lambda one: one.urgency.loudness, reverse=True)))


def _quiet(guidance: Guidance, today: date, warning_days: int) -> Guidance:
    beside = tuple(_quiet(one, today, warning_days) for one in guidance.beside)
    guidance = replace(guidance, beside=beside) if beside != guidance.beside else guidance
    day = guidance.study.day if guidance.study else guidance.finding.study_date
    if day is None or not _asks_only_for_referral(guidance) or today <= day + timedelta(days=warning_days):
        return guidance
    note = (
        f"Referral not visible in the chart: {(today - day).days} days after the study nothing here shows whether it was made. "
        f"After {warning_days} days this is information only."
    )
    # What stands beside it may still warn, and then the card does.
    loudest = max((Urgency.INFO, *(one.urgency for one in beside)), key=lambda urgency: urgency.loudness)
    return replace(guidance, urgency=loudest, notes=(*guidance.notes, note))


def _asks_only_for_referral(guidance: Guidance) -> bool:
    """Whether a reader's finding warns of nothing that images, tissue or a day could settle."""
    answer = guidance.answer
    is_referral = answer is not None and answer.by is AnsweredBy.NONE and bool(guidance.statements)
    is_undated_warning = guidance.urgency is Urgency.WARNING and guidance.next_step is None
    return is_referral and is_undated_warning and guidance.finding.author is Author.PERSON
