"""What all demo patients share: the hospital and its people."""

from ehr_sandbox.demo_study import INSTITUTION
from ehr_sandbox.patients import codings
from ehr_sandbox.patients.elements import Json, concept, reference

ORGANIZATION = reference("Organization/demo-hospital", INSTITUTION)
RADIOLOGIST = reference("Practitioner/demo-radiologist", "Dr Ruth Reader")
GENERALIST = reference("Practitioner/demo-gp", "Dr Gwen Generalist")


def hospital_resources() -> list[Json]:
    """Organization and Practitioners."""
    return [
        {"resourceType": "Organization", "id": "demo-hospital", "active": True, "name": INSTITUTION,
         "type": [concept(codings.PROVIDER)]},
        _practitioner("demo-radiologist", "Reader", "Ruth"),
        _practitioner("demo-gp", "Generalist", "Gwen"),
    ]  # fmt: skip


def _practitioner(logical_id: str, family: str, given: str) -> Json:
    name = {"use": "official", "family": family, "given": [given], "prefix": ["Dr"], "text": f"Dr {given} {family}"}
    return {"resourceType": "Practitioner", "id": logical_id, "active": True, "name": [name]}
