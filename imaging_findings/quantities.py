"""FHIR quantities into numbers, strictly in their unit: what carries a comparator or another unit is no number here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, text
from imaging_findings.codes import UCUM
from imaging_findings.intervals import Interval, Unit

_MM_PER = {"mm": 1.0, "cm": 10.0}
MAX_NODULE_MM = 1000.0


def millimetres(quantity: object) -> float | None:
    """A length in mm to one decimal; None for a comparator (``<4 mm``), another unit, or a size no lung can hold."""
    stated = as_dict(quantity)
    number = _number(stated.get("value"))
    factor = _MM_PER.get(text(stated.get("code")) or text(stated.get("unit")) or "")
    if number is None or factor is None or stated.get("comparator") or text(stated.get("system")) not in (None, UCUM):
        return None
    size = round(number * factor, 1)
    return size if 0 < size <= MAX_NODULE_MM else None


def hounsfield_units(quantity: object) -> float | None:
    """An attenuation in HU; None for a comparator or another unit."""
    stated = as_dict(quantity)
    number = _number(stated.get("value"))
    unit = text(stated.get("code")) or text(stated.get("unit"))
    return number if unit in ("[hnsf'U]", "HU") and not stated.get("comparator") else None


def whole_number(value: object) -> float | None:
    """A whole number from zero on, no boolean."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTERVAL else None


def positive_integer(value: object) -> int | None:
    """A whole number above zero, no boolean."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def interval_in(component: Mapping[str, Any]) -> Interval | None:
    """A follow-up interval in ``valueQuantity`` or ``valueRange``, UCUM d, wk, mo or a; whole numbers only."""
    if "valueQuantity" in component:
        low = high = as_dict(component.get("valueQuantity"))
    else:
        stated = as_dict(component.get("valueRange"))
        low, high = as_dict(stated.get("low")), as_dict(stated.get("high"))
    units = {text(low.get("code")), text(high.get("code"))}
    first, last = _whole(low), _whole(high)
    unit = units.pop() if len(units) == 1 else None
    if first is None or last is None or unit not in set(Unit) or not 0 < first <= last <= MAX_INTERVAL:
        return None
    return Interval(first, last, Unit(unit))


MAX_INTERVAL = 1000
"""Bounds a nonsense interval before it meets the calendar."""


def _whole(quantity: Mapping[str, Any]) -> int | None:
    number = _number(quantity.get("value"))
    usable = number is not None and number == int(number) and not quantity.get("comparator")
    return int(number) if usable and number is not None else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
