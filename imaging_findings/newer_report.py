"""What is on record of the examination that did a step: a newer coded finding, the report's own words, or nothing at all.

The newer reading comes first: whatever it says of the finding ends the older table's steps. Words only end or weaken a step,
they never date one and never make it more urgent (rules Ga and Gc, claim X4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from imaging_findings.asked_words import asks_for_none, has_condition, is_about_another
from imaging_findings.clauses import DENIES, NO_LONGER_SEEN, clauses_of
from imaging_findings.facts import Facts
from imaging_findings.findings import LUNG_KINDS, Author, Finding
from imaging_findings.history import ReportFacts, StudyFacts
from imaging_findings.mentions import mentions_of
from imaging_findings.quotes import Quote, intervals_ahead, sentences_of
from imaging_findings.sides import are_opposite, side_of
from imaging_findings.statements import joined, statements_of

_NODULE = re.compile(r"nodul|opacit|lesion|ground[- ]glass|\bggns?\b|\bmass(?:es)?\b|\bcysts?\b", re.IGNORECASE)
_WHOLE = re.compile(r"\bexamination\b|\bexam\b|\bct\b|\bappearance\b", re.IGNORECASE)
_ADVISES = re.compile(r"\b(?:recommend\w*|advis\w*|annual(?:ly)?|yearly|suggest\w*|consider)\b", re.IGNORECASE)
_EXAMINATION = re.compile(
    r"\b(?:ld)?ct\b|\bpet\b|\bmri?\b|biops|tissue|imaging|surveillance|follow[- ]?up|ultrasound|\bfna\b", re.IGNORECASE
)
# An X-ray in six weeks is for the pneumonia, an echocardiogram for the heart: neither is a word on a nodule.
_NOT_OF_LUNG_NODULES = re.compile(
    r"\bx-?rays?\b|radiograph|echocardiogra|ultrasound|mammogra|colonoscop|\bmri?\b", re.IGNORECASE
)
_CT = re.compile(r"\bct\b", re.IGNORECASE)
_RESOLVED = re.compile(
    r"\b(?:resolved|resolution of|disappeared|no longer (?:seen|visible|identified|present|evident|demonstrated))\b",
    re.IGNORECASE,
)
_GROWN = re.compile(r"\b(?:enlarg\w+|increas\w+|grow(?:n|th|ing)|grew|larger|bigger|progress\w*|new)\b", re.IGNORECASE)
_STABLE = re.compile(
    r"\b(?:stable|stability|unchanged|no (?:significant |interval )*(?:change|growth)|not (?:changed|grown|enlarged))\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:no|not|cannot|without|never|unresolved|incomplete\w*|partial\w*)\b|n['’]t\b", re.IGNORECASE)
# "Malignancy cannot be excluded, recommend biopsy" denies no advice.
_NOT_EXCLUDED = re.compile(
    r"(?:\bnot|\bcannot|n['’]t)\s+(?:be\s+)?(?:entirely\s+|completely\s+)?(?:excluded?|ruled? out)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerReading:
    """``ends``: why the older table is silent, or None. ``stable``: the sentence that says that nothing has changed."""

    ends: str | None = None
    stable: Quote | None = None
    reports: tuple[ReportFacts, ...] = ()
    """The signed reports of the examination; empty where none is on record."""


def newer_reading(facts: Facts, finding: Finding, study: StudyFacts) -> NewerReading:
    """What a person has signed about the examination, as far as it is about this finding."""
    if any(_is_of_same(one, finding, study) for one in (*facts.findings, *facts.assessments)):
        return NewerReading(ends="its own finding is coded and says what follows")
    reports = tuple(one for one in facts.reports if study.reference in one.studies)
    said = [(report, _about(report, finding)) for report in reports]
    why = next((why for report, words in said if (why := _why_it_ends(report, words, finding)) is not None), None)
    if why is not None:
        return NewerReading(ends=why, reports=reports)
    quotes = (Quote(one, report, ()) for report, words in said for one in words if _says_stable(one))
    return NewerReading(stable=next(quotes, None), reports=reports)


def newer_of_same_nodule(facts: Facts, finding: Finding) -> Finding | None:
    """A later signed finding that its tracking identifier names as the same nodule, on whatever examination."""
    later = (
        one
        for one in facts.findings
        if one.author is Author.PERSON
        and one.nodule.tracking & finding.nodule.tracking
        and one.reference != finding.reference
        and one.study_date is not None
        and finding.study_date is not None
        and one.study_date > finding.study_date
    )
    return next(later, None)


def _is_of_same(one: Finding, finding: Finding, study: StudyFacts) -> bool:
    """Whether it is a signed finding of this examination that may be the same: not of another nodule, system or side."""
    if one.study_reference != study.reference or one.author is not Author.PERSON or one.reference == finding.reference:
        return False
    if finding.kind in LUNG_KINDS:
        return one.kind in LUNG_KINDS and not _is_other_nodule(one, finding)
    names = (one.assessment.name if one.assessment else None, finding.assessment.name if finding.assessment else None)
    return one.kind is finding.kind and names[0] == names[1] and not are_opposite(side_of(one), side_of(finding))


def _is_other_nodule(one: Finding, finding: Finding) -> bool:
    if one.nodule.tracking and finding.nodule.tracking:
        return one.nodule.tracking.isdisjoint(finding.nodule.tracking)
    return bool(one.nodule.site and finding.nodule.site) and one.nodule.site.isdisjoint(finding.nodule.site)


def _why_it_ends(report: ReportFacts, said: Sequence[str], finding: Finding) -> str | None:
    """Why the report's words (``said``: its sentences about the finding) rule; None where they say nothing of what follows."""
    system = "lung-rads" if finding.kind in LUNG_KINDS else (finding.assessment.name if finding.assessment else None)
    if any(one.system == system for one in mentions_of(report)):
        return "its report states a category of its own"
    if any(asks_for_none(one) for one in said):
        return "its report asks for no follow-up"
    if any(_says_what_follows(one, finding) for one in said):
        return "its report says what follows"
    statements = _statements_about(report, finding)
    if any(_says_resolved(one) for one in statements):
        return "its report says that it has resolved"
    if any(_says_grown(one) for one in statements):
        return "its report tells of growth or of something new, and decides"
    return None


