"""The optional components of a screening result: the examination before it, and features beside type and size (3.1, L)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from imaging_findings.codes import NODULE_FEATURES
from imaging_findings.findings import Finding, PreviousExamination
from imaging_findings.observations import read_finding
from imaging_findings.packs import bundled_packs
from tests.cds_actors import LUNG_RADS, NODULE, a_lung_rads, a_nodule, concept


def previous(category: str | None = None, day: str | None = None, version: str | None = "2022") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if category is not None:
        value = concept(LUNG_RADS, category, version)
        found.append({"code": concept(NODULE, "previous-category"), "valueCodeableConcept": value})
    if day is not None:
        found.append({"code": concept(NODULE, "previous-examination-date"), "valueDateTime": day})
    return found


def feature(*words: str) -> list[dict[str, Any]]:
    return [{"code": concept(NODULE, "feature"), "valueCodeableConcept": concept(NODULE, word)} for word in words]


def the_finding(components: list[Any]) -> Finding:
    finding = read_finding(a_lung_rads("3", component=components), "p")
    assert isinstance(finding, Finding)
    return finding


def test_the_examination_before_is_read_with_category_version_and_day() -> None:
    found = the_finding(previous("4A", "2026-04-01T09:00:00+02:00")).previous

    assert found == PreviousExamination(category="4A", version="2022", day=date(2026, 4, 1))


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ([], None),
        (previous("4A"), PreviousExamination(category="4A", version="2022")),
        (previous(None, "2026-04-01"), PreviousExamination(day=date(2026, 4, 1))),
        (previous("3", version=None), PreviousExamination(category="3")),
        (previous("4C"), None),
        (previous(None, "2026-04"), None),
        ([{"code": concept(NODULE, "previous-category"), "valueString": "3"}], None),
        ([{"code": {"coding": [{}]}}], None),
    ],
    ids=["nothing", "no-day", "no-category", "no-version", "no-such-category", "bare-month", "words", "empty-coding"],
)
def test_what_is_not_stated_of_it_stays_unknown(components: list[Any], expected: PreviousExamination | None) -> None:
    assert the_finding(components).previous == expected


def test_two_categories_of_it_contradict_each_other() -> None:
    value = {"coding": [{"system": LUNG_RADS, "code": code, "version": "2022"} for code in ("3", "4A")]}
    part = {"code": concept(NODULE, "previous-category"), "valueCodeableConcept": value}

    assert the_finding([part, *previous(None, "2026-04-01")]).previous == PreviousExamination(day=date(2026, 4, 1))


def test_several_features_are_read_and_unknown_words_are_none() -> None:
    strange = [{"code": concept(NODULE, "feature"), "valueCodeableConcept": concept("http://example.org", "benign")}]
    found = the_finding([*feature("airway-segmental", "atypical-cyst", "cavity"), *strange])

    assert found.nodule.features == {"airway-segmental", "atypical-cyst"}


def test_an_incidental_nodule_has_no_screening_before_it() -> None:
    finding = read_finding(a_nodule(component=previous("3", "2026-04-01")), "p")

    assert isinstance(finding, Finding)
    assert finding.previous is None


def test_the_features_that_can_be_coded_are_those_that_the_table_asks_for() -> None:
    triggers = bundled_packs().screening.triggers
    asked = {word for one in triggers for word in (one.feature, one.except_feature) if word}

    assert asked == NODULE_FEATURES
