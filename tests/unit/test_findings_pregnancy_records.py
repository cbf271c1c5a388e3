"""P: which codes and words tell a pregnancy or its end, what they say together, and what cannot be read."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from imaging_findings.order_advice import OrderAdvice
from imaging_findings.order_chart import ORDER_QUERIES
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.pregnancy import PregnancyFacts, pregnancy_advice
from imaging_findings.pregnancy_records import pregnancy_records
from imaging_findings.rules import Urgency
from tests.cds_actors import LOINC, NOW, SCT, a_condition, concept
from tests.order_actors import TODAY, a_kind, an_imaging_order, days_ago

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
BORN = date(1996, 5, 1)
STATUS, URINE, SERUM, AMOUNT = "82810-3", "2106-3", "2118-8", "21198-7"
PREGNANT, NOT_PREGNANT = concept(SCT, "77386006"), concept(SCT, "60001007")


def seen(loinc: str, day: object = "2026-11-18", **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(LOINC, loinc),
        "effectiveDateTime": str(day),
    } | members


def said(*observations: dict[str, Any], conditions: Any = (), gender: str = "female", born: date = BORN) -> OrderAdvice | None:
    facts = PregnancyFacts(gender=gender, birth_date=born, records=pregnancy_records(observations, conditions, NOW))
    return pregnancy_advice(an_imaging_order(a_kind("CT", "pelvis")), facts, OrderPolicy(), TODAY)


def headline(*observations: dict[str, Any], **others: Any) -> str | None:
    advice = said(*observations, **others)
    return advice.headline if advice else None


def warns(*observations: dict[str, Any], **others: Any) -> bool:
    advice = said(*observations, **others)
    return advice is not None and advice.urgency is Urgency.WARNING


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        (ICD, "O09.92", True),
        (ICD, "Z3A.20", True),
        (ICD, "O24.419", True),
        (ICD, "O24.011", True),
        (ICD, "O30.009", True),
        (ICD, "Z32.01", True),
        (ICD, "Z33.1", True),
        (ICD, "Z33.3", True),
        (ICD, "Z34.90", True),
        (SCT, "72892002", True),
        (SCT, "47200007", True),
        (SCT, "16356006", True),
        (ICD, "Z33.2", False),
        (ICD, "Z32.02", False),
        (ICD, "O24.430", False),
        (ICD, "Z39.2", False),
        (ICD, "O80", False),
        (ICD, "O03.9", False),
    ],
    ids=lambda one: str(one),
)
def test_p_conditions_that_say_that_she_is_pregnant_now(system: str, code: str, expected: bool) -> None:
    assert warns(conditions=[a_condition(system, code)]) is expected


def test_p_a_later_negative_ends_an_earlier_pregnancy() -> None:
    ended = (
        seen(STATUS, "2026-08-01", valueCodeableConcept=PREGNANT),
        seen(STATUS, "2026-10-01", valueCodeableConcept=NOT_PREGNANT),
    )
    condition = a_condition(ICD, "Z34.90", recordedDate="2026-08-01")

    assert headline(*ended) == "no current pregnancy status (the last is of 2026-10-01)"
    assert headline(ended[1], conditions=[condition]) == "no current pregnancy status (the last is of 2026-10-01)"
    assert warns(*ended, seen(STATUS, "2026-11-01", valueCodeableConcept=PREGNANT)), "and a new one begins"


@pytest.mark.parametrize(("ago", "expected"), [(30, None), (31, "no current pregnancy status (the last is of 2026-10-21)")])
def test_p_how_long_a_negative_is_a_status_of_today(ago: int, expected: str | None) -> None:
    earlier = seen(STATUS, days_ago(100), valueCodeableConcept=PREGNANT)

    assert headline(earlier, seen(STATUS, days_ago(ago), valueCodeableConcept=NOT_PREGNANT)) == expected


def test_p_of_one_day_the_record_of_a_pregnancy_counts() -> None:
    both = (seen(URINE, valueString="negative"), seen(SERUM, valueString="positive"))

    assert warns(*both)
    assert warns(*reversed(both))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"valueString": "POSITIVE"}, True),
        ({"valueString": " positive. "}, True),
        ({"valueString": "Pos"}, True),
        ({"valueCodeableConcept": {"text": "Positive"}}, True),
        ({"valueBoolean": True}, True),
        ({"valueQuantity": {"value": 5000}, "interpretation": [{"coding": [{"system": "x", "code": "POS"}]}]}, False),
        ({"valueString": "not positive"}, False),
        ({"valueString": "positive control failed"}, False),
    ],
)
def test_p_the_one_word_of_a_result_counts_and_no_sentence(members: dict[str, Any], expected: bool) -> None:
    assert warns(seen(URINE, **members)) is expected


@pytest.mark.parametrize(
    ("resource", "on_record"),
    [
        (seen(STATUS, valueCodeableConcept=PREGNANT), "pregnancy status: pregnant (2026-11-18)"),
        (seen(STATUS, valueCodeableConcept=PREGNANT | {"text": "Week 12"}), "pregnancy status: Week 12 (2026-11-18)"),
        (seen(URINE, valueCodeableConcept=concept(SCT, "10828004")), "pregnancy test: positive (2026-11-18)"),
        (seen(URINE, valueString="POSITIVE"), "pregnancy test: POSITIVE (2026-11-18)"),
        (seen(AMOUNT, valueQuantity={"value": 5000, "unit": "mIU/mL"}), "pregnancy test: 5000 mIU/mL"),
        (seen(AMOUNT, valueQuantity={"value": 2, "comparator": "<"}), "pregnancy test: <2"),
        (seen(URINE), "pregnancy test: not named"),
    ],
)
def test_p_the_record_is_shown_in_words_and_never_as_a_bare_code(resource: dict[str, Any], on_record: str) -> None:
    advice = said(resource)

    assert advice is not None
    assert dict(advice.lines)["On record"] == on_record


def test_p_a_test_is_called_a_test() -> None:
    assert headline(seen(URINE, valueString="positive")) == "a positive pregnancy test is on record (2026-11-18)"
    assert headline(seen(STATUS, valueCodeableConcept=PREGNANT)) == "a pregnancy is on record (2026-11-18)"


@pytest.mark.parametrize("words", ["NEGATIVE", "neg", "Negative."])
def test_p_a_negative_in_words_is_silence(words: str) -> None:
    assert headline(seen(URINE, valueString=words)) is None


@pytest.mark.parametrize(
    "test",
    [
        seen(AMOUNT, valueQuantity={"value": 5000, "unit": "mIU/mL"}),
        seen("19080-1", valueQuantity={"value": 3, "unit": "mIU/mL"}),
        seen(URINE, valueString="see comment"),
        seen(URINE),
    ],
)
def test_p_a_test_that_cannot_be_read_is_told_and_not_denied(test: dict[str, Any]) -> None:
    assert headline(test) == "A pregnancy test of 2026-11-18 is on record; its result could not be read: please ask."


def test_p_an_unclear_record_matters_only_while_it_is_the_latest() -> None:
    amount = seen(AMOUNT, valueQuantity={"value": 5000})
    old = seen(AMOUNT, days_ago(31), valueQuantity={"value": 5000})
    unknown = seen(STATUS, valueCodeableConcept=concept(SCT, "261665006"))

    assert headline(amount, seen(URINE, "2026-11-19", valueString="negative")) is None
    assert (headline(amount, seen(URINE, "2026-11-17", valueString="negative")) or "").startswith("A pregnancy test")
    assert warns(amount, seen(URINE, "2026-11-17", valueString="positive"))
    assert headline(old) == "no pregnancy status recorded in 30 days"
    assert headline(unknown) == "The pregnancy status of 2026-11-18 on record says neither yes nor no: please ask."


@pytest.mark.parametrize(("gender", "born"), [("male", BORN), ("female", date(1975, 5, 1)), ("female", date(2015, 5, 1))])
def test_p_a_recorded_pregnancy_counts_whatever_sex_and_age_are_registered(gender: str, born: date) -> None:
    assert warns(conditions=[a_condition(SCT, "77386006")], gender=gender, born=born)
    assert headline(gender=gender, born=born) is None, "but nobody is asked"
    assert headline(seen(AMOUNT, valueQuantity={"value": 9}), gender=gender, born=born) is None


def test_p_what_is_not_yet_says_nothing() -> None:
    assert not warns(seen(URINE, days_ago(-1), valueString="positive"))
    assert warns(seen(URINE, "2026-11-21T17:00:00+09:00", valueString="positive"))


@pytest.mark.parametrize("code", [STATUS, URINE, SERUM, AMOUNT, "19080-1", "2110-5", "2112-1", "80384-1", "80385-8"])
def test_p_every_code_is_asked_for(code: str) -> None:
    (query,) = [one for one in ORDER_QUERIES if one.key == "pregnancy"]

    assert f"{LOINC}|{code}" in query.template
