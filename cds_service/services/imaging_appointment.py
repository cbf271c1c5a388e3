"""``imaging-appointment`` on ``appointment-book``: a follow-up booked too early, too late, or as the wrong examination."""

from __future__ import annotations

from cds_service.booking_cards import booking_cards
from cds_service.card_parts import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Gathered
from cds_service.protocol import HookRequest
from fhir_imaging.errors import InvalidRequest
from imaging_findings.booking import BOOKING_QUERIES, BookingJudgement, BookingMoment, judge_bookings

_OPTIONAL = ", ".join(query.key for query in BOOKING_QUERIES if not query.required)


def check(request: HookRequest) -> None:
    """InvalidRequest unless ``context.appointments`` is there; clients that send a bare array are understood (R23)."""
    if not isinstance(request.context.get("appointments"), dict | list):
        raise InvalidRequest("context.appointments: must be a Bundle of proposed appointments.")


def judge_request(gathered: Gathered, context: CardContext) -> BookingJudgement:
    """What the rules say about the request's appointments, with what was left out."""
    request = context.request
    moment = BookingMoment(
        patient_id=request.patient_id,
        appointments=request.context.get("appointments"),
        now=context.now,
        bases=(request.fhir_server,) if request.fhir_server else (),
    )
    return judge_bookings(gathered.resources, moment, context.policy, partial=gathered.partial)


def evaluate(gathered: Gathered, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards for the appointments being booked; none for a patient or proxy."""
    if context.request.user.is_patient_or_proxy:
        return ()
    return booking_cards(judge_request(gathered, context), context)


def silences(gathered: Gathered, context: CardContext) -> tuple[Silence, ...]:
    """Appointments that are in time, unrelated or not read, and why."""
    return tuple(Silence(about=one.key, reason=one.reason, by=one.by) for one in judge_request(gathered, context).quiet)


SERVICE = ServiceDefinition(
    service_id="imaging-appointment",
    hook="appointment-book",
    title="Imaging appointment check",
    description=(
        "Proposed appointments against the patient's open imaging follow-ups: booked too early, too late, or as another "
        "examination than the follow-up asks for. The order that the appointment is based on says what is examined, then a "
        "coded service type; words only inform. In time or unrelated: no card. It never proposes a slot."
    ),
    usage_requirements=(
        "Required data: patient (by prefetch or from fhirServer with fhirAuthorization; otherwise 412). Required context: "
        f"userId, patientId, appointments (otherwise 400). Optional data: {_OPTIONAL}; without findings a card says that "
        "nothing could be checked. Users who are a patient or a related person get no cards."
    ),
    queries=BOOKING_QUERIES,
    serves_patients=False,
    evaluate=evaluate,
    silences=silences,
    check=check,
)
