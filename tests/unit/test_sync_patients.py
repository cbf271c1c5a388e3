"""Whose study it is: a number means something within its issuer only, and none or several Patients are nobody.

Spec: clinical rules X14.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_imaging.archived_study import PatientNumber
from pacs_sync.patients import (
    Question,
    Questions,
    Unknown,
    answer,
    decided_by_person,
    has_number,
    is_active,
    named_by_person,
    questions,
    replaced_by,
)
from pacs_sync.ports import HoldReason, Subject
from pacs_sync.settings import PatientRule
from tests.sync_actors import MRN, OTHER_MRN, a_patient, a_study, a_task

BY_ISSUER = (
    PatientRule(system=MRN, issuer_of_patient_id="DEMO"),
    PatientRule(system=OTHER_MRN, issuer_of_patient_id="1.2.840.99"),
)
ONLY = (PatientRule(system=MRN, is_only_issuer=True),)
TODAY = "2026-11-21"


def number(value: str, issuer: str | None = "DEMO", universal: str | None = None) -> PatientNumber:
    return PatientNumber(number=value, issuer=issuer, universal_issuer=universal)


@pytest.mark.parametrize(
    ("stated", "rules", "system"),
    [
        (number("1"), BY_ISSUER, MRN),
        (number("1", " DEMO "), BY_ISSUER, MRN),
        (number("1", None, "1.2.840.99"), BY_ISSUER, OTHER_MRN),
        (number("1", "LOCAL", "1.2.840.99"), BY_ISSUER, OTHER_MRN),
        (number("1", None), ONLY, MRN),
        (number("1", "  "), ONLY, MRN),
    ],
)
def test_a_number_is_asked_for_in_the_system_of_its_issuer(
    stated: PatientNumber, rules: tuple[PatientRule, ...], system: str
) -> None:
    asked = questions(a_study(patients=(stated,)), rules)

    assert isinstance(asked, Questions)
    assert asked.main == Question(system=system, number="1")


@pytest.mark.parametrize(
    ("patients", "rules", "reason"),
    [
        ((), BY_ISSUER, HoldReason.NO_NUMBER),
        ((number(" "),), BY_ISSUER, HoldReason.NO_NUMBER),
        ((number("1", "ELSEWHERE"),), BY_ISSUER, HoldReason.UNKNOWN_ISSUER),
        ((number("1", "demo"),), BY_ISSUER, HoldReason.UNKNOWN_ISSUER),
        ((number("1", None),), BY_ISSUER, HoldReason.UNKNOWN_ISSUER),
        ((number("1", "DEMO"),), ONLY, HoldReason.UNKNOWN_ISSUER),
        ((number("1", "DEMO", "1.2.840.99"),), BY_ISSUER, HoldReason.UNKNOWN_ISSUER),
        ((number("1"),), (), HoldReason.UNKNOWN_ISSUER),
        ((number("1"), number("2")), BY_ISSUER, HoldReason.MIXED),
        ((number("1"), number("1", None, "1.2.840.99")), BY_ISSUER, HoldReason.MIXED),
        ((number("1"), number("1", None)), BY_ISSUER, HoldReason.MIXED),
        ((number("1", "X"), number("2", "X")), BY_ISSUER, HoldReason.MIXED),
    ],
)
def test_X14_what_is_not_certain_is_held_and_asked_of_nobody(
    patients: tuple[PatientNumber, ...], rules: tuple[PatientRule, ...], reason: HoldReason
) -> None:
    found = questions(a_study(patients=patients), rules)

    assert isinstance(found, Unknown)
    assert found.held.reason is reason


def test_two_rules_for_numbers_without_an_issuer_are_as_good_as_none() -> None:
    rules = (*ONLY, PatientRule(system=OTHER_MRN, is_only_issuer=True))

    found = questions(a_study(patients=(number("1", None),)), rules)

    assert isinstance(found, Unknown)
    assert found.held.reason is HoldReason.UNKNOWN_ISSUER


def test_one_person_written_in_two_ways_is_one_person() -> None:
    rules = (*ONLY, *BY_ISSUER)

    found = questions(a_study(patients=(number("1"), number("1 ", None), number("", None))), rules)

    assert isinstance(found, Questions)


ASKED = Questions(main=Question(system=MRN, number="1"), others=(), stated=number("1"))


def test_exactly_one_patient_is_an_answer() -> None:
    assert answer(ASKED, [a_patient("a")], []) == Subject(patient_id="a", system=MRN, number="1")


@pytest.mark.parametrize(
    ("found", "reason"),
    [([], HoldReason.NO_PATIENT), ([a_patient("a"), a_patient("b")], HoldReason.SEVERAL_PATIENTS)],
)
def test_X14_none_and_several_patients_are_nobody(found: list[dict[str, Any]], reason: HoldReason) -> None:
    answered = answer(ASKED, found, [])

    assert isinstance(answered, Unknown)
    assert (answered.held.reason, answered.candidates) == (reason, {one["id"] for one in found})


def test_another_number_never_decides_and_may_contradict() -> None:
    by_other = [[a_patient("a")], []]
    assert isinstance(answer(ASKED, [a_patient("a")], by_other), Subject)
    assert isinstance(answer(ASKED, [], by_other), Unknown)

    contradicted = answer(ASKED, [a_patient("a")], [[a_patient("b")]])
    assert isinstance(contradicted, Unknown)
    assert (contradicted.held.reason, contradicted.candidates) == (HoldReason.SEVERAL_PATIENTS, frozenset())


def test_other_numbers_are_asked_for_where_a_rule_knows_them_and_not_without_end() -> None:
    others = (number("1"), number("7"), number("8", "ELSEWHERE"), *(number(f"9{more}") for more in range(20)))

    asked = questions(a_study(patients=(number("1"),), other_numbers=others), BY_ISSUER)

    assert isinstance(asked, Questions)
    assert [one.number for one in asked.others] == ["7", "90", "91", "92", "93"]


def test_what_a_person_decided_counts_for_this_very_patient_of_the_archive() -> None:
    named = Subject(patient_id="a", system=MRN, number="1")
    study = a_study(number="TYPO")

    assert decided_by_person(study, a_task(assigned=named, assigned_for=number("TYPO"))) == named
    assert decided_by_person(study, a_task(assigned=named, assigned_for=number("OTHER"))) is None
    assert decided_by_person(study, a_task(assigned=named)) is None
    assert decided_by_person(study, a_task()) is None
    assert decided_by_person(a_study(number=""), a_task(assigned=named)) == named
    beside_nobody = a_study(patients=(number("TYPO"), number("", None)))
    assert decided_by_person(beside_nobody, a_task(assigned=named, assigned_for=number("TYPO"))) == named
    assert decided_by_person(a_study(patients=(number(" "),)), a_task(assigned=named)) == named


def test_nobody_may_decide_that_two_patients_are_one() -> None:
    study = a_study(patients=(number("1"), number("2")))
    named = Subject(patient_id="a", system=MRN, number="1")

    assert decided_by_person(study, a_task(assigned=named, assigned_for=number("1"))) is None


@pytest.mark.parametrize(
    ("identifier", "counts"),
    [
        ({}, True),
        ({"use": "official"}, True),
        ({"period": {"end": "2026-11-21"}}, True),
        ({"period": {"end": "2027"}}, True),
        ({"use": "old"}, False),
        ({"period": {"end": "2026-11-20"}}, False),
        ({"period": {"end": 5}}, False),
        ({"system": OTHER_MRN}, False),
        ({"value": "10"}, False),
        ({"value": "demo"}, False),
    ],
)
def test_a_number_counts_while_it_is_in_use_and_is_that_very_number(identifier: dict[str, Any], counts: bool) -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": MRN, "value": "DEMO", **identifier}]}

    assert has_number(patient, MRN, "DEMO", today=TODAY) is counts


def test_only_replaced_by_says_that_a_record_was_merged() -> None:
    links = [{"type": kind, "other": {"reference": f"Patient/{kind}"}} for kind in ("seealso", "refer", "replaces")]
    replaced = {"type": "replaced-by", "other": {"reference": "Patient/new"}}

    assert replaced_by(a_patient("a", link=links)) == ()
    assert replaced_by(a_patient("a", link=[*links, replaced])) == ("Patient/new",)
    assert is_active(a_patient("a"))
    assert not is_active(a_patient("a", active=False))
    assert not is_active({"resourceType": "Patient"})


def test_a_record_that_became_several_is_nobodys() -> None:
    """FHIR lets a record be replaced by two: somebody has to say which."""
    named = Subject(patient_id="old", system="urn:x", number="1")
    became = [{"resourceType": "Patient", "id": one} for one in ("new-1", "new-2")]

    assert named_by_person(named, None, became[:1]) == replace(named, patient_id="new-1")
    verdict = named_by_person(named, None, became)
    assert isinstance(verdict, Unknown)
    assert (verdict.held.reason, verdict.candidates) == (HoldReason.SEVERAL_PATIENTS, {"new-1", "new-2"})
