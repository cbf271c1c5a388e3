"""Whether a resource that a client sends is FHIR R4: its structure, required elements and bound status codes."""

import re
from typing import Any

from fhirclient.models.fhirabstractbase import FHIRValidationError
from fhirclient.models.fhirelementfactory import FHIRElementFactory

from ehr_sandbox.fhir_faults import FhirFault, Resource, invalid
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS
from ehr_sandbox.fhir_values import FHIR_ID

_REQUEST_STATUS = "draft active on-hold revoked completed entered-in-error unknown"
_EVENT_STATUS = "preparation in-progress not-done on-hold stopped completed entered-in-error unknown"
_INTENT = "proposal plan directive order original-order reflex-order filler-order instance-order option"
_PRIORITY = "routine urgent asap stat"
_GENDER = "male female other unknown"

REQUIRED_CODES: dict[str, dict[str, str]] = {
    "Appointment": {
        "status": "proposed pending booked arrived fulfilled cancelled noshow entered-in-error checked-in waitlist"
    },
    "Communication": {"status": _EVENT_STATUS, "priority": _PRIORITY},
    "DiagnosticReport": {
        "status": "registered partial preliminary final amended corrected appended cancelled entered-in-error unknown"
    },
    "Encounter": {"status": "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown"},
    "Endpoint": {"status": "active suspended error off entered-in-error test"},
    "ImagingStudy": {"status": "registered available cancelled entered-in-error unknown"},
    "MedicationRequest": {
        "status": "active on-hold cancelled completed entered-in-error stopped draft unknown",
        "intent": "proposal plan order original-order reflex-order filler-order instance-order option",
        "priority": _PRIORITY,
    },
    "Observation": {"status": "registered preliminary final amended corrected cancelled entered-in-error unknown"},
    "Patient": {"gender": _GENDER},
    "Practitioner": {"gender": _GENDER},
    "Procedure": {"status": _EVENT_STATUS},
    "ServiceRequest": {"status": _REQUEST_STATUS, "intent": _INTENT, "priority": _PRIORITY},
    "Task": {
        "status": "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed"
        " entered-in-error",
        "intent": f"unknown {_INTENT}",
        "priority": _PRIORITY,
    },
}
"""Element → codes of its required binding, for the types that the demo's flows write."""


def check_type(resource_type: str) -> None:
    """Raise FhirFault 404 for a resource type that this server does not hold."""
    if resource_type not in SEARCH_PARAMETERS:
        raise FhirFault(404, "not-supported", f"this server holds no resources of type '{resource_type[:64]}'")


def checked_resource(resource: Any, resource_type: str | None = None) -> Resource:
    """The resource, when it is valid R4 (and of that type); else a FhirFault that lists what is wrong."""
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise invalid("the body is not a FHIR resource: resourceType is missing")
    if resource_type is not None and resource["resourceType"] != resource_type:
        raise invalid(f"the body is a {resource['resourceType'][:64]}, the URL says {resource_type}")
    if resource["resourceType"] not in SEARCH_PARAMETERS:
        raise FhirFault(400, "not-supported", f"this server holds no resources of type '{resource['resourceType'][:64]}'")
    _check_id(resource)
    _check_structure(resource)
    _check_codes(resource)
    return resource


def _check_id(resource: Resource) -> None:
    if "id" in resource and not (isinstance(resource["id"], str) and FHIR_ID.fullmatch(resource["id"])):
        raise FhirFault(400, "value", f"{resource['resourceType']}.id is not a FHIR id")


def _check_structure(resource: Resource) -> None:
    try:
        FHIRElementFactory.instantiate(resource["resourceType"], resource)
    except FHIRValidationError as error:
        raise FhirFault(400, "structure", f"not valid R4: {_readable(error)}") from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise FhirFault(400, "structure", f"not a valid R4 {resource['resourceType']}") from error


def _readable(error: FHIRValidationError) -> str:
    # The library's text names its own objects with their memory addresses; those say nothing to the caller.
    text = re.sub(r"(?: on| for| in data for)? <fhirclient\.models\.\w+\.(\w+) object at 0x[0-9a-f]+>", r" of \1", str(error))
    lines = (line.strip().strip("'") for line in text.splitlines())
    return "; ".join(line for line in lines if line and line != "{root}:")[:1000]


def _check_codes(resource: Resource) -> None:
    for element, codes in REQUIRED_CODES.get(resource["resourceType"], {}).items():
        value = resource.get(element)
        if value is not None and value not in codes.split():
            allowed = ", ".join(codes.split())
            raise FhirFault(400, "code-invalid", f"{resource['resourceType']}.{element} must be one of: {allowed}")
