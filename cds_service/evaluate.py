"""One call of one service: look whether there is anything to judge, gather, then decide.

The service is picked by its id in the URL, never by the hook's name. ``cards: []`` means that there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cds_service.card_parts import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, registry
from cds_service.gather import Budgets, Gathered, gather
from cds_service.services import (
    imaging_appointment,
    imaging_discharge,
    imaging_findings,
    imaging_study_complete,
    order_select,
    order_sign,
)
from cds_service.settings import STUDY_COMPLETE_HOOK
from fhir_imaging.clients.fhir import FhirClient
from imaging_findings.moments import on_site_clock
from imaging_findings.release import ReleaseRule
from imaging_findings.rules import ActionablePolicy
from imaging_findings.site_queries import asking_for

_OF_ORDERS = (order_select.SERVICE, order_sign.SERVICE)


def services_on(
    study_complete_hook: str = STUDY_COMPLETE_HOOK,
    *,
    release: ReleaseRule | None = None,
    actionable: ActionablePolicy | None = None,
) -> Mapping[str, ServiceDefinition]:
    """All services by id, at a site that calls its own hook ``study_complete_hook``; ``release`` None = nothing to patients.

    Those that tell of findings that must be communicated ask for the findings of the site's policy ``actionable``.
    """
    return registry(
        [
            _telling(imaging_findings.service(release or ReleaseRule()), actionable),
            *_OF_ORDERS,
            _telling(imaging_discharge.SERVICE, actionable),
            imaging_appointment.SERVICE,
            _telling(imaging_study_complete.service(study_complete_hook), actionable),
        ]
    )


def _telling(service: ServiceDefinition, actionable: ActionablePolicy | None) -> ServiceDefinition:
    """The service, asking for the findings that the site's policy names too."""
    return replace(service, queries=tuple(asking_for(query, actionable) for query in service.queries))


SERVICES = services_on()
"""The services where the site has said nothing of its own."""


def cards_for(
    service: ServiceDefinition, context: CardContext, client: FhirClient | None, budgets: Budgets
) -> tuple[IssuedCard, ...]:
    """The service's cards. PrefetchUnavailable when required data is out of reach."""
    request = context.request
    if request.user.is_patient_or_proxy and not (service.serves_patients and request.is_by_own_patient):
        return ()
    if service.nothing_to_judge(request, context.policy) is not None:
        return ()
    return service.evaluate(in_site_days(gather(request, service.queries, client, budgets), context), context)


def in_site_days(gathered: Gathered, context: CardContext) -> Gathered:
    """What was gathered, its times on the site's clock: every service then reads the same day out of the same resource."""
    return replace(gathered, resources=on_site_clock(gathered.resources, context.now.tzinfo))


def at_most(cards: tuple[IssuedCard, ...], limit: int) -> tuple[IssuedCard, ...]:
    """The first ``limit`` cards (the most urgent); the last of them says how many are not shown."""
    hidden = len(cards) - limit
    if hidden <= 0:
        return cards
    last = cards[limit - 1]
    detail = f"{last.card['detail']}\n\n**Not shown:** {hidden} further, less urgent."
    return (*cards[: limit - 1], replace(last, card=last.card | {"detail": detail}))
