"""What a token may do: SMART scopes read as a set, by grammar and never by comparing strings.

Spec: SMART App Launch 2.2 "Scopes and launch context" (v2 ``patient/ImagingStudy.rs?modality=…``, v1 ``patient/*.read``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl


class ScopeContext(StrEnum):
    """Whose data a clinical scope means."""

    PATIENT = "patient"
    USER = "user"
    SYSTEM = "system"


_CLINICAL = re.compile(
    r"(?P<context>patient|user|system)/(?P<resource>[A-Z][A-Za-z]*|\*)\.(?P<access>[a-z]+|\*)"
    # Each filter has a name and a mark: a query that holds no filter (``?&``) must not become a scope without any.
    r"(?:\?(?P<query>[^\s?&=]+=[^\s?&]*(?:&[^\s?&=]+=[^\s?&]*)*))?",
    re.ASCII,
)
# Letters must come in this order and once each; another order is undefined by the specification and grants nothing here.
_LETTERS = re.compile(r"c?r?u?d?s?", re.ASCII)
_V1_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True, slots=True)
class ClinicalScope:
    """One clinical scope: ``letters`` out of "cruds"; ``filters`` are its granular search parameters."""

    context: ScopeContext
    resource_type: str
    letters: frozenset[str]
    filters: tuple[tuple[str, str], ...] = ()

    def covers(self, resource_type: str) -> bool:
        """Whether this scope speaks of the resource type at all."""
        return self.resource_type in ("*", resource_type)


@dataclass(frozen=True, slots=True)
class GrantedScopes:
    """The scopes that an authorization server granted, which may differ in any direction from those asked for."""

    clinical: tuple[ClinicalScope, ...] = ()
    other: frozenset[str] = field(default_factory=frozenset)

    def granting(self, resource_type: str, letter: str, *, contexts: Iterable[ScopeContext]) -> tuple[ClinicalScope, ...]:
        """Every scope that grants the interaction, filtered ones included: the caller must apply their filters."""
        wanted = frozenset(contexts)
        return tuple(s for s in self.clinical if s.context in wanted and s.covers(resource_type) and letter in s.letters)

    def allows(
        self, resource_type: str, letter: str, *, contexts: Iterable[ScopeContext] = (ScopeContext.PATIENT, ScopeContext.USER)
    ) -> bool:
        """Whether the interaction is granted without any filter."""
        return any(not scope.filters for scope in self.granting(resource_type, letter, contexts=contexts))

    def letters_for(self, resource_type: str, *, contexts: Iterable[ScopeContext]) -> frozenset[str]:
        """All unfiltered letters granted for a type, taken together: ``.r`` and ``.s`` apart mean the same as ``.rs``."""
        wanted = frozenset(contexts)
        granted = (s.letters for s in self.clinical if s.context in wanted and s.covers(resource_type) and not s.filters)
        return frozenset().union(*granted)


def parse_scopes(text: str) -> GrantedScopes:
    """The granted scopes in a space-separated string; what does not follow the grammar grants nothing.

    Only the space separates (RFC 6749 §3.3): a tab or newline inside a scope makes it unreadable instead of splitting it.
    """
    clinical: list[ClinicalScope] = []
    other: set[str] = set()
    for word in text.split(" "):
        match = _CLINICAL.fullmatch(word)
        if match is None:
            if word and not any(mark in word for mark in "\t\r\n"):
                other.add(word)
            continue
        letters = _letters(match["access"])
        if letters:
            filters = tuple(parse_qsl(match["query"] or "", keep_blank_values=True))
            clinical.append(ClinicalScope(ScopeContext(match["context"]), match["resource"], letters, filters))
    return GrantedScopes(tuple(clinical), frozenset(other))


def in_v1(scope: str) -> str:
    """A v2 scope in the words of v1, for servers that know no other; what is no clinical scope stays as it is.

    v1 has no filters, so a filtered scope asks for the whole type.
    """
    match = _CLINICAL.fullmatch(scope)
    letters = _letters(match["access"]) if match else frozenset()
    if match is None or not letters:
        return scope
    reads, writes = bool(letters & set("rs")), bool(letters & set("cud"))
    access = "*" if reads and writes else "read" if reads else "write"
    return f"{match['context']}/{match['resource']}.{access}"


def _letters(access: str) -> frozenset[str]:
    if access in _V1_LETTERS:
        return frozenset(_V1_LETTERS[access])
    return frozenset(access) if _LETTERS.fullmatch(access) else frozenset()
