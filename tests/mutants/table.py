"""The table of mutations: plausible breaks of the implementation, each with the tests that must turn red."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import CHECKOUT

TABLES = ("cds_hooks.toml", "clinical.toml", "smart_launch.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One break. ``old`` stands exactly once in ``file`` and becomes ``new``; ``tests`` are node ids below ``tests/``."""

    requirement: str
    """Id of the requirement that no longer holds, as docs/conformance.md has it."""
    breaks: str
    """What is broken, in the words of the field."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied_to(self, source: str) -> str:
        """The broken source; ValueError when the old text is gone, or is no longer the only one."""
        found = source.count(self.old)
        if found != 1:
            raise ValueError(f"{self.requirement}: {self.file} holds the old text {found} times: {self.old!r}")
        if self.old == self.new:
            raise ValueError(f"{self.requirement}: nothing changes in {self.file}")
        return source.replace(self.old, self.new)


def mutations(folder: Path = Path(__file__).parent) -> tuple[Mutation, ...]:
    """The whole table, in the order of its files."""
    return tuple(_mutation(row) for name in TABLES for row in tomllib.loads((folder / name).read_text())["mutation"])


def _mutation(row: dict[str, object]) -> Mutation:
    tests = row["tests"]
    if set(row) != {"id", "breaks", "file", "old", "new", "tests"} or not isinstance(tests, list):
        raise ValueError(f"a mutation has id, breaks, file, old, new and tests: {row}")
    return Mutation(
        requirement=str(row["id"]),
        breaks=str(row["breaks"]),
        file=str(row["file"]),
        old=str(row["old"]),
        new=str(row["new"]),
        tests=tuple(str(one) for one in tests),
    )


def faults(table: tuple[Mutation, ...], checkout: Path = CHECKOUT) -> Iterator[str]:
    """What has rotted: a text that is gone, source that would no longer parse, a test that was renamed."""
    for mutation in table:
        path = checkout / mutation.file
        if not path.is_file():
            yield f"{mutation.requirement}: there is no {mutation.file}"
            continue
        try:
            broken = mutation.applied_to(path.read_text())
            if path.suffix == ".py":
                ast.parse(broken)
        except (ValueError, SyntaxError) as fault:
            yield str(fault)
        yield from (
            f"{mutation.requirement}: there is no test {test}" for test in mutation.tests if not _exists(test, checkout)
        )
        if not mutation.tests:
            yield f"{mutation.requirement}: no test is named"


def _exists(test: str, checkout: Path) -> bool:
    file, _, function = test.partition("::")
    path = checkout / "tests" / file
    return path.is_file() and (not function or function in _functions(path))


@cache
def _functions(path: Path) -> frozenset[str]:
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
