"""Why a request got the cards it got: each key's data, the rules that fired, and what was left out with its reason.

The same gathering and evaluation as a call, without a network: only the request's own prefetch counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cds_service.cards import CardContext
from cds_service.definitions import ServiceDefinition, Silence
from cds_service.gather import Budgets, Gathered, gather
from cds_service.prefetch import classify
from cds_service.protocol import HookRequest, parse_request
from cds_service.runtime import random_uuid
from fhir_imaging.errors import InvalidRequest
from imaging_findings.facts import FactQuery

PATIENTS_GET_NOTHING = "the user is a patient or proxy, and this service speaks to clinicians only"
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
    """One request's answer, taken apart. ``unheard`` says why the service says nothing at all to this user."""

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
    fitting = [service for service in services.values() if service.hook == hook]
    if len(fitting) != 1:
        raise InvalidRequest(f"The request's hook fits {len(fitting)} services: name one of {', '.join(services)}.")
    return fitting[0]


def explain(body: object, service: ServiceDefinition, now: datetime) -> Explanation:
    """The explanation of a request's parsed body as of ``now``. InvalidRequest, or PrefetchUnavailable as a call would."""
    request = parse_request(body, hook=service.hook)
    base = Explanation(
        service_id=service.service_id, hook=service.hook, patient_id=request.patient_id, warnings=request.warnings
    )
    if request.user.is_patient_or_proxy and not service.serves_patients:
        return replace(base, unheard=PATIENTS_GET_NOTHING)
    gathered = gather(request, service.queries, None, _NO_NETWORK)
    context = CardContext(request=request, app_url="", ehr_name=None, now=now, new_uuid=random_uuid)
    return replace(
        base,
        keys=tuple(_key(query, request, gathered) for query in service.queries),
        fired=tuple(
            FiredRule(rule_id=one.rule_id, indicator=one.indicator, summary=str(one.card["summary"]))
            for one in service.evaluate(gathered, context)
        ),
        silences=service.silences(gathered, context),
    )


def _key(query: FactQuery, request: HookRequest, gathered: Gathered) -> KeyRead:
    return KeyRead(
        key=query.key,
        required=query.required,
        state=classify(query, request.prefetch, request.patient_id, request.encounter_id).state.value,
        resources=len(gathered.resources[query.key] or ()),
        missing=gathered.reasons.get(query.key),
    )