def _about(report: ReportFacts, finding: Finding) -> list[str]:
    return [one for one in sentences_of(report) if not is_about_another(one, finding.kind)]


def _statements_about(report: ReportFacts, finding: Finding) -> list[str]:
    """The report's statements; where a part is about another organ, nobody knows of what the rest is said."""
    statements = statements_of(sentences_of(report))
    return [joined(one) for one in statements if not any(is_about_another(part, finding.kind) for part in one)]


def _says_what_follows(sentence: str, finding: Finding) -> bool:
    """Whether the sentence asks for an examination that may be of the finding, or names the time after which one is due."""
    is_other = _NOT_OF_LUNG_NODULES.search(sentence) is not None and _CT.search(sentence) is None
    if finding.kind in LUNG_KINDS and is_other:
        return False
    if intervals_ahead(sentence):
        return True
    if _ADVISES.search(sentence) is None or _EXAMINATION.search(sentence) is None:
        return False
    return _DENIED.search(_NOT_EXCLUDED.sub("", sentence)) is None


def _says_resolved(sentence: str) -> bool:
    if _RESOLVED.search(sentence) is None or has_condition(sentence):
        return False
    return any(_RESOLVED.search(one) and not _is_denied(NO_LONGER_SEEN.sub("", one)) for one in _of_nodule(sentence))


def _says_grown(sentence: str) -> bool:
    if _GROWN.search(sentence) is None:
        return False
    return any(_GROWN.search(one) and not _is_denied(one) for one in _of_nodule(sentence))


def _is_denied(clause: str) -> bool:
    return _DENIED.search(clause) is not None or DENIES.search(clause) is not None


def _of_nodule(sentence: str) -> list[str]:
    """The clauses that name the nodule: "the effusion has resolved and the nodule is unchanged" says nothing else of it."""
    return [one for one in clauses_of(sentence, _NODULE) if _NODULE.search(one)]


def _says_stable(sentence: str) -> bool:
    is_about = _NODULE.search(sentence) is not None or _WHOLE.search(sentence) is not None
    return is_about and _STABLE.search(sentence) is not None and not has_condition(sentence)
