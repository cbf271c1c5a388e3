"""A request's JSON, in which no member that decides anything may stand twice: readers differ on which of the two counts.

Spec: RFC 8259 §4 (names should be unique). Checked everywhere but inside the prefetched resources: looking at each of their
members doubles the time of parsing a long history, and as in every JSON reader the last one counts there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from fhir_imaging.written_number import WrittenNumber

_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_NAME = 64

Reader = Callable[[str, int], tuple[Any, int]]
"""The value that begins at a place of the text, and where it ends; ValueError where none does."""


class RepeatedMember(ValueError):
    """A member stands twice in one object; ``name`` is its name, as far as it can be told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name if name.isidentifier() and len(name) <= _LONGEST_NAME else "?"


def parsed(sent: bytes) -> object:
    """The value in a body, the decimals of its context as ``WrittenNumber``.

    ValueError for what is not JSON, RepeatedMember for a member given twice, RecursionError.
    """
    text = sent.decode(json.detect_encoding(sent), "surrogatepass")
    begin = _after_space(text, 0)
    value, end = _read_body(text, begin) if text.startswith("{", begin) else _plain.raw_decode(text, begin)
    if _after_space(text, end) != len(text):
        raise ValueError("something follows the value")
    return value


def _refuse_constant(name: str) -> object:
    # Python reads NaN and Infinity, which JSON has not (R1).
    raise ValueError(name)


def _each_once(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        names = [name for name, _ in members]
        raise RepeatedMember(next(name for name in names if names.count(name) > 1))
    return found


_plain = json.JSONDecoder(parse_constant=_refuse_constant)
_strict = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_each_once)
# A draft order may be handed back whole: its decimals keep their digits.
_exact = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_each_once, parse_float=WrittenNumber)


def _read_body(text: str, at: int) -> tuple[dict[str, Any], int]:
    return _members(text, at, lambda name: _READERS.get(name, _strict.raw_decode))


def _read_prefetch(text: str, at: int) -> tuple[Any, int]:
    return _members(text, at, lambda _key: _plain.raw_decode) if text.startswith("{", at) else _strict.raw_decode(text, at)


_READERS: dict[str, Reader] = {"prefetch": _read_prefetch, "context": _exact.raw_decode}


def _members(text: str, at: int, reader_of: Callable[[str], Reader]) -> tuple[dict[str, Any], int]:
    """The object that begins ``at`` this place, each member read as ``reader_of`` its name says."""
    found: dict[str, Any] = {}
    at = _after_space(text, at + 1)
    if text.startswith("}", at):
        return found, at + 1
    while True:
        name, at = _plain.raw_decode(text, at)
        if not isinstance(name, str):
            raise ValueError("a name is no string")
        if name in found:
            raise RepeatedMember(name)
        at = _after(text, ":", at)
        found[name], at = reader_of(name)(text, at)
        at = _after_space(text, at)
        if text.startswith("}", at):
            return found, at + 1
        at = _after(text, ",", at)


def _after(text: str, mark: str, at: int) -> int:
    at = _after_space(text, at)
    if not text.startswith(mark, at):
        raise ValueError(f"{mark} is missing")
    return _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at
