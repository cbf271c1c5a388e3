"""The table behind ``make mutants`` fits the code as it is: its texts are found, its ids are known, its tests exist."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tests.citations import REFERENCES, citations
from tests.conformance import read
from tests.conftest import CHECKOUT
from tests.mutants.guard import foreign_modules
from tests.mutants.table import Mutation, faults, mutations

TABLE = mutations()
ROW = Mutation(
    requirement="R25",
    breaks="a summary of 140 characters passes",
    file="answers.py",
    old="length >= 140",
    new="length > 140",
    tests=("unit/test_answers.py::test_a_long_summary_is_refused",),
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of two files, in which ``ROW`` is in order."""
    (tmp_path / "answers.py").write_text("def is_long(length):\n    return length >= 140\n")
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "tests" / "unit" / "test_answers.py").write_text("def test_a_long_summary_is_refused():\n    assert True\n")
    return tmp_path


def test_each_mutation_fits_the_code_and_names_tests_that_exist() -> None:
    """When this fails: somebody has rewritten the code; rewrite the mutation with it and run ``make mutants``."""
    assert list(faults(TABLE)) == []


def test_each_id_is_a_row_of_the_conformance_page_that_names_one_of_its_tests() -> None:
    """Where tests cite the id, the test itself; where the row names files, its file."""
    shown = {one: set(tests) for reference in REFERENCES for one, tests in citations(reference).items()}
    named = {row.requirement: set(row.tests) for section in read()[1] for row in section.rows if not section.citations}
    table = [one for one in TABLE if one.requirement in shown]
    others = [one for one in TABLE if one.requirement not in shown]

    assert [one for one in table if not set(one.tests) & shown[one.requirement]] == []
    assert [one for one in others if not {test.partition("::")[0] for test in one.tests} & named[one.requirement]] == []


def test_the_table_covers_what_it_promises() -> None:
    ids = {mutation.requirement for mutation in TABLE}

    assert len(ids) >= 100
    assert {one for one in ids if one.startswith("cds-")} >= {"cds-r-1", "cds-resp-6", "cds-fb-2"}
    assert len({(mutation.file, mutation.old, mutation.new) for mutation in TABLE}) == len(TABLE)


def test_a_table_in_order_has_no_fault(checkout: Path) -> None:
    assert list(faults((ROW,), checkout)) == []
    assert ROW.applied_to("length >= 140") == "length > 140"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"old": "length >= 139"}, "holds the old text 0 times"),
        ({"old": "length"}, "holds the old text 2 times"),
        ({"new": "length >= 140"}, "nothing changes"),
        ({"new": "length >="}, "invalid syntax"),
        ({"file": "cards.py"}, "there is no cards.py"),
        ({"tests": ()}, "no test is named"),
        ({"tests": ("unit/test_answers.py::test_renamed",)}, "there is no test unit/test_answers.py::test_renamed"),
        ({"tests": ("unit/test_moved.py",)}, "there is no test unit/test_moved.py"),
    ],
    ids=["gone", "twice", "no change", "no python", "moved", "no test", "test renamed", "test file moved"],
)
def test_a_table_that_has_rotted_says_where(checkout: Path, changes: dict[str, object], told: str) -> None:
    found = list(faults((replace(ROW, **changes),), checkout))

    assert [told in one for one in found] == [True]


def test_code_of_another_folder_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package is installed editable: a run that imported the original would prove nothing."""
    stranger = ModuleType("cds_service.stranger")
    stranger.__file__ = str(tmp_path / "cds_service" / "stranger.py")
    monkeypatch.setitem(sys.modules, "cds_service.stranger", stranger)

    assert foreign_modules(CHECKOUT) == ["cds_service.stranger"]
