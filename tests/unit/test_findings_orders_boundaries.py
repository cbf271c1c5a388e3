"""O3, O4, N1-N7 at their edges, as the specification counts them: both ends of a window belong to it."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.contrast import ContrastFacts, contrast_advice
from imaging_findings.duplicates import Chart, find_repeats
from imaging_findings.history import ReportFacts
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.patient_facts import latest_egfr
from imaging_findings.study_kinds import Contrast
from tests.cds_actors import NOW
from tests.order_actors import TODAY, a_kind, a_prior, an_egfr, an_imaging_order, days_ago

CT = a_kind("CT", "abdomen", contrast=Contrast.WITH)


def is_told(ago: int, conclusion: str, policy: OrderPolicy | None = None, **members: Any) -> bool:
    report = ReportFacts(
        reference="DiagnosticReport/r",
        day=days_ago(ago),
        signed_by=None,
        conclusion=conclusion,
        studies=frozenset({"ImagingStudy/prior"}),
        results=frozenset(),
    )
    advice, _ = find_repeats(
        an_imaging_order(**members), Chart(studies=(a_prior(ago=ago),), reports=(report,)), policy or OrderPolicy(), TODAY
    )
    return bool(advice)


@pytest.mark.parametrize(("ago", "told"), [(13, True), (14, False), (28, False), (42, False), (56, False), (57, True)])
def test_o4_a_report_silences_from_two_weeks_before_to_two_weeks_after_what_it_names(ago: int, told: bool) -> None:
    """Nobody gets an appointment on the very day: 14 days on either side, as for every follow-up."""
    assert is_told(ago, "Recommend repeat CT in 4 to 6 weeks.") is told


@pytest.mark.parametrize(("ago", "told"), [(75, True), (76, False)])
def test_o4_three_months_are_calendar_months(ago: int, told: bool) -> None:
    """Three months before 2026-11-21 are 92 days, outside the look-back; "90 days" are counted as days."""
    assert is_told(ago, "Follow-up CT in 90 days.") is told


def test_o4_the_planned_day_counts_and_not_today() -> None:
    assert is_told(1, "Recommend repeat CT in 4 weeks.")
    assert not is_told(1, "Recommend repeat CT in 4 weeks.", planned=days_ago(-13))
    assert is_told(1, "Recommend repeat CT in 4 weeks.", planned=days_ago(-12))


@pytest.mark.parametrize(("ago", "told"), [(1, True), (3, True), (4, False), (7, False), (21, False), (22, True)])
def test_o4_of_a_short_time_at_most_half_may_be_missing(ago: int, told: bool) -> None:
    assert is_told(ago, "Recommend repeat CT in 1 week.") is told


@pytest.mark.parametrize(
    ("conclusion", "told"),
    [
        ("Recommend MRI of the spine in 6 weeks.", True),
        ("Recommend CT or MRI in 6 weeks.", False),
        ("Recommend a repeat examination in 6 weeks.", False),
        ("Recommend ultrasound in 2 years. Follow-up CT in 6 weeks.", False),
    ],
)
def test_o4_a_recommendation_of_another_modality_silences_nothing(conclusion: str, told: bool) -> None:
    assert is_told(42, conclusion) is told


@pytest.mark.parametrize("early_days", [0, 14, 21])
def test_o4_a_site_widens_the_two_weeks_but_never_narrows_them(early_days: int) -> None:
    policy = OrderPolicy(follow_up_early_days=early_days)

    assert not is_told(35, "Recommend repeat CT in 6 weeks.", policy)
    assert is_told(22, "Recommend repeat CT in 6 weeks.", policy) is (early_days < 20)


@pytest.mark.parametrize(
    "conclusion", ["No follow-up needed.", "Compared with the CT 4 weeks ago.", "Patient seen 4 weeks ago."]
)
def test_o4_a_time_that_is_no_recommendation_silences_nothing(conclusion: str) -> None:
    assert is_told(28, conclusion)


def rules(value: float | None, ago: int = 5, **facts: Any) -> set[str]:
    egfr = latest_egfr([an_egfr(value, ago)], NOW) if value is not None else None
    found = contrast_advice(an_imaging_order(CT), ContrastFacts(egfr=egfr, **facts), OrderPolicy(), TODAY)
    return {one.rule_id for one in found}


@pytest.mark.parametrize(
    ("value", "expected"), [(29, set()), (29.99, set()), (30, set()), (44, set()), (45, set()), (None, set())]
)
def test_n1_on_dialysis_kidney_function_is_no_question(value: float | None, expected: set[str]) -> None:
    assert rules(value, dialysis="dialysis", kidney_risks=("CKD",)) == expected


def test_n1_acute_kidney_injury_counts_on_dialysis_too() -> None:
    assert rules(50, dialysis="dialysis", acute_kidney_injury="AKI") == {"contrast/N1"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (29, {"contrast/N1", "contrast/N4"}),
        (30, {"contrast/N2"}),
        (44, {"contrast/N2"}),
        (45, set()),
        (None, {"contrast/N6"}),
    ],
)
def test_n4_n5_with_metformin_at_every_edge(value: float | None, expected: set[str]) -> None:
    assert rules(value, metformin="metformin") == expected


@pytest.mark.parametrize(
    ("inpatient", "ago", "expected"),
    [
        (True, 30, {"contrast/N1", "contrast/N4"}),
        (True, 31, {"contrast/N6"}),
        (False, 90, {"contrast/N1", "contrast/N4"}),
        (False, 91, {"contrast/N6"}),
        (False, 0, {"contrast/N1", "contrast/N4"}),
    ],
)
def test_t7_an_egfr_outside_its_window_computes_nothing(inpatient: bool, ago: int, expected: set[str]) -> None:
    assert rules(20, ago, metformin="metformin", is_inpatient=inpatient) == expected


def test_t7_a_result_of_tomorrow_is_none() -> None:
    assert latest_egfr([an_egfr(20, -1)], NOW) is None


@pytest.mark.parametrize("unit", ["mL/min", "mL/min/{1.73_m2}", "mL/min/1.73m2", "mL/min/1.73 m2"])
@pytest.mark.parametrize(("value", "expected"), [(29, {"contrast/N1"}), (30, {"contrast/N2"}), (45, set())])
def test_t7_absolute_and_normalised_units_have_the_same_edges(unit: str, value: float, expected: set[str]) -> None:
    quantity = {"value": value, "unit": unit}
    egfr = latest_egfr([an_egfr(None, valueQuantity=quantity)], NOW)
    found = contrast_advice(an_imaging_order(CT), ContrastFacts(egfr=egfr), OrderPolicy(), TODAY)

    assert {one.rule_id for one in found} == expected


@pytest.mark.parametrize(
    ("comparator", "bound", "expected"),
    [
        ("<", 30, {"contrast/N1"}),
        ("<", 31, {"contrast/egfr-unclear"}),
        ("<=", 29, {"contrast/N1"}),
        ("<=", 30, {"contrast/egfr-unclear"}),
        (">", 44, {"contrast/egfr-unclear"}),
        (">", 45, set()),
        (">=", 45, set()),
        (">=", 44, {"contrast/egfr-unclear"}),
        ("ad", 20, {"contrast/egfr-unclear"}),
    ],
)
def test_t7_comparators_at_their_edges(comparator: str, bound: float, expected: set[str]) -> None:
    quantity = {"value": bound, "comparator": comparator, "system": "http://unitsofmeasure.org", "code": "mL/min"}
    egfr = latest_egfr([an_egfr(None, valueQuantity=quantity)], NOW)
    found = contrast_advice(an_imaging_order(CT), ContrastFacts(egfr=egfr), OrderPolicy(), TODAY)

    assert {one.rule_id for one in found} == expected
