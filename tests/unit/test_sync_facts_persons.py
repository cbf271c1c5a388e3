"""Whose a study is and who sent for it, out of DICOM JSON (7.2, X14, M1, M7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.archived_study import PatientNumber
from tests.facts_actors import UID, dataset, item, number, only


@pytest.mark.parametrize(
    ("stated", "patients"),
    [
        ([("7", "A"), ("7", "A")], [number("7", "A")]),
        ([("7 ", "A"), ("7\0", " A ")], [number("7", "A")]),
        ([("7", None), ("7", "A")], [number("7", "A")]),
        ([("7", "A"), ("", None)], [number("7", "A")]),
        ([("7", "A"), ("8", "A")], [number("7", "A"), number("8", "A")]),
        ([("7", "A"), ("7", "B")], [number("7", "A"), number("7", "B")]),
        ([("7", None), ("7", "A"), ("7", "B")], [number("7", "A"), number("7", "B")]),
        ([("7", "A"), ("07", "A")], [number("7", "A"), number("07", "A")]),
        ([("", None), ("  ", "A")], []),
    ],
)
def test_m7_two_persons_show_as_two_and_padding_does_not_count(
    stated: list[tuple[str, str | None]], patients: list[PatientNumber]
) -> None:
    told = [dataset(x00100020=bare, x00100021=issuer, x00080018=f"{UID}.1.{n}") for n, (bare, issuer) in enumerate(stated, 1)]

    assert list(only(*told).patients) == patients


@given(st.permutations([("7", None, None), ("7", "A", None), ("7", None, "1.9"), ("7", "A", "1.9")]))
def test_who_is_told_with_more_or_less_of_the_issuer_is_one_person_in_any_order(
    stated: list[tuple[str, str | None, str | None]],
) -> None:
    told = [
        dataset(x00100020=bare, x00100021=issuer, x00100024=[item(x00400032=universal)] if universal else None)
        for bare, issuer, universal in stated
    ]

    assert only(*told).patients == (number("7", "A", "1.9"),)


def test_m7_issuers_that_are_named_in_different_ways_are_two_until_something_names_both() -> None:
    """Else the number of one hospital would be looked up as another's."""
    local, universal = dataset(x00100020="7", x00100021="A"), dataset(x00100020="7", x00100024=[item(x00400032="1.9")])
    both = dataset(x00100020="7", x00100021="A", x00100024=[item(x00400032="1.9")])

    assert only(local, universal).patients == (number("7", "A"), number("7", None, "1.9"))
    assert only(local, universal, both).patients == (number("7", "A", "1.9"),)


@pytest.mark.parametrize("several", [["7", "8"], ["7", ""], ["", "7"], ["7\\8"]])
def test_x14_a_number_with_a_backslash_is_not_the_number_before_it(several: list[str]) -> None:
    """Readers of DICOM part it into two values; the patient with the first of them is somebody else."""
    (patient,) = only(dataset(x00100020=several)).patients
    (further,) = only(dataset(x00100020="1", x00101002=[item(x00100020=several)])).other_numbers

    assert patient == further == number("\\".join(several))
    assert only(dataset(x00100020="7", x00100021=["A", "B"])).patients == (number("7", "A\\B"),)


def test_further_numbers_of_the_person_are_told_apart_from_the_first() -> None:
    others = [item(x00100020="9", x00100021="B"), item(x00100020="7", x00100021="A"), item(x00100020="")]

    study = only(dataset(x00100020="7", x00100021="A", x00101002=others))

    assert (study.patients, study.other_numbers) == ((number("7", "A"),), (number("9", "B"),))


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"Alphabetic": "Synthetic^Gesa"}, "Gesa Synthetic"),
        ({"Alphabetic": "Synthetic^Gesa^M^Dr.^PhD"}, "Dr. Gesa M Synthetic PhD"),
        ({"Alphabetic": "Synthetic"}, "Synthetic"),
        ({"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}, "Tarou Yamada"),
        ({"Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}, "山田 太郎"),
        ("Synthetic^Gesa", "Gesa Synthetic"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Tarou Yamada"),
        ("Synthetic, Gesa", "Synthetic, Gesa"),
        ({"Alphabetic": "^^^^"}, None),
        ({"Alphabetic": 7}, None),
        ("", None),
        (None, None),
    ],
)
def test_m1_a_name_is_words_in_the_order_of_speech(stated: object, words: str | None) -> None:
    assert only(dataset(x00080090=[stated])).referrer == words
