"""Each code table says where it is from, in which version, and carries the notice that the owner of its codes asks for."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from imaging_findings import codes
from tests.conftest import CHECKOUT

TABLES = sorted((CHECKOUT / "imaging_findings" / "tables").glob("*.csv"))
# Tables of our own words, which are nobody's codes.
OURS = {"anatomy_words.csv", "body_part_words.csv", "organ_words.csv"}
SNOMED_NOTICE = ("NOTICE: SNOMED CT", "copyright SNOMED International", "PS3.16", "licence")
LOINC_NOTICE = (
    "LOINC (https://loinc.org), copyright Regenstrief Institute, Inc.",
    "https://loinc.org/license",
    "registered trademark",
)
NOTICES = {
    codes.SNOMED: SNOMED_NOTICE,
    codes.LOINC: LOINC_NOTICE,
    codes.RADLEX: ("RadLex", "copyright Radiological Society of North America"),
    codes.DCM: ("PS3.16",),
    "http://hl7.org/fhir/sid/icd-10": ("ICD-10 is copyright World Health Organization",),
    "http://www.whocc.no/atc": ("WHO Collaborating Centre for Drug Statistics Methodology",),
    "http://www.nlm.nih.gov/research/umls/rxnorm": ("U.S. National Library of Medicine",),
    "cpt": ("CPT is a registered trademark of the American Medical Association", "none is carried here"),
}
# Tables without a column for the system.
SYSTEM = {"body_parts.csv": codes.SNOMED, "loinc_studies.csv": codes.LOINC, "cpt_studies.csv": "cpt"}
VERSIONS = {
    "body_parts.csv": "highdicom 0.28.2",
    "body_sites.csv": "pydicom 3",
    "concepts.csv": "pydicom 3",
    "cpt_studies.csv": "no version",
    "dicom_assessments.csv": "pydicom 3",
    "loinc_studies.csv": "rsna-anonymizer 19.0.10",
    "procedures.csv": "rsna-anonymizer 19.0.10",
    "value_sets.csv": "pydicom 3",
}


def header_and_rows(path: Path) -> tuple[str, list[dict[str, str]]]:
    """The comment at the head as one line, and the rows below it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    size = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(line.removeprefix("#").strip() for line in lines[:size]), list(csv.DictReader(lines[size:]))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_each_table_names_its_source_its_version_and_the_owners_notice(path: Path) -> None:
    header, rows = header_and_rows(path)
    if path.name in OURS:
        assert "Ours" in header
        return

    systems = {row["system"] for row in rows if row.get("system")} or {SYSTEM[path.name]}
    unnoticed = [words for system in systems for words in NOTICES.get(system, ()) if words not in header]

    assert "Source: " in header
    assert VERSIONS[path.name] in header
    assert unnoticed == []


def test_each_system_of_the_tables_has_a_notice_or_is_in_the_public_domain() -> None:
    free = ("http://terminology.hl7.org/", "http://hl7.org/fhir/")
    systems = {row["system"] for path in TABLES for row in header_and_rows(path)[1] if row.get("system")}

    assert [one for one in systems if one not in NOTICES and not one.startswith(free)] == []


def test_the_tables_page_names_every_table_and_its_owner() -> None:
    page = (CHECKOUT / "imaging_findings" / "tables" / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in TABLES if f"`{path.name}`" not in page] == []
    for owner in ("SNOMED International", "Regenstrief Institute", "American Medical Association", "Radiological Society"):
        assert owner in page


def test_the_first_page_leads_to_the_notices() -> None:
    assert "(imaging_findings/tables/README.md)" in (CHECKOUT / "README.md").read_text(encoding="utf-8")
