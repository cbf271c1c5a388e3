"""What is to be done so that the results of a study in FHIR are those of its documents, and no others.

Spec: FHIR R4 RESTful API §3.1.0.11.2 (conditional references); clinical rules §6 (a new document updates, preliminary until
signed, and what a person decided about a finding stays decided).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from fhir_imaging.tolerant import dicts, text
from fhir_imaging.uids import DICOM_UID_SYSTEM, StudyInstanceUID, to_urn
from pacs_sync.standing import IN_ERROR, differs, only_signed_since, with_others_labels, withdrawn_result

WITHDRAWABLE = ("Observation", "DiagnosticReport")
"""Results; a Device serves many studies and stays."""


class Key(NamedTuple):
    """By what a resource without an id is known: its first identifier."""

    kind: str
    system: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One resource that is to stand so. ``stands`` is what it replaces, None where it is new; ``is_needed``: they differ.

    ``resource`` refers to others as it is written to.
    """

    key: Key
    resource: dict[str, Any]
    stands: Mapping[str, Any] | None
    is_needed: bool


def key_of(resource: Mapping[str, Any]) -> Key:
    """ValueError where it has no identifier with system and value: then it could not be found again."""
    for one in dicts(resource.get("identifier")):
        system, value = text(one.get("system")), text(one.get("value"))
        if system and value:
            return Key(str(resource["resourceType"]), system, value)
    raise ValueError(f"a {resource.get('resourceType')} has no identifier")


def study_key(uid: StudyInstanceUID) -> Key:
    """Of the ImagingStudy that results refer to."""
    return Key("ImagingStudy", DICOM_UID_SYSTEM, to_urn(uid))


def id_of(key: Key) -> str:
    """The id of a result where we give ids: the same whoever writes it."""
    return hashlib.sha256("\n".join(key).encode()).hexdigest()[:40]


def by_key(resources: Iterable[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    """What stands, by what it is known by; of several with one identifier the first by id, for every writer the same."""
    found: dict[Key, Mapping[str, Any]] = {}
    for one in sorted(resources, key=lambda resource: (len(str(resource.get("id"))), str(resource.get("id")))):
        try:
            found.setdefault(key_of(one), one)
        except ValueError:
            continue  # somebody took its identifier away: it is withdrawn with what is not wanted
    return found


def step(resource: Mapping[str, Any], stands: Mapping[str, Any] | None, addresses: Mapping[Key, str]) -> Step:
    """What to do about one wanted result. ``addresses`` are those of what it may refer to."""
    wanted = resolved(resource, addresses)
    wanted = wanted if stands is None else with_others_labels(wanted, stands)
    key = key_of(resource)
    is_needed = stands is None or (differs(wanted, stands) and not only_signed_since(wanted, stands))
    return Step(key=key, resource=wanted, stands=stands, is_needed=is_needed)


def unwanted(standing: Sequence[Mapping[str, Any]], kept: Iterable[object]) -> list[dict[str, Any]]:
    """What is to be taken back: all that stands but those with the ids ``kept``, as it is to be written."""
    ids = set(kept)
    return [
        withdrawn_result(one)
        for one in standing
        if one.get("resourceType") in WITHDRAWABLE and one.get("id") not in ids and one.get("status") != IN_ERROR
    ]


def resolved(resource: Mapping[str, Any], addresses: Mapping[Key, str]) -> dict[str, Any]:
    """The resource with each conditional reference to something known replaced by the address of that."""
    return {name: _resolved(value, addresses) for name, value in resource.items()}


def _resolved(value: Any, addresses: Mapping[Key, str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _address(member, addresses) if name == "reference" else _resolved(member, addresses)
            for name, member in value.items()
        }
    if isinstance(value, list):
        return [_resolved(member, addresses) for member in value]
    return value


def keys_in(resource: Mapping[str, Any]) -> frozenset[Key]:
    """What its conditional references ask for."""
    return frozenset(key for reference in _references(resource) for key in _keys_of(reference)[:1])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            if name == "reference" and isinstance(member, str):
                yield member
            else:
                yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _address(reference: Any, addresses: Mapping[Key, str]) -> Any:
    if not isinstance(reference, str):
        return reference
    return next((addresses[key] for key in _keys_of(reference) if key in addresses), reference)


def _keys_of(reference: str) -> list[Key]:
    """What ``Type?identifier=system|value`` asks for, read as it stands and as escaped for a URL."""
    kind, mark, criteria = reference.partition("?")
    if not mark:
        return []
    stated = (criteria.removeprefix("identifier="), dict(parse_qsl(criteria)).get("identifier", ""))
    parted = (one.partition("|") for one in dict.fromkeys(stated))
    return [Key(kind, system, value) for system, _, value in parted if system and value]
