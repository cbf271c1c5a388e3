"""Coded terms as FHIR writes them: Coding, CodeableConcept and CodeableReference out of one Concept.

A term without a certain code is text alone: never a Coding without a system, never a code without its system.
"""

from __future__ import annotations

import re
from typing import Any

from fhir_imaging.concept import Concept

DCM = "http://dicom.nema.org/resources/ontology/DCM"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
URI_SYSTEM = "urn:ietf:rfc:3986"

Json = dict[str, Any]

# FHIR's primitives code and uri; what archives hold as codes may be neither.
_CODE = re.compile(r"\S+( \S+)*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", re.ASCII)


def coding(concept: Concept) -> Json | None:
    """The Coding of a coded term; None for words, and for what FHIR would not take as a code."""
    if concept.system is None or concept.code is None:
        return None
    if not (_URI.fullmatch(concept.system) and _CODE.fullmatch(concept.code)):
        return None
    return stated({"system": concept.system, "version": concept.version, "code": concept.code, "display": _words(concept)})


def codeable_concept(concept: Concept) -> Json | None:
    """The CodeableConcept: its Coding, or its words as text; None where there are neither."""
    coded = coding(concept)
    return {"coding": [coded]} if coded else stated({"text": _words(concept)}) or None


def codeable_reference(concept: Concept) -> Json | None:
    """The CodeableReference of R5, by its concept."""
    return stated({"concept": codeable_concept(concept)}) or None


def dcm_coding(code: str, display: str | None = None) -> Json:
    """A Coding of DICOM's own code system, to which modalities belong."""
    return stated({"system": DCM, "code": code, "display": display})


def stated(element: Json) -> Json:
    """Without what is not known: FHIR has neither null nor empty lists, objects or texts."""
    return {name: value for name, value in element.items() if value not in (None, [], {}, "")}


def _words(concept: Concept) -> str | None:
    return concept.display.strip() or None
