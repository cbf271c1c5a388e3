"""A JSON number with a fraction or an exponent, as it was written.

FHIR: the digits of a decimal count, so 1.50 is not 1.5, and no binary number keeps them. Spec: FHIR R4 datatypes, decimal.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrittenNumber:
    """``text`` is the number's own text, as a JSON parser found it."""

    text: str

    @property
    def is_finite(self) -> bool:
        """Whether readers that know only binary numbers can read it: 1E999 is an infinity to them."""
        return math.isfinite(float(self.text))


class _Marks:
    """Stands in for the numbers of one text while the encoder writes it; nobody else can know the mark."""

    def __init__(self) -> None:
        self.mark = ""
        self.numbers: list[str] = []

    def of(self, value: object) -> str:
        if not isinstance(value, WrittenNumber):
            raise TypeError(f"{type(value).__name__} is no JSON")
        self.mark = self.mark or secrets.token_hex(16)
        self.numbers.append(value.text)
        return f"{self.mark}:{len(self.numbers) - 1}"

    def resolved(self, text: str) -> str:
        if not self.numbers:
            return text
        return re.sub(f'"{self.mark}:([0-9]+)"', lambda found: self.numbers[int(found[1])], text)


def json_text(value: object) -> str:
    """The value as compact JSON, its written numbers digit for digit. ValueError for NaN and infinity."""
    marks = _Marks()
    return marks.resolved(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=marks.of))
