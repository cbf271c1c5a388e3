"""A draft imaging order as FHIR R4, written through fhirclient's strict models so that a wrong one cannot leave.

Spec: FHIR R4 ServiceRequest (subject 1..1, status, intent, code, occurrence[x], authoredOn, requester, reasonReference, note).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fhirclient.models.annotation import Annotation
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.coding import Coding
from fhirclient.models.fhirdatetime import FHIRDateTime
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.period import Period
from fhirclient.models.servicerequest import ServiceRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftOrder:
    """What a draft order says. References are ``Type/id``; the window's days count in the patient's own calendar."""

    patient_id: str
    code_system: str
    code: str
    code_display: str
    due_from: date
    due_until: date
    authored_on: datetime
    """With its zone; FHIR has no time without one."""
    requester: str | None = None
    """Practitioner or PractitionerRole."""
    encounter_id: str | None = None
    reasons: tuple[str, ...] = ()
    """``Observation/{id}`` of the findings that the order answers."""
    supporting: tuple[str, ...] = ()
    note: str | None = None


def draft_service_request(order: DraftOrder) -> dict[str, Any]:
    """The ServiceRequest (status draft, intent order) as FHIR JSON; ValueError for an ``authored_on`` without zone."""
    if order.authored_on.tzinfo is None:
        raise ValueError("authored_on needs a time zone")
    request = ServiceRequest()
    request.status = "draft"
    request.intent = "order"
    request.subject = _reference(f"Patient/{order.patient_id}")
    request.code = _concept(order)
    request.authoredOn = FHIRDateTime(order.authored_on.isoformat(timespec="seconds"))
    request.requester = _reference(order.requester) if order.requester else None
    request.encounter = _reference(f"Encounter/{order.encounter_id}") if order.encounter_id else None
    request.reasonReference = [_reference(one) for one in order.reasons] or None
    request.supportingInfo = [_reference(one) for one in order.supporting] or None
    if order.due_from == order.due_until:
        request.occurrenceDateTime = FHIRDateTime(order.due_from.isoformat())
    else:
        request.occurrencePeriod = _period(order)
    if order.note:
        request.note = [Annotation({"text": order.note})]
    written: dict[str, Any] = request.as_json()
    return written


def _concept(order: DraftOrder) -> CodeableConcept:
    coding = Coding({"system": order.code_system, "code": order.code, "display": order.code_display})
    concept = CodeableConcept()
    concept.coding = [coding]
    concept.text = order.code_display
    return concept


def _period(order: DraftOrder) -> Period:
    period = Period()
    period.start = FHIRDateTime(order.due_from.isoformat())
    period.end = FHIRDateTime(order.due_until.isoformat())
    return period


def _reference(reference: str) -> FHIRReference:
    return FHIRReference({"reference": reference})
