"""What both order services say of the imaging orders being placed: repeats, follow-ups, contrast, pregnancy, codes (R33)."""

from __future__ import annotations

from datetime import tzinfo

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Gathered
from cds_service.order_cards import order_cards
from cds_service.protocol import HookRequest
from fhir_imaging.errors import InvalidRequest
from imaging_findings.order_advice import OrderJudgement
from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, read_order_chart
from imaging_findings.order_facts import DraftOrders, read_draft_orders
from imaging_findings.orders import judge_orders
from imaging_findings.site_policy import SitePolicy

SELECT = "order-select"
_OPTIONAL = ", ".join(query.key for query in ORDER_QUERIES if not query.required)


def check(request: HookRequest) -> None:
    """InvalidRequest unless what the hook requires is there (R15): silence would look like "nothing to say".

    A Bundle without type or entries and a bare array are understood, and so is an empty array of selections (R23).
    """
    if not isinstance(request.context.get("draftOrders"), dict | list):
        raise InvalidRequest("context.draftOrders: must be a Bundle of the orders being placed.")
    if request.hook == SELECT and not isinstance(request.context.get("selections"), list):
        raise InvalidRequest("context.selections: must be an array of references to draftOrders.")


def nothing_to_judge(request: HookRequest, policy: SitePolicy) -> str | None:
    """Most orders are no imaging: they are answered without a look into the chart (R19, R22)."""
    if _drafts(request, policy).judged:
        return None
    return "none of the orders to judge is a known imaging examination of this patient"


def _drafts(request: HookRequest, policy: SitePolicy, zone: tzinfo | None = None) -> DraftOrders:
    return read_draft_orders(
        request.context,
        request.patient_id,
        by_selection=request.hook == SELECT,
        bases=_bases(request),
        site=policy.studies,
        zone=zone,
    )


def _bases(request: HookRequest) -> tuple[str, ...]:
    return (request.fhir_server,) if request.fhir_server else ()


def judge_request(gathered: Gathered, context: CardContext) -> OrderJudgement:
    """What the rules say about the request's orders, with what was suppressed."""
    request, policy = context.request, context.policy
    bases, drafts = _bases(request), _drafts(request, policy, context.now.tzinfo)
    moment = ChartMoment(
        patient_id=request.patient_id,
        encounter_id=request.encounter_id,
        now=context.now,
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
            "Required data: patient (by prefetch or from fhirServer with fhirAuthorization; otherwise 412). Required context: "
            f"userId, patientId, draftOrders{', selections' if hook == SELECT else ''} (otherwise 400). "
            f"Optional data: {_OPTIONAL}; a card says when they were not available. Orders of no known imaging examination "
            "get no cards and fetch nothing, nor do users who are a patient or a related person."
        ),
        queries=ORDER_QUERIES,
        serves_patients=False,
        evaluate=evaluate,
        silences=silences,
        check=check,
        nothing_to_judge=nothing_to_judge,
    )
