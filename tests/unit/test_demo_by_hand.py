"""Nothing about studies is written by hand in FHIR: what an archive tells comes from the archive alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import ehr_sandbox
from ehr_sandbox.patients import DemoData, build_crowd, build_demo
from tests.synced_studies import in_bundles

SOURCES = Path(ehr_sandbox.__file__).parent
OF_THE_ARCHIVE = frozenset({"ImagingStudy", "Endpoint", "Device", "Provenance"})
"""Studies, where their images are, and who found what in them without being a person."""
DAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoData:
    directory, base = tmp_path_factory.mktemp("dicom"), "http://127.0.0.1:8001/fhir"
    crowd = build_crowd(directory, 9, demo_day=DAY, fhir_base=base)
    return build_demo(directory, demo_day=DAY, fhir_base=base, slices=2).joined(crowd)


def test_no_bundle_that_the_demo_writes_has_a_resource_of_the_archive(demo: DemoData) -> None:
    written = list(in_bundles(demo.bundles))

    assert len({one["resourceType"] for one in written}) > 6
    assert [f"{one['resourceType']}/{one['id']}" for one in written if one["resourceType"] in OF_THE_ARCHIVE] == []
    by_a_program = [one["id"] for one in written if one["resourceType"] == "Observation" and "device" in one]
    assert by_a_program == [], "what a program found comes with its DICOM report"


def test_every_study_that_a_report_names_is_one_of_the_archives(demo: DemoData) -> None:
    reports = [one for one in in_bundles(demo.bundles) if one["resourceType"] == "DiagnosticReport"]
    named = {one["reference"] for report in reports for one in report["imagingStudy"]}

    assert len(named) > 9
    assert named <= {f"ImagingStudy/{one.study_instance_uid}" for one in demo.studies.values()}


def literal_types(tree: ast.AST) -> Iterator[str]:
    """Every resourceType that a source gives to a dict or a keyword."""
    for node in ast.walk(tree):
        pairs: list[tuple[ast.AST | None, ast.AST]] = []
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Call):
            pairs = [(ast.Constant(one.arg), one.value) for one in node.keywords]
        for key, value in pairs:
            if isinstance(key, ast.Constant) and key.value == "resourceType" and isinstance(value, ast.Constant):
                yield str(value.value)


@pytest.mark.parametrize("source", sorted(SOURCES.rglob("*.py")), ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_no_source_of_the_sandbox_writes_one(source: Path) -> None:
    assert OF_THE_ARCHIVE.isdisjoint(literal_types(ast.parse(source.read_text(encoding="utf-8"))))


def test_a_study_written_by_hand_would_be_noticed() -> None:
    by_hand = """study = {"resourceType": "ImagingStudy", "id": "1"}; other = dict(resourceType="Endpoint")"""

    assert sorted(literal_types(ast.parse(by_hand))) == ["Endpoint", "ImagingStudy"]
