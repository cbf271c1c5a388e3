"""T1 for the value sets: every code has its check digit, and SNOMED codes are in PS3.16 or say that they are not."""

from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts as pydicom_concepts

from imaging_findings import value_sets
from imaging_findings.codes import LOINC, SNOMED, Code
from imaging_findings.value_sets import value_set
from tests.code_digits import is_loinc, is_snomed

ROWS = value_sets._rows()


def test_t1_loinc_and_snomed_codes_have_their_check_digit() -> None:
    loinc = [row["code"] for row in ROWS if row["system"] == LOINC and not row["code"].startswith("LA")]
    snomed = [row["code"] for row in ROWS if row["system"] == SNOMED]

    assert [code for code in loinc if not is_loinc(code)] == []
    assert [code for code in snomed if not is_snomed(code)] == []


def test_t1_snomed_codes_are_in_ps3_16_unless_the_row_says_otherwise() -> None:
    standard = {code for found in pydicom_concepts["SCT"].values() for code in found}
    said_outside = {row["code"] for row in ROWS if row["system"] == SNOMED and "not in PS3.16" in row["source"]}
    snomed = {row["code"] for row in ROWS if row["system"] == SNOMED}

    assert snomed - standard == said_outside


def test_every_row_says_how_it_matches_and_where_it_is_from() -> None:
    assert {row["match"] for row in ROWS} == {"exact", "prefix", "name"}
    assert [row for row in ROWS if not row["source"] or not row["code"]] == []


def test_national_editions_of_icd_10_share_their_prefixes() -> None:
    assert value_set("acute-kidney-injury").holds(Code("http://hl7.org/fhir/sid/icd-10-cm", "N17.9"))
    assert value_set("acute-kidney-injury").holds(Code("http://fhir.de/CodeSystem/bfarm/icd-10-gm", "N17.9"))
    assert not value_set("acute-kidney-injury").holds(Code(SNOMED, "N17.9"))


def test_a_name_is_a_whole_word() -> None:
    assert value_set("metformin").matches({"coding": [{"display": "metformin hydrochloride 500 MG Oral Tablet"}]})
    assert not value_set("metformin").matches({"text": "Antimetforminase"})


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(LookupError, match="no value set"):
        value_set("nonsense")
