"""Where a study's images are, as a FHIR R4 Endpoint for WADO-RS.

Spec: SMART Imaging Access F4, P1; FHIR R4 Endpoint.
"""

from __future__ import annotations

from typing import Any

from fhirclient.models.endpoint import Endpoint

CONNECTION_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
PAYLOAD_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"
REQUIRES_ACCESS_TOKEN = (
    "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token",
    # The first draft's address of the same flag; clients of that generation know no other.
    "http://hl7.org/fhir/smart-app-launch/StructureDefinition/requires-access-token",
)


def wado_endpoint(endpoint_id: str, *, address: str, name: str) -> dict[str, Any]:
    """The Endpoint whose ``address`` is a WADO-RS base URL that wants the caller's token with every request."""
    resource = {
        "resourceType": "Endpoint",
        "id": endpoint_id,
        "extension": [{"url": url, "valueBoolean": True} for url in REQUIRES_ACCESS_TOKEN],
        "status": "active",
        "connectionType": {"system": CONNECTION_TYPES, "code": "dicom-wado-rs"},
        "name": name,
        "payloadType": [{"coding": [{"system": PAYLOAD_TYPES, "code": "any"}]}],
        "payloadMimeType": ["application/dicom"],
        "address": address,
    }
    return dict(Endpoint(resource).as_json())
