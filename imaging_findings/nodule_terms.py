"""The terms of Fleischner's table: size bands, what is done with half a millimetre, and to whom the table does not apply.

Spec: clinical rules, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Rounding(StrEnum):
    """The clinical owner's decision on sizes such as 5.5 mm."""

    UP = "up"
    DOWN = "down"
    UNDECIDED = "undecided"


class Band(StrEnum):
    """Size bands of Fleischner, in whole millimetres."""

    BELOW_6 = "lt6"
    FROM_6_TO_8 = "6-8"
    ABOVE_8 = "gt8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions:
    """To whom Fleischner does not apply."""

    age_below: int
    screening: bool
    cancer_snomed: frozenset[str]
    cancer_icd10: tuple[str, ...]
    immunosuppression_icd10: tuple[str, ...]
    immunosuppression_snomed: frozenset[str] = frozenset()
