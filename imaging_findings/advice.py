"""What the rules conclude, as values: the card and the study list both speak from these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imaging_findings.answers import Answer
from imaging_findings.codes import Code
from imaging_findings.findings import Finding, Problem
from imaging_findings.history import ReportFacts, StudyFacts
from imaging_findings.intervals import DueWindow, Interval
from imaging_findings.quotes import Quote
from imaging_findings.rules import PackInfo, Strength, Urgency


class Authority(StrEnum):
    """Who says so. A report's own word stands before any guideline (rule Ga)."""

    READER = "reader"
    GUIDELINE = "guideline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One sentence about what should follow, on somebody's authority."""

    authority: Authority
    words: str
    pack: PackInfo | None = None
    """The guideline; None for the reader's own recommendation."""
    row: str | None = None
    needs_check: bool = False
    """Whether the row still needs a clinician's check (evidence C)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """The next examination and when it is due, counted from the study's date."""

    examination: str
    due: DueWindow
    firm: bool = True
    """False where the guideline only offers it (consider, optional): such a step is never overdue and never drafted."""
    after: Interval | None = None
    """The guideline's interval; None where the reader named a date."""
    strength: Strength = Strength.RECOMMENDED
    """How firmly the guideline's row asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderProposal:
    """The one order that is right, where there is one."""

    code: Code
    due: DueWindow
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What should follow one study's finding: when, why and on whose authority."""

    rule_id: str
    """Pack and row (``lung-rads-2022/3``); stable, so that feedback can be counted per rule."""
    finding: Finding
    study: StudyFacts | None
    urgency: Urgency
    statements: tuple[Statement, ...] = ()
    headline: str | None = None
    """What the summary says next, where that is not a step: whether anybody was told of a critical result."""
    title: str | None = None
    """The finding's name in the rule's own words, where its codes alone do not say it."""
    next_step: NextStep | None = None
    planned: tuple[NextStep, ...] = ()
    """All steps of the row, ``next_step`` the first: a later one is told once the one before is done."""
    followed: StudyFacts | None = None
    """The latest examination of the kind since, where it did the step before ``next_step``."""
    overdue: bool = False
    answer: Answer | None = None
    """What ends it, where the row says so; None: what ends any finding of its rule set."""
    order: OrderProposal | None = None
    missing: tuple[str, ...] = ()
    """Inputs without which no (or no single) interval is given."""
    notes: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()
    reports: tuple[ReportFacts, ...] = ()
    ai: Finding | None = None
    """The unsigned AI result on the same study, shown beside the reader's."""
    ai_agrees: bool | None = None
    others: tuple[Finding, ...] = ()
    """Further findings of the same study and rule, which this one stands for."""
    beside: tuple[Guidance, ...] = ()
    """What the rules say of those of them that still ask for something: the card tells it in its detail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """A finding about which nothing is said, and why; kept so that it can be explained."""

    finding: Finding
    reason: str
    by: str
    rule_id: str = ""
    """The rule that would have spoken; empty where none was reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All guidance for one patient, the most urgent first, with what was left out and why."""

    guidance: tuple[Guidance, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    problems: tuple[Problem, ...] = ()
