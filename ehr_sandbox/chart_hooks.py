"""Firing a hook: the request of each service that listens, and the guidance that comes back.

Spec: CDS Hooks 2.0 "HTTP Request" (R15, R16).
"""

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ehr_sandbox.cards import DrawnCard, by_urgency, draw_card
from ehr_sandbox.chart_contexts import ChartMoment
from ehr_sandbox.chart_prefetch import PrefetchSource, gather_prefetch, prefetch_tokens, resource_types
from ehr_sandbox.hook_client import CdsService, CdsServiceFailure, HookClient
from ehr_sandbox.wire_log import WireLog

# What a CDS service may read of the patient whose chart is open, beside what its prefetch templates name.
BASE_SCOPES = {
    "Patient": "r",
    "ImagingStudy": "rs",
    "DiagnosticReport": "rs",
    "Observation": "rs",
    "ServiceRequest": "rs",
    "Endpoint": "r",
    "Condition": "rs",
}
_MAX_PARALLEL_CALLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirGrant:
    """An access token for one CDS service; `lifetime_s` seconds."""

    access_token: str
    lifetime_s: int
    scope: str
    subject: str


# Issues the token that a CDS service gets for the patient whose chart is open, for a scope; None when it gets none.
Granter = Callable[[ChartMoment, str], FhirGrant | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNote:
    """A quiet word about a service that could not be used, wholly or in part."""

    service_title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """What all services of a hook said, cards in the order in which they are drawn."""

    cards: tuple[DrawnCard, ...]
    notes: tuple[ServiceNote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFirer:
    """Fires hooks for opened charts: every service that listens is asked, none can hold up or break another."""

    client: HookClient
    records: PrefetchSource
    grant: Granter
    fhir_base: str

    def fire(self, listens: Callable[[str], bool], context: Mapping[str, Any], moment: ChartMoment, log: WireLog) -> Guidance:
        """Asks all services whose hook is meant, at once. Raises QueryFailed."""
        try:
            services = self.client.services(listens, log)
        except CdsServiceFailure as failure:
            note = ServiceNote(service_title="The guidance service", text=str(failure))
            return Guidance(cards=(), notes=(note,))
        if not services:
            return Guidance(cards=(), notes=())
        with ThreadPoolExecutor(max_workers=min(len(services), _MAX_PARALLEL_CALLS)) as pool:
            answers = list(pool.map(lambda service: self._ask(service, context, moment, log), services))
        return Guidance(
            cards=by_urgency(card for answer in answers for card in answer.cards),
            notes=tuple(note for answer in answers for note in answer.notes),
        )

    def _ask(self, service: CdsService, context: Mapping[str, Any], moment: ChartMoment, log: WireLog) -> Guidance:
        prefetched = gather_prefetch(service.prefetch, prefetch_tokens(context), self.records)
        omitted = tuple(f"prefetch '{key}' left out: {why}" for key, why in prefetched.omitted.items())
        body = hook_request(
            service=service,
            context=context,
            prefetch=prefetched.values,
            fhir_base=self.fhir_base,
            grant=self.grant(moment, scope_for(service)),
        )
        try:
            checked = self.client.call(service, body, omitted, log)
        except CdsServiceFailure as failure:
            return Guidance(cards=(), notes=(ServiceNote(service_title=service.title, text=str(failure)),))
        sound = () if checked.faults else tuple(card for card in checked.cards if not card.faults)
        refused = max(1, len(checked.cards)) - len(sound) if checked.all_faults() else 0
        return Guidance(
            cards=tuple(
                draw_card(card, key=uuid.uuid4().hex, service_id=service.service_id, service_title=service.title)
                for card in sound
            ),
            notes=(_refusal_note(service, refused),) if refused else (),
        )


def hook_request(
    *,
    service: CdsService,
    context: Mapping[str, Any],
    prefetch: Mapping[str, Any],
    fhir_base: str,
    grant: FhirGrant | None,
) -> dict[str, Any]:
    """The body of a service call; members without a value are left out, as R2 asks."""
    request: dict[str, Any] = {
        "hook": service.hook,
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": fhir_base,
        "context": dict(context),
    }
    if grant:
        request["fhirAuthorization"] = {
            "access_token": grant.access_token,
            "token_type": "Bearer",
            "expires_in": grant.lifetime_s,
            "scope": grant.scope,
            "subject": grant.subject,
            "patient": context["patientId"],
        }
    if prefetch:
        request["prefetch"] = dict(prefetch)
    return request


def scope_for(service: CdsService) -> str:
    """SMART v2 scopes for one service: the usual ones and what its prefetch templates name."""
    letters = {resource_type: "rs" for resource_type in resource_types(service.prefetch)} | BASE_SCOPES
    return " ".join(f"patient/{resource_type}.{rights}" for resource_type, rights in letters.items())


def _refusal_note(service: CdsService, refused: int) -> ServiceNote:
    cards = "a card that is not valid; it is" if refused == 1 else f"{refused} cards that are not valid; they are"
    return ServiceNote(service_title=service.title, text=f"sent {cards} not shown")
