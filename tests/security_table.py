"""Writes docs/security-tests.md from docs/security-tests.toml: which test shows what happens in each security case.

``python -m tests.security_table``
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import CHECKOUT

SOURCE = CHECKOUT / "docs" / "security-tests.toml"
PAGE = CHECKOUT / "docs" / "security-tests.md"
GROUPS = (*range(1, 24), 34, 35)
"""The groups that a gateway has to show; the others are the app's and the viewer's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One attack or fault. ``tests`` are names, after ``module::`` where several bear one; ``missing`` is what is not shown."""

    tried: str
    tests: tuple[str, ...]
    missing: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of cases."""

    number: int
    title: str
    cases: tuple[Case, ...]


def read(source: Path = SOURCE) -> tuple[str, tuple[Group, ...]]:
    """The introduction and the groups."""
    document = tomllib.loads(source.read_text())
    groups = (
        Group(number=one["number"], title=one["title"], cases=tuple(_case(*stated) for stated in one["cases"]))
        for one in document["group"]
    )
    return str(document["introduction"]), tuple(groups)


def _case(tried: str, tests: str, missing: str | None = None) -> Case:
    return Case(tried=tried, tests=tuple(tests.split()), missing=missing)


def faults(groups: Sequence[Group]) -> Iterator[str]:
    """What cannot be written: groups left out, cases without a test or a word why, tests that are not there."""
    if tuple(one.number for one in groups) != GROUPS:
        yield "the groups are not those of the specification, in its order"
    for group in groups:
        for case in group.cases:
            place = f"group {group.number}, {case.tried}"
            if not case.tests and not case.missing:
                yield f"{place}: neither a test nor what is missing"
            yield from (f"{place}: there is no test {test}" for test in case.tests if test not in _places())


@cache
def _places() -> Mapping[str, tuple[str, ...]]:
    """The files of every test below ``tests/``, by its name and by ``module::name``."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((CHECKOUT / "tests").glob("*/test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for name in (node.name, f"{path.stem}::{node.name}"):
                    found[name].append(path.relative_to(CHECKOUT / "tests").as_posix())
    return {name: tuple(files) for name, files in found.items()}


def page(introduction: str, groups: Sequence[Group]) -> str:
    """The document."""
    return "\n".join([introduction.strip(), *(line for group in groups for line in _lines(group)), ""])


def _lines(group: Group) -> Iterator[str]:
    yield from ("", f"## {group.number}. {group.title}", "", "| tried | shown by | missing |", "|---|---|---|")
    for case in group.cases:
        shown = "<br>".join(
            f"`{', '.join(_places()[one])}` {one.rpartition('::')[2].removeprefix('test_')}" for one in case.tests
        )
        yield f"| {case.tried} | {shown} | {case.missing or ''} |".replace("|  |", "| |")


def main() -> int:
    """Writes the page; exit status 1 with the reasons where it would claim what no test shows."""
    introduction, groups = read()
    wrong = list(faults(groups))
    if wrong:
        print(*wrong, sep="\n")
        return 1
    PAGE.write_text(page(introduction, groups))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
