"""Every resource that the product writes, by kind and FHIR release: real output, of the code that writes it in the field."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cds_service.documented_access import EXAMPLE_REQUEST
from fhir_imaging.fhir_versions import FhirVersion
from tests.interop.emitted_by_servers import audit_events, cds_answers, endpoint_answers, outcomes
from tests.interop.emitted_by_sync import exported, mapped_endpoints, mapped_results, mapped_studies, written_by_sync

R4, R4B, R5 = FhirVersion.R4, FhirVersion.R4B, FhirVersion.R5
_SYNCED = ("Bundle", "Device", "DiagnosticReport", "Endpoint", "ImagingStudy", "Observation")
KINDS: Mapping[FhirVersion, tuple[str, ...]] = {
    R4: (*_SYNCED, "AuditEvent", "CapabilityStatement", "OperationOutcome", "Patient", "ServiceRequest"),
    R4B: _SYNCED,
    R5: _SYNCED,
}
"""What is written in which release. The synchronisation writes R6 too, of which HL7 has published no definitions to be had."""
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """One resource; ``origin`` is what wrote it."""

    origin: str
    version: FhirVersion
    resource: Json

    @property
    def kind(self) -> str:
        return str(self.resource["resourceType"])


def emitted(directory: Path) -> list[Emitted]:
    """Everything, each text once in each release."""
    found: dict[tuple[FhirVersion, str], Emitted] = {}
    for one in _emitted(directory):
        found.setdefault((one.version, json.dumps(one.resource, sort_keys=True)), one)
    return list(found.values())


def _emitted(directory: Path) -> Iterator[Emitted]:
    for version in KINDS:
        yield from _of("synchronised studies", version, mapped_studies(version))
        yield from _of("synchronised Endpoints", version, mapped_endpoints(version))
        yield from _of("results of reports", version, mapped_results(version))
        yield from _of("written by the synchronisation", version, written_by_sync(directory, version))
    yield from _of("export", R4, _with_entries(exported(_new(directory / "export"))))
    yield from _of("imaging FHIR endpoint", R4, endpoint_answers(_new(directory / "endpoint")))
    yield from _of("CDS service", R4, cds_answers(_new(directory / "cds")))
    yield from _of("documented request", R4, _documented())
    yield from _of("errors", R4, outcomes())
    yield from _of("audit log", R4, audit_events())


def _of(origin: str, version: FhirVersion, resources: Iterable[Json]) -> Iterator[Emitted]:
    return (Emitted(origin=origin, version=version, resource=one) for one in resources)


def _with_entries(bundle: Json) -> Iterator[Json]:
    yield bundle
    yield from (entry["resource"] for entry in bundle["entry"])


def _documented() -> Iterator[Json]:
    yield from EXAMPLE_REQUEST["prefetch"].values()


def _new(directory: Path) -> Path:
    directory.mkdir()
    return directory
