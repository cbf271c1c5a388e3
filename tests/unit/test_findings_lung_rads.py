"""L: Lung-RADS v2022, every row and every boundary of the specification (T2)."""

from __future__ import annotations

from datetime import date

import pytest

from imaging_findings.findings import Attenuation, Change, Nodule
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import CategoryRow, Urgency
from imaging_findings.screening import Examination, category_of, change_between, row_for

PACK = bundled_packs().screening
SOLID, PART, GROUND_GLASS = Attenuation.SOLID, Attenuation.PART_SOLID, Attenuation.GROUND_GLASS
BASELINE, NEW, GROWING, STABLE = Change.BASELINE, Change.NEW, Change.GROWING, Change.STABLE


def a_row(category: str) -> CategoryRow:
    row = row_for(PACK, category, "2022")
    assert isinstance(row, CategoryRow)
    return row


def category(examination: Examination) -> str | None:
    trigger = category_of(PACK, examination)
    return trigger.category if trigger else None


@pytest.mark.parametrize(
    ("code", "interval", "urgency", "order"),
    [
        ("0", None, Urgency.WARNING, None),
        ("1", "12 months", Urgency.INFO, "79086-5"),
        ("2", "12 months", Urgency.INFO, "79086-5"),
        ("3", "6 months", Urgency.WARNING, "29252-4"),
        ("4A", "3 months", Urgency.WARNING, "29252-4"),
        ("4B", None, Urgency.WARNING, None),
        ("4X", None, Urgency.WARNING, None),
    ],
    ids=["L0", "L1", "L2-X5", "L3", "L4A", "L4B", "L4X"],
)
def test_category_gives_interval_urgency_and_order(
    code: str, interval: str | None, urgency: Urgency, order: str | None
) -> None:
    row = a_row(code)

    assert [str(step.interval) for step in row.steps] == ([interval] if interval else [])
    assert row.urgency is urgency
    assert (row.order.code.code if row.order else None) == order


@pytest.mark.parametrize("code", ["3", "4A"])
def test_short_term_follow_up_is_ordered_with_low_dose(code: str) -> None:
    order = a_row(code).order

    assert order is not None
    assert order.note == "Low dose technique"


@pytest.mark.parametrize(
    ("change", "mm", "expected"),
    [
        (BASELINE, 5.9, "2"),
        (BASELINE, 6.0, "3"),
        (BASELINE, 7.9, "3"),
        (BASELINE, 8.0, "4A"),
        (BASELINE, 9.0, "4A"),
        (BASELINE, 14.9, "4A"),
        (BASELINE, 15.0, "4B"),
        (NEW, 3.9, "2"),
        (NEW, 4.0, "3"),
        (NEW, 5.9, "3"),
        (NEW, 6.0, "4A"),
        (NEW, 7.9, "4A"),
        (NEW, 8.0, "4B"),
        (GROWING, 7.9, "4A"),
        (GROWING, 8.0, "4B"),
        (GROWING, 9.0, "4B"),
    ],
)
def test_solid_nodule_boundaries(change: Change, mm: float, expected: str) -> None:
    """T2, for the rows L2, L3, L4A and L4B."""
    assert category(Examination(nodule=Nodule(attenuation=SOLID, diameter_mm=mm, change=change))) == expected


@pytest.mark.parametrize(
    ("change", "mm", "solid_part", "expected"),
    [
        (BASELINE, 5.9, None, "2"),
        (NEW, 5.9, None, "3"),
        (BASELINE, 6.0, 5.9, "3"),
        (BASELINE, 6.0, 6.0, "4A"),
        (BASELINE, 9.0, 7.9, "4A"),
        (BASELINE, 9.0, 8.0, "4B"),
        (NEW, 6.0, 3.9, "4A"),
        (NEW, 6.0, 4.0, "4B"),
        (GROWING, 9.0, 3.9, "4A"),
        (GROWING, 9.0, 4.0, "4B"),
        (BASELINE, 9.0, None, None),
    ],
)
def test_part_solid_nodule_boundaries(change: Change, mm: float, solid_part: float | None, expected: str | None) -> None:
    """T2, for the rows L2, L3, L4A and L4B."""
    nodule = Nodule(attenuation=PART, diameter_mm=mm, solid_part_mm=solid_part, change=change)

    assert category(Examination(nodule=nodule)) == expected


