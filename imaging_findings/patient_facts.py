"""Kidney function as laboratories report it: the latest eGFR, in whatever unit and under whatever code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fhir_imaging.tolerant import as_dict, text
from imaging_findings import codes
from imaging_findings.codes import UCUM
from imaging_findings.moments import happened, stated_time
from imaging_findings.observations import SIGNED
from imaging_findings.value_sets import value_set

_PER_SURFACE = "mL/min/1.73 m²"
# What is left of an eGFR's unit without case, spaces, brackets and ways to write a square, and how people read it.
_GFR_UNITS = {"ml/min": "mL/min"} | dict.fromkeys(
    ("ml/min/1.73m2", "ml/min/1.73sqm", "ml/min/1.73qm", "ml/min/1.73"), _PER_SURFACE
)
_SQUARED = re.compile(r"m(?:²|\^2|\*{1,2}2)")
_NOT_READ_ALOUD = re.compile(r"[\s_{}()\[\]]")
_COMPARED = re.compile(r"\s*(<=|>=|<|>|≤|≥)\s*(\d{1,3}(?:\.\d+)?)\s*(?:mL/min.*)?", re.IGNORECASE | re.DOTALL)
_ONE_SIGN = {"≤": "<=", "≥": ">="}
_NO_EGFR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Egfr:
    """One final eGFR in mL/min or mL/min/1.73 m². ``value`` is None for "<15" and the like, which are bounds, no numbers."""

    day: date
    words: str
    in_unknown_unit: bool = False
    """Whether a number is there, but no unit in which it could be an eGFR."""
    value: float | None = None
    comparator: str | None = None
    bound: float | None = None

    def is_below(self, limit: float) -> bool:
        """Whether it is certainly below the limit."""
        if self.value is not None:
            return self.value < limit
        if self.bound is None:
            return False
        return (self.comparator == "<" and self.bound <= limit) or (self.comparator == "<=" and self.bound < limit)

    def is_at_least(self, limit: float) -> bool:
        """Whether it is certainly not below the limit."""
        if self.value is not None:
            return self.value >= limit
        return self.bound is not None and self.comparator in (">", ">=") and self.bound >= limit


def latest_egfr(resources: Sequence[Mapping[str, Any]], now: datetime) -> Egfr | None:
    """The latest signed eGFR up to ``now``; of several at the same moment the lowest. Unreadable values stay without number.

    Days are those of the zone of ``now``, which is aware.
    """
    found: list[tuple[datetime, float, Egfr]] = []
    for resource in resources:
        moment = happened(stated_time(resource), now)
        egfr = _read_egfr(resource, moment.date()) if moment is not None else None
        if egfr is not None and moment is not None:
            found.append((moment, -(egfr.value if egfr.value is not None else egfr.bound or 0.0), egfr))
    return max(found, key=lambda one: one[:2])[2] if found else None


def _read_egfr(resource: Mapping[str, Any], day: date) -> Egfr | None:
    if text(resource.get("status")) not in SIGNED or not value_set("egfr").holds_any(codes.codings(resource.get("code"))):
        return None
    written = text(resource.get("valueString")) or ""
    compared = _COMPARED.fullmatch(written)
    if compared:
        return Egfr(day=day, words=written, comparator=_ONE_SIGN.get(compared[1], compared[1]), bound=float(compared[2]))
    return _read_quantity(as_dict(resource.get("valueQuantity")), day) or Egfr(day=day, words=written or "without value")


def _read_quantity(quantity: Mapping[str, Any], day: date) -> Egfr | None:
    value, comparator = quantity.get("value"), text(quantity.get("comparator"))
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    unit = _gfr_unit(quantity)
    if unit is None or not 0 <= value < _NO_EGFR:
        stated = text(quantity.get("unit")) or text(quantity.get("code")) or "without unit"
        return Egfr(day=day, words=f"{comparator or ''}{value} {stated}", in_unknown_unit=unit is None)
    words = f"{comparator or ''}{value:g} {unit}"
    if comparator is None:
        return Egfr(day=day, words=words, value=float(value))
    return Egfr(day=day, words=words, comparator=comparator, bound=float(value))


def _gfr_unit(quantity: Mapping[str, Any]) -> str | None:
    """The unit as people read it; a UCUM code (or one of no system) counts before the unit in words."""
    code = text(quantity.get("code")) if text(quantity.get("system")) in (None, UCUM) else None
    stated = (code or text(quantity.get("unit")) or "").casefold()
    plain = _NOT_READ_ALOUD.sub("", _SQUARED.sub("m2", stated)).replace("per", "/").replace(",", ".")
    return _GFR_UNITS.get(plain)
