"""The reader's words against a table: they hold an order back and lead the card, and no date is ever computed from them (Gc).

Only sentences that plainly ask for an examination after a time, or plainly ask for none, count. A sentence with a condition,
about another organ or about a visit is quoted and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from imaging_findings.advice import Guidance, NextStep
from imaging_findings.findings import Kind
from imaging_findings.follow_up import with_reader
from imaging_findings.intervals import Interval
from imaging_findings.observations import SHORT_INTERVAL
from imaging_findings.quotes import intervals_ahead
from imaging_findings.rules import Urgency

_ASKED = r"(?:recommended|needed|required|necessary|indicated|advised|suggested|warranted)"
_KINDS = r"(?:further|additional|routine|specific|dedicated|imaging|ct|chest|more|other|short[- ]term|long[- ]term|radiolog\w+)"
_THING = r"(?:follow[- ]?ups?|surveillance|imaging)"
_NONE_ASKED = re.compile(
    rf"\bno\s+(?:{_KINDS}\s+)*{_THING}(?:\s+(?:imaging|ct|examinations?|studies|scans?))?"
    rf"(?:\s*[.;!]?\s*$|\s+(?:(?:is|are)\s+)?{_ASKED}\b)"
    rf"|\b{_THING}(?:\s+(?:imaging|ct|examinations?|studies|scans?))?\s+(?:is|are)\s+not\s+{_ASKED}\b"
    rf"|\b(?:not|n.t)\s+(?:need|require|warrant)\s+(?:any\s+)?(?:{_KINDS}\s+)*{_THING}\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(if|unless|until|but|however|except|other than|beyond|before|once|provided|although)\b", re.IGNORECASE
)
_LUNG = re.compile(r"\b(lung|chest|pulmonary|lobe|thorax|thoracic|ldct)\b", re.IGNORECASE)
_OTHER_ORGAN = re.compile(
    r"\b(thyroid|renal|kidneys?|adrenals?|liver|hepatic|spleen|splenic|pancrea\w*|biliary|gall\s?bladder|ovar\w*|uter\w*|adnexal?|"
    r"prostat\w*|breasts?|aort\w*|spine|vertebra\w*|bone|osseous|cysts?|bowel|colon\w*|bladder|brain|sinus\w*|heart|cardiac)\b",
    re.IGNORECASE,
)
_IN_LUNG = frozenset({Kind.LUNG_RADS, Kind.NODULE})


def with_readers_word(guidance: Guidance, day: date | None) -> Guidance:
    """The reader's coded recommendation first, and where nothing is coded the report's words against the table's."""
    spoken = with_reader(guidance, day)
    if guidance.finding.recommended is not None:
        return _inside_short_interval(spoken, guidance, day)
    sentences = [one.sentence for one in guidance.quotes if not _is_about_another(one.sentence, guidance.finding.kind)]
    asked = [interval for sentence in sentences for interval in intervals_ahead(sentence)]
    unasked = [one for one in sentences if _NONE_ASKED.search(one) and not _CONDITION.search(one)]
    if unasked and guidance.finding.kind in _IN_LUNG and (guidance.next_step or guidance.order):
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
    return replace(held, urgency=Urgency.INFO, next_step=None, headline=headline)


def _with_asked(spoken: Guidance, step: NextStep | None, asked: Sequence[Interval], day: date | None) -> Guidance:
    """The report asks for another time than the table: neither is drafted, and the report's leads."""
    if step is None or day is None or not asked:
        return spoken
    windows = [interval.due(day) for interval in asked]
    if any(one.earliest <= step.due.latest and step.due.earliest <= one.latest for one in windows):
        return spoken
    return replace(spoken, order=None, headline=f"report asks for {asked[0]} (see quote); table differs")


def _is_about_another(sentence: str, kind: Kind) -> bool:
    return kind in _IN_LUNG and bool(_OTHER_ORGAN.search(sentence)) and not _LUNG.search(sentence)
