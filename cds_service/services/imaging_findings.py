"""``imaging-findings`` on ``patient-view``: critical results, and findings without completed or ordered follow-up.

The only service that may speak to a patient, and only by the site's release rule.
"""

from __future__ import annotations

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.cards import card_for, gap_card
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Gathered
from cds_service.patient_cards import patient_card
from imaging_findings.advice import Judgement
from imaging_findings.facts import QUERIES, Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.referrals import with_old_referrals_quiet
from imaging_findings.release import Release, ReleaseRule, release


def evaluate(gathered: Gathered, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards for one patient; a patient or proxy is owed a talk, and never gets a clinician's card."""
    facts = _facts(gathered, context)
    judgement = judge(facts, context.policy.packs, context.now)
    if context.request.user.is_patient_or_proxy:
        return tuple(patient_card(one, context) for one in _release(judgement, facts, context).told)
    judgement = with_old_referrals_quiet(judgement, context.now.date(), context.policy.referral_warning_days)
    cards = tuple(card_for(guidance, facts, context) for guidance in judgement.guidance)
    unread = any(problem.reference.startswith("Observation") for problem in judgement.problems)
    # An embolism may stand in a report's conclusion alone: silence would say that the reports were looked at.
    if not cards and (unread or "findings" in facts.partial or "reports" in gathered.broken):
        return (gap_card(facts, context),)
    return cards


def silences(gathered: Gathered, context: CardContext) -> tuple[Silence, ...]:
    """Findings whose follow-up is already done or ordered, and resources that could not be used."""
    facts = _facts(gathered, context)
    judgement = judge(facts, context.policy.packs, context.now)
    if context.request.user.is_patient_or_proxy:
        held = _release(judgement, facts, context).withheld
        return tuple(Silence(about=one.finding.reference, reason=one.reason) for one in held)
    answered = [
        Silence(about=one.finding.reference, reason=one.reason, by=one.by, rule_id=one.rule_id or None)
        for one in judgement.suppressed
    ]
    return (*answered, *(Silence(about=one.reference, reason=one.reason) for one in judgement.problems))


def _release(judgement: Judgement, facts: Facts, context: CardContext) -> Release:
    if not context.request.is_by_own_patient:
        return Release()
    policy = context.policy
    return release(judgement.guidance, facts, policy.packs.actionable, policy.release, context.now)


def _facts(gathered: Gathered, context: CardContext) -> Facts:
    request = context.request
    bases = (request.fhir_server,) if request.fhir_server else ()
    return read_facts(
        gathered.resources, request.patient_id, partial=gathered.partial, bases=bases, site=context.policy.studies
    )


_REQUIRED = ", ".join(query.key for query in QUERIES if query.required)
_OPTIONAL = ", ".join(query.key for query in QUERIES if not query.required)

_NO_PATIENTS = "Users who are a patient or a related person get no cards."
_RELEASED = (
    "A user who is the patient or a related person gets, in plain words, only that a follow-up is recommended and when, out of "
    "reports that were signed {hours} hours ago or earlier; never a finding, an AI result or anything else."
)


def service(rule: ReleaseRule) -> ServiceDefinition:
    """The service as a site with this release rule offers it."""
    to_patients = _RELEASED.format(hours=rule.release_after_hours) if rule.serves_patients else _NO_PATIENTS
    return ServiceDefinition(
        service_id="imaging-findings",
        hook="patient-view",
        title="Imaging findings",
        description=(
            "Imaging findings whose follow-up is neither done nor ordered (lung by Lung-RADS v2022 and Fleischner 2017; "
            "breast, liver, thyroid, prostate, ovary, kidney, adrenal gland and aorta by their tables), critical results with "
            "what is on record of their communication, and unsigned AI results, each with its evidence, a draft order where "
            "one is right, and links that open the images."
        ),
        usage_requirements=(
            f"Required data: {_REQUIRED} (by prefetch or by fhirServer with fhirAuthorization; otherwise the answer is 412). "
            f"Optional data: {_OPTIONAL}; a card says when they were not available. {to_patients}"
        ),
        queries=QUERIES,
        serves_patients=rule.serves_patients,
        evaluate=evaluate,
        silences=silences,
    )


SERVICE = service(ReleaseRule())
