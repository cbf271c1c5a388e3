"""Gf: the right breast answers nothing that was seen in the left one."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.codes import LOINC
from imaging_findings.facts import read_facts
from imaging_findings.sides import are_opposite, on_side_of, side_of
from imaging_findings.study_kinds import Side, StudyKind
from tests.cds_actors import SCT, a_lung_rads, an_order, concept
from tests.followed_actors import BREAST, SIDES, assessed, followed, imaged

SEEN = imaged("study", "2026-10-01", "MG", BREAST)
SEEN_IN_SPRING = imaged("study", "2026-04-10", "MG", BREAST)
"""Six months before the later examination, which then does the step of category 3."""
US_LEFT, US_RIGHT, US_UNSTATED = "26215-4", "26216-2", "24601-7"


def a_mammogram(side: str | None) -> dict[str, Any]:
    found = imaged("later", "2026-10-20", "MG", BREAST)
    if side is not None:
        found["series"][0]["laterality"] = {"system": SCT, "code": SIDES[side]}
    return found


@pytest.mark.parametrize(("later", "is_open"), [("right", True), ("left", False), ("both", False), (None, False)])
def test_gf_only_imaging_of_the_findings_side_answers(later: str | None, is_open: bool) -> None:
    judgement = followed(assessed("bi-rads", "3", "5", side="left"), studies=[SEEN_IN_SPRING, a_mammogram(later)])

    assert bool(judgement.guidance) is is_open


def test_gf_a_finding_of_no_stated_side_is_answered_by_either() -> None:
    assert followed(assessed("bi-rads", "3", "5"), studies=[SEEN_IN_SPRING, a_mammogram("right")]).guidance == ()


@pytest.mark.parametrize(("code", "is_open"), [(US_RIGHT, True), (US_LEFT, False), (US_UNSTATED, False)])
def test_gf_only_an_order_of_the_findings_side_answers(code: str, is_open: bool) -> None:
    order = an_order(code=concept(LOINC, code))
    judgement = followed(assessed("bi-rads", "3", "5", side="left"), studies=[SEEN], orders=[order])

    assert bool(judgement.guidance) is is_open


@pytest.mark.parametrize("side", list(Side))
def test_gf_what_would_answer_is_asked_of_the_findings_side_where_the_part_is_paired(side: Side) -> None:
    stated = None if side is Side.UNSTATED else side.value
    resources = {"findings": [assessed("bi-rads", "3", "5", side=stated)]}
    finding = read_facts(resources, "p").assessments[0]
    breast = StudyKind(families=frozenset({"US"}), regions=frozenset({"breast"}))
    abdomen = StudyKind(families=frozenset({"CT"}), regions=frozenset({"abdomen"}))

    assert side_of(finding) is side
    assert on_side_of(finding, breast).side is side
    assert on_side_of(finding, abdomen) == abdomen


def test_gf_a_finding_of_the_lung_has_no_side_here() -> None:
    assert side_of(read_facts({"findings": [a_lung_rads("3")]}, "p").findings[0]) is Side.UNSTATED


@pytest.mark.parametrize(("one", "other"), [(Side.LEFT, Side.BOTH), (Side.UNSTATED, Side.RIGHT), (Side.LEFT, Side.LEFT)])
def test_gf_sides_that_are_not_both_stated_and_different_are_not_opposite(one: Side, other: Side) -> None:
    assert not are_opposite(one, other)
    assert are_opposite(Side.LEFT, Side.RIGHT)
