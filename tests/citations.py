"""Which test cites which requirement: by the beginning of its name, its docstring, its cases or the tables it reads.

Prose at the head of a module does not count. One letter means different things in different references (``F2`` is a row of
Fleischner's table here and a requirement of SMART Imaging Access there), so each reference looks into its own test files.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import CHECKOUT

TESTS = CHECKOUT / "tests"
INVARIANTS = (
    *("cds-r-1", "cds-r-2"),
    *(f"cds-resp-{number}" for number in range(1, 8)),
    *("cds-fb-1", "cds-fb-2", "cds-fb-3"),
    "ord-1",
)
HOOKS = tuple(f"R{number}" for number in range(1, 41))
LAUNCH = tuple(f"A{number}" for number in range(1, 45))
_NUMBERED = (("X", 25), ("F", 7), ("Y", 11), ("O", 6), ("N", 8), ("T", 11), ("M", 9))
CLINICAL = (
    *(f"X{number}" for number in range(1, 26)),
    *("Ga", "Gb", "Gc", "Gd", "Ge", "Gf", "Gg"),
    *("L0", "L1", "L2", "L3", "L4A", "L4B", "L4X", "LS"),
    *(f"{letter}{number}" for letter, last in _NUMBERED[1:5] for number in range(1, last + 1)),
    "P",
    *(f"{letter}{number}" for letter, last in _NUMBERED[5:] for number in range(1, last + 1)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One list of requirements, and the names of the test files that speak of it."""

    ids: tuple[str, ...]
    files: str
    elsewhere: frozenset[str] = frozenset()
    """Ids that mean nothing else in any other reference, so that every test file may cite them."""


REFERENCES: Mapping[str, Reference] = {
    "hooks": Reference(ids=(*HOOKS, *INVARIANTS), files=r"test_(?:cds|findings|cli|error|acceptance)_\w+"),
    "clinical": Reference(
        ids=CLINICAL,
        files=r"test_(?:cds|findings|demo_patients|study|wrong_claims|sync)\w*",
        elsewhere=frozenset({f"X{number}" for number in range(1, 26)} | {"T10"}),
    ),
    "launch": Reference(ids=LAUNCH, files=r"test_(?:smart|whole_way|gateway_token_checks)\w*"),
}
# These name ids without testing what they ask for.
_ABOUT_CITATIONS = ("test_cds_requirements", "test_citations", "test_mutation_table", "test_documentation")
# "FHIR R4" and "valid R4" name a release of FHIR; a row such as "F2-6-8" still cites F2.
_WORD = re.compile(r"(?<!FHIR )(?<!valid )(?<![\w.])(cds-(?:r|resp|fb)-\d|ord-1|[A-Z][a-z0-9]?\d?[ABXS]?)(?!\.?\w)")


def cited_in_words(words: str) -> frozenset[str]:
    """What looks like an id in a docstring or a case; the bare ``P`` of pregnancy counts in names only."""
    return frozenset(_WORD.findall(words)) - {"P"}


def cited_in_name(name: str) -> frozenset[str]:
    """The ids with which a test's name begins: ``test_r27_r28_cds_resp_6_suggestions_…`` cites three.

    ``app_`` before an id is the launch's own mark, as specifications write ``APP-A10``; ``s11_`` says that the sandbox was made
    to misbehave for it.
    """
    found: set[str] = set()
    rest = name.removeprefix("test_").removeprefix("s11_").removeprefix("app_")
    while match := _LEADING.match(rest):
        found.add(_BY_LOWER[match[1]])
        rest = rest[match.end() :].removeprefix("app_")
    return frozenset(found)


_BY_LOWER = {one.lower().replace("-", "_"): one for one in (*HOOKS, *INVARIANTS, *CLINICAL, *LAUNCH)}
_LEADING = re.compile(r"(" + "|".join(sorted(_BY_LOWER, key=len, reverse=True)) + r")_(?:to_|and_)?")


@cache
def citations(reference: str) -> Mapping[str, tuple[str, ...]]:
    """Node ids below ``tests/`` by requirement id, for one of ``REFERENCES``."""
    asked = REFERENCES[reference]
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.glob("*/test_*.py")):
        known = set(asked.ids) if re.fullmatch(asked.files, path.stem) else asked.elsewhere
        if path.stem in _ABOUT_CITATIONS:
            continue
        # There a leading R4 or R5 is a release of FHIR.
        mistaken = {"R4", "R5"} if path.stem.startswith("test_findings") else set()
        for function, cited in _functions(path):
            for one in (cited & known) - mistaken:
                found[one].append(f"{path.relative_to(TESTS).as_posix()}::{function}")
    return {one: tuple(found[one]) for one in asked.ids}


@cache
def _functions(path: Path) -> tuple[tuple[str, frozenset[str]], ...]:
    body = ast.parse(path.read_text()).body
    tables = dict(_tables(body))
    tests = [node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return tuple((node.name, cited_in_name(node.name) | _cited_in(node, tables)) for node in tests)


def _tables(body: list[ast.stmt]) -> Iterator[tuple[str, frozenset[str]]]:
    """What the tables of cases beside the tests cite, by their names."""
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from ((one.id, _cited_in(statement, {})) for one in targets if isinstance(one, ast.Name))


def _cited_in(node: ast.AST, tables: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            found |= cited_in_words(part.value)
        elif isinstance(part, ast.Name):
            found |= tables.get(part.id, frozenset())
    return frozenset(found)
