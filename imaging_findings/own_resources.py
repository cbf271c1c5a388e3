"""The patient's own resources out of what came, each once and of the right type; another patient's are told as problems."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from imaging_findings.findings import Problem
from imaging_findings.history import is_of_patient
from imaging_findings.observations import OTHER_PATIENT, reference_of

Fact = TypeVar("Fact")


@dataclass(frozen=True, slots=True)
class Owner:
    """Which resources count: their type, the patient's logical id, and the FHIR bases in which that id is meant."""

    resource_type: str
    patient_id: str
    bases: Collection[str] = ()


def own_resources(resources: Iterable[Mapping[str, Any]], owner: Owner, problems: list[Problem]) -> Iterator[Mapping[str, Any]]:
    """The owner's resources in their order; another patient's are added to ``problems``."""
    seen: set[str] = set()
    resource_type = owner.resource_type
    for resource in resources:
        if resource.get("resourceType") != resource_type:
            continue
        reference = reference_of(resource, resource_type)
        if reference in seen:
            continue
        if reference != resource_type:
            seen.add(reference)
        if is_of_patient(resource, owner.patient_id, owner.bases):
            yield resource
        else:
            problems.append(Problem(reference, OTHER_PATIENT))


def read_each(
    resources: Iterable[Mapping[str, Any]],
    reader: Callable[[Mapping[str, Any]], Fact | Problem | None],
    problems: list[Problem],
) -> list[Fact]:
    """What the reader makes of each resource; the problems among it are added to ``problems``."""
    facts: list[Fact] = []
    for resource in resources:
        found = reader(resource)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            facts.append(found)
    return facts
