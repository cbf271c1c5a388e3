"""One call of one service: gather, then decide, then answer.

The service is picked by its id in the URL, never by the hook's name. ``cards: []`` means that there is nothing to say.
"""

from __future__ import annotations

from dataclasses import replace

from cds_service.cards import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, registry
from cds_service.gather import Budgets, gather
from cds_service.services import imaging_findings, order_select, order_sign
from fhir_imaging.clients.fhir import FhirClient

SERVICES = registry([imaging_findings.SERVICE, order_select.SERVICE, order_sign.SERVICE])


def cards_for(
    service: ServiceDefinition, context: CardContext, client: FhirClient | None, budgets: Budgets
) -> tuple[IssuedCard, ...]:
    """The service's cards. PrefetchUnavailable when required data is out of reach."""
    if context.request.user.is_patient_or_proxy and not service.serves_patients:
        return ()
    return service.evaluate(gather(context.request, service.queries, client, budgets), context)


def at_most(cards: tuple[IssuedCard, ...], limit: int) -> tuple[IssuedCard, ...]:
    """The first ``limit`` cards (the most urgent); the last of them says how many are not shown."""
    hidden = len(cards) - limit
    if hidden <= 0:
        return cards
    last = cards[limit - 1]
    detail = f"{last.card['detail']}\n\n**Not shown:** {hidden} further, less urgent."
    return (*cards[: limit - 1], replace(last, card=last.card | {"detail": detail}))
