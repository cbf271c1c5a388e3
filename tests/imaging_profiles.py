"""What the profiles of SMART Imaging Access ask of ImagingStudy and Endpoint, as FHIRPath that anybody can read and run.

Spec: SMART Imaging Access F3 (SmartImagingStudy: cardinalities, fixed systems, must-support), F4 (SmartWadoEndpoint), P1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhirpathpy import evaluate

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_FLAG = "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"

SMART_IMAGING_STUDY = {
    "exactly one Study Instance UID": "identifier.where(system = 'urn:dicom:uid').count() = 1",
    "the UID is a urn:oid": "identifier.where(system = 'urn:dicom:uid').all(value.startsWith('urn:oid:'))",
    "a status of R4": "status in ('registered' | 'available' | 'cancelled' | 'entered-in-error' | 'unknown')",
    "one subject, a Patient of the clinical server": r"subject.reference.matches('^https?://.+/Patient/[A-Za-z0-9.-]+$')",
    "a modality at least": "modality.exists()",
    "modalities are DICOM's": f"modality.all(system = '{_DCM}' and code.exists())",
    "an endpoint at least": "endpoint.exists() and endpoint.all(reference.exists())",
    "series have a bare UID": r"series.all(uid.matches('^[0-9]+([.][0-9]+)*$'))",
    "series have a modality of DICOM": f"series.all(modality.system = '{_DCM}' and modality.code.exists())",
    "instances have a bare UID": r"series.instance.all(uid.matches('^[0-9]+([.][0-9]+)*$'))",
    "SOP classes are urn:oid": (
        "series.instance.all(sopClass.system = 'urn:ietf:rfc:3986' and sopClass.code.startsWith('urn:oid:'))"
    ),
    "no fewer series than are listed": "numberOfSeries.exists().not() or numberOfSeries >= series.count()",
    "what is told in part says so": "series.instance.exists() or series.empty() or meta.tag.where(code = 'SUBSETTED').exists()",
}
"""By rule in words."""
MUST_SUPPORT = {
    "started": "started.exists()",
    "numberOfSeries": "numberOfSeries.exists()",
    "numberOfInstances": "numberOfInstances.exists()",
    "series.uid": "series.exists() and series.all(uid.exists())",
    "series.number": "series.all(number.exists())",
    "series.modality": "series.all(modality.exists())",
    "series.numberOfInstances": "series.all(numberOfInstances.exists())",
}
"""What stands in a study wherever its source knows it."""
MUST_SUPPORT_INSTANCES = {
    "series.instance": "series.all(instance.count() = numberOfInstances)",
    "series.instance.uid": "series.instance.all(uid.exists())",
    "series.instance.number": "series.instance.all(number.exists())",
    "series.instance.sopClass": "series.instance.all(sopClass.exists())",
}
SMART_WADO_ENDPOINT = {
    "a status": "status in ('active' | 'suspended' | 'error' | 'off' | 'entered-in-error' | 'test')",
    "WADO-RS": f"connectionType.system = '{_TYPES}' and connectionType.code = 'dicom-wado-rs'",
    "an address without query": r"address.matches('^https?://[^?#]+$')",
    "a payload type": "payloadType.exists()",
    "wants the token (P1)": f"extension.where(url = '{_FLAG}').valueBoolean = true",
}


def broken(resource: Mapping[str, Any], *rules: Mapping[str, str]) -> list[str]:
    """The rules that a resource breaks, in words."""
    stated = {words: path for each in rules for words, path in each.items()}
    return [words for words, path in stated.items() if evaluate(dict(resource), path) != [True]]
