"""Anatomical words in the name of an examination: the regions they lie in, and the parts that they name.

The longest known phrase wins, so "thoracic spine" is no chest. Words are compared in lower case and without accents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from functools import cache

from imaging_findings.code_tables import rows

_LONGEST_PHRASE = 7
_WORD = re.compile(r"[a-z0-9]+")
# What a name must hold for the pattern to find anything, the pattern, and the words that it stands for. In this order.
_SPELLINGS = (
    ("/", re.compile(r"\bw\s*/\s*o\b"), " wo "),
    ("/", re.compile(r"\bw\s*/"), " w "),
    ("wwo", re.compile(r"\bwwo\b"), " w wo contrast "),
    # "Rule out" is no right side.
    ("/", re.compile(r"\br\s*/\s*o\b"), " "),
    ("contrast", re.compile(r"\bnon[\s-]contrast\b"), " noncontrast "),
    ("ray", re.compile(r"\bx[\s-]ray\b"), " xray "),
    # French says "with injection" and means contrast agent; elsewhere an injection is an intervention.
    ("injection", re.compile(r"\b(avec|sans) injection\b"), r" \1 contraste "),
)


def words_of(name: str) -> tuple[str, ...]:
    """Lower-case words without accents; ``w/o`` and ``w/`` become words, other punctuation parts them."""
    plain = name.casefold()
    if not plain.isascii():
        plain = "".join(letter for letter in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(letter))
    for hint, pattern, words in _SPELLINGS:
        if hint in plain:
            plain = pattern.sub(words, plain)
    return tuple(_WORD.findall(plain))


@cache
def phrases() -> Mapping[str, frozenset[str]]:
    """Regions by anatomical phrase, for running text."""
    return {
        phrase: frozenset(row["regions"].split())
        for row in rows("anatomy_words.csv")
        if row["scope"] == "any"
        for phrase in row["words"].split("|")
    }


def phrases_in(words: Sequence[str], known: Container[str]) -> tuple[list[str], tuple[str, ...]]:
    """The known phrases, the longest first at each place, and the words that belong to none."""
    found: list[str] = []
    rest: list[str] = []
    place = 0
    while place < len(words):
        for length in range(min(_LONGEST_PHRASE, len(words) - place), 0, -1):
            phrase = " ".join(words[place : place + length])
            if phrase in known:
                found.append(phrase)
                place += length
                break
        else:
            rest.append(words[place])
            place += 1
    return found, tuple(rest)


def before_reason(words: Sequence[str]) -> Sequence[str]:
    """What stands before the reason: "views for thyroid tumour metastasis" images no thyroid."""
    stops = [words.index(stop) for stop in ("for", "via") if stop in words]
    return words[: min(stops)] if stops else words


def regions_in(words: Sequence[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The regions of all phrases before the reason (or in it, where none stands before), and the words that belong to none."""
    regions, rest = found_regions(before_reason(words))
    return (regions, rest) if regions else found_regions(words)


def found_regions(words: Sequence[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The regions of all phrases, and the words that belong to none."""
    found, rest = phrases_in(words, phrases())
    return frozenset(region for phrase in found for region in phrases()[phrase]), rest
