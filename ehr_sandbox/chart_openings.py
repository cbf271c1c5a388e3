"""The charts that are open: which cards each shows, what became of them, and what went over the wire for them.

Kept in the memory of the one EHR process, bounded; a chart that fell out, or that was opened before a restart, has to be
opened again. Nothing here outlives the process, so no patient data does.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ehr_sandbox.cards import DrawnCard
from ehr_sandbox.wire_log import WireLog


class UnknownOpening(Exception):
    """No such opened chart, or not of this patient."""


class UnknownCard(Exception):
    """No such card, suggestion or link in this opened chart, or it was answered already."""


@dataclass(slots=True, kw_only=True)
class CardState:
    """A card in an opened chart and what the clinician did with it."""

    card: DrawnCard
    accepted: set[int] = field(default_factory=set)
    is_dismissed: bool = False

    @property
    def takes_no_more(self) -> bool:
        """Whether every suggestion button is to be shown disabled."""
        return bool(self.accepted) and self.card.takes_one_suggestion


@dataclass(slots=True, kw_only=True)
class ChartOpening:
    """One opening of one patient's chart. Its lock makes an answer to a card happen once."""

    opening_id: str
    patient_id: str
    encounter_id: str | None
    log: WireLog = field(default_factory=WireLog)
    states: dict[str, CardState] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def show(self, cards: Iterable[DrawnCard]) -> tuple[CardState, ...]:
        """Replaces the cards: a newer answer of the services supersedes older guidance."""
        with self.lock:
            self.states = {card.key: CardState(card=card) for card in cards}
            return tuple(self.states.values())

    def card(self, key: str) -> CardState:
        """The state of a card that is still on the screen. Raises UnknownCard."""
        state = self.states.get(key)
        if state is None or state.is_dismissed:
            raise UnknownCard
        return state


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
