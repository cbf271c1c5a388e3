"""What an Observation or Condition denies in code: the finding that it names is not there, or nobody looked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts
from imaging_findings import codes

PRESENT = (codes.concept(codes.SNOMED, "52101004"), codes.concept(codes.SNOMED, "10828004"))
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
# Older servers write the interpretations of HL7 version 2; they are the same letters.
_V2_INTERPRETATION = ("http://terminology.hl7.org/CodeSystem/v2-0078", "http://hl7.org/fhir/v2/0078")
_INTERPRETED_AWAY = tuple(codes.concept(INTERPRETATION, code) for code in ("NEG", "ND"))
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
ABSENT = frozenset(
    {
        (codes.SNOMED, code.code)
        for code in (
            codes.concept(codes.SNOMED, "272519000"),
            codes.concept(codes.SNOMED, "260385009"),
            codes.concept(codes.SNOMED, "410516002"),
            codes.concept(codes.SNOMED, "2667000"),
            codes.concept(codes.SNOMED, "260415000"),
        )
    }
    | {(system, one.code) for one in _INTERPRETED_AWAY for system in (INTERPRETATION, *_V2_INTERPRETATION)}
    | {(_VERIFICATION, codes.concept(_VERIFICATION, "refuted").code)}
)
"""What says in code that a finding is not there."""


def is_denied(resource: Mapping[str, Any]) -> bool:
    """Whether it says in code that the finding is not there, or that nobody looked; its value weighs more than the rest."""
    value = codes.keys_of(resource.get("valueCodeableConcept"))
    if resource.get("valueBoolean") is False or as_dict(resource.get("dataAbsentReason")) or ABSENT.intersection(value):
        return True
    if resource.get("valueBoolean") is True or any((one.system, one.code) in value for one in PRESENT):
        return False
    beside = [*dicts(resource.get("interpretation")), resource.get("verificationStatus")]
    return any(ABSENT.intersection(codes.keys_of(one)) for one in beside)
