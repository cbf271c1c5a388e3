"""Who was told of a finding, and when, as far as it is on record: Communication resources and the coded report section.

A section is an Observation with LOINC 73568-8 (Communication of Critical Results). Spec: clinical rules, section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.observations import SIGNED, moment_of, reference_of, relative_reference, study_reference_of

_ABOUT = ("about", "partOf", "basedOn", "reasonReference", "focus", "hasMember", "derivedFrom")
_TYPES = ("DiagnosticReport", "Observation", "ImagingStudy")
COMMUNICATION_SECTION = codes.concept(codes.LOINC, "73568-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunicationFacts:
    """One communication on record. ``to`` is who was told, in the source's words."""

    reference: str
    at: datetime | None
    to: str | None
    about: frozenset[str]
    """Relative references to the reports, findings and studies that it is about."""


def read_communication(resource: Mapping[str, Any]) -> CommunicationFacts | None:
    """A completed Communication; None for one that is only planned, failed or withdrawn."""
    if resource.get("resourceType") != "Communication" or resource.get("status") != "completed":
        return None
    told = (text(one.get("display")) or text(one.get("reference")) for one in dicts(resource.get("recipient")))
    return CommunicationFacts(
        reference=reference_of(resource, "Communication"),
        at=moment_of(text(resource.get("received"))) or moment_of(text(resource.get("sent"))),
        to=", ".join(one for one in told if one) or None,
        about=_about(resource),
    )


def read_section(resource: Mapping[str, Any]) -> CommunicationFacts | None:
    """A signed 73568-8 section; its own words say who was told."""
    status = resource.get("status")
    words = text(resource.get("valueString")) or text(as_dict(resource.get("valueCodeableConcept")).get("text"))
    if codes.find(resource.get("code"), COMMUNICATION_SECTION) is None or status not in tuple(SIGNED) or not words:
        return None
    study = study_reference_of(resource)
    return CommunicationFacts(
        reference=reference_of(resource, "Observation"),
        at=moment_of(text(resource.get("effectiveDateTime"))),
        to=words,
        about=_about(resource) | ({study} if study else set()),
    )


def _about(resource: Mapping[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for name in _ABOUT:
        for one in dicts(resource.get(name)):
            stated = text(one.get("reference"))
            found |= {reference for kind in _TYPES if (reference := relative_reference(stated, kind))}
    return frozenset(found)