@pytest.mark.parametrize(
    ("change", "mm", "expected"),
    [
        (BASELINE, 29.9, "2"),
        (BASELINE, 30.0, "3"),
        (NEW, 29.9, "2"),
        (NEW, 30.0, "3"),
        (STABLE, 30.0, "2"),
        (GROWING, 30.0, None),
    ],
)
def test_ground_glass_nodule_boundaries(change: Change, mm: float, expected: str | None) -> None:
    """T2, for the rows L2 and L3."""
    assert category(Examination(nodule=Nodule(attenuation=GROUND_GLASS, diameter_mm=mm, change=change))) == expected


@pytest.mark.parametrize(("mm", "expected"), [(10.0, "2"), (10.1, "4A")])
def test_juxtapleural_nodule_boundary(mm: float, expected: str) -> None:
    nodule = Nodule(attenuation=SOLID, diameter_mm=mm, change=BASELINE)

    assert category(Examination(nodule=nodule, features=frozenset({"juxtapleural-typical"}))) == expected


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("prior-being-located", "0"),
        ("not-evaluable", "0"),
        ("inflammatory", "0"),
        ("benign", "1"),
        ("airway-subsegmental", "2"),
        ("airway-segmental", "4A"),
        ("atypical-cyst", "4A"),
        ("persistent-airway", "4B"),
        ("growing-cyst", "4B"),
        ("slow-growth-over-several-examinations", "4B"),
        ("additional-suspicious", "4X"),
    ],
)
def test_features_decide_before_sizes(feature: str, expected: str) -> None:
    assert category(Examination(features=frozenset({feature}))) == expected


@pytest.mark.parametrize(
    ("previous", "months", "features", "expected"),
    [
        ("3", 6, frozenset(), "2"),
        ("3", 5, frozenset(), None),
        ("4A", 3, frozenset(), "3"),
        ("4A", 2, frozenset(), None),
        ("4A", 3, frozenset({"airway-segmental"}), "4A"),
        ("4B", 3, frozenset(), None),
        (None, None, frozenset(), None),
    ],
)
def test_stepped_management_needs_the_previous_category(
    previous: str | None, months: int | None, features: frozenset[str], expected: str | None
) -> None:
    nodule = Nodule(attenuation=SOLID, diameter_mm=7.0, change=STABLE)
    examination = Examination(nodule=nodule, features=features, previous_category=previous, months_since_previous=months)

    assert category(examination) == expected


@pytest.mark.parametrize(
    ("previous_mm", "current_mm", "expected"),
    [(6.0, 7.5, STABLE), (6.0, 7.6, GROWING), (6.0, 9.0, GROWING), (6.0, 4.0, STABLE)],
)
def test_growth_is_more_than_one_and_a_half_millimetres(previous_mm: float, current_mm: float, expected: Change) -> None:
    assert change_between(PACK, {date(2025, 11, 20): previous_mm}, (date(2026, 11, 20), current_mm)) is expected


def test_growth_is_not_judged_beyond_twelve_months_or_without_a_prior() -> None:
    assert change_between(PACK, {date(2025, 11, 19): 6.0}, (date(2026, 11, 20), 9.0)) is None
    assert change_between(PACK, {}, (date(2026, 11, 20), 9.0)) is None


@pytest.mark.parametrize(
    "nodule",
    [
        Nodule(),
        Nodule(attenuation=SOLID, diameter_mm=9.0),
        Nodule(attenuation=SOLID, change=BASELINE),
        Nodule(diameter_mm=9.0, change=BASELINE),
    ],
)
def test_gd_missing_input_gives_no_category(nodule: Nodule) -> None:
    assert category(Examination(nodule=nodule)) is None


@pytest.mark.parametrize(
    ("code", "version", "missing"),
    [
        (None, "2022", "a coded Lung-RADS category"),
        ("3", None, "the Lung-RADS version"),
        ("3", "1.1", "rules for Lung-RADS version 1.1 (this service knows 2022)"),
    ],
)
def test_gb_category_system_and_version_must_be_coded(code: str | None, version: str | None, missing: str) -> None:
    assert row_for(PACK, code, version) == missing
