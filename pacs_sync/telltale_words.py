"""Names, numbers and dates of birth as they may be written elsewhere: other case, without accents, other order, other marks.

A word is lower case with single spaces, for each of which any marks, or none, may stand in a text.

Spec: DICOM PS3.5 §6.2 (PN), §6.1.2 (other alphabets).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from datetime import date
from itertools import permutations

_SHORTEST = 4
"""Shorter words stand in too many texts by chance."""
_SHORTEST_OF_SIGNS = 2
"""Of writings where a sign is a syllable or a word."""
_FIRST_SIGN = "\u1100"
_NO_NAMES = frozenset(
    {"removed", "unknown", "anonymous", "anonymized", "anonymised", "deidentified", "none", "null", "patient", "physician"}
    | {"prof", "doctor", "herr", "frau", "miss", "senior", "junior"}
)
"""What stands in place of a name or before it."""
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d"})
_FIRST_YEAR = 1850
"""Earlier dates of birth are dummies."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MOST_PARTS = 4


def plain(text: str) -> str:
    """Lower case, accents and other widths of letters taken away."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(mark for mark in apart if not unicodedata.combining(mark)))


def of_person(name: str) -> set[str]:
    """Each long enough part of a name (PN, all its groups), and its first parts together in either order."""
    found: set[str] = set()
    for group in name.split("="):
        for spelled in {group, unicodedata.normalize("NFC", group).casefold().translate(_SPELLED)}:
            components = [words for one in spelled.split("^") if (words := _words(one))]
            parts = [part for one in components for part in one.split()]
            found |= {part for part in (*parts, *components) if _is_long_enough(part)}
            firsts = [one for one in components[:2] if one not in _NO_NAMES]
            found |= {" ".join(pair) for pair in permutations(firsts, 2) if _is_long_enough("".join(pair))}
            if "^" not in spelled and 1 < len(parts) <= _MOST_PARTS:
                found |= {" ".join(order) for order in permutations(parts)}
    return found - _NO_NAMES


def of_number(number: str) -> set[str]:
    """A number with and without its leading noughts."""
    words = _words(number)
    return {one for one in (words, words.lstrip("0")) if _is_long_enough(one)} - _NO_NAMES


def of_place(name: str) -> set[str]:
    """The whole only, since the words of an institution stand in many texts."""
    return of_number(name)


def birth_dates(day: str) -> set[str]:
    """A date (DA) as people write it; nothing for what is none."""
    try:
        born = date.fromisoformat(day.strip().replace(".", "-"))
    except ValueError:
        return set()
    if born.year < _FIRST_YEAR:
        return set()
    days, months = {f"{born.day:02d}", str(born.day)}, {f"{born.month:02d}", str(born.month)}
    numbers = {order for one in days for other in months for order in (f"{one} {other}", f"{other} {one}")}
    month = _MONTHS[born.month - 1]
    named = {f"{one} {month}" for one in days} | {f"{month} {one}" for one in days}
    year_first = {f"{born.year} {other} {one}" for one in days for other in (*months, month)}
    return {f"{one} {born.year}" for one in numbers | named} | year_first


def pattern_of(words: Collection[str]) -> re.Pattern[str] | None:
    """Finds any of them in a ``plain`` text; None for none."""
    return re.compile("|".join(sorted(map(_pattern, words), key=lambda one: (-len(one), one)))) if words else None


def _pattern(word: str) -> str:
    inner = r"[\W_]*".join(re.escape(part) for part in word.split())
    if "." in word:  # a UID
        return rf"(?<![\d.]){inner}(?!\d|\.\d)"
    if word.isdigit() or not any(mark.isalpha() for mark in word):
        # Before a date of birth no digit, after it perhaps the time of day; of shorter dates something parts the numbers.
        if word.count(" ") == 2:
            parts = word.split()
            return r"(?<!\d)" + (inner if all(len(one) > 1 for one in parts) else r"[\W_]+".join(parts))
        return rf"(?<!\d){inner}(?!\d)"
    if _is_of_signs(word):
        return inner
    if any(month in word.split() for month in _MONTHS):
        inner = inner.replace(r"[\W_]*", r"[a-z]*[\W_]*")
    return rf"(?<![^\W_]){inner}(?![^\W_])"


def _words(text: str) -> str:
    """Its words and numbers with single spaces."""
    return " ".join(one for one in re.split(r"[\W_]+", plain(text)) if one)


def _is_long_enough(word: str) -> bool:
    return len(word) >= (_SHORTEST_OF_SIGNS if _is_of_signs(word) else _SHORTEST)


def _is_of_signs(word: str) -> bool:
    return any(mark >= _FIRST_SIGN for mark in word)
