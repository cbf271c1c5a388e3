"""Coded terms as DICOM states them: value, coding scheme designator and meaning, under whichever of its three tags.

Spec: DICOM PS3.3 §8 and table 8.8-1a (Code Sequence Macro).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.dicom_json import first_text, values
from fhir_imaging.tolerant import dicts
from pacs_sync.coding_schemes import (
    CODE_MEANING,
    CODE_VALUE,
    CODING_SCHEME_DESIGNATOR,
    CODING_SCHEME_VERSION,
    LONG_CODE_VALUE,
    OLD_SNOMED,
    old_snomed,
)

_VALUES = (CODE_VALUE, LONG_CODE_VALUE, "00080120")
"""Code Value, Long Code Value and URN Code Value."""
_LONGEST_WORDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomCode:
    """One coded term. ``scheme`` is its Coding Scheme Designator, such as SCT, DCM or UCUM."""

    value: str
    scheme: str
    meaning: str = ""
    version: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Scheme and value: what makes two terms the same one."""
        return (self.scheme, self.value)


def code_in(dataset: Mapping[str, Any], tag: str) -> DicomCode | None:
    """The first code of a code sequence; None where it has none that names its scheme."""
    return next((code for one in dicts(values(dataset, tag)) if (code := _code(one))), None)


def words(stated: str | None) -> str:
    """A text in one line, without control characters, which FHIR strings may not hold."""
    plain = "".join(mark if mark.isprintable() else " " for mark in (stated or "")[: _LONGEST_WORDS * 2])
    return " ".join(plain.split())[:_LONGEST_WORDS]


def _code(item: Mapping[str, Any]) -> DicomCode | None:
    value = next((found for tag in _VALUES if (found := words(first_text(item, tag)))), "")
    scheme = words(first_text(item, CODING_SCHEME_DESIGNATOR))
    if value and not scheme and value.startswith("urn:"):
        scheme = "URN"
    if not value or not scheme:
        return None
    if scheme.upper() in OLD_SNOMED and value in old_snomed():
        scheme, value = "SCT", old_snomed()[value]
    return DicomCode(
        value=value,
        scheme=scheme,
        meaning=words(first_text(item, CODE_MEANING)),
        version=words(first_text(item, CODING_SCHEME_VERSION)) or None,
    )
