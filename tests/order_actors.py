"""Orders, prior studies and laboratory results for the order-time rules, as values and as FHIR."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.order_facts import ImagingOrder, PriorStudy
from imaging_findings.study_kinds import Basis, Contrast, StudyKind
from tests.cds_actors import LOINC, SCT, concept

TODAY = date(2026, 11, 21)
UCUM = "http://unitsofmeasure.org"
EGFR = "98979-8"


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def a_kind(
    family: str = "CT", *regions: str, contrast: Contrast = Contrast.UNKNOWN, screening: bool = False, basis: Basis = Basis.CODE
) -> StudyKind:
    return StudyKind(
        families=frozenset({family}),
        regions=frozenset(regions or ("chest",)),
        contrast=contrast,
        is_screening=screening,
        basis=basis,
    )


def an_imaging_order(kind: StudyKind | None = None, **members: Any) -> ImagingOrder:
    stated = {
        "key": "ServiceRequest/new",
        "status": "draft",
        "intent": "order",
        "name": "CT Chest",
        "codes": frozenset({"24627-2"}),
    }
    return ImagingOrder(**stated | {"kind": kind or a_kind()} | members)


def a_prior(kind: StudyKind | None = None, *, ago: int = 20, **members: Any) -> PriorStudy:
    stated = {
        "reference": "ImagingStudy/prior",
        "study_instance_uid": StudyInstanceUID("2.25.1001"),
        "status": "available",
        "day": days_ago(ago),
        "name": "CT chest",
        "performer": None,
        "kind": kind or a_kind(),
        "based_on": frozenset(),
    }
    return PriorStudy(**stated | members)


def an_egfr(value: float | None, ago: int = 5, **members: Any) -> dict[str, Any]:
    quantity = {"value": value, "unit": "mL/min/1.73m2", "system": UCUM, "code": "mL/min/{1.73_m2}"}
    return (
        {
            "resourceType": "Observation",
            "id": "egfr",
            "status": "final",
            "subject": {"reference": "Patient/p"},
            "code": concept(LOINC, EGFR),
            "effectiveDateTime": f"{days_ago(ago)}T08:00:00+00:00",
        }
        | ({"valueQuantity": quantity} if value is not None else {})
        | members
    )


def a_metformin(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": "metformin",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": {"text": "Metformin 500 mg tablet"},
    } | members


def an_allergy(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "AllergyIntolerance",
        "id": "allergy",
        "patient": {"reference": "Patient/p"},
        "code": concept(SCT, "293637006"),
    } | members
