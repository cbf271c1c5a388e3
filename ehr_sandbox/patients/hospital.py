"""What all demo patients share: the hospital, its people, the AI device and the door to the images."""

from ehr_sandbox.demo_sr import ALGORITHM_MAKER, ALGORITHM_NAME, ALGORITHM_VERSION
from ehr_sandbox.demo_study import INSTITUTION
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.elements import Json, coding, concept, reference

ORGANIZATION = reference("Organization/demo-hospital", INSTITUTION)
RADIOLOGIST = reference("Practitioner/demo-radiologist", "Dr Ruth Reader")
GENERALIST = reference("Practitioner/demo-gp", "Dr Gwen Generalist")
AI_DEVICE = reference("Device/demo-nodule-ai", f"{ALGORITHM_NAME} {ALGORITHM_VERSION}")
ENDPOINT = reference("Endpoint/demo-wado")


def hospital_resources(gateway_address: str) -> list[Json]:
    """Organization, Practitioners, Device and the Endpoint whose address is the DICOMweb gateway."""
    return [
        {"resourceType": "Organization", "id": "demo-hospital", "active": True, "name": INSTITUTION,
         "type": [concept(codings.PROVIDER)]},
        _practitioner("demo-radiologist", "Reader", "Ruth"),
        _practitioner("demo-gp", "Generalist", "Gwen"),
        _device(),
        _endpoint(gateway_address),
    ]  # fmt: skip


def _practitioner(logical_id: str, family: str, given: str) -> Json:
    name = {"use": "official", "family": family, "given": [given], "prefix": ["Dr"], "text": f"Dr {given} {family}"}
    return {"resourceType": "Practitioner", "id": logical_id, "active": True, "name": [name]}


def _device() -> Json:
    return {
        "resourceType": "Device",
        "id": "demo-nodule-ai",
        "status": "active",
        "manufacturer": ALGORITHM_MAKER,
        "deviceName": [{"name": ALGORITHM_NAME, "type": "user-friendly-name"}],
        "version": [{"value": ALGORITHM_VERSION}],
        "type": {"text": "Software that finds and measures pulmonary nodules on CT"},
        "owner": ORGANIZATION,
    }


def _endpoint(gateway_address: str) -> Json:
    return {
        "resourceType": "Endpoint",
        "id": "demo-wado",
        "status": "active",
        "connectionType": coding(codings.WADO_RS),
        "name": "Images of the demo hospital",
        "managingOrganization": ORGANIZATION,
        "payloadType": [concept(codings.STUDY_PAYLOAD)],
        "payloadMimeType": ["application/dicom"],
        "address": gateway_address.rstrip("/"),
    }
