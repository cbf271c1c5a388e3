"""FHIR releases that can be written, and the states of an ImagingStudy that all of them know."""

from __future__ import annotations

from enum import StrEnum


class FhirVersion(StrEnum):
    """FHIR releases that can be written."""

    R4 = "R4"
    R4B = "R4B"
    R5 = "R5"
    R6 = "R6"


class Status(StrEnum):
    """``ImagingStudy.status`` of what is written (FHIR R4 value set imagingstudy-status)."""

    REGISTERED = "registered"
    AVAILABLE = "available"
    CANCELLED = "cancelled"
    ENTERED_IN_ERROR = "entered-in-error"
