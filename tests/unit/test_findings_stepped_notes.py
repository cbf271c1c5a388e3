"""Stepped management (L2, L3): the table's category beside the coded one, from previous category, dates, sizes and features."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from imaging_findings.facts import read_facts
from imaging_findings.findings import Author, Change, Finding, Kind, Nodule, PreviousExamination
from imaging_findings.guidance import judge
from imaging_findings.intervals import whole_months
from imaging_findings.observations import read_finding
from imaging_findings.packs import bundled_packs, bundled_screening
from imaging_findings.screening import examination_of
from tests.cds_actors import LUNG_RADS, NODULE, NOW, a_lung_rads, a_patient, a_study, concept, millimetres, nodule_components

DAY = date(2026, 10, 1)


def before(category: str | None, day: str | None, version: str = "2022") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if category:
        value = concept(LUNG_RADS, category, version)
        found.append({"code": concept(NODULE, "previous-category"), "valueCodeableConcept": value})
    if day:
        found.append({"code": concept(NODULE, "previous-examination-date"), "valueDateTime": day})
    return found


def feature(word: str) -> dict[str, Any]:
    return {"code": concept(NODULE, "feature"), "valueCodeableConcept": concept(NODULE, word)}


def solid(mm: float, change: str | None = None, previous_mm: float | None = None) -> list[dict[str, Any]]:
    sizes = [millimetres((NODULE, "previous-diameter"), previous_mm)] if previous_mm is not None else []
    return [*nodule_components(mm, "solid", change=change), *sizes]


def notes(category: str, components: list[dict[str, Any]]) -> tuple[str, ...]:
    whole: dict[str, Any] = {key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")}
    finding = a_lung_rads(category, component=components)
    facts = read_facts(whole | {"patient": [a_patient()], "findings": [finding], "studies": [a_study()]}, "p")
    return judge(facts, bundled_packs(), NOW).guidance[0].notes


def stepped(previous: str, fitting: str) -> tuple[str, ...]:
    said = f"Category {previous} at the examination before and no growth since would fit category {fitting} of the table"
    return (f"{said} (stepped management).",)


@pytest.mark.parametrize(
    ("coded", "previous", "day", "expected"),
    [
        ("3", "3", "2026-04-01", stepped("3", "2")),
        ("2", "3", "2026-04-01", ()),
        ("3", "3", "2026-04-02", ()),
        ("4A", "4A", "2026-07-01", stepped("4A", "3")),
        ("3", "4A", "2026-07-01", ()),
        ("4A", "4A", "2026-07-02", ()),
        ("4A", "4B", "2026-04-01", ()),
    ],
    ids=["L2 3 at 6 mo", "stepped already", "3 too early", "L3 4A at 3 mo", "stepped already", "4A too early", "4B"],
)
def test_a_stable_nodule_steps_down_after_the_tables_time(
    coded: str, previous: str, day: str, expected: tuple[str, ...]
) -> None:
    assert notes(coded, [*solid(7.0, "stable"), *before(previous, day)]) == expected


@pytest.mark.parametrize(
    ("previous_mm", "expected"),
    [(7.0, stepped("3", "2")), (8.0, stepped("3", "2")), (5.5, stepped("3", "2"))],
    ids=["same", "smaller", "growth of 1.5 mm is none"],
)
def test_two_sizes_stand_for_no_growth_where_the_reader_coded_none(previous_mm: float, expected: tuple[str, ...]) -> None:
    assert notes("3", [*solid(7.0, None, previous_mm), *before("3", "2026-04-01")]) == expected


def test_two_sizes_stand_for_growth_above_one_and_a_half_millimetres() -> None:
    """Without the dates they stand for nothing."""
    components = solid(7.0, None, 5.4)

    assert notes("3", [*components, *before("3", "2026-04-01")]) == (
        "The coded measurements alone would fit category 4A of the table.",
    )
    assert notes("3", components) == ()
    assert notes("3", [*components, *before("3", "2025-09-30")]) == ()


def test_the_readers_word_on_growth_stands_before_the_sizes() -> None:
    assert notes("3", [*solid(7.0, "growing", 7.0), *before("3", "2026-04-01")]) == (
        "The coded measurements alone would fit category 4A of the table.",
    )


def test_an_airway_nodule_does_not_step_down() -> None:
    stable = [*solid(7.0, "stable"), *before("4A", "2026-04-01")]

    assert notes("4A", stable) == stepped("4A", "3")
    assert notes("4A", [*stable, feature("airway-segmental")]) == ()


def test_a_coded_feature_counts_before_the_size() -> None:
    assert notes("3", [*solid(7.0, "baseline"), feature("juxtapleural-typical")]) == (
        "The coded measurements alone would fit category 2 of the table.",
    )
    assert notes("3", solid(7.0, "baseline")) == ()


def test_gb_a_category_of_another_version_is_no_category_before() -> None:
    assert notes("3", [*solid(7.0, "stable"), *before("3", "2026-04-01", version="1.1")]) == ()


@pytest.mark.parametrize("missing", ["category", "day", "change"])
def test_gd_nothing_steps_down_where_an_input_is_missing(missing: str) -> None:
    previous = before(None if missing == "category" else "3", None if missing == "day" else "2026-04-01")

    assert notes("3", [*solid(7.0, None if missing == "change" else "stable"), *previous]) == ()


def test_an_examination_after_this_one_is_none_before_it() -> None:
    finding = read_finding(a_lung_rads("3", component=[*solid(7.0, None, 7.0), *before("3", "2026-10-01")]), "p")
    assert isinstance(finding, Finding)
    examination = examination_of(finding, DAY, bundled_screening())

    assert (examination.months_since_previous, examination.nodule.change) == (None, None)


def test_without_the_date_of_the_study_nothing_is_counted() -> None:
    finding = Finding(
        reference="Observation/f",
        kind=Kind.LUNG_RADS,
        author=Author.PERSON,
        nodule=Nodule(diameter_mm=7.0, previous_mm=7.0),
        previous=PreviousExamination(category="3", version="2022", day=date(2026, 4, 1)),
    )
    examination = examination_of(finding, None, bundled_screening())

    assert (examination.previous_category, examination.months_since_previous) == ("3", None)
    assert examination.nodule.change is not Change.STABLE


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        (date(2026, 4, 1), date(2026, 10, 1), 6),
        (date(2026, 4, 2), date(2026, 10, 1), 5),
        (date(2026, 8, 31), date(2027, 2, 28), 6),
        (date(2026, 8, 31), date(2027, 2, 27), 5),
        (date(2026, 10, 1), date(2026, 10, 1), 0),
    ],
)
def test_months_are_complete_when_the_follow_up_of_so_many_is_due(start: date, end: date, months: int) -> None:
    assert whole_months(start, end) == months
