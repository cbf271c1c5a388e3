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
from imaging_findings.patient_facts import PregnancyRecord
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
    """A warning for a pregnancy on record, a line where nothing is recorded, otherwise nothing."""
    if not _concerns(order) or facts.gender == _MALE:
        return None
    age = whole_years(facts.birth_date, today) if facts.birth_date else None
    if age is not None and not policy.pregnancy_youngest_years <= age <= policy.pregnancy_oldest_years:
        return None
    latest = next((one for one in facts.records if _holds(one, policy, today)), None)
    if latest is not None and latest.pregnant:
        return _pregnant(order, latest)
    # MR without ionising radiation is worth a word only when a pregnancy is known; an unknown age gives no basis for asking.
    if latest is not None or age is None or not order.kind.families & _IONISING:
        return None
    return _not_recorded(order, facts, policy)


def _concerns(order: ImagingOrder) -> bool:
    if "MR" in order.kind.families:
        return order.kind.contrast.is_given
    if "NM" in order.kind.families:
        return True
    return bool(order.kind.families & _IONISING and order.kind.regions & NEAR_THE_UTERUS)


def _holds(record: PregnancyRecord, policy: OrderPolicy, today: date) -> bool:
    """Whether the record still says something today. An active condition without date holds."""
    if record.pregnant is None:
        return False
    if record.day is None:
        return record.pregnant
    days = policy.pregnancy_longest_days if record.pregnant else policy.pregnancy_status_window_days
    return today - timedelta(days=days) <= record.day <= today


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
        headline=f"a pregnancy is on record{when}",
        lines=(("On record", f"{record.words}{when}"), ("Advice", advice), ("Note", _CHECK)),
    )


def _not_recorded(order: ImagingOrder, facts: PregnancyFacts, policy: OrderPolicy) -> OrderAdvice:
    days = policy.pregnancy_status_window_days
    headline = (
        "pregnancy status could not be looked up" if facts.not_available else f"no pregnancy status recorded in {days} days"
    )
    ask = "Please ask before the examination. At diagnostic doses the risk to a fetus is low."
    return OrderAdvice(
        rule_id="pregnancy/not-recorded",
        reason=Reason.PREGNANCY,
        order=order,
        urgency=Urgency.INFO,
        headline=headline,
        lines=(("Advice", ask), ("Note", _CHECK)),
    )
