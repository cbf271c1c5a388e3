"""The charts that are open: which cards each shows, what became of them, and what went over the wire for them.

Kept in the memory of the one EHR process, bounded; a chart that fell out, or that was opened before a restart, has to be
opened again. Nothing here outlives the process, so no patient data does.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ehr_sandbox.cards import DrawnCard
from ehr_sandbox.wire_log import WireLog


class UnknownOpening(Exception):
    """No such opened chart, or not of this patient."""


class UnknownCard(Exception):
    """No such card, suggestion or link in this opened chart, or it was answered already."""


class Place(StrEnum):
    """Where cards stand in a chart: beside the record, or beside what the clinician is doing just now."""

    GUIDANCE = "guidance"
    WORK = "work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The order in the form: as it was when the form was opened, as the form has it now, and as it is stored, if it is."""

    original: Mapping[str, Any]
    order: Mapping[str, Any]
    stored: Mapping[str, Any] | None


@dataclass(slots=True, kw_only=True)
class CardState:
    """A card in an opened chart and what the clinician did with it. `sent`: the drafts that its service knew, by reference."""

    card: DrawnCard
    sent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accepted: set[int] = field(default_factory=set)
    is_dismissed: bool = False

    @property
    def takes_no_more(self) -> bool:
        """Whether every suggestion button is to be shown disabled."""
        return bool(self.accepted) and self.card.takes_one_suggestion


@dataclass(slots=True, kw_only=True)
class ChartOpening:
    """One opening of one patient's chart. Its lock makes an answer to a card happen once.

    `composition` is the order in the form and `medication_id` the id of the medicine in its form. `chosen_drafts` are those
    that order-sign was fired for, by reference, `checked_drafts` the version that each draft had then, and `proposed` the
    appointment that appointment-book was fired for. `work_number` counts what the clinician has begun to do.
    """

    opening_id: str
    patient_id: str
    encounter_id: str | None
    log: WireLog = field(default_factory=WireLog)
    places: dict[Place, dict[str, CardState]] = field(default_factory=dict)
    composition: Composition | None = None
    medication_id: str = ""
    chosen_drafts: frozenset[str] = frozenset()
    checked_drafts: Mapping[str, str] = field(default_factory=dict)
    proposed: Mapping[str, Any] | None = None
    work_number: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    _set_aside: set[tuple[str, str]] = field(default_factory=set)

    def show(
        self, place: Place, cards: Iterable[DrawnCard], sent: Mapping[str, Mapping[str, Any]] | None = None
    ) -> tuple[CardState, ...]:
        """Replaces the cards of a place: a newer answer of the services supersedes older guidance.

        A card that was dismissed beside the present work does not come back with each further key that is typed.
        """
        with self.lock:
            known = self._set_aside if place is Place.WORK else set()
            shown = [card for card in cards if (card.service_id, card.summary) not in known]
            self.places[place] = {card.key: CardState(card=card, sent=sent or {}) for card in shown}
            return tuple(self.places[place].values())

    def begin_work(self) -> None:
        """Clears the cards beside the work, and what was set aside there: something else is being done now."""
        with self.lock:
            self.places.pop(Place.WORK, None)
            self._set_aside.clear()
            self.work_number += 1

    def card(self, key: str) -> CardState:
        """The state of a card that is still on the screen. Raises UnknownCard."""
        state = self.state(key)
        if state.is_dismissed:
            raise UnknownCard
        return state

    def state(self, key: str) -> CardState:
        """The state of a card, also of one that was dismissed. Raises UnknownCard."""
        for states in self.places.values():
            if key in states:
                return states[key]
        raise UnknownCard

    def dismiss(self, state: CardState) -> None:
        """Takes a card off the screen."""
        state.is_dismissed = True
        if state.card.key in self.places.get(Place.WORK, {}):
            self._set_aside.add((state.card.service_id, state.card.summary))


class ChartOpenings:
    """The openings of one EHR process, the least recently used falling out first."""

    def __init__(self, capacity: int = 200) -> None:
        self._capacity = capacity
        self._openings: OrderedDict[str, ChartOpening] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, patient_id: str, encounter_id: str | None) -> ChartOpening:
        opening = ChartOpening(opening_id=str(uuid.uuid4()), patient_id=patient_id, encounter_id=encounter_id)
        with self._lock:
            self._openings[opening.opening_id] = opening
            while len(self._openings) > self._capacity:
                self._openings.popitem(last=False)
        return opening

    def find(self, opening_id: str, patient_id: str) -> ChartOpening:
        """The opening of that id, if it is of that patient. Raises UnknownOpening."""
        with self._lock:
            opening = self._openings.get(opening_id)
            if opening is None or opening.patient_id != patient_id:
                raise UnknownOpening
            self._openings.move_to_end(opening_id)
            return opening
