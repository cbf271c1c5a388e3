"""What the order-time rules conclude, as values: one piece of advice per order and reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imaging_findings.codes import Code
from imaging_findings.order_facts import ImagingOrder, PriorStudy
from imaging_findings.rules import Urgency


class Reason(StrEnum):
    """Why something is said about an order; an order gets one piece of advice for each at most."""

    DUPLICATE = "duplicate"
    RELATED = "related"
    FOLLOW_UP = "follow-up"
    KIDNEY = "kidney"
    METFORMIN = "metformin"
    REACTION = "contrast-reaction"
    PREGNANCY = "pregnancy"
    CODE = "code"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class BetterCode:
    """A code that says better what the order means, and the one that it would replace."""

    code: Code
    replaces: Code
    is_recommended: bool
    """False wherever the choice between the two is a clinical one (contrast agent)."""
    note: str | None = None
    """What the code alone does not say of the examination (low dose technique)."""

    @property
    def words(self) -> str:
        """The examination in words."""
        return self.code.display + (f" ({self.note.lower()})" if self.note else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAdvice:
    """One thing to tell the orderer. Words may hold text from outside: whoever shows them escapes them."""

    rule_id: str
    """Stable (``orders/O1``), so that feedback can be counted per rule."""
    reason: Reason
    order: ImagingOrder
    urgency: Urgency
    headline: str
    """What and when, in a clause that follows the examination's name."""
    lines: tuple[tuple[str, str], ...]
    """Label and sentence, in reading order."""
    studies: tuple[PriorStudy, ...] = ()
    """Studies whose images are worth opening, the latest first."""
    same_draft: ImagingOrder | None = None
    """A draft of the very same code in the same request, which can be removed."""
    better: BetterCode | None = None
    """Another code for the order, where one certainly fits better."""
    follow_up: str | None = None
    """The finding (``Observation/id``) whose open follow-up this is about."""
    also: tuple[ImagingOrder, ...] = ()
    """Further orders of the same request for which the very same holds."""
    removable: tuple[ImagingOrder, ...] = ()
    """Of these orders, the drafts that repeat another draft of the request by the very same code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressedAdvice:
    """What was not said about an order, and why; kept so that it can be explained (O4)."""

    rule_id: str
    order: ImagingOrder
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderJudgement:
    """All advice for the judged orders, in the order of the orders and their reasons."""

    advice: tuple[OrderAdvice, ...] = ()
    suppressed: tuple[SuppressedAdvice, ...] = ()
