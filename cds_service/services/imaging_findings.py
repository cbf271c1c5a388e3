"""``imaging-findings`` on ``patient-view``: critical results, and findings without completed or ordered follow-up."""

from __future__ import annotations

from cds_service.cards import CardContext, IssuedCard, card_for, gap_card
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Gathered
from imaging_findings.facts import QUERIES, Facts, read_facts
from imaging_findings.guidance import judge


def evaluate(gathered: Gathered, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards for one patient; none for a patient or proxy, who is owed a talk and not a clinician's card."""
    if context.request.user.is_patient_or_proxy:
        return ()
    facts = _facts(gathered, context)
    judgement = judge(facts, context.policy.packs, context.now)
    cards = tuple(card_for(guidance, facts, context) for guidance in judgement.guidance)
    unread = any(problem.reference.startswith("Observation") for problem in judgement.problems)
    if not cards and (unread or "findings" in facts.partial):
        return (gap_card(facts, context),)
    return cards


def silences(gathered: Gathered, context: CardContext) -> tuple[Silence, ...]:
    """Findings whose follow-up is already done or ordered, and resources that could not be used."""
    facts = _facts(gathered, context)
    judgement = judge(facts, context.policy.packs, context.now)
    answered = [Silence(about=one.finding.reference, reason=one.reason, by=one.by) for one in judgement.suppressed]
    return (*answered, *(Silence(about=one.reference, reason=one.reason) for one in judgement.problems))


def _facts(gathered: Gathered, context: CardContext) -> Facts:
    request = context.request
    bases = (request.fhir_server,) if request.fhir_server else ()
    return read_facts(gathered.resources, request.patient_id, partial=gathered.partial, bases=bases)


_REQUIRED = ", ".join(query.key for query in QUERIES if query.required)
_OPTIONAL = ", ".join(query.key for query in QUERIES if not query.required)

SERVICE = ServiceDefinition(
    service_id="imaging-findings",
    hook="patient-view",
    title="Imaging findings",
    description=(
        "Imaging findings whose follow-up is neither done nor ordered (lung by Lung-RADS v2022 and Fleischner 2017; breast, "
        "liver, thyroid, prostate, ovary, kidney, adrenal gland and aorta by their tables), critical results with what is on "
        "record of their communication, and unsigned AI results, each with its evidence, a draft order where one is right, "
        "and links that open the images."
    ),
    usage_requirements=(
        f"Required data: {_REQUIRED} (by prefetch or by fhirServer with fhirAuthorization; otherwise the answer is 412). "
        f"Optional data: {_OPTIONAL}; a card says when they were not available. Users who are a patient or a related person "
        "get no cards."
    ),
    queries=QUERIES,
    serves_patients=False,
    evaluate=evaluate,
    silences=silences,
)
