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
from imaging_findings.observations import SIGNED, reference_of, relative_reference, study_reference_of
from imaging_findings.quotes import tells_of_a_call
from imaging_findings.stated_days import moment_of

_ABOUT = ("about", "partOf", "basedOn", "reasonReference", "focus", "hasMember", "derivedFrom")
_PATIENTS_SIDE = ("Patient", "RelatedPerson")
_TYPES = ("DiagnosticReport", "Observation", "ImagingStudy")
COMMUNICATION_SECTION = codes.concept(codes.LOINC, "73568-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunicationFacts:
    """One communication on record. ``to`` is who was told, as the recipients are named; a section names nobody."""

    reference: str
    at: datetime | None
    to: str | None
    about: frozenset[str]
    """Relative references to the reports, findings and studies that it is about."""
    section: str | None = None
    """A report section's own words, to be quoted; they may well say that nobody was reached."""
    took_place: bool = True
    """False for a section whose words do not say that somebody was told."""
    only_to_patient: bool = False
    """Whether every recipient is the patient or a related person."""


def read_communication(resource: Mapping[str, Any]) -> CommunicationFacts | None:
    """A completed Communication; None for one that is only planned, failed or withdrawn."""
    if resource.get("resourceType") != "Communication" or resource.get("status") != "completed":
        return None
    recipients = dicts(resource.get("recipient"))
    told = (text(one.get("display")) or text(one.get("reference")) for one in recipients)
    return CommunicationFacts(
        reference=reference_of(resource, "Communication"),
        at=moment_of(text(resource.get("received"))) or moment_of(text(resource.get("sent"))),
        to=", ".join(one for one in told if one) or None,
        about=_about(resource),
        only_to_patient=bool(recipients) and all(_is_of_patients_side(one) for one in recipients),
    )


def read_section(resource: Mapping[str, Any]) -> CommunicationFacts | None:
    """A signed 73568-8 section. Its words are quoted, and count only where they say that somebody was told."""
    status = resource.get("status")
    words = text(resource.get("valueString")) or text(as_dict(resource.get("valueCodeableConcept")).get("text"))
    if codes.find(resource.get("code"), COMMUNICATION_SECTION) is None or status not in tuple(SIGNED) or not words:
        return None
    study = study_reference_of(resource)
    return CommunicationFacts(
        reference=reference_of(resource, "Observation"),
        # effectiveDateTime is that of the images.
        at=moment_of(text(resource.get("issued"))),
        to=None,
        about=_about(resource) | ({study} if study else set()),
        section=" ".join(words.split()),
        took_place=tells_of_a_call(words),
    )


def _is_of_patients_side(recipient: Mapping[str, Any]) -> bool:
    stated, named = text(recipient.get("reference")), text(recipient.get("type"))
    return any(kind == named or relative_reference(stated, kind) is not None for kind in _PATIENTS_SIDE)


def _about(resource: Mapping[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for name in _ABOUT:
        for one in dicts(resource.get(name)):
            stated = text(one.get("reference"))
            found |= {reference for kind in _TYPES if (reference := relative_reference(stated, kind))}
    return frozenset(found)
