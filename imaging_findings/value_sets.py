"""Sets of codes that the order-time rules ask about, as data (``tables/value_sets.csv``): eGFR, dialysis, metformin and so on.

ICD-10 is one family of code systems here: a national edition counts by the same prefixes as the international one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from fhir_imaging.study import concept_text
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings.codes import Code, codings
from imaging_findings.history import ICD_10

_ICD_10 = "http://hl7.org/fhir/sid/icd-10"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSet:
    """One set: exact codes, codes with everything below them, and names of products or substances."""

    exact: frozenset[tuple[str, str]]
    prefixes: tuple[tuple[str, str], ...]
    names: tuple[str, ...]

    def holds(self, code: Code) -> bool:
        """Whether one code is a member."""
        system = _ICD_10 if code.system in ICD_10 else code.system
        below = (code.code.upper().startswith(prefix) for owner, prefix in self.prefixes if owner == system)
        return (system, code.code) in self.exact or any(below)

    def holds_any(self, stated: Iterable[Code]) -> bool:
        """Whether one of the codes is a member."""
        return any(self.holds(code) for code in stated)

    def matches(self, concept: object) -> bool:
        """Whether a CodeableConcept is a member by one of its codes, or names one in its text or a display."""
        if self.holds_any(codings(concept)):
            return True
        return self.is_named_in(" ".join(words_of(as_dict(concept))))

    def is_named_in(self, words: str) -> bool:
        """Whether one of the names stands there in whole words; where a name has a space, a hyphen is as good."""
        return bool(self.names) and _named(self.names).search(words) is not None

    @property
    def search_token(self) -> str:
        """The exact codes as the value of a FHIR token search parameter."""
        return ",".join(f"{system}|{code}" for system, code in sorted(self.exact))


@cache
def _named(names: tuple[str, ...]) -> re.Pattern[str]:
    parts = (r"[\s-]+".join(re.escape(part) for part in name.split()) for name in names)
    return re.compile(rf"\b(?:{'|'.join(parts)})\b", re.IGNORECASE)


def words_of(concept: Mapping[str, Any]) -> list[str]:
    """Text and displays of a CodeableConcept."""
    stated = [text(concept.get("text")), *(text(coding.get("display")) for coding in dicts(concept.get("coding")))]
    return [words for words in stated if words]


def name_of(concept: Mapping[str, Any]) -> str | None:
    """What a CodeableConcept is called: its own words, else the table's name of one of its codes, else a code."""
    named = (_names().get((code.system, code.code)) for code in codings(concept))
    return next((words for words in (*words_of(concept), *named) if words), None) or concept_text(concept)


@cache
def _names() -> Mapping[tuple[str, str], str]:
    return {(row["system"], row["code"]): row["display"] for row in _rows() if row["match"] == "exact" and row["code"]}


@cache
def value_set(name: str) -> ValueSet:
    """The set of that name; LookupError when there is none."""
    rows = [row for row in _rows() if row["set"] == name]
    if not rows:
        raise LookupError(f"there is no value set {name}")
    return ValueSet(
        exact=frozenset((row["system"], row["code"]) for row in rows if row["match"] == "exact"),
        prefixes=tuple((row["system"], row["code"]) for row in rows if row["match"] == "prefix"),
        names=tuple(row["code"] for row in rows if row["match"] == "name"),
    )


@cache
def _rows() -> list[dict[str, str]]:
    source = resources.files("imaging_findings") / "tables" / "value_sets.csv"
    lines = source.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))
