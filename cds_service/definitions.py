"""What a CDS service is to the rest of this package: its discovery entry, its FHIR queries and its pure evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cds_service.cards import CardContext, IssuedCard
from cds_service.gather import Gathered
from imaging_findings.facts import FactQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDefinition:
    """One service, on one hook: several services of a hook are told apart by their id in the URL."""

    service_id: str
    hook: str
    title: str
    description: str
    usage_requirements: str
    queries: tuple[FactQuery, ...]
    serves_patients: bool
    """Whether users who are a patient or proxy get anything; where not, their requests fetch nothing."""
    evaluate: Callable[[Gathered, CardContext], tuple[IssuedCard, ...]]
    """Pure: the cards for what was gathered; each service reads the facts that its own queries ask for."""

    def discovery_entry(self) -> dict[str, Any]:
        """The service as discovery lists it (R5)."""
        return {
            "hook": self.hook,
            "id": self.service_id,
            "title": self.title,
            "description": self.description,
            "usageRequirements": self.usage_requirements,
            "prefetch": {query.key: query.template for query in self.queries},
        }


def registry(definitions: Iterable[ServiceDefinition]) -> Mapping[str, ServiceDefinition]:
    """The services by id; ValueError when two share one (the URL of one would answer for the other)."""
    found: dict[str, ServiceDefinition] = {}
    for definition in definitions:
        if definition.service_id in found:
            raise ValueError(f"two CDS services have the id {definition.service_id}")
        found[definition.service_id] = definition
    return found
