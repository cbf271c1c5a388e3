"""Where a study's images are, as a FHIR Endpoint for WADO-RS.

Spec: SMART Imaging Access F4, P1; FHIR R4, R4B, R5 and R6 Endpoint; IHE RAD IMR 1.1.0 (payload type DCM 113014).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirclient.models.endpoint import Endpoint

from fhir_imaging.fhir_mapping.concepts import URI_SYSTEM, Json, dcm_coding, stated
from fhir_imaging.fhir_versions import FhirVersion

CONNECTION_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
PAYLOAD_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"
REQUIRES_ACCESS_TOKEN = (
    "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token",
    # The first draft's address of the same flag; clients of that generation know no other.
    "http://hl7.org/fhir/smart-app-launch/StructureDefinition/requires-access-token",
)
_WADO_RS = {"system": CONNECTION_TYPES, "code": "dicom-wado-rs"}
_ANYTHING = {"coding": [{"system": PAYLOAD_TYPES, "code": "any"}]}
_STUDIES = {"coding": [dcm_coding("113014", "Study")]}
_DICOM = ["application/dicom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedEndpoint:
    """Images of one archive for readers of FHIR. ``source`` says who wrote the resource.

    ``address`` is the WADO-RS base URL that wants the caller's token: the gateway's, not the archive's own. ``resource_id`` is
    None where the server gives ids.
    """

    address: str
    name: str
    source: str
    resource_id: str | None = None


def wado_endpoint(endpoint_id: str, *, address: str, name: str) -> dict[str, Any]:
    """The R4 Endpoint whose ``address`` is a WADO-RS base URL that wants the caller's token with every request."""
    resource = {"id": endpoint_id, **_common(address, name), **_in_r4(_ANYTHING)}
    return dict(Endpoint(resource).as_json())


def synced_endpoint(endpoint: SyncedEndpoint, version: FhirVersion) -> dict[str, Any]:
    """The Endpoint that a FHIR server keeps of an archive; it is found again by ``endpoint_identifier``."""
    address = endpoint.address.rstrip("/")
    system, value = endpoint_identifier(endpoint.address)
    is_r4 = version in (FhirVersion.R4, FhirVersion.R4B)
    resource = stated(
        {
            "id": endpoint.resource_id,
            "meta": {"source": endpoint.source},
            "identifier": [{"system": system, "value": value}],
            **_common(address, endpoint.name),
            **(_in_r4(_STUDIES) if is_r4 else _in_r5(_STUDIES)),
        }
    )
    return dict(Endpoint(resource).as_json()) if version is FhirVersion.R4 else resource


def endpoint_identifier(address: str) -> tuple[str, str]:
    """System and value of the identifier of the Endpoint at an address, however many slashes that ends with."""
    return URI_SYSTEM, address.rstrip("/")


def _common(address: str, name: str) -> Json:
    return {
        "resourceType": "Endpoint",
        "extension": [{"url": url, "valueBoolean": True} for url in REQUIRES_ACCESS_TOKEN],
        "status": "active",
        "name": name,
        "address": address,
    }


def _in_r4(payload: Json) -> Json:
    return {"connectionType": _WADO_RS, "payloadType": [payload], "payloadMimeType": _DICOM}


def _in_r5(payload: Json) -> Json:
    return {"connectionType": [{"coding": [_WADO_RS]}], "payload": [{"type": [payload], "mimeType": _DICOM}]}
