"""What the imaging FHIR endpoint offers, as a CapabilityStatement that anybody may read.

Spec: FHIR R4 CapabilityStatement; SMART App Launch 2.2 (``oauth-uris``, SMART-on-FHIR security service);
SMART Imaging Access F1.
"""

from __future__ import annotations

from typing import Any

from fhir_imaging.clients.smart_metadata import OAUTH_URIS, SmartMetadata

SECURITY_SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"

_SEARCH = (
    ("patient", "reference", "Required: the logical id of the token's patient in the EHR."),
    ("subject", "reference", "As patient."),
    ("identifier", "token", "Study Instance UID (urn:dicom:uid|urn:oid:1.2.3) or accession number."),
    ("_lastUpdated", "date", "When this server first saw the study as it is now."),
    ("_id", "token", "Study Instance UID."),
    ("modality", "token", "DICOM modality of any series."),
    ("started", "date", "When the study began."),
    ("status", "token", "Every study that is listed is available."),
)


def capability_statement(base: str, *, date: str, smart: SmartMetadata | None) -> dict[str, Any]:
    """The statement; ``smart`` are the EHR's endpoints, None where they cannot be read just now. ``date`` is ISO 8601."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "imaging-cds imaging server"},
        "implementation": {"description": "Imaging studies of the token's patient", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "security": _security(smart), "resource": [_imaging_study(), _endpoint()]}],
    }


def _security(smart: SmartMetadata | None) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "cors": True,
        "service": [{"coding": [{"system": SECURITY_SERVICES, "code": "SMART-on-FHIR"}]}],
        "description": "The access token of a SMART App Launch at the EHR; there is no access without a patient in context.",
    }
    if smart is None:
        return stated
    uris = [
        {"url": "authorize", "valueUri": smart.authorization_endpoint},
        {"url": "token", "valueUri": smart.token_endpoint},
    ]
    return {"extension": [{"url": OAUTH_URIS, "extension": uris}], **stated}


def _imaging_study() -> dict[str, Any]:
    return {
        "type": "ImagingStudy",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchInclude": ["ImagingStudy:endpoint"],
        "searchParam": [{"name": name, "type": kind, "documentation": words} for name, kind, words in _SEARCH],
    }


def _endpoint() -> dict[str, Any]:
    return {"type": "Endpoint", "interaction": [{"code": "read"}]}
