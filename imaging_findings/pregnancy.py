"""Ionising radiation to the abdomen or pelvis, or gadolinium, and a pregnancy that is known or not asked about.

The words are chosen not to frighten: at diagnostic doses the risk to the fetus is low. Spec: clinical rules, section 5.1 P.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from imaging_findings.intervals import whole_years
from imaging_findings.order_advice import OrderAdvice, Reason
from imaging_findings.order_facts import ImagingOrder
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.pregnancy_records import PregnancyRecord
from imaging_findings.rules import Urgency

_IONISING = frozenset({"CT", "XR", "NM", "XA"})
NEAR_THE_UTERUS = frozenset({"abdomen", "pelvis", "lumbar-spine", "hip", "whole-body", "skeleton", "fetus"})
_MALE = "male"
_CHECK = "This rule still needs a clinician's check."


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyFacts:
    """Sex as administratively recorded, birth date and what is recorded of pregnancies, the latest first."""

    gender: str | None = None
    birth_date: date | None = None
    records: tuple[PregnancyRecord, ...] = ()
    not_available: bool = False


def pregnancy_advice(order: ImagingOrder, facts: PregnancyFacts, policy: OrderPolicy, today: date) -> OrderAdvice | None:
    """A warning for a pregnancy on record, a line where none is known of, otherwise nothing.

    A recorded pregnancy counts whatever sex and age are registered; sex and age only tell who is worth asking.
    """
    if not _concerns(order):
        return None
    latest = _in_force(facts.records, policy, today)
    if latest is not None and latest.pregnant:
        return _pregnant(order, latest)
    # MR without ionising radiation is worth a word only when a pregnancy is known.
    if not _is_worth_asking(facts, policy, today) or not order.kind.families & _IONISING:
        return None
    unread = _unclear(facts.records, policy, today)
    if unread is not None and (latest is None or latest.day is None or (unread.day or today) > latest.day):
        return _ask(order, unread.words, _told_of(unread))
    return _not_recorded(order, facts, policy) if latest is None else None


def _is_worth_asking(facts: PregnancyFacts, policy: OrderPolicy, today: date) -> bool:
    """An unknown age gives no basis for asking."""
    age = whole_years(facts.birth_date, today) if facts.birth_date else None
    in_years = age is not None and policy.pregnancy_youngest_years <= age <= policy.pregnancy_oldest_years
    return facts.gender != _MALE and in_years


def _concerns(order: ImagingOrder) -> bool:
    if "MR" in order.kind.families:
        return order.kind.contrast.is_given
    if "NM" in order.kind.families:
        return True
    return bool(order.kind.families & _IONISING and order.kind.regions & NEAR_THE_UTERUS)


def _in_force(records: tuple[PregnancyRecord, ...], policy: OrderPolicy, today: date) -> PregnancyRecord | None:
    """The latest dated record, where it still says something; else an active condition without date.

    A later "not pregnant" ends an earlier pregnancy, also when it is itself too old to be a status of today.
    """
    latest = _latest_dated(records)
    if latest is not None and _holds(latest, policy, today):
        return latest
    return next((one for one in records if one.day is None and one.pregnant), None)


def _latest_dated(records: tuple[PregnancyRecord, ...]) -> PregnancyRecord | None:
    return next((one for one in records if one.day is not None and one.pregnant is not None), None)


def _holds(record: PregnancyRecord, policy: OrderPolicy, today: date) -> bool:
    days = policy.pregnancy_longest_days if record.pregnant else policy.pregnancy_status_window_days
    return record.day is not None and today - timedelta(days=days) <= record.day


def _unclear(records: tuple[PregnancyRecord, ...], policy: OrderPolicy, today: date) -> PregnancyRecord | None:
    """The latest record that says neither, as long as one that does would count."""
    first = today - timedelta(days=policy.pregnancy_status_window_days)
    return next((one for one in records if one.pregnant is None and (one.day is None or one.day >= first)), None)


def _pregnant(order: ImagingOrder, record: PregnancyRecord) -> OrderAdvice:
    gadolinium = "MR" in order.kind.families
    when = f" ({record.day})" if record.day else ""
    advice = (
        "Gadolinium is given in pregnancy only where it is needed for the answer; talk to radiology."
        if gadolinium
        else "At diagnostic doses the risk to the fetus is low. Talk to radiology about the best examination."
    )
    return OrderAdvice(
        rule_id="pregnancy/recorded",
        reason=Reason.PREGNANCY,
        order=order,
        urgency=Urgency.WARNING,
        headline=f"a {'positive pregnancy test' if record.is_test else 'pregnancy'} is on record{when}",
        lines=(("On record", f"{record.words}{when}"), ("Advice", advice), ("Note", _CHECK)),
    )


def _not_recorded(order: ImagingOrder, facts: PregnancyFacts, policy: OrderPolicy) -> OrderAdvice:
    earlier = _latest_dated(facts.records)
    if facts.not_available:
        headline = "pregnancy status could not be looked up"
    elif earlier is not None:
        headline = f"no current pregnancy status (the last is of {earlier.day})"
    else:
        headline = f"no pregnancy status recorded in {policy.pregnancy_status_window_days} days"
    return _ask(order, f"{earlier.words} ({earlier.day})" if earlier is not None else None, headline)


def _told_of(unclear: PregnancyRecord) -> str:
    when = f" of {unclear.day}" if unclear.day else ""
    if unclear.is_test:
        return f"A pregnancy test{when} is on record; its result could not be read: please ask."
    return f"The pregnancy status{when} on record says neither yes nor no: please ask."


def _ask(order: ImagingOrder, on_record: str | None, headline: str) -> OrderAdvice:
    ask = "Please ask before the examination. At diagnostic doses the risk to a fetus is low."
    return OrderAdvice(
        rule_id="pregnancy/not-recorded",
        reason=Reason.PREGNANCY,
        order=order,
        urgency=Urgency.INFO,
        headline=headline,
        lines=(*([("On record", on_record)] if on_record else []), ("Advice", ask), ("Note", _CHECK)),
    )
