"""HealthChain as the "advanced workflow" of its documentation has it: adapter, ``Document``, pipeline, adapter.

The adapter reads each resource of the prefetch into HealthChain's FHIR models before a handler sees it, as our service reads
each before a rule sees it. The card stays the fixed one: there are still no rules.
"""

import logging

from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.io import CdsFhirAdapter, Document
from healthchain.models import Card, CDSRequest, CDSResponse, Source
from healthchain.pipeline import Pipeline

# It warns at each request that there is no DocumentReference; writing that is none of the work.
logging.getLogger("healthchain").setLevel(logging.ERROR)
cds = CDSHooksService()
pipeline = Pipeline()


@pipeline.add_node
def write_card(document: Document) -> Document:
    """One fixed card for a patient whose findings were read."""
    if document.fhir.get_prefetch_resources("findings") is None:
        raise ValueError("the benchmark sends findings")
    document.cds.cards = [
        Card(
            summary="Lung-RADS 4B without follow-up",
            indicator="info",
            source=Source(label="HealthChain"),
            detail="A fixed sentence of the length that a finding's detail has. " * 20,
        )
    ]
    return document


pipe = pipeline.build()


@cds.hook("patient-view", id="imaging-findings")
def read_and_answer(request: CDSRequest) -> CDSResponse:
    """The prefetch as FHIR models, a fixed card, the answer by its response model."""
    adapter = CdsFhirAdapter()
    return adapter.format(pipe(adapter.parse(request)))


app = HealthChainAPI()
app.register_service(cds, path="/cds")
