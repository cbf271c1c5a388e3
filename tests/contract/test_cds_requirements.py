"""Every requirement of CDS Hooks is named by a test: by its function's name, its cases or its docstring."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain

import pytest

from tests.conftest import CHECKOUT

INVARIANTS = (
    *("cds-r-1", "cds-r-2"),
    *(f"cds-resp-{number}" for number in range(1, 8)),
    *("cds-fb-1", "cds-fb-2", "cds-fb-3"),
    "ord-1",
)
# What docs/conformance.md says is still to come has no test yet; everything else has one.
_ROWS = re.findall(r"^\| (R\d+) \|[^|]+\| ([^|]+) \|", (CHECKOUT / "docs" / "conformance.md").read_text(), re.MULTILINE)
REQUIREMENTS = tuple(requirement for requirement, state in _ROWS if not state.startswith("not yet"))
_ID_IN_NAME = re.compile(r"(?<![a-z0-9])(?:r\d+|cds_(?:r|resp|fb)_\d|ord_1)(?![a-z0-9])")
_ID_IN_WORDS = re.compile(r"\b(?:R\d+|cds-(?:r|resp|fb)-\d|ord-1)\b")


def ids_of_tests() -> Iterator[str]:
    """The ids that test functions name, with the tables of cases beside them; prose at the head of a module does not count."""
    for path in chain.from_iterable((CHECKOUT / "tests" / kind).glob("test_cds_*.py") for kind in ("unit", "contract")):
        if path.name == "test_cds_requirements.py":
            continue
        for statement in ast.parse(path.read_text()).body:
            yield from _ids_in(statement)


def _ids_in(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test_"):
        for found in _ID_IN_NAME.findall(statement.name.replace("_cds_", "_ cds_")):
            yield found.replace("_", "-") if "_" in found else found.upper()
    if isinstance(statement, ast.FunctionDef | ast.Assign | ast.AnnAssign):
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from _ID_IN_WORDS.findall(node.value)


NAMED = frozenset(ids_of_tests())


def test_the_list_of_requirements_is_the_whole_one() -> None:
    assert [requirement for requirement, _ in _ROWS] == [f"R{number}" for number in range(1, 41)]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_each_requirement_is_named_by_a_test(requirement: str) -> None:
    assert requirement in NAMED


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_each_invariant_is_named_by_a_test(invariant: str) -> None:
    assert invariant in NAMED
