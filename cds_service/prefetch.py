"""What each prefetch key holds: resources, nothing, an error, a first page, or no answer at all.

Spec: CDS Hooks 2.0 "Prefetch Template" (R18, R23), with what public clients do: null, empty Bundles, OperationOutcomes alone or
as entries, and the legacy wrapper ``{response, resource}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fhir_imaging.study import patient_id_of
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings.facts import FactQuery


class PrefetchState(StrEnum):
    """What came for a key."""

    PRESENT = "present"
    EMPTY = "empty"
    """null or a Bundle without entries: the client holds no such data, so it is not fetched again."""
    PAGINATED = "paginated"
    FAILED = "failed"
    """An OperationOutcome with an error instead of (or among) the data."""
    MISMATCHED = "mismatched"
    """Another resource type, or another patient, than was asked for."""
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchValue:
    """One key's value. ``resources`` are of the asked type; ``next_url`` is set where there are more."""

    state: PrefetchState
    resources: tuple[Mapping[str, Any], ...] = ()
    next_url: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to fetch."""
        return self.state in (PrefetchState.PRESENT, PrefetchState.EMPTY)


def classify(query: FactQuery, prefetch: Mapping[str, Any], patient_id: str, encounter_id: str | None = None) -> PrefetchValue:
    """What the request's prefetch says for one query; ids are those of the context."""
    if query.key not in prefetch:
        return PrefetchValue(state=PrefetchState.ABSENT)
    value = _unwrapped(prefetch[query.key])
    if value is None:
        return PrefetchValue(state=PrefetchState.EMPTY)
    resource = as_dict(value)
    kind = resource.get("resourceType")
    if kind == "OperationOutcome":
        return PrefetchValue(state=PrefetchState.FAILED)
    if kind == "Bundle":
        return read_entries(query, resource)
    if kind != query.resource_type or not _is_the_contexts(resource, patient_id, encounter_id):
        return PrefetchValue(state=PrefetchState.MISMATCHED)
    return PrefetchValue(state=PrefetchState.PRESENT, resources=(resource,))


def _is_the_contexts(resource: Mapping[str, Any], patient_id: str, encounter_id: str | None) -> bool:
    """Whether what a read answered is the context's own patient or encounter; an encounter may leave out its subject."""
    if resource.get("resourceType") == "Patient":
        return text(resource.get("id")) == patient_id
    if resource.get("resourceType") == "Encounter":
        stated = patient_id_of(text(as_dict(resource.get("subject")).get("reference")))
        return text(resource.get("id")) == (encounter_id or text(resource.get("id"))) and stated in (None, patient_id)
    return True


def read_entries(query: FactQuery, bundle: Mapping[str, Any]) -> PrefetchValue:
    """What a searchset Bundle says for one query."""
    resources = [as_dict(entry.get("resource")) for entry in dicts(bundle.get("entry"))]
    wanted = tuple([resource for resource in resources if resource.get("resourceType") == query.resource_type])
    # Where all are of the type that was asked for, none is an OperationOutcome.
    if len(wanted) < len(resources) and any(is_error(resource) for resource in resources):
        return PrefetchValue(state=PrefetchState.FAILED, resources=wanted)
    next_url = next_link(bundle)
    if next_url:
        return PrefetchValue(state=PrefetchState.PAGINATED, resources=wanted, next_url=next_url)
    return PrefetchValue(state=PrefetchState.PRESENT if wanted else PrefetchState.EMPTY, resources=wanted)


def is_error(resource: Mapping[str, Any]) -> bool:
    """Whether the resource is an OperationOutcome that tells of an error (not only of a warning)."""
    if resource.get("resourceType") != "OperationOutcome":
        return False
    severities = {issue.get("severity") for issue in dicts(resource.get("issue")) if isinstance(issue.get("severity"), str)}
    return not severities or bool(severities & {"error", "fatal"})


def next_link(bundle: Mapping[str, Any]) -> str | None:
    """The Bundle's ``next`` link as sent."""
    links = (text(link.get("url")) for link in dicts(bundle.get("link")) if link.get("relation") == "next")
    return next((url for url in links if url), None)


def _unwrapped(value: object) -> object:
    legacy = as_dict(value)
    return legacy["resource"] if "resource" in legacy and "resourceType" not in legacy else value
