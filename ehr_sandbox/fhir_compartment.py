"""The patient compartment: whose record a resource belongs to, and which resources belong to nobody's.

Stricter than the R4 CompartmentDefinition: only the link that makes a resource be *about* a patient counts (its
`patient` search parameter), not that the patient also performed or asserted something.
"""

from ehr_sandbox.fhir_faults import Resource
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS
from ehr_sandbox.fhir_values import reference_of, values_of

SHARED_TYPES = frozenset(
    {
        "Device",
        "Endpoint",
        "Location",
        "Medication",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "Questionnaire",
    }
)
"""Types whose resources a `patient/` scope may reach although no patient owns them."""


def patients_of(resource: Resource, base_url: str) -> frozenset[str]:
    """Logical ids of the patients of this server in whose compartment the resource lies."""
    resource_type = resource["resourceType"]
    if resource_type == "Patient":
        return frozenset([resource["id"]] if "id" in resource else [])
    references = (reference_of(value, base_url) for value in values_of(resource, _patient_paths(resource_type)))
    return frozenset(
        reference.removeprefix("Patient/")
        for reference in references
        if reference is not None and reference.startswith("Patient/")
    )


def _patient_paths(resource_type: str) -> tuple[str, ...]:
    if resource_type == "Binary":
        return ("securityContext",)
    parameter = SEARCH_PARAMETERS.get(resource_type, {}).get("patient")
    return parameter.paths if parameter is not None else ()


def in_compartment(resource: Resource, patient_id: str, base_url: str) -> bool:
    """Whether a token for that patient may reach the resource at all, before its scopes are looked at."""
    patients = patients_of(resource, base_url)
    if patients:
        return patient_id in patients
    return resource["resourceType"] in SHARED_TYPES
