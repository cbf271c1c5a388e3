"""Attribute matching of a search, on the DICOM JSON Model.

Spec: PS3.4 §C.2.2.2 as PS3.18 §8.3.4.1 applies it: single value, UID list, wildcard, range, sequence and
universal matching. Person names are compared without regard to case in any of their groups; other text as
it is written. A backslash separates alternatives, a comma does so for UIDs and code strings.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

from ehr_sandbox.dicomweb_attributes import vr_of
from ehr_sandbox.dicomweb_json import JsonDataset, JsonElement

_RANGE_VRS = frozenset({"DA", "TM", "DT"})
_LITERAL_VRS = frozenset({"UI", "IS", "DS", "SL", "SS", "SV", "UL", "US", "UV", "FL", "FD", "AT"})
_COMMA_LIST_VRS = frozenset({"UI", "CS"})
_MOMENT = {
    "DA": re.compile(r"[0-9]{8}", re.ASCII),
    "TM": re.compile(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?", re.ASCII),
    "DT": re.compile(r"[0-9]{4,14}(?:\.[0-9]{1,6})?(?:[+-][0-9]{4})?", re.ASCII),
}
_MOMENT_WIDTH = {"DA": 8, "TM": 12, "DT": 20}
_OFFSET = re.compile(r"[+-][0-9]{4}$", re.ASCII)


class _ValueTest(Protocol):
    """Compares the text of one value with what was asked for."""

    def accepts(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchingKey:
    """One attribute and the value asked for; ValueError when the value is not of the attribute's type.

    `path` leads from the outermost sequence to the attribute. An empty value, or ``*``, matches everything.
    """

    path: tuple[str, ...]
    value: str
    _test: _ValueTest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_test", _value_test(vr_of(self.path[-1]), self.value))

    @property
    def is_universal(self) -> bool:
        """Whether the key excludes nothing."""
        return self.value in ("", "*")

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The values any of which is asked for, as written."""
        return _alternatives(vr_of(self.path[-1]), self.value)

    def matches(self, dataset: JsonDataset) -> bool:
        """Whether any value of the attribute, in any item of its sequences, is the one asked for."""
        if self.is_universal:
            return True
        datasets = [dataset]
        for tag in self.path[:-1]:
            datasets = [item for outer in datasets for item in outer.get(tag, {}).get("Value", ())]
        return any(self._matches_element(outer.get(self.path[-1], {})) for outer in datasets)

    def _matches_element(self, element: JsonElement) -> bool:
        return any(
            self._test.accepts(text) for value in element.get("Value", ()) if value is not None for text in _texts(value)
        )


@dataclass(frozen=True, slots=True)
class _OneOf:
    values: frozenset[str]

    def accepts(self, text: str) -> bool:
        return text in self.values


@dataclass(frozen=True, slots=True)
class _OneNumber:
    numbers: frozenset[float]

    def accepts(self, text: str) -> bool:
        try:
            return float(text) in self.numbers
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class _Pattern:
    patterns: tuple[str, ...]
    is_name: bool

    def accepts(self, text: str) -> bool:
        plain = _plain(text, is_name=self.is_name)
        return any(matches_wildcard(pattern, plain) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class _Range:
    """Both ends are inclusive and may be open; a moment of less precision covers all that it leaves open."""

    width: int
    first: str
    last: str

    def accepts(self, text: str) -> bool:
        moment = _digits(text.strip())
        return self.first <= moment.ljust(self.width, "0") and moment.ljust(self.width, "9") <= self.last


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        return tuple(str(group) for group in value.values())
    return (str(value),)


def _alternatives(vr: str, value: str) -> tuple[str, ...]:
    separators = r"[\\,]" if vr in _COMMA_LIST_VRS else r"\\"
    return tuple(piece for piece in re.split(separators, value) if piece)


def _value_test(vr: str, value: str) -> _ValueTest:
    if value in ("", "*"):
        return _OneOf(frozenset())
    if vr in _RANGE_VRS:
        return _range(vr, value)
    alternatives = _alternatives(vr, value)
    if vr in ("UI", "AT"):
        return _OneOf(frozenset(alternatives))
    if vr in _LITERAL_VRS:
        try:
            return _OneNumber(frozenset(float(text) for text in alternatives))
        except ValueError as error:
            raise ValueError("it is not a number") from error
    is_name = vr == "PN"
    return _Pattern(tuple(_plain(text, is_name=is_name) for text in alternatives), is_name)


def _plain(text: str, *, is_name: bool) -> str:
    # Empty trailing name components and padding carry no meaning (PS3.5 §6.2).
    return text.rstrip("^ ").casefold() if is_name else text.strip(" ")


def matches_wildcard(pattern: str, text: str) -> bool:
    """Whether the whole text fits a pattern of ``*`` (any characters) and ``?`` (one character).

    Written out because a regular expression with many stars can take exponential time.
    """
    position = mark = 0
    star = -1
    current = 0
    while position < len(text):
        if current < len(pattern) and pattern[current] == "*":
            star, mark = current, position
            current += 1
        elif current < len(pattern) and pattern[current] in ("?", text[position]):
            current += 1
            position += 1
        elif star >= 0:
            mark += 1
            current, position = star + 1, mark
        else:
            return False
    return not pattern[current:].strip("*")


def _range(vr: str, value: str) -> _Range:
    first, last = _range_ends(vr, value)
    for end in (first, last):
        if end and not _MOMENT[vr].fullmatch(end):
            raise ValueError(f"it is not a {vr} value or range")
    width = _MOMENT_WIDTH[vr]
    return _Range(width, _digits(first).ljust(width, "0"), _digits(last).ljust(width, "9"))


def _digits(moment: str) -> str:
    return _OFFSET.sub("", moment).replace(".", "")


def _range_ends(vr: str, value: str) -> tuple[str, str]:
    """The two ends, empty where open; a single moment is a range from itself to itself."""
    # A DT may end with a zone such as -0500; a hyphen before one of those (at most 14 hours) parts no range.
    separator = re.search(r"-(?![01][0-9]{3}(?:-|$))", value) if vr == "DT" else re.search("-", value)
    if separator is None:
        return value, value
    return value[: separator.start()], value[separator.end() :]
