"""HealthChain's stack with our work in its handler: the same rules and cards, the outbound validator, the issued cards noted.

HealthChain's own part stays as it is: its request model reads the body, its response model writes the answer. Our packages are
found in the checkout, what they import beside the standard library behind HealthChain's own packages (``BENCH_PATHS``). Client
authentication is off on both sides; what our HTTP edge does beside (members given twice, access log, CORS) is missing here.
"""

import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.extend(os.environ["BENCH_PATHS"].split(os.pathsep))

from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.models import CDSRequest, CDSResponse

from cds_service.card_parts import CardContext
from cds_service.evaluate import SERVICES, at_most, cards_for
from cds_service.feedback_store import FeedbackStore
from cds_service.gather import Budgets
from cds_service.runtime import random_uuid
from cds_service.settings import CdsSettings
from cds_service.validator import faults_of
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store

SERVICE = SERVICES["imaging-findings"]
SETTINGS = CdsSettings(public_base_url="http://localhost:8000")
STORE = Store.open(StateSettings(state_dir=Path(os.environ["BENCH_STATE"])))
STORE.migrate()
FEEDBACK = FeedbackStore(STORE)
BUDGETS = Budgets(soft_ms=SETTINGS.soft_budget_ms, hard_ms=SETTINGS.hard_budget_ms, max_pages=SETTINGS.max_pages)
context_of = partial(CardContext, app_url=SETTINGS.app_url, ehr_name=None, new_uuid=random_uuid)
cds = CDSHooksService()


@cds.hook("patient-view", id="imaging-findings")
def judge(request: CDSRequest) -> CDSResponse:
    """What ``cds_service.views`` does between the body and the answer; ValueError for an answer that is not valid."""
    body = {
        "hook": request.hook,
        "hookInstance": request.hookInstance,
        "context": request.context.model_dump(),
        "prefetch": request.prefetch,
    }
    now = datetime.now(UTC)
    context = context_of(request=SERVICE.request_in(body), now=now)
    issued = at_most(cards_for(SERVICE, context, None, BUDGETS), SETTINGS.max_cards)
    cards = [one.card for one in issued]
    if faults := faults_of({"cards": cards}):
        raise ValueError("; ".join(faults))
    FEEDBACK.remember(issued, service_id=SERVICE.service_id, client=None, now=int(now.timestamp()))
    return CDSResponse(cards=[as_healthchain_reads(card) for card in cards])


def as_healthchain_reads(card: dict[str, Any]) -> dict[str, Any]:
    """Its models require two members that CDS Hooks leaves open, one by a name of their own; None is not written out."""
    suggestions = [{"isRecommended": None} | one for one in card.get("suggestions", [])]
    links = [one | {"autoLaunchable": None} for one in card.get("links", [])]
    return card | ({"suggestions": suggestions} if suggestions else {}) | ({"links": links} if links else {})


app = HealthChainAPI()
app.register_service(cds, path="/cds")
