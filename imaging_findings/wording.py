"""The one-line words of a finding and of what follows it: cards and the study list say the same thing in the same words.

Text from outside stays as it is; who puts it into markdown or HTML escapes it there.
"""

from __future__ import annotations

import re

from imaging_findings.advice import Guidance, NextStep
from imaging_findings.findings import Assessment, Author, Finding, Kind
from imaging_findings.incidental import describe

# A longer place stands in the detail only, so that a summary has room for what follows.
MAX_SITE = 24
MAX_STATED = 32
"""How much of a category in free words a title shows."""


def title_of(finding: Finding) -> str:
    """The finding's name: its category, or size and type."""
    if finding.kind is Kind.LUNG_RADS:
        return f"Lung-RADS {finding.category or _uncoded(finding)}"
    if finding.kind is Kind.ACTIONABLE:
        return _actionable(finding) + _short_site(finding)
    if finding.kind is Kind.TEXT:
        return finding.stated or "Report"
    if finding.assessment is not None:
        return _assessed(finding, finding.assessment)
    nodule = finding.nodule
    size = f"{nodule.diameter_mm:g} mm" if nodule.diameter_mm is not None else None
    return " ".join(part for part in (size, nodule.attenuation, "lung nodule") if part) + _short_site(finding)


def headline_title(guidance: Guidance) -> str:
    """The name of the finding that a guidance is about, with its place where that is short."""
    finding = guidance.finding
    if guidance.title is None or finding.kind is not Kind.ACTIONABLE:
        return guidance.title or title_of(finding)
    return guidance.title + _short_site(finding)


def finding_words(finding: Finding, title: str | None = None) -> str:
    """The finding with all that is known of it, in one phrase without a full stop."""
    nodule = describe(finding.nodule)
    site = f", {finding.site}" if finding.site else ""
    if finding.kind is Kind.LUNG_RADS:
        modifier = "S" if finding.modifier_s else ""
        is_cut = not finding.category and len(finding.stated or "") > MAX_STATED
        stated = f" (stated: {finding.stated})" if is_cut else ""
        return f"{title_of(finding)}{modifier}{stated}" + (f", {nodule}" if nodule else "") + site
    if finding.kind is Kind.TEXT:
        return f"{title_of(finding)}, in the report's words"
    if finding.assessment is not None:
        stated = f" (stated: {finding.stated})" if finding.stated and not finding.category else ""
        return f"{title_of(finding)}{stated}"
    if finding.kind is Kind.ACTIONABLE:
        stated_category = finding.actionable.category if finding.actionable else None
        by = "AI" if finding.author is Author.AI else "reader"
        coded = f", coded as ACR category {stated_category} by the {by}" if stated_category else ""
        return f"{title or _actionable(finding)}{site}{coded}"
    return "Lung nodule" + (f", {nodule}" if nodule else "") + site


def step_words(step: NextStep, *, overdue: bool) -> str:
    """The next examination with its date."""
    return f"{step.examination} overdue since {step.due.latest}" if overdue else f"{step.examination} due {step.due}"


def what_next(guidance: Guidance) -> str:
    """What follows, in the words of a card's headline; the study list says the same."""
    if guidance.finding.author is Author.AI:
        return guidance.headline or "nobody has signed it"
    if guidance.headline:
        return guidance.headline
    step = guidance.next_step
    if step and step.firm:
        return step_words(step, overdue=guidance.overdue)
    if guidance.statements:
        if len(guidance.statements) > 1 and guidance.missing:
            return "follow-up depends on the patient's risk, which is not coded"
        return first_clause(guidance.statements[0].words)
    if guidance.missing:
        return f"no interval computed, missing: {guidance.missing[0]}"
    return first_clause(guidance.notes[0]) if guidance.notes else "see detail"


def first_clause(words: str) -> str:
    """The first clause of a sentence, as it reads inside another one."""
    clause = re.split(r"[:;.](?:\s|$)", words, maxsplit=1)[0]
    # Proper names and abbreviations keep their capital; an ordinary first word gives it up inside the sentence.
    return clause[:1].lower() + clause[1:] if clause[1:2].islower() and not clause.startswith("Fleischner") else clause


def _assessed(finding: Finding, assessment: Assessment) -> str:
    measured = assessment.number("max-diameter")
    parts = [
        finding.category,
        f"{measured:g} mm" if measured is not None else None,
        f"({assessment.side})" if assessment.side else None,
    ]
    known = " ".join(part for part in parts if part)
    return f"{assessment.title} {known}" if known else f"{assessment.title} without coded category"


def _uncoded(finding: Finding) -> str:
    stated = " ".join((finding.stated or "").split())
    short = stated if len(stated) <= MAX_STATED else f"{stated[: MAX_STATED - 1].rstrip()}…"
    return f"without coded category, stated: “{short}”" if short else "without coded category"


def _short_site(finding: Finding) -> str:
    return f", {finding.site}" if finding.site and len(finding.site) <= MAX_SITE else ""


def _actionable(finding: Finding) -> str:
    stated = finding.actionable.codes if finding.actionable else ()
    return finding.stated or next((one.display for one in stated if one.display), "Actionable finding")
