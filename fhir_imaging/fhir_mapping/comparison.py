"""Whether two states of a resource differ in anything that their writer said, whatever a server adds or reorders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_imaging.tolerant import as_dict, text

_OF_THE_SERVER = ("versionId", "lastUpdated")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


def comparable(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared: all but id, narrative and meta, of which ``source`` alone counts; lists without their order.

    Servers keep tags, profiles and labels of former versions, write narratives, and put a request id behind the source (HAPI).
    They tell the same moment in another zone or with milliseconds, what kind of thing a reference leads to, and drop what is
    empty or blank. No list of the resources that we write has a meaning in its order.
    """
    told = _told({name: value for name, value in resource.items() if name not in ("id", "meta", "text")})
    return {**told, "meta": {"source": _source(resource)}}


def without_server_marks(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource as its writer would send it again: without version, time, request id and a narrative of a former state."""
    meta = {name: value for name, value in as_dict(resource.get("meta")).items() if name not in _OF_THE_SERVER}
    source = _source(resource)
    kept = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    return {**kept, **({"meta": {**meta, **({"source": source} if source else {})}} if meta else {})}


def _source(resource: Mapping[str, Any]) -> str | None:
    return (text(as_dict(resource.get("meta")).get("source")) or "").partition("#")[0] or None


def _told(value: Any) -> Any:
    """A value without its writer's manner; falsy and not a number where it tells nothing."""
    if isinstance(value, Mapping):
        told = {name: _told(member) for name, member in value.items() if name != "type" or "reference" not in value}
        return {name: member for name, member in told.items() if not _is_empty(member)}
    if isinstance(value, list):
        return sorted((one for one in map(_told, value) if not _is_empty(one)), key=_canonical)
    if isinstance(value, str):
        return _moment(value.strip())
    return value


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def _moment(words: str) -> str:
    """A dateTime with a zone as the same moment in UTC; other words as they are."""
    if not _INSTANT.fullmatch(words):
        return words
    try:
        return datetime.fromisoformat(words).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return words


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
