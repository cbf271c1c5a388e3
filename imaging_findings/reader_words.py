"""The reader's words against a table: they hold an order back and lead the card, and no date is ever computed from them (Gc).

Only sentences that plainly ask for an examination after a time, or plainly ask for none, count. A sentence with a condition,
about another organ or about a visit is quoted and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from imaging_findings.advice import Guidance, NextStep
from imaging_findings.asked_words import asks_for_none, is_about_another
from imaging_findings.findings import LUNG_KINDS, Kind
from imaging_findings.follow_up import with_reader
from imaging_findings.intervals import Interval
from imaging_findings.observations import SHORT_INTERVAL
from imaging_findings.quotes import intervals_ahead
from imaging_findings.rules import Urgency


def with_readers_word(guidance: Guidance, day: date | None) -> Guidance:
    """The reader's coded recommendation first, and where nothing is coded the report's words against the table's."""
    spoken = with_reader(guidance, day)
    if guidance.finding.recommended is not None:
        return _inside_short_interval(spoken, guidance, day)
    sentences = [one.sentence for one in guidance.quotes if not is_about_another(one.sentence, guidance.finding.kind)]
    asked = [interval for sentence in sentences for interval in intervals_ahead(sentence)]
    unasked = [one for one in sentences if asks_for_none(one)]
    if unasked and guidance.finding.kind in LUNG_KINDS and (guidance.next_step or guidance.order):
        return _without(spoken, is_plain=not asked)
    return _with_asked(spoken, guidance.next_step, asked, day)


def _inside_short_interval(spoken: Guidance, guidance: Guidance, day: date | None) -> Guidance:
    """DCM 111142 means 1 to 11 months: where the table's own interval lies inside, the reader and the table agree on it."""
    coded, step = guidance.finding.recommended, guidance.next_step
    if coded is None or coded.words is None or coded.interval != SHORT_INTERVAL or step is None or day is None:
        return spoken
    window = SHORT_INTERVAL.due(day)
    is_inside = window.earliest <= step.due.earliest and step.due.latest <= window.latest
    return replace(spoken, next_step=step, order=guidance.order) if is_inside and step.firm else spoken


def _without(spoken: Guidance, *, is_plain: bool) -> Guidance:
    """The report asks for no follow-up. A nodule's table gives way to it; a category that the reader coded does not."""
    note = "The report's words ask for no follow-up: no order is drafted."
    held = replace(spoken, order=None, notes=(*spoken.notes, note))
    if not is_plain or spoken.finding.kind is not Kind.NODULE:
        return held
    headline = "report asks for no follow-up (see quote)"
    return replace(held, urgency=Urgency.INFO, next_step=None, planned=(), headline=headline)


def _with_asked(spoken: Guidance, step: NextStep | None, asked: Sequence[Interval], day: date | None) -> Guidance:
    """The report asks for another time than the table: neither is drafted, and the report's leads."""
    if step is None or day is None or not asked:
        return spoken
    windows = [interval.due(day) for interval in asked]
    if any(one.earliest <= step.due.latest and step.due.earliest <= one.latest for one in windows):
        return spoken
    return replace(spoken, order=None, planned=(), headline=f"report asks for {asked[0]} (see quote); table differs")
