"""HealthChain's CDS Hooks service as its documentation shows it: one decorated handler, here with a fixed card.

Runs in an environment of its own (``healthchain.txt``). Its request model reads the whole prefetch and its response model
checks the card; there are no rules, no client JWT, no validator of what the protocol says, and nothing is remembered.
"""

from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import Card, CDSRequest, CDSResponse, Source

cds = CDSHooksService()


@cds.hook("patient-view", id="imaging-findings")
def fixed_card(request: CDSRequest) -> CDSResponse:
    """One card, whatever the prefetch says; ValueError without prefetch."""
    if not request.prefetch:
        raise ValueError("the benchmark sends prefetch")
    card = Card(
        summary="Lung-RADS 4B without follow-up",
        indicator="info",
        source=Source(label="HealthChain"),
        detail="A fixed sentence of the length that a finding's detail has. " * 20,
    )
    return CDSResponse(cards=[card])


app = HealthChainAPI()
app.register_service(cds, path="/cds")
