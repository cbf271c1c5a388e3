"""R25 and clinical rules 3.2: a card says each thing once, with source, version and owner of what it says."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.wording import authority_words, detail_of
from imaging_findings.advice import Authority, Statement
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NOW, a_nodule
from tests.unit.test_findings_critical import facts_with


def detail(*findings: dict[str, Any]) -> str:
    facts = facts_with(*findings)
    return detail_of(judge(facts, bundled_packs(), NOW).guidance[0], facts)


def other_lines(said: str) -> list[str]:
    return [line for line in said.split("\n\n") if line.startswith("**Also on this study:**")]


def some(*sizes: float, **members: Any) -> list[dict[str, Any]]:
    return [a_nodule(mm, id=f"n{index}", **members) for index, mm in enumerate(sizes)]


def test_two_rows_of_one_guideline_name_their_source_once() -> None:
    said = detail(a_nodule(7.0, risk=None))

    assert said.count("**Guideline:**") == 2
    assert said.count("MacMahon") == said.count("Clinical owner") == said.count("Source: ") == 1
    assert "Source: Fleischner Society 2017, version 2017, row" in said


@pytest.mark.parametrize(
    ("unchecked", "ending"),
    [
        ((False, False), "not named yet."),
        ((True, True), "These rows still need a clinician's check."),
        ((False, True), "Row b still needs a clinician's check."),
    ],
)
def test_rows_that_still_need_a_check_are_named(unchecked: tuple[bool, bool], ending: str) -> None:
    pack = bundled_packs().nodules
    assert pack is not None
    rows = [
        Statement(authority=Authority.GUIDELINE, words="x", pack=pack.info, row=row, needs_check=check)
        for row, check in zip("ab", unchecked, strict=True)
    ]

    assert ", rows a and b; " in authority_words(pack.info, *rows)
    assert authority_words(pack.info, *rows).endswith(ending)
    assert authority_words(pack.info, *rows[:1]).endswith("This row still needs a clinician's check.") is unchecked[0]


def test_many_other_nodules_share_a_line() -> None:
    (line,) = other_lines(detail(*some(12, 5, 6, 5.5, 4, 3)))

    assert line == "**Also on this study:** lung nodules, 6, 5.5, 5 mm solid and 2 more."


def test_types_and_nodules_without_a_size_are_told_apart() -> None:
    found = [a_nodule(12.0), a_nodule(6.0, id="a"), a_nodule(5.0, "ground-glass", id="b"), a_nodule(None, id="c")]

    assert other_lines(detail(*found)) == ["**Also on this study:** lung nodules, 6 mm solid; 5 mm ground-glass and 1 more."]


def test_few_nodules_and_those_of_another_reader_keep_their_own_lines() -> None:
    other = a_nodule(3.0, id="other", performer=[{"display": "Dr Other"}])

    assert len(other_lines(detail(*some(12, 5, 6)))) == 2
    assert [line.endswith("Signed by Dr Other.") for line in other_lines(detail(*some(12, 5, 6, 4), other))] == [False, True]


def test_a_guideline_that_the_reader_has_not_coded_is_named_in_a_few_words() -> None:
    assert "**Missing:** guideline not coded by the reader." in detail(a_nodule(7.0, method=None))
