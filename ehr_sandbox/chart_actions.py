"""What the clinician does with a card: takes a suggestion, or sets the card aside. Each is told to the service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ehr_sandbox.cards import DrawnCard
from ehr_sandbox.chart_feedback import accepted_entry, overridden_entry
from ehr_sandbox.chart_openings import ChartOpening, UnknownCard
from ehr_sandbox.chart_orders import OrderContext, Refused, plan_actions
from ehr_sandbox.chart_prefetch import QueryFailed
from ehr_sandbox.hook_client import CdsServiceFailure, HookClient

MAX_COMMENT_CHARACTERS = 1000


class OrderBook(Protocol):
    """Where draft orders are kept. `transact` raises QueryFailed and then has stored nothing."""

    def owner_of(self, reference: str) -> str | None: ...

    def transact(self, bundle: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a click, in words for the clinician. `was_done` is false when it was refused."""

    was_done: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDesk:
    """Carries out what is clicked on cards. `clock` gives aware UTC time."""

    client: HookClient
    orders: OrderBook
    fhir_base: str
    clock: Callable[[], datetime]

    def accept(self, opening: ChartOpening, card_key: str, position: int) -> Outcome:
        """Performs a suggestion's actions as one transaction, once. Raises UnknownCard."""
        with opening.lock:
            state = opening.card(card_key)
            if not 0 <= position < len(state.card.suggestions):
                raise UnknownCard
            if position in state.accepted or state.takes_no_more:
                return Outcome(was_done=False, text="This was accepted already.")
            suggestion = state.card.suggestions[position]
            context = OrderContext(patient_id=opening.patient_id, fhir_base=self.fhir_base, owner_of=self.orders.owner_of)
            try:
                planned = plan_actions(suggestion.actions, context)
                if isinstance(planned, Refused):
                    return Outcome(was_done=False, text=" ".join(("Not accepted.", *planned.reasons)))
                self.orders.transact(planned.transaction)
            except QueryFailed as failure:
                return Outcome(was_done=False, text=f"The order could not be stored: {failure}.")
            state.accepted.add(position)
        done = "Draft order created; it is not active until it is signed."
        if not (state.card.uuid and suggestion.uuid):
            return Outcome(was_done=True, text=done)
        entry = accepted_entry(state.card.uuid, suggestion.uuid, self.clock())
        return Outcome(was_done=True, text=done + self._tell(opening, state.card, entry))

    def dismiss(self, opening: ChartOpening, card_key: str, reason_position: int | None, comment: str) -> Outcome:
        """Takes a card off the screen. `reason_position` counts in the card's own reasons. Raises UnknownCard."""
        with opening.lock:
            state = opening.card(card_key)
            reasons = state.card.override_reasons
            if reason_position is not None and not 0 <= reason_position < len(reasons):
                raise UnknownCard
            state.is_dismissed = True
        reason = None if reason_position is None else reasons[reason_position]
        done = f"Dismissed: {reason.display}." if reason else "Dismissed."
        if not state.card.uuid:
            return Outcome(was_done=True, text=done)
        comment = comment.strip()[:MAX_COMMENT_CHARACTERS]
        entry = overridden_entry(state.card.uuid, reason, comment, self.clock())
        return Outcome(was_done=True, text=done + self._tell(opening, state.card, entry))

    def _tell(self, opening: ChartOpening, card: DrawnCard, entry: Mapping[str, Any]) -> str:
        try:
            self.client.send_feedback(card.service_id, entry, opening.log)
        except CdsServiceFailure as failure:
            return f" {card.service_title} could not be told: it {failure}."
        return ""
