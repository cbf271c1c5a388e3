"""What interop tests keep in HAPI FHIR: the ImagingStudy, Endpoint and Patient of a test, in R4 and R5."""

from __future__ import annotations

from typing import Any

from fhir_imaging.fhir_versions import FhirVersion

UID_SYSTEM = "urn:dicom:uid"
NUMBERS = "https://hospital.example/mrn"
_MODALITY = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}
_CONNECTION = {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"}


def of_study(uid: str) -> str:
    """The search for a study by its Study Instance UID."""
    return f"ImagingStudy?identifier={UID_SYSTEM}|urn:oid:{uid}"


def a_study(uid: str, version: FhirVersion, **changes: Any) -> dict[str, Any]:
    """A CT study of one series that nobody is the subject of."""
    modality = {"coding": [_MODALITY]} if version is FhirVersion.R5 else _MODALITY
    study = {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": UID_SYSTEM, "value": f"urn:oid:{uid}"}],
        "status": "available",
        "subject": {"display": "somebody"},
        "series": [{"uid": f"{uid}.1", "modality": modality}],
    }
    return study | changes


def an_endpoint(endpoint_id: str, version: FhirVersion) -> dict[str, Any]:
    """Where the images of a test would be."""
    payload = [{"coding": [{"system": "urn:ietf:bcp:13", "code": "application/dicom"}]}]
    of_version = (
        {"connectionType": [{"coding": [_CONNECTION]}], "payload": [{"type": payload}]}
        if version is FhirVersion.R5
        else {"connectionType": _CONNECTION, "payloadType": payload}
    )
    address = f"https://images.example/{endpoint_id}/dicom-web"
    return {"resourceType": "Endpoint", "id": endpoint_id, "status": "active", "address": address, **of_version}


def a_patient(patient_id: str, number: str) -> dict[str, Any]:
    """Known by this number."""
    return {"resourceType": "Patient", "id": patient_id, "identifier": [{"system": NUMBERS, "value": number}]}
