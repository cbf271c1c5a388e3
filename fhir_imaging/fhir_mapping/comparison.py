"""Whether two states of a resource differ in anything that their writer said, whatever a server adds or reorders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, text

_OF_THE_SERVER = ("versionId", "lastUpdated")


def comparable(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared: all but id, narrative and meta, of which ``source`` alone counts; lists without their order.

    Servers keep tags, profiles and labels of former versions, write narratives, and put a request id behind the source (HAPI).
    No list of the resources that we write has a meaning in its order.
    """
    told = {name: _unordered(value) for name, value in resource.items() if name not in ("id", "meta", "text")}
    return {**told, "meta": {"source": _source(resource)}}


def fingerprint(resource: Mapping[str, Any]) -> str:
    """A digest that two resources share exactly when they compare equal."""
    return hashlib.sha256(_canonical(comparable(resource)).encode()).hexdigest()


def without_server_marks(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource as its writer would send it again: without version, time, request id and a narrative of a former state."""
    meta = {name: value for name, value in as_dict(resource.get("meta")).items() if name not in _OF_THE_SERVER}
    source = _source(resource)
    kept = {name: value for name, value in resource.items() if name not in ("meta", "text")}
    return {**kept, **({"meta": {**meta, **({"source": source} if source else {})}} if meta else {})}


def _source(resource: Mapping[str, Any]) -> str | None:
    return (text(as_dict(resource.get("meta")).get("source")) or "").partition("#")[0] or None


def _unordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _unordered(member) for name, member in value.items()}
    if isinstance(value, list):
        return sorted(map(_unordered, value), key=_canonical)
    return value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
