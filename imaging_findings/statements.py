"""The statements of a report: sentences that line breaks, bullets or semicolons have cut apart are put together again.

A denial above a list denies its items too ("No evidence of:", then "- a new nodule"). Spec: clinical rule Ga.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from imaging_findings.clauses import DENIES

_OPEN = re.compile(
    r"(?:[,;:]|\b(?:and|or|nor|of|for|with|without|no|not|an?|the)|\b(?:e\.g|i\.e|incl|vs|approx)\.)$", re.IGNORECASE
)
_HEADS = re.compile(r":$|\b(?:of|for|following)$", re.IGNORECASE)
_ENDS = re.compile(r"[.!?]$")
_MARK = re.compile(r"\(?\d{1,2}[.)]$")
_BULLET = re.compile(r"[-–—*•·]|\(?\d{1,2}[.)]")
# "New nodules? None."
_ONLY_DENIES = re.compile(r"\W*(?:none|nil|no|absent|negative|not\s+\w+)(?:\s+(?:seen|identified|present))?\W*$", re.IGNORECASE)
_REACH = 1000
"""How many characters a statement may have; what goes on beyond them is not read, and so ends nothing."""


def statements_of(sentences: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The sentences in their order, those together that are one statement."""
    found: list[list[str]] = []
    for sentence in sentences:
        if found and _goes_on(found[-1], sentence):
            found[-1].append(sentence)
        else:
            found.append([sentence])
    return tuple(map(tuple, found))


def joined(statement: Sequence[str]) -> str:
    """The statement in one line, its parts after commas, so far as it is read."""
    line = ""
    for part in statement:
        if line and len(line) + len(part) > _REACH:
            break
        line += (" " if line.endswith((",", ";", ":")) else ", " if line else "") + part
    return line


def _goes_on(statement: Sequence[str], sentence: str) -> bool:
    last = statement[-1]
    if _OPEN.search(last) or _ONLY_DENIES.match(sentence):
        return True
    return _is_wrapped(statement, sentence) or _is_of_list(statement, sentence)


def _is_wrapped(statement: Sequence[str], sentence: str) -> bool:
    """Whether the sentence begins like the middle of one; bullets all alike are each their own."""
    if _ENDS.search(statement[-1]):
        return False
    item = _BULLET.match(sentence)
    if item is None or _BULLET.match(statement[0]):
        return sentence[:1].islower()
    begins = sentence[item.end() :].lstrip()[:1]
    return begins.islower() or begins.isdigit()


def _is_of_list(statement: Sequence[str], sentence: str) -> bool:
    """Whether the sentence is an item under a heading that denies."""
    heading, last = statement[0], statement[-1]
    if DENIES.search(heading) is None or _HEADS.search(heading) is None:
        return False
    return _BULLET.match(sentence) is not None or _ENDS.search(last) is None or _MARK.match(last) is not None
