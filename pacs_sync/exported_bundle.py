"""The resources of an export as one Bundle in which every reference leads to an entry.

Spec: FHIR R4 Bundle (bdl-7, bdl-8), §2.36.4 (resolving references in Bundles).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from pacs_sync.result_steps import Key, key_of, keys_in, resolved

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
"""Of names that are OIDs (RFC 4122)."""


def bundle_of(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A collection; each entry's ``fullUrl`` is the same in every export of the same study with the same key.

    ValueError where one refers to something that is not among them: it could not be resolved by anybody.
    """
    every = list(resources)
    places = {key_of(one): _full_url(key_of(one)) for one in every}
    by_id = {f"{one['resourceType']}/{one['id']}": places[key_of(one)] for one in every if "id" in one}
    for one in every:
        if missing := keys_in(one) - places.keys():
            raise ValueError(f"a {one['resourceType']} refers to {min(missing).kind}, which is not exported")
    entries = [{"fullUrl": places[key_of(one)], "resource": _with_urls(resolved(one, places), by_id)} for one in every]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}


def _full_url(key: Key) -> str:
    return uuid.uuid5(_NAMESPACE, "\n".join(key)).urn


def _with_urls(value: Any, by_id: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: by_id.get(member, member) if name == "reference" and isinstance(member, str) else _with_urls(member, by_id)
            for name, member in value.items()
        }
    return [_with_urls(member, by_id) for member in value] if isinstance(value, list) else value
