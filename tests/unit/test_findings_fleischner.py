"""F: Fleischner 2017, every cell and every boundary of the specification (T2)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date

import pytest

from imaging_findings.codes import Code
from imaging_findings.facts import Facts
from imaging_findings.findings import Attenuation, Nodule, Risk
from imaging_findings.history import ConditionFacts, PatientFacts
from imaging_findings.incidental import RowsFound, exclusions_for, rows_for
from imaging_findings.nodule_terms import Rounding
from imaging_findings.packs import bundled_packs

PACK = bundled_packs().nodules
SOLID, PART, GROUND_GLASS = Attenuation.SOLID, Attenuation.PART_SOLID, Attenuation.GROUND_GLASS
LOW, HIGH = Risk.LOW, Risk.HIGH
STUDY = date(2026, 10, 1)


def plan(kind: Attenuation, count: int, mm: float, risk: Risk | None = None) -> list[str]:
    """The row's id and its steps in short."""
    found = rows_for(PACK, Nodule(attenuation=kind, diameter_mm=mm, count=count, risk=risk))
    steps = [
        f"{row.row_id}: " + ("; ".join(f"{step.interval} {step.strength}" for step in row.steps) or "none")
        for row in found.rows
    ]
    return steps


@pytest.mark.parametrize(
    ("kind", "count", "mm", "risk", "expected"),
    [
        (SOLID, 1, 5, LOW, "F1-lt6: none"),
        (SOLID, 1, 7, LOW, "F1-6-8: 6–12 months recommended; 18–24 months consider"),
        (SOLID, 1, 9, LOW, "F1-gt8: 3 months consider"),
        (SOLID, 1, 5, HIGH, "F2-lt6: 12 months optional"),
        (SOLID, 1, 7, HIGH, "F2-6-8: 6–12 months recommended; 18–24 months recommended"),
        (SOLID, 1, 9, HIGH, "F2-gt8: 3 months consider"),
        (SOLID, 2, 5, LOW, "F3-lt6: none"),
        (SOLID, 2, 7, LOW, "F3-ge6: 3–6 months recommended; 18–24 months consider"),
        (SOLID, 2, 9, LOW, "F3-ge6: 3–6 months recommended; 18–24 months consider"),
        (SOLID, 2, 5, HIGH, "F4-lt6: 12 months optional"),
        (SOLID, 2, 7, HIGH, "F4-ge6: 3–6 months recommended; 18–24 months recommended"),
        (SOLID, 2, 9, HIGH, "F4-ge6: 3–6 months recommended; 18–24 months recommended"),
        (GROUND_GLASS, 1, 5, None, "F5-lt6: none"),
        (GROUND_GLASS, 1, 6, None, "F5-ge6: 6–12 months recommended; 2 years if-persistent"),
        (GROUND_GLASS, 1, 9, None, "F5-ge6: 6–12 months recommended; 2 years if-persistent"),
        (PART, 1, 5, None, "F6-lt6: none"),
        (PART, 1, 6, None, "F6-ge6: 3–6 months recommended; 1 year if-persistent"),
        (PART, 1, 9, None, "F6-ge6: 3–6 months recommended; 1 year if-persistent"),
        (GROUND_GLASS, 3, 5, None, "F7-lt6: 3–6 months recommended; 2 years consider"),
        (PART, 3, 5, None, "F7-lt6: 3–6 months recommended; 2 years consider"),
        (PART, 3, 7, None, "F7-ge6: 3–6 months recommended"),
        (GROUND_GLASS, 3, 9, None, "F7-ge6: 3–6 months recommended"),
    ],
)
def test_every_cell_of_the_table(kind: Attenuation, count: int, mm: float, risk: Risk | None, expected: str) -> None:
    assert plan(kind, count, mm, risk) == [expected]


@pytest.mark.parametrize(
    ("mm", "row"),
    [(5.4, "F2-lt6"), (5.6, "F2-6-8"), (6.0, "F2-6-8"), (7.5, "F2-6-8"), (8.0, "F2-6-8"), (8.4, "F2-6-8"), (8.6, "F2-gt8")],
)
def test_sizes_are_rounded_to_whole_millimetres(mm: float, row: str) -> None:
    found = rows_for(PACK, Nodule(attenuation=SOLID, diameter_mm=mm, count=1, risk=HIGH))

    assert [one.row_id for one in found.rows] == [row]


@pytest.mark.parametrize("mm", [5.5, 8.5])
def test_a_size_on_an_edge_waits_for_the_owners_decision(mm: float) -> None:
    """T2 for F1 to F7, which share the bands."""
    nodule = Nodule(attenuation=SOLID, diameter_mm=mm, count=1, risk=HIGH)

    undecided = rows_for(PACK, nodule)

    assert undecided.rows == ()
    assert undecided.missing == (f"the site's decision whether {mm} mm is rounded up or down",)
    assert len(rows_for(replace(PACK, rounding_of_half=Rounding.UP), nodule).rows) == 1
    assert rows_for(replace(PACK, rounding_of_half=Rounding.UP), nodule) != rows_for(
        replace(PACK, rounding_of_half=Rounding.DOWN), nodule
    )


def test_unknown_risk_shows_both_rows_and_says_so() -> None:
    found = rows_for(PACK, Nodule(attenuation=SOLID, diameter_mm=7.0, count=1))

    assert [row.row_id for row in found.rows] == ["F1-6-8", "F2-6-8"]
    assert found.missing == ("the patient's risk (low or high)",)


