"""What a chart says of a pregnancy: statuses, tests and active conditions, in codes or in the one word of a result.

A result in words counts only where it is nothing but "positive" or "negative". An amount of hCG is a test whose result nobody
here reads: what is normal depends on the week and on the method. Spec: clinical rules, section 5.1 P.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fhir_imaging.study import concept_text
from fhir_imaging.tolerant import as_dict, dicts, text
from imaging_findings import codes
from imaging_findings.moments import happened, stated_time
from imaging_findings.observations import SIGNED
from imaging_findings.value_sets import value_set, words_of

_RESULTS = {"positive": True, "pos": True, "negative": False, "neg": False}
_STATUSES = {"pregnant": True, "currently pregnant": True, "not pregnant": False, "not currently pregnant": False}
_MEANT = {True: {True: "pregnant", False: "not pregnant"}, False: {True: "positive", False: "negative"}}
"""In words of ours, by whether it is a status, what only a code says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PregnancyRecord:
    """One statement about pregnancy: a status, a test or a condition. ``pregnant`` None = it says neither."""

    day: date | None
    words: str
    pregnant: bool | None
    is_test: bool = False


def pregnancy_records(
    observations: Sequence[Mapping[str, Any]], conditions: Sequence[Mapping[str, Any]], now: datetime
) -> tuple[PregnancyRecord, ...]:
    """Statuses, tests and active conditions up to ``now``, the latest first; what has no date comes last.

    Of one day the record of a pregnancy comes first. Days are those of the zone of ``now``, which is aware.
    """
    read = [_observation(one, now) for one in observations] + [_condition(one, now) for one in conditions]
    found = [one for one in read if one is not None]
    return tuple(sorted(found, key=lambda one: (one.day or date.min, one.pregnant is True), reverse=True))


def _observation(resource: Mapping[str, Any], now: datetime) -> PregnancyRecord | None:
    coded = codes.codings(resource.get("code"))
    is_status = value_set("pregnancy-status").holds_any(coded)
    is_test = value_set("pregnancy-test").holds_any(coded)
    if text(resource.get("status")) not in SIGNED or not (is_status or is_test):
        return None
    stated = stated_time(resource)
    moment = happened(stated, now)
    if stated is not None and moment is None:
        return None
    pregnant = _answer(resource, is_status=is_status)
    meant = _MEANT[is_status].get(pregnant) if pregnant is not None else None
    return PregnancyRecord(
        day=moment.date() if moment is not None else None,
        words=f"{'pregnancy status' if is_status else 'pregnancy test'}: {_stated(resource) or meant or 'not named'}",
        pregnant=pregnant,
        is_test=not is_status,
    )


def _stated(resource: Mapping[str, Any]) -> str | None:
    """The result as the chart has it in words or as an amount."""
    quantity = as_dict(resource.get("valueQuantity"))
    value = quantity.get("value")
    is_amount = isinstance(value, int | float) and not isinstance(value, bool)
    amount = (
        f"{text(quantity.get('comparator')) or ''}{value} {text(quantity.get('unit')) or ''}".strip() if is_amount else None
    )
    words = words_of(as_dict(resource.get("valueCodeableConcept")))
    return next(iter(words), None) or text(resource.get("valueString")) or amount


def _answer(resource: Mapping[str, Any], *, is_status: bool) -> bool | None:
    value = resource.get("valueCodeableConcept")
    stated = [*codes.codings(value), *(code for one in dicts(resource.get("interpretation")) for code in codes.codings(one))]
    yes, no = ("pregnant", "not-pregnant") if is_status else ("positive", "negative")
    answers = {True} if value_set(yes).holds_any(stated) else set()
    answers |= {False} if value_set(no).holds_any(stated) else set()
    meanings = _STATUSES if is_status else _RESULTS
    said = [*words_of(as_dict(value)), text(resource.get("valueString")) or ""]
    answers |= {meanings[plain] for plain in (_plain(one) for one in said) if plain in meanings}
    boolean = resource.get("valueBoolean")
    answers |= {boolean} if isinstance(boolean, bool) else set()
    # Both at once is a contradiction, and says neither.
    return answers.pop() if len(answers) == 1 else None


def _plain(words: str) -> str:
    return " ".join(words.casefold().replace("-", " ").strip(" .!").split())


def _condition(resource: Mapping[str, Any], now: datetime) -> PregnancyRecord | None:
    if not value_set("pregnant").holds_any(codes.codings(resource.get("code"))):
        return None
    stated = text(resource.get("recordedDate")) or text(resource.get("onsetDateTime"))
    moment = happened(stated, now)
    day = moment.date() if moment is not None else None
    return PregnancyRecord(day=day, words=concept_text(resource.get("code")) or "not named", pregnant=True)
