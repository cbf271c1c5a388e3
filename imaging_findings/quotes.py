"""A report's own words about follow-up. Text is quoted and may hold a draft order back; nothing is ever computed from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imaging_findings.history import ReportFacts
from imaging_findings.intervals import Interval, Unit

_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[A-ZÀ-Þ0-9])|\n+")
_ABOUT_FOLLOW_UP = re.compile(r"\b(recommend\w*|follow[- ]?up|repeat|surveillance|advise\w*|suggest\w*)\b", re.IGNORECASE)
_INTERVAL = re.compile(
    r"\b(?P<low>\d{1,3})(?:\s*(?:-|–|to)\s*(?P<high>\d{1,3}))?[\s-]*(?P<unit>day|week|month|year)s?\b",
    re.IGNORECASE,
)
# What makes an interval one to wait, and not one that has passed: "in 3 months", "6-month follow-up", not "over 24 months".
_AHEAD = re.compile(
    r"\b(?:in|at|after|every|within|by)\s+(?:about\s+|approximately\s+|another\s+|the next\s+)?$", re.IGNORECASE
)
_THEN = re.compile(
    r"^\s*(?:follow|ct\b|ldct|low[- ]dose|imaging|chest|interval|repeat|surveillance|ultrasound|mri?\b|mammo)", re.IGNORECASE
)
_PAST = re.compile(
    r"\b(stable|stability|unchanged|since|compared|shows?|showed|demonstrat\w*|prior|previous\w*)\b", re.IGNORECASE
)
_VISIT = re.compile(
    r"\bfollow[- ]?up with\b|\b(clinic|pcp|primary care|oncolog\w*|pulmonolog\w*|physician|appointment|labs?|labor\w*)\b",
    re.IGNORECASE,
)
_UNITS = {"day": Unit.DAY, "week": Unit.WEEK, "month": Unit.MONTH, "year": Unit.YEAR}
_TOLD = re.compile(
    r"\b(communicated|notified|informed|discussed|relayed|conveyed|called|(?:tele)?phoned|alerted|told|spoke with|reported to|"
    r"by (?:tele)?phone|in person|verbally)\b",
    re.IGNORECASE,
)
_NOT_TOLD = re.compile(
    r"\b(not|never|no|nobody|none|without|unable|unavailable|unreachable|voice ?mail|left (?:a )?message|failed|cannot|"
    r"(?:could|was|has|did) ?n.t|attempt\w*|tried|pending|will be|to be|should be|please)\b",
    re.IGNORECASE,
)
MAX_QUOTE = 300


@dataclass(frozen=True, slots=True)
class Quote:
    """One sentence of a signed report about follow-up, with the intervals that it names."""

    sentence: str
    report: ReportFacts
    intervals: tuple[Interval, ...]


def quotes_of(report: ReportFacts) -> tuple[Quote, ...]:
    """The sentences of the conclusion that speak of follow-up."""
    sentences = _SENTENCE.split(report.conclusion or "")
    return tuple(
        Quote(_shortened(sentence.strip()), report, _intervals(sentence))
        for sentence in sentences
        if _ABOUT_FOLLOW_UP.search(sentence)
    )


def sentences_of(report: ReportFacts) -> tuple[str, ...]:
    """The sentences of the conclusion, each bounded in length."""
    return tuple(map(_shortened, whole_sentences_of(report)))


def whole_sentences_of(report: ReportFacts) -> tuple[str, ...]:
    """The sentences of the conclusion, however long."""
    return tuple(sentence.strip() for sentence in _SENTENCE.split(report.conclusion or "") if sentence.strip())


def excerpt(sentence: str, start: int) -> str:
    """The sentence, or the piece of a long one that holds what begins at ``start``."""
    first = max(0, start - MAX_QUOTE // 2) if start > MAX_QUOTE // 2 and len(sentence) > MAX_QUOTE else 0
    return _shortened(f"…{sentence[first:].lstrip()}" if first else sentence)


def told_in(report: ReportFacts) -> tuple[Quote, ...]:
    """The sentences of the conclusion that tell of a communication that took place."""
    return tuple(Quote(sentence, report, ()) for sentence in sentences_of(report) if tells_of_a_call(sentence))


def tells_of_a_call(words: str) -> bool:
    """Whether the words tell of a communication that took place: one doubt in them, and they tell of none."""
    return _TOLD.search(words) is not None and _NOT_TOLD.search(words) is None


def intervals_ahead(sentence: str) -> tuple[Interval, ...]:
    """The intervals after which the sentence asks for an examination; none where it speaks of a visit or looks back."""
    if _VISIT.search(sentence):
        return ()
    looks_back = _PAST.search(sentence) is not None
    return tuple(
        interval
        for start, end, interval in _placed_intervals(sentence)
        if _AHEAD.search(sentence, 0, start) or (_THEN.search(sentence[end:]) and not looks_back)
    )


def _intervals(sentence: str) -> tuple[Interval, ...]:
    return tuple(interval for _, _, interval in _placed_intervals(sentence))


def _placed_intervals(sentence: str) -> Iterator[tuple[int, int, Interval]]:
    for match in _INTERVAL.finditer(sentence):
        low = int(match["low"])
        high = int(match["high"] or low)
        if 0 < low <= high:
            yield match.start(), match.end(), Interval(low, high, _UNITS[match["unit"].lower()])


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= MAX_QUOTE else sentence[: MAX_QUOTE - 1].rstrip() + "…"
