"""How a client is registered, signs its calls and reads the answers, as values for the page that people read (R40).

Everything is read from the settings and the services. No client is named: what is told is what all trusted clients may use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cds_service.card_parts import override_reasons
from cds_service.definitions import ServiceDefinition
from cds_service.settings import ASYMMETRIC_ALGORITHMS, DEFAULT_ALGORITHMS, CdsSettings, TrustedCdsClient

STATUSES: tuple[tuple[int, str], ...] = (
    (200, "Cards, of which there may be none; for feedback: taken, without a body"),
    (400, "The JSON, a member or the context is wrong; the text names it (context.draftOrders). Mend the request"),
    (401, "The JWT was not accepted. No body: the site finds the reason in its log under the answer's X-Request-Id"),
    (404, "No service has that id"),
    (405, "The address takes another method; Allow says which"),
    (412, "Required data came neither by prefetch nor from fhirServer; the text names each key, why, and what would help"),
    (413, "The body is too large"),
    (415, "The body is not application/json, or packed otherwise than with gzip"),
    (500, "A fault of the service; the number in X-Request-Id finds it in the site's log"),
)
_LUNG_RADS = {"system": "https://imaging-cds.example/fhir/CodeSystem/lung-rads", "version": "2022", "code": "3"}
EXAMPLE_REQUEST: Mapping[str, Any] = {
    "hook": "patient-view",
    "hookInstance": "0f2c1f5e-7d5a-4b7e-9d0c-0a3c5b6e7f10",
    "context": {"userId": "Practitioner/gp", "patientId": "p"},
    "prefetch": {
        "patient": {"resourceType": "Patient", "id": "p", "birthDate": "1968-05-01"},
        "findings": {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": [{"relation": "self", "url": "https://fhir.example/r4/Observation?patient=p"}],
            "entry": [
                {
                    "fullUrl": "https://fhir.example/r4/Observation/finding",
                    "search": {"mode": "match"},
                    "resource": {
                        "resourceType": "Observation",
                        "id": "finding",
                        "status": "final",
                        "subject": {"reference": "Patient/p"},
                        "effectiveDateTime": "2026-10-01T10:00:00+02:00",
                        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1362105002"}]},
                        "valueCodeableConcept": {"coding": [_LUNG_RADS]},
                    },
                }
            ],
        },
    },
}
EXAMPLE_CARD: Mapping[str, Any] = {
    "uuid": "710d19c2-6ec7-4b99-91d1-d542300f1779",
    "summary": "Lung-RADS 3 (LDCT 2026-10-01): LDCT due 2027-04-01 – radiologist",
    "indicator": "warning",
    "source": {"label": "Lung-RADS v2022"},
}
"""Of the answer's card as of 2026-11-21, what the page shows."""
EXAMPLE_FEEDBACK: Mapping[str, Any] = {
    "feedback": [
        {
            "card": "710d19c2-6ec7-4b99-91d1-d542300f1779",
            "outcome": "accepted",
            "acceptedSuggestions": [{"id": "f9190649-8dd1-42f6-827d-55d57bd50d64"}],
            "outcomeTimestamp": "2026-11-21T09:05:00Z",
        },
        {
            "card": "b1d1f7b0-53c1-4c0c-8a55-6f6a7c9d2e11",
            "outcome": "overridden",
            "overrideReason": {"reason": override_reasons()[0], "userComment": "Ordered by the lung clinic"},
            "outcomeTimestamp": "2026-11-21T09:06:00Z",
        },
    ]
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedAccess:
    """What a client's analyst must know before the first call."""

    algorithms: tuple[str, ...]
    audience_bases: tuple[str, ...]
    scopes: tuple[tuple[str, str], ...]
    """Service id, and the SMART scopes by which everything it asks for could be fetched."""
    statuses: tuple[tuple[int, str], ...]
    override_reasons: tuple[Mapping[str, str], ...]
    request: str
    answer: str
    feedback: str


def documented_access(settings: CdsSettings, services: Iterable[ServiceDefinition]) -> DocumentedAccess:
    """The access of this site, as of its settings."""
    return DocumentedAccess(
        algorithms=accepted_algorithms(settings.trusted_clients),
        audience_bases=settings.audience_bases,
        scopes=tuple((service.service_id, " ".join(scopes_of(service))) for service in services),
        statuses=STATUSES,
        override_reasons=tuple(override_reasons()),
        request=_indented(EXAMPLE_REQUEST),
        answer=_indented({"cards": [EXAMPLE_CARD]}),
        feedback=_indented(EXAMPLE_FEEDBACK),
    )


def accepted_algorithms(clients: Iterable[TrustedCdsClient]) -> tuple[str, ...]:
    """What the site believes of at least one client; where it has none yet, what a new one gets."""
    believed = {name for client in clients for name in client.algorithms} or set(DEFAULT_ALGORITHMS)
    return tuple(name for name in ASYMMETRIC_ALGORITHMS if name in believed)


def scopes_of(service: ServiceDefinition) -> tuple[str, ...]:
    """SMART v2 scopes for reading and searching what the service's queries ask for, one per resource type."""
    letters: dict[str, set[str]] = {}
    for query in service.queries:
        letters.setdefault(query.resource_type, set()).add("s" if "?" in query.template else "r")
    return tuple(f"patient/{kind}.{''.join(sorted(found))}" for kind, found in letters.items())


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
