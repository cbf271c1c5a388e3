"""FHIR data types as plain JSON. Spec: FHIR R4 (4.0.1) data types."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from ehr_sandbox.demo_study import Coding, DemoExamination

Json: TypeAlias = dict[str, Any]
UCUM = "http://unitsofmeasure.org"


def coding(code: Coding, version: str | None = None) -> Json:
    """A Coding."""
    stated = {"system": code.system, "code": code.code, "display": code.display}
    return stated | ({"version": version} if version else {})


def concept(*codes: Coding, text: str | None = None, version: str | None = None) -> Json:
    """A CodeableConcept; `version` counts for every one of its codings."""
    stated: Json = {"coding": [coding(code, version) for code in codes]}
    return stated | ({"text": text} if text else {})


def reference(target: str, display: str | None = None) -> Json:
    """A Reference to a resource of the same server."""
    return {"reference": target} | ({"display": display} if display else {})


def study_of(examination: DemoExamination) -> Json:
    """A Reference to the ImagingStudy of an examination: whoever brings the archive's studies gives them their UIDs as ids."""
    return reference(f"ImagingStudy/{examination.study_instance_uid}", examination.description)


def millimetres(value: float) -> Json:
    """A Quantity in mm, one decimal."""
    return {"value": round(value, 1), "unit": "mm", "system": UCUM, "code": "mm"}


def months(value: int) -> Json:
    """A Quantity in months."""
    return {"value": value, "unit": "months", "system": UCUM, "code": "mo"}


def component(code: Coding, key: str, value: Any) -> Json:
    """An Observation.component with the value[x] that `key` names."""
    return {"code": concept(code), key: value}


def transaction(resources: Sequence[Json], fhir_base: str) -> Json:
    """A transaction Bundle that puts each resource at its own id below `fhir_base`."""
    root = fhir_base.rstrip("/")
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"{root}/{one['resourceType']}/{one['id']}",
                "resource": one,
                "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
            }
            for one in resources
        ],
    }