def test_subsolid_nodules_do_not_ask_for_risk() -> None:
    assert rows_for(PACK, Nodule(attenuation=GROUND_GLASS, diameter_mm=7.0, count=1)).missing == ()


@pytest.mark.parametrize(
    ("nodule", "missing"),
    [
        (Nodule(diameter_mm=7.0, count=1), "the nodule's type (solid, part-solid, ground-glass)"),
        (Nodule(attenuation=SOLID, count=1), "the nodule's mean diameter in mm"),
        (Nodule(attenuation=SOLID, diameter_mm=7.0), "the number of nodules"),
    ],
)
def test_gd_missing_input_gives_no_row_and_is_named(nodule: Nodule, missing: str) -> None:
    found = rows_for(PACK, nodule)

    assert found.rows == ()
    assert found.missing == (missing,)


def test_every_nodule_has_exactly_one_row_per_risk() -> None:
    for kind, count, mm, risk in itertools.product(Attenuation, (1, 2), (5.0, 7.0, 9.0), Risk):
        assert len(rows_for(PACK, Nodule(attenuation=kind, diameter_mm=mm, count=count, risk=risk)).rows) == 1


def facts_of(birth: date | None, *conditions: tuple[str, str], unavailable: frozenset[str] = frozenset()) -> Facts:
    return Facts(
        patient=PatientFacts(patient_id="p", birth_date=birth),
        conditions=tuple(ConditionFacts(codes=(Code(*one),), words="x") for one in conditions),
        unavailable=unavailable,
    )


@pytest.mark.parametrize(
    ("birth", "excluded"),
    [(date(1991, 10, 1), ()), (date(1991, 10, 2), ("age below 35 years at the study",))],
    ids=["35 on the day", "34"],
)
def test_age_counts_at_the_study(birth: date, excluded: tuple[str, ...]) -> None:
    assert exclusions_for(PACK, facts_of(birth), STUDY, screening=False).excluded == excluded


@pytest.mark.parametrize(
    ("system", "code", "excluded"),
    [
        ("http://snomed.info/sct", "93880001", ("a known cancer",)),
        ("http://hl7.org/fhir/sid/icd-10", "C50.9", ("a known cancer",)),
        ("http://hl7.org/fhir/sid/icd-10-cm", "D84.821", ("immunosuppression",)),
        ("http://hl7.org/fhir/sid/icd-10-cm", "Z80.1", ()),
        ("http://hl7.org/fhir/sid/icd-10", "I10", ()),
    ],
    ids=["lung cancer", "breast cancer", "immunodeficiency", "family history of cancer", "hypertension"],
)
def test_conditions_exclude_by_code(system: str, code: str, excluded: tuple[str, ...]) -> None:
    facts = facts_of(date(1960, 1, 1), (system, code))

    assert exclusions_for(PACK, facts, STUDY, screening=False).excluded == excluded


def test_x4_screening_is_excluded() -> None:
    assert exclusions_for(PACK, facts_of(date(1960, 1, 1)), STUDY, screening=True).excluded == ("a screening examination",)


def test_what_cannot_be_ruled_out_is_missing() -> None:
    nothing_known = exclusions_for(PACK, facts_of(None, unavailable=frozenset({"conditions"})), None, screening=False)

    assert nothing_known.missing == (
        "the date of the study",
        "the patient's date of birth",
        "the patient's conditions (known cancer or immunosuppression could not be ruled out)",
    )


@pytest.mark.parametrize(
    ("code", "excluded"),
    [
        ("254837009", "a known cancer"),
        ("118600007", "a known cancer"),
        ("128462008", "a known cancer"),
        ("86406008", "immunosuppression"),
        ("370388006", "immunosuppression"),
    ],
    ids=["breast cancer", "lymphoma", "metastasis", "HIV", "immunocompromised"],
)
def test_f_cancer_and_immunosuppression_exclude_by_snomed_too(code: str, excluded: str) -> None:
    facts = facts_of(date(1960, 1, 1), ("http://snomed.info/sct", code))

    assert exclusions_for(PACK, facts, STUDY, screening=False).excluded == (excluded,)


def in_words(words: str) -> Facts:
    condition = ConditionFacts(codes=(Code("urn:oid:1.2.3", "4711"),), words=words)
    return Facts(patient=PatientFacts(patient_id="p", birth_date=date(1960, 1, 1)), conditions=(condition,))


@pytest.mark.parametrize(
    "words", ["Invasive ductal carcinoma", "History of breast cancer", "HIV infection", "Immunosuppressed", "Kidney transplant"]
)
def test_gd_words_that_suggest_cancer_or_immunosuppression_take_the_interval(words: str) -> None:
    """Gc: the words exclude nobody; Gd: what they may mean is missing."""
    found = exclusions_for(PACK, in_words(words), STUDY, screening=False)

    assert found.excluded == ()
    assert found.missing == ("the code of a condition (by its words, cancer or immunosuppression could not be ruled out)",)


@pytest.mark.parametrize(
    "words",
    [
        "Family history of malignant neoplasm of breast",
        "Encounter for screening for malignant neoplasm of colon",
        "Benign neoplasm of colon",
        "Fear of cancer",
        "Hypertension",
        "Hearing aid user",
        "a condition",
    ],
)
def test_words_that_suggest_neither_take_nothing(words: str) -> None:
    assert exclusions_for(PACK, in_words(words), STUDY, screening=False) == RowsFound()
