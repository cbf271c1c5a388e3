"""docs/security-tests.md names every group, and only tests that are there."""

from __future__ import annotations

from dataclasses import replace

from tests.security_table import PAGE, faults, page, read


def test_every_group_has_cases_and_every_case_a_test_or_a_word_why_not() -> None:
    _, groups = read()

    assert list(faults(groups)) == []
    assert all(group.cases for group in groups)


def test_page_is_the_one_that_the_table_makes() -> None:
    assert PAGE.read_text() == page(*read())


def test_table_that_claims_too_much_is_refused() -> None:
    """Without it the two above could pass whatever stands there."""
    _, groups = read()
    case = replace(groups[0].cases[0], tests=("test_gateway_tokens::test_that_nobody_wrote",))
    silent = replace(case, tests=(), missing=None)

    assert list(faults(groups[1:])) == ["the groups are not those of the specification, in its order"]
    wrong = list(faults((replace(groups[0], cases=(case, silent)), *groups[1:])))
    assert [one.rpartition(": ")[2] for one in wrong] == [
        "there is no test test_gateway_tokens::test_that_nobody_wrote",
        "neither a test nor what is missing",
    ]
