"""One call of one service: gather, then decide, then answer.

The service is picked by its id in the URL, never by the hook's name. ``cards: []`` means that there is nothing to say.
"""

from __future__ import annotations

from cds_service.cards import CardContext, IssuedCard
from cds_service.definitions import ServiceDefinition, registry
from cds_service.gather import Budgets, gather
from cds_service.services import imaging_findings
from fhir_imaging.clients.fhir import FhirClient
from imaging_findings.facts import read_facts

SERVICES = registry([imaging_findings.SERVICE])


def cards_for(
    service: ServiceDefinition, context: CardContext, client: FhirClient | None, budgets: Budgets
) -> tuple[IssuedCard, ...]:
    """The service's cards. PrefetchUnavailable when required data is out of reach."""
    if context.request.user.is_patient_or_proxy and not service.serves_patients:
        return ()
    gathered = gather(context.request, service.queries, client, budgets)
    facts = read_facts(gathered.resources, context.request.patient_id, partial=gathered.partial)
    return service.evaluate(facts, context)
