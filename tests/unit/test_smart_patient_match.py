"""Whether archive and EHR mean the same person: every case that decides, and that doubt never counts as equal."""

from __future__ import annotations

from typing import Any

import pytest

from ehr_sandbox import demo_study
from imaging_cds.demo_plan import DEMO_NUMBERS
from smart_app.patient_match import WHY_WORDS, ArchiveAnswer, IdentifierSystem, Match, Why, judge_match

STUDY = "2.25.1001"
MRN = "https://hospital.example/mrn"
RULE = IdentifierSystem(system=MRN, issuer_of_patient_id="HOSPITAL")
ONLY_ISSUER = IdentifierSystem(system=MRN, issuer_of_patient_id="HOSPITAL", is_only_issuer=True)
ANY_ISSUER = IdentifierSystem(system=MRN)
NUMBERS = frozenset({(MRN, "1001"), ("https://insurer.example", "77")})


def in_archive(number: str | None = "1001", issuer: str | None = "HOSPITAL", study: str = STUDY) -> dict[str, Any]:
    """One study as QIDO-RS tells it."""
    dataset: dict[str, Any] = {"0020000D": {"vr": "UI", "Value": [study]}}
    if number is not None:
        dataset["00100020"] = {"vr": "LO", "Value": [number]}
    if issuer is not None:
        dataset["00100021"] = {"vr": "LO", "Value": [issuer]}
    return dataset


def found(*datasets: dict[str, Any]) -> ArchiveAnswer:
    return ArchiveAnswer(datasets=datasets)


SILENCE = ArchiveAnswer(datasets=None)
REFUSAL = ArchiveAnswer(datasets=None, is_refused=True)
NOBODY: frozenset[tuple[str, str]] = frozenset()

CASES = [
    ("the same number", RULE, NUMBERS, found(in_archive()), Match.SAME, Why.EQUAL),
    ("padding is no difference", RULE, NUMBERS, found(in_archive("1001 ")), Match.SAME, Why.EQUAL),
    ("no issuer in the images", RULE, NUMBERS, found(in_archive(issuer=None)), Match.NOT_COMPARED, Why.NO_ISSUER),
    ("no issuer and another number", RULE, NUMBERS, found(in_archive("1002", None)), Match.DIFFERENT, Why.OTHER_NUMBER),
    ("no issuer where there is one only", ONLY_ISSUER, NUMBERS, found(in_archive(issuer=None)), Match.SAME, Why.EQUAL),
    ("another where there is one only", ONLY_ISSUER, NUMBERS, found(in_archive(issuer="X")), Match.DIFFERENT, Why.OTHER_ISSUER),
    ("issuers not looked at", ANY_ISSUER, NUMBERS, found(in_archive(issuer="OTHER")), Match.SAME, Why.EQUAL),
    ("another number", RULE, NUMBERS, found(in_archive("1002")), Match.DIFFERENT, Why.OTHER_NUMBER),
    ("a number of another system", RULE, NUMBERS, found(in_archive("77")), Match.DIFFERENT, Why.OTHER_NUMBER),
    ("leading zeros are another number", RULE, NUMBERS, found(in_archive("01001")), Match.DIFFERENT, Why.OTHER_NUMBER),
    ("an equal number of another issuer", RULE, NUMBERS, found(in_archive(issuer="OTHER")), Match.DIFFERENT, Why.OTHER_ISSUER),
    ("one study of two people", RULE, NUMBERS, found(in_archive(), in_archive("1002")), Match.DIFFERENT, Why.OTHER_NUMBER),
    ("refused by name", RULE, NUMBERS, REFUSAL, Match.DIFFERENT, Why.REFUSED),
    ("no system configured", None, NUMBERS, found(in_archive("1002")), Match.NOT_COMPARED, Why.NO_SYSTEM),
    ("Patient not readable", RULE, NOBODY, found(in_archive()), Match.NOT_COMPARED, Why.NO_IDENTIFIER),
    ("the archive is silent", RULE, NUMBERS, SILENCE, Match.NOT_COMPARED, Why.NO_ANSWER),
    ("the archive has no such study", RULE, NUMBERS, found(), Match.NOT_COMPARED, Why.NOT_FOUND),
    ("another study came back", RULE, NUMBERS, found(in_archive(study="2.25.9")), Match.NOT_COMPARED, Why.NOT_FOUND),
    ("no number in the images", RULE, NUMBERS, found(in_archive(None)), Match.NOT_COMPARED, Why.NO_PATIENT_ID),
    (
        "an issuer where the only one has no name",
        IdentifierSystem(system=RULE.system, is_only_issuer=True),
        NUMBERS,
        found(in_archive(issuer="SOUTH")),
        Match.DIFFERENT,
        Why.OTHER_ISSUER,
    ),
    (
        "one of two without a number",
        RULE,
        NUMBERS,
        found(in_archive(), in_archive(None)),
        Match.NOT_COMPARED,
        Why.NO_PATIENT_ID,
    ),
]


@pytest.mark.parametrize(
    ("rule", "numbers", "answer", "match", "why"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_groups_11_and_29_who_the_images_are_of(
    rule: IdentifierSystem | None, numbers: frozenset[tuple[str, str]], answer: ArchiveAnswer, match: Match, why: Why
) -> None:
    """Any doubt denies or is said; nothing falls back to the first identifier."""
    verdict = judge_match(rule, numbers, answer, STUDY)

    assert (verdict.match, verdict.why) == (match, why)


def test_every_reason_has_words() -> None:
    assert set(WHY_WORDS) == set(Why)


def test_the_demo_compares_by_the_numbers_that_its_pictures_carry() -> None:
    assert DEMO_NUMBERS["system"] == demo_study.MRN_SYSTEM
    assert DEMO_NUMBERS["issuer_of_patient_id"] == demo_study.ISSUER_OF_PATIENT_ID
