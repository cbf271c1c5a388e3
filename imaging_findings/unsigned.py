"""An unsigned AI result whose study has a signed report: both are shown together, as information (clinical rules, section 6).

A person has read the study by then. The report may deny the AI's claim in words that no code repeats, so its words stand beside
the claim; after some time the claim alone is no news any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

from imaging_findings.advice import Guidance, Suppressed
from imaging_findings.facts import Facts
from imaging_findings.findings import Author, Finding, Kind
from imaging_findings.history import ReportFacts
from imaging_findings.quotes import Quote, sentences_of
from imaging_findings.rules import ActionablePolicy, Urgency
from imaging_findings.wording import headline_title

# Where a site has switched the policy off. Ours, not sourced: by then whoever ordered the study has its report (evidence C).
SILENT_AFTER_DAYS = 90
MAX_QUOTED = 3
HEADLINE = "nobody has signed it; a signed report exists"
REPORT_EXISTS = "A signed report of this study exists, and it codes no finding of this kind."
_NAMES = re.compile(r"[^\W\d_]{5,}")
_OF_THE_LUNG = {Kind.LUNG_RADS: ("nodule",), Kind.NODULE: ("nodule",)}


def beside_reports(guidance: Guidance, facts: Facts, policy: ActionablePolicy | None, today: date) -> Guidance | Suppressed:
    """The AI's result beside the signed reports of its study; a person's finding, or one without report, as it is."""
    finding = guidance.finding
    reports = facts.reports_of(finding) if finding.author is Author.AI else ()
    if not reports:
        return guidance
    day = (guidance.study.day if guidance.study else None) or finding.study_date
    bound = policy.ai_silent_after_days if policy else SILENT_AFTER_DAYS
    if day is not None and today - day > timedelta(days=bound):
        reason = f"it is an unsigned AI result older than {bound} days, and its study has a signed report"
        return Suppressed(finding=finding, reason=reason, by=reports[0].reference, rule_id=guidance.rule_id)
    return with_reports(guidance, reports)


def with_reports(unsigned: Guidance, reports: tuple[ReportFacts, ...]) -> Guidance:
    """The AI's result with the words of the signed reports that come nearest to it."""
    if not reports:
        return unsigned
    quotes = _nearest(unsigned.finding, headline_title(unsigned), reports)
    return replace(
        unsigned,
        urgency=Urgency.INFO,
        headline=HEADLINE,
        quotes=quotes,
        reports=reports,
        notes=(*unsigned.notes, REPORT_EXISTS),
    )


def _nearest(finding: Finding, title: str, reports: Iterable[ReportFacts]) -> tuple[Quote, ...]:
    """The sentences that name what the AI claims, and then the first ones."""
    names = {*_NAMES.findall(title.lower()), *_OF_THE_LUNG.get(finding.kind, ())}
    quotes = [Quote(words, report, ()) for report in reports for words in sentences_of(report)]
    return tuple(sorted(quotes, key=lambda one: -sum(name in one.sentence.lower() for name in names))[:MAX_QUOTED])
