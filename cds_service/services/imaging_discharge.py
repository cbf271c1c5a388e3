"""``imaging-discharge`` on ``encounter-discharge``: imaging of the stay that nobody has read, follow-ups nobody ordered."""

from __future__ import annotations

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.discharge_cards import discharge_cards
from cds_service.gather import Gathered
from imaging_findings.discharge import DISCHARGE_QUERIES, DischargeJudgement, DischargeMoment, judge_discharge

_OPTIONAL = ", ".join(query.key for query in DISCHARGE_QUERIES if not query.required)


def judge_request(gathered: Gathered, context: CardContext) -> DischargeJudgement:
    """What is open for the request's patient and encounter, with what was left out."""
    request = context.request
    moment = DischargeMoment(
        patient_id=request.patient_id,
        encounter_id=request.encounter_id or "",
        now=context.now,
        bases=(request.fhir_server,) if request.fhir_server else (),
        site=context.policy.studies,
    )
    policy = context.policy
    return judge_discharge(gathered.resources, moment, policy.packs, partial=gathered.partial, policy=policy.unread)


def evaluate(gathered: Gathered, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards for one discharge; none for a patient or proxy."""
    if context.request.user.is_patient_or_proxy:
        return ()
    return discharge_cards(judge_request(gathered, context), context)


def silences(gathered: Gathered, context: CardContext) -> tuple[Silence, ...]:
    """Studies that are read or not of this stay, follow-ups that are answered or routine, and what could not be used."""
    judgement = judge_request(gathered, context)
    quiet = [*judgement.readings.quiet, *judgement.quiet]
    return (
        *(Silence(about=one.reference, reason=one.reason, by=one.by) for one in quiet),
        *(
            Silence(about=one.finding.reference, reason=one.reason, by=one.by, rule_id=one.rule_id or None)
            for one in judgement.judged.suppressed
        ),
        *(Silence(about=one.reference, reason=one.reason) for one in judgement.judged.problems),
    )


SERVICE = ServiceDefinition(
    service_id="imaging-discharge",
    hook="encounter-discharge",
    title="Imaging at discharge",
    description=(
        "Imaging of the stay that has no report yet or only a preliminary one, with links that open the images, and imaging "
        "follow-ups that nobody has ordered, those of this stay first. A study belongs to the stay when it names the "
        "encounter, was ordered in it or was made during it; where nobody can tell, the card says so."
    ),
    usage_requirements=(
        "Required data: patient (by prefetch or from fhirServer with fhirAuthorization; otherwise 412). Required context: "
        f"userId, patientId, encounterId (otherwise 400). Optional data: {_OPTIONAL}; without studies, findings or reports a "
        "card says what could not be checked, and a report that could not be looked up never counts as missing. Users who "
        "are a patient or a related person get no cards."
    ),
    queries=DISCHARGE_QUERIES,
    serves_patients=False,
    evaluate=evaluate,
    silences=silences,
    needs_encounter=True,
)
