"""Faults of the FHIR API; each becomes an OperationOutcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Resource = dict[str, Any]
"""A FHIR resource as plain JSON."""


@dataclass(eq=False)
class FhirFault(Exception):
    """A refusal with its HTTP status and the `OperationOutcome.issue.code` (value set issue-type)."""

    status: int
    code: str
    diagnostics: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def outcome(self) -> Resource:
        """The OperationOutcome that tells the caller what was wrong."""
        return operation_outcome("error", self.code, self.diagnostics)


def operation_outcome(severity: str, code: str, *diagnostics: str) -> Resource:
    """An OperationOutcome with one issue per text."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": code, "diagnostics": text} for text in diagnostics],
    }


def not_found(resource_type: str, resource_id: str) -> FhirFault:
    """No such resource, or none that this caller may know of."""
    return FhirFault(404, "not-found", f"{resource_type}/{resource_id} is not known")


def not_supported(what: str) -> FhirFault:
    """An honest refusal of what FHIR allows but this server does not do."""
    return FhirFault(400, "not-supported", f"not supported by this server: {what}")


def invalid(what: str) -> FhirFault:
    """A request that breaks the grammar of FHIR."""
    return FhirFault(400, "invalid", what)
