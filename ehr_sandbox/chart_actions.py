"""What the clinician does with a card: takes a suggestion, or sets the card aside. Each is told to the service."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from ehr_sandbox.cards import DrawnCard
from ehr_sandbox.chart_feedback import accepted_entry, overridden_entry
from ehr_sandbox.chart_openings import CardState, ChartOpening, UnknownCard
from ehr_sandbox.chart_orders import Accepted, OrderContext, Refused, plan_actions, removing_entry
from ehr_sandbox.chart_prefetch import QueryFailed
from ehr_sandbox.hook_client import CdsServiceFailure, HookClient

MAX_COMMENT_CHARACTERS = 1000


class OrderBook(Protocol):
    """Where orders are kept. `check` and `transact` raise QueryFailed for what cannot be stored, and then nothing is."""

    def stored(self, reference: str) -> dict[str, Any] | None: ...

    def owner_of(self, reference: str) -> str | None: ...

    def check(self, resource: Mapping[str, Any]) -> None: ...

    def transact(self, bundle: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a click, in words for the clinician. `was_done` is false when it was refused.

    `changes_form`: the unsaved order in the form is another one now, or none.
    """

    was_done: bool
    text: str
    changes_form: bool = False


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
            try:
                planned = plan_actions(suggestion.actions, self._context(opening, state))
                if isinstance(planned, Refused):
                    return Outcome(was_done=False, text=" ".join(("Not accepted.", *planned.reasons)))
                changes_form = self._carry_out(planned, opening)
            except QueryFailed as failure:
                return Outcome(was_done=False, text=f"The order could not be stored: {failure}.")
            state.accepted.add(position)
        done = _done_text({action["type"] for action in suggestion.actions}, changes_form)
        if state.card.uuid and suggestion.uuid:
            entry = accepted_entry(state.card.uuid, suggestion.uuid, self.clock())
            done += self._tell(opening, state.card, entry)
        return Outcome(was_done=True, text=done, changes_form=changes_form)

    def _context(self, opening: ChartOpening, state: CardState) -> OrderContext:
        composition = opening.composition
        return OrderContext(
            patient_id=opening.patient_id,
            fhir_base=self.fhir_base,
            owner_of=self.orders.owner_of,
            stored=self.orders.stored,
            composed=composition.order if composition else None,
            sent=state.sent,
        )

    def _carry_out(self, planned: Accepted, opening: ChartOpening) -> bool:
        """Stores what is to be stored, then changes the form; whether the form has changed. Raises QueryFailed."""
        composition, entries = opening.composition, list(planned.transaction.get("entry", ()))
        if planned.composed is not None:
            self.orders.check(planned.composed)
        if planned.drops_composed and composition and composition.stored:
            entries.append(removing_entry(composition.stored))
        if entries:
            self.orders.transact(planned.transaction | {"entry": entries})
        if planned.drops_composed or composition is None:
            opening.composition = None
        elif planned.composed is not None:
            opening.composition = replace(composition, original=planned.composed, order=planned.composed)
        return planned.drops_composed or planned.composed is not None

    def dismiss(self, opening: ChartOpening, card_key: str, reason_position: int | None, comment: str) -> Outcome:
        """Takes a card off the screen. `reason_position` counts in the card's own reasons. Raises UnknownCard."""
        with opening.lock:
            state = opening.card(card_key)
            reasons = state.card.override_reasons
            if reason_position is not None and not 0 <= reason_position < len(reasons):
                raise UnknownCard
            opening.dismiss(state)
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


def _done_text(kinds: set[str], changes_form: bool) -> str:
    if changes_form:
        return "The order in the form was taken away." if "delete" in kinds else "The order in the form was changed."
    if kinds == {"create"}:
        return "Draft order created; it is not active until it is signed."
    if kinds == {"delete"}:
        return "Draft order removed."
    return "Draft order changed; it is not active until it is signed."
