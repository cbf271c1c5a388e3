"""Why a request got the cards it got: each key's data, the rules that fired, and what was left out with its reason.

The same gathering and evaluation as a call, without a network: only the request's own prefetch counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.evaluate import in_site_days
from cds_service.gather import Budgets, Gathered, gather
from cds_service.prefetch import classify
from cds_service.protocol import HookRequest
from cds_service.runtime import random_uuid
from fhir_imaging.errors import InvalidRequest
from imaging_findings.facts import FactQuery
from imaging_findings.site_policy import SitePolicy, product_policy

PATIENTS_GET_NOTHING = "the user is a patient or proxy, and this service speaks to clinicians only"
NOT_THEIR_CHART = "the user is a patient or proxy, and this is not their chart"
_NO_NETWORK = Budgets(soft_ms=1, hard_ms=1, max_pages=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRead:
    """One prefetch key as it was found: its state, how many resources it holds, and why anything is missing."""

    key: str
    required: bool
    state: str
    resources: int
    missing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredRule:
    """A rule whose card would be shown."""

    rule_id: str
    indicator: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One request's answer, taken apart. ``unheard`` says why the service says nothing at all, whatever the chart holds."""

    service_id: str
    hook: str
    patient_id: str
    keys: tuple[KeyRead, ...] = ()
    fired: tuple[FiredRule, ...] = ()
    silences: tuple[Silence, ...] = ()
    warnings: tuple[str, ...] = ()
    unheard: str | None = None


def service_for(body: object, services: Mapping[str, ServiceDefinition], service_id: str | None) -> ServiceDefinition:
    """The service named, or the one of the request's hook; InvalidRequest where there is none, or more than one."""
    if service_id is not None:
        if service_id not in services:
            raise InvalidRequest(f"There is no CDS service {service_id}; there are {', '.join(services)}.")
        return services[service_id]
    hook = body.get("hook") if isinstance(body, dict) else None
    fitting = [service for service in services.values() if hook in (service.hook, *service.hook_aliases)]
    if len(fitting) != 1:
        raise InvalidRequest(f"The request's hook fits {len(fitting)} services: name one of {', '.join(services)}.")
    return fitting[0]


def explain(
    body: object, service: ServiceDefinition, now: datetime, policy: SitePolicy | None = None, *, max_cards: int | None = None
) -> Explanation:
    """The explanation of a request's parsed body as of ``now``, by the site's rules (None = the product's own).

    ``max_cards`` is how many cards an answer shows, None = all. InvalidRequest, or PrefetchUnavailable as a call would.
    """
    request = service.request_in(body)
    base = Explanation(
        service_id=service.service_id, hook=service.hook, patient_id=request.patient_id, warnings=request.warnings
    )
    policy = policy or product_policy()
    unheard = _unheard(request, service) or service.nothing_to_judge(request, policy)
    if unheard is not None:
        return replace(base, unheard=unheard)
    gathered = gather(request, service.queries, None, _NO_NETWORK, fetches=False)
    context = CardContext(request=request, app_url="", ehr_name=None, now=now, new_uuid=random_uuid, policy=policy)
    gathered = in_site_days(gathered, context)
    cards = service.evaluate(gathered, context)
    return replace(
        base,
        keys=tuple(_key(query, request, gathered) for query in service.queries),
        fired=tuple(
            FiredRule(rule_id=one.rule_id, indicator=one.indicator, summary=str(one.card["summary"]))
            for one in cards[:max_cards]
        ),
        silences=(*service.silences(gathered, context), *_beyond(cards, max_cards)),
    )


def _unheard(request: HookRequest, service: ServiceDefinition) -> str | None:
    """Why this user gets nothing, whatever the chart holds."""
    if not request.user.is_patient_or_proxy:
        return None
    if not service.serves_patients:
        return PATIENTS_GET_NOTHING
    return None if request.is_by_own_patient else NOT_THEIR_CHART


def _beyond(cards: tuple[IssuedCard, ...], max_cards: int | None) -> tuple[Silence, ...]:
    if max_cards is None:
        return ()
    reason = f"it is less urgent than the {max_cards} cards that one answer shows"
    return tuple(Silence(about=str(one.card["summary"]), reason=reason, rule_id=one.rule_id) for one in cards[max_cards:])


def _key(query: FactQuery, request: HookRequest, gathered: Gathered) -> KeyRead:
    return KeyRead(
        key=query.key,
        required=query.required,
        state=classify(query, request.prefetch, request.patient_id, request.encounter_id).state.value,
        resources=len(gathered.resources[query.key] or ()),
        missing=gathered.reasons.get(query.key),
    )
