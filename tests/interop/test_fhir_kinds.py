"""Nothing that the product writes as FHIR is left out of what the validator judges (tests/interop/test_fhir_validation.py)."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fhirclient.models.resource import Resource

from imaging_findings.packs import bundled_nodules, bundled_screening
from imaging_findings.rules import Strength
from tests.cds_actors import a_cds_service, a_store
from tests.conftest import CHECKOUT
from tests.interop.emitted_by_servers import suggested
from tests.interop.emitted_resources import KINDS

PRODUCT = ("cds_service", "fhir_imaging", "imaging_cds", "imaging_findings", "imaging_server", "pacs_sync", "smart_app")
"""What a site runs. ``ehr_sandbox`` stands for somebody else's EHR, whose records are its own."""
pytestmark = pytest.mark.interop
TYPED_BY = {"pacs_sync/result_elements.py": "head"}
"""Where a resource gets its type from an argument: the function whose callers name it."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PRODUCT:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            yield path.relative_to(CHECKOUT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def types_in(place: str, tree: ast.Module) -> Iterator[str | None]:
    """Every resource type that the module writes; None for one that nobody can read here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (_text(value) for key, value in zip(node.keys, node.values, strict=True) if _is_type(place, key, value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TYPED_BY.values():
            yield _text(node.args[0])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fhirclient.models."):
            module = importlib.import_module(str(node.module))
            yield from (one.name for one in node.names if _is_resource(getattr(module, one.name)))


def _is_type(place: str, key: ast.expr | None, value: ast.expr) -> bool:
    is_named = isinstance(key, ast.Constant) and key.value == "resourceType"
    return is_named and (place not in TYPED_BY or _text(value) is not None)


def _text(value: ast.expr) -> str | None:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _is_resource(model: object) -> bool:
    return isinstance(model, type) and issubclass(model, Resource)


def test_every_type_that_the_code_writes_is_judged() -> None:
    found = [(place, one) for place, tree in sources() for one in types_in(place, tree)]

    assert {one for _, one in found if one} == set().union(*KINDS.values())
    assert [place for place, one in found if one is None] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('x = {"resourceType": "Task", "status": "draft"}', ["Task"]),
        ('x = {"resourceType": kind}', [None]),
        ('x = head("Media", key)', ["Media"]),
        ("from fhirclient.models.flag import Flag", ["Flag"]),
        ('x = one.get("resourceType") == "Task"', []),
    ],
)
def test_a_new_type_would_be_seen(code: str, found: list[str | None]) -> None:
    assert list(types_in("pacs_sync/new.py", ast.parse(code))) == found


def test_every_row_that_suggests_an_order_is_among_what_is_judged(tmp_path: Path) -> None:
    """Lung-RADS and Fleischner are the packs with orders; what an order of these looks like is the row's."""
    screening, nodules = bundled_screening(), bundled_nodules()
    wanted = {f"row {row.code}" for row in screening.categories.values() if row.order}
    wanted |= {f"row {row.row_id}" for row in nodules.rows if row.steps and row.steps[0].strength is Strength.RECOMMENDED}

    with closing(a_store(tmp_path / "state")) as store:
        words = [words for words, _ in suggested(a_cds_service(store, tmp_path))]

    assert {row for row in wanted if not any(row in one for one in words)} == set()
