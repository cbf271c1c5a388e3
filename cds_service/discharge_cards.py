"""What is open at discharge, as CDS cards: one card for all imaging that waits for its report, then the follow-ups.

Spec: CDS Hooks 2.0 R25-R31; clinical rules, section 4. A waiting report is a warning at most, and nothing is suggested: who
reads a study, and when, is nothing that an order could change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from cds_service.card_parts import CardContext, IssuedCard, image_links, override_reasons, topic
from cds_service.cards import card_for
from cds_service.plain_words import escaped, one_sentence
from imaging_findings.discharge import DischargeJudgement, StayFollowUp
from imaging_findings.order_sources import DISCHARGE
from imaging_findings.rules import Urgency
from imaging_findings.stays import Belonging, When
from imaging_findings.unread_imaging import OpenReading, Reading, Readings

_MAX_LISTED = 8
_MAX_LINKED = 3


def discharge_cards(judgement: DischargeJudgement, context: CardContext) -> tuple[IssuedCard, ...]:
    """The cards, the most urgent first; among equals unread imaging of the stay, then its follow-ups, then the others."""
    cards = [*_imaging_card(judgement, context), *(_follow_up_card(one, judgement, context) for one in judgement.follow_ups)]
    return tuple(sorted(cards, key=lambda card: -Urgency(card.indicator).loudness))


def _follow_up_card(follow_up: StayFollowUp, judgement: DischargeJudgement, context: CardContext) -> IssuedCard:
    issued = card_for(follow_up.guidance, judgement.facts, context)
    seen = "seen on a study of this stay" if follow_up.of_stay else "seen on a study that is not of this stay"
    return replace(issued, card=issued.card | {"detail": f"**At discharge:** {seen}.\n\n{issued.card['detail']}"})


def _imaging_card(judgement: DischargeJudgement, context: CardContext) -> list[IssuedCard]:
    """At most one card: what waits, or else what could not be told or checked."""
    readings, missing = judgement.readings, judgement.missing
    if not (readings.waiting or readings.unplaced or readings.not_checked or missing):
        return []
    headline = _headline(readings, missing)
    lines = _lines(readings, (*missing, *judgement.beside), context.now)
    source = DISCHARGE.owned_by(context.policy.rules_owner)
    card: dict[str, Any] = {
        "uuid": context.new_uuid(),
        "summary": one_sentence(headline[1]),
        "indicator": readings.urgency.value,
        "detail": "\n\n".join([*(f"**{label}:** {escaped(words)}" for label, words in lines), f"**Rules:** {source.words}"]),
        "source": {"label": "Imaging at discharge", "topic": topic(*_TOPICS[headline[0]])},
        "overrideReasons": override_reasons(),
    }
    links = image_links(_linked(readings), context)
    if links:
        card["links"] = links
    return [IssuedCard(card=card, rule_id=headline[0])]


_TOPICS = {
    "discharge/unread": ("unread-imaging", "Imaging of the stay without a report"),
    "discharge/registered": ("registered-imaging", "Imaging of the stay that is registered and not yet available"),
    "discharge/preliminary": ("preliminary-imaging", "Imaging of the stay with a preliminary report only"),
    "discharge/unplaced": ("unplaced-imaging", "Unreported imaging that may be of the stay"),
    "discharge/not-checked": ("incomplete-data", "Data that could not be checked"),
}


def _headline(readings: Readings, missing: Sequence[str]) -> tuple[str, str]:
    """The rule and the summary."""
    unread, registered, preliminary = (
        sum(one.reading is reading for one in readings.waiting)
        for reading in (Reading.UNREAD, Reading.REGISTERED, Reading.PRELIMINARY)
    )
    more = f", a preliminary one for {preliminary} more" if preliminary else ""
    if unread:
        more += f", {registered} more not yet available" if registered else ""
        words = f"No report found for {_counted(unread)} of this stay{more}: {_name(readings.waiting[0])}"
        return "discharge/unread", words
    if registered:
        words = f"No report found for {_counted(registered)} of this stay, registered and not yet available{more}"
        return "discharge/registered", f"{words}: {_name(readings.waiting[0])}"
    if preliminary:
        words = f"Only a preliminary report for {_counted(preliminary)} of this stay: {_name(readings.waiting[0])}"
        return "discharge/preliminary", words
    if readings.unplaced:
        words = f"{_counted(len(readings.unplaced))} not finally reported, and not known whether of this stay"
        return "discharge/unplaced", f"{words}: {_name(readings.unplaced[0])}"
    if readings.not_checked:
        words = (
            f"Whether {_counted(len(readings.not_checked))} of this stay {_have(readings)} been reported could not be checked"
        )
        return "discharge/not-checked", words
    return "discharge/not-checked", f"Imaging at discharge could not be checked fully: {', '.join(missing)} not available"


def _counted(count: int) -> str:
    return f"{count} imaging {'study' if count == 1 else 'studies'}"


def _have(readings: Readings) -> str:
    return "has" if len(readings.not_checked) == 1 else "have"


def _lines(readings: Readings, missing: Sequence[str], now: datetime) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for one in readings.waiting[:_MAX_LISTED]:
        label = "Preliminary report only" if one.reading is Reading.PRELIMINARY else "Not reported"
        state = "registered, not yet available; " if one.reading is Reading.REGISTERED else ""
        lines.append((label, f"{_name(one)}; {state}{_waiting(one, now)}; {_place(one)}"))
    lines += [
        ("Not known whether of this stay", f"{_name(one)}; {_waiting(one, now)}; {one.belonging.value}")
        for one in readings.unplaced[:_MAX_LISTED]
    ]
    lines += [("Could not be checked", f"{_name(one)}; {one.why}") for one in readings.not_checked[:_MAX_LISTED]]
    hidden = sum(max(0, len(group) - _MAX_LISTED) for group in (readings.waiting, readings.unplaced, readings.not_checked))
    lines += [("Also", f"{hidden} more")] if hidden else []
    return [*lines, *([("Not available", ", ".join(missing))] if missing else [])]


_BELONGS = {Belonging.NAMED: "encounter", Belonging.ORDERED: "order", Belonging.IN_TIME: "date"}


def _place(one: OpenReading) -> str:
    return f"belongs to this stay by its {_BELONGS[one.belonging]}" if one.belonging in _BELONGS else one.belonging.value


def _name(one: OpenReading) -> str:
    begun, prior = one.study.placed.begun, one.study.prior
    modalities = "/".join(one.study.modalities[:3]) or "/".join(sorted(prior.kind.families))
    return f"{modalities} {_at(begun)} ({prior.name})" if begun else f"{modalities} without a date ({prior.name})"


def _at(moment: When) -> str:
    return f"{moment.at:%Y-%m-%d %H:%M}" if moment.at else str(moment.day)


def _waiting(one: OpenReading, now: datetime) -> str:
    """Since when, in hours while that says more than days."""
    if one.report is not None:
        since = f" since {one.report.day}" if one.report.day else ""
        return f"its report is {one.report.status}{since}"
    since_when = one.since
    if since_when is None:
        return "no report"
    hours = int((now - since_when.at).total_seconds() // 3600) if since_when.at else None
    if hours is not None and 0 <= hours < 48:
        return f"no report for {hours} hour{'' if hours == 1 else 's'}"
    days = (now.date() - since_when.day).days
    return f"no report for {days} day{'' if days == 1 else 's'}" if days >= 0 else "no report"


def _linked(readings: Readings) -> list[tuple[Any, str]]:
    shown = [*readings.waiting, *readings.unplaced, *readings.not_checked][:_MAX_LINKED]
    return [(one.study.prior.study_instance_uid, _words_of(one)) for one in shown]


def _words_of(one: OpenReading) -> str:
    begun = one.study.placed.begun
    return f"of {begun.day}" if begun else ""
