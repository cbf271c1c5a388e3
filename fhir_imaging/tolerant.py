"""Tolerant accessors for JSON that others wrote: what is not of the expected shape counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_dict(value: object) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The array, or an empty one."""
    return value if isinstance(value, list) else []


def dicts(value: object) -> list[Mapping[str, Any]]:
    """The objects of an array; everything else in it is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str | None:
    """A string without surrounding white space; None when it is empty or no string."""
    return value.strip() or None if isinstance(value, str) else None


def texts(value: object) -> tuple[str, ...]:
    """The strings of an array."""
    return tuple(item for item in as_list(value) if isinstance(item, str))


def count(value: object) -> int | None:
    """A number that counts things: zero or more, no boolean."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
