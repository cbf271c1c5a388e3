"""What the pages of the chart work with, and the answers that all of them give alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Response, jsonify, render_template

from ehr_sandbox.arrivals import Arriving
from ehr_sandbox.cards import DrawnCard
from ehr_sandbox.cds_keys import CdsClientKey
from ehr_sandbox.chart_actions import CardDesk
from ehr_sandbox.chart_bookings import BookingDesk
from ehr_sandbox.chart_contexts import ChartMoment
from ehr_sandbox.chart_hooks import Guidance, HookFirer
from ehr_sandbox.chart_launch import LaunchDesk
from ehr_sandbox.chart_openings import CardState, ChartOpening, ChartOpenings, Place
from ehr_sandbox.chart_order_desk import OrderDesk
from ehr_sandbox.chart_records import ChartRecords
from ehr_sandbox.chart_web import text_field

# A route of the chart: its rule, its method and its view.
ChartRoute = tuple[str, str, Callable[..., Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartParts:
    """Everything that the chart's pages work with. `user` is a relative reference.

    `clock` gives aware time in the chart's zone, so that today is the day that people there are having. `arriving` says what
    people have to wait for, if anything.
    """

    base_url: str
    app_launch_url: str
    standalone_url: str
    user: str
    records: ChartRecords
    firer: HookFirer
    desk: CardDesk
    orders: OrderDesk
    bookings: BookingDesk
    launches: LaunchDesk
    key: CdsClientKey
    clock: Callable[[], datetime]
    arriving: Callable[[], Arriving | None]
    openings: ChartOpenings = field(default_factory=ChartOpenings)

    def opening(self, fields: dict[str, Any], patient_id: str) -> ChartOpening:
        """The opened chart that a post speaks of. Raises UnknownOpening."""
        return self.openings.find(text_field(fields, "opening"), patient_id)

    def moment(self, opening: ChartOpening) -> ChartMoment:
        """Who looks at whose chart."""
        return ChartMoment(user=self.user, patient_id=opening.patient_id, encounter_id=opening.encounter_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A hook that is fired: which services are meant, with what context, and where their cards are drawn.

    `subject` names in a word what there may be no guidance for; `sent`: the drafts in the context, by reference.
    """

    listens: Callable[[str], bool]
    context: Mapping[str, Any]
    place: Place
    subject: str
    sent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def hook_is(name: str) -> Callable[[str], bool]:
    """Means the services of one hook."""
    return lambda hook: hook == name


def fired(parts: ChartParts, opening: ChartOpening, firing: Firing) -> Response:
    """Fires a hook and answers with its cards drawn and counted."""
    work_number = opening.work_number
    guidance = parts.firer.fire(firing.listens, firing.context, parts.moment(opening), opening.log)
    with opening.lock:
        # An answer that comes after the clinician has gone on to something else belongs beside nothing any more.
        is_late = firing.place is Place.WORK and opening.work_number != work_number
        states = () if is_late else opening.show(firing.place, guidance.cards, firing.sent)
    html = render_template("chart/guidance.html", states=states, notes=guidance.notes, subject=firing.subject)
    warns = any(state.card.indicator != "info" for state in states)
    return jsonify(html=html, text=_counted(states, guidance, firing.subject), count=len(states), warns=warns)


def _counted(states: tuple[CardState, ...], guidance: Guidance, subject: str) -> str:
    """What a screen reader says once the cards have come."""
    failed = " Some of the advice could not be had." if guidance.notes else ""
    cards: tuple[DrawnCard, ...] = tuple(state.card for state in states)
    if not cards:
        return f"No guidance for this {subject}.{failed}"
    counts = {label: 0 for label in dict.fromkeys(card.indicator_label.lower() for card in cards)}
    for card in cards:
        counts[card.indicator_label.lower()] += 1
    kinds = ", ".join(f"{count} {label}" for label, count in counts.items())
    return f"{len(cards)} guidance {'card' if len(cards) == 1 else 'cards'}: {kinds}.{failed}"
