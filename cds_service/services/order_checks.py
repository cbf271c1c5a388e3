"""What both order services say of the imaging orders being placed: repeats, follow-ups, contrast, pregnancy, codes (R33)."""

from __future__ import annotations

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Gathered
from cds_service.order_cards import order_cards
from imaging_findings.order_advice import OrderJudgement
from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, read_order_chart
from imaging_findings.order_facts import read_draft_orders
from imaging_findings.orders import judge_orders

SELECT = "order-select"
_OPTIONAL = ", ".join(query.key for query in ORDER_QUERIES if not query.required)


def judge_request(gathered: Gathered, context: CardContext) -> OrderJudgement:
    """What the rules say about the request's orders, with what was suppressed."""
    request, policy = context.request, context.policy
    bases = (request.fhir_server,) if request.fhir_server else ()
    drafts = read_draft_orders(
        request.context, request.patient_id, by_selection=request.hook == SELECT, bases=bases, site=policy.studies
    )
    moment = ChartMoment(
        patient_id=request.patient_id,
        encounter_id=request.encounter_id,
        today=context.now.date(),
        bases=bases,
        site=policy.studies,
    )
    chart = read_order_chart(gathered.resources, moment, policy.orders, partial=gathered.partial)
    return judge_orders(drafts, chart, policy.packs, policy.orders, context.now)


def evaluate(gathered: Gathered, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards for the orders being placed; none for a patient or proxy."""
    if context.request.user.is_patient_or_proxy:
        return ()
    return order_cards(judge_request(gathered, context).advice, context)


def silences(gathered: Gathered, context: CardContext) -> tuple[Silence, ...]:
    """Repeats (O4) and other codes that are not told, and why."""
    suppressed = judge_request(gathered, context).suppressed
    return tuple(Silence(about=one.order.key, reason=one.reason, by=one.by, rule_id=one.rule_id) for one in suppressed)


def order_service(*, hook: str, title: str, judged: str) -> ServiceDefinition:
    """The service of one order hook; both say the same of the same order."""
    return ServiceDefinition(
        service_id=f"imaging-{hook}",
        hook=hook,
        title=title,
        description=(
            "Same or overlapping imaging already done or ordered, with its report and images; open follow-ups that the "
            "order fulfils or misses; contrast agent with kidney function, metformin and earlier reactions; pregnancy; a "
            "code of the same family that fits better. "
            f"{judged} It informs and never stops an order; it emits no appropriateness scores."
        ),
        usage_requirements=(
            "Required data: patient (by prefetch or from fhirServer with fhirAuthorization; otherwise 412). "
            f"Optional data: {_OPTIONAL}; a card says when they were not available. Orders of no known imaging examination "
            "get no cards, nor do users who are a patient or a related person."
        ),
        queries=ORDER_QUERIES,
        serves_patients=False,
        evaluate=evaluate,
        silences=silences,
    )
