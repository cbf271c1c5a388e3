"""The conclusion of a report that a program made: its own words, labelled, and no more than those (clinical rules X22, X23)."""

from __future__ import annotations

import pytest
from highdicom.sr import CodedConcept

from fhir_imaging.fhir_versions import FhirVersion
from pacs_sync.result_words import MANY, conclusion_of
from tests.sr_actors import (
    ABSENT,
    DIAMETER,
    MEAN,
    PULMONARY_EMBOLISM,
    AReport,
    a_nodule,
    evaluated,
    lung_rads,
    mapped,
    of_type,
    size,
)
from tests.unit.test_sync_chest_cad import a_cad_report, detection

CENTIMETRE = CodedConcept("cm", "UCUM", "centimeter")


def said(report: AReport, version: FhirVersion = FhirVersion.R4) -> list[str]:
    (made,) = of_type(mapped(report, version=version), "DiagnosticReport")
    return str(made["conclusion"]).split("\n")


@pytest.mark.parametrize("version", [FhirVersion.R4, FhirVersion.R5])
def test_each_finding_is_a_line_of_the_report_s_own_words_numbers_and_units(version: FhirVersion) -> None:
    nodule = a_nodule(lung_rads(), measurements=[size(DIAMETER, 0.9, CENTIMETRE, derivation=MEAN)])

    assert said(AReport(groups=[nodule]), version) == [
        "AI results, preliminary, not signed.",
        "Nodule, Right upper lobe of lung: Lung Imaging Reporting and Data System category Lung-RADS 4A (v2022);"
        " Diameter (mean) 9.0 mm.",
    ]


def test_what_is_absent_is_said_to_be_absent() -> None:
    denied = a_nodule(evaluated(CodedConcept("1", "99SITE", "Presence"), ABSENT), finding=PULMONARY_EMBOLISM, site=None)
    assert said(AReport(groups=[denied]))[1:] == ["Pulmonary embolism: Presence Absent."]


@pytest.mark.parametrize(
    ("report", "label"),
    [
        (AReport(), "AI results, preliminary, not signed."),
        (AReport(is_complete=False), "AI results, not complete, not signed."),
        (AReport(verified_by="Reader^Ruth^^Dr"), "AI results."),
    ],
    ids=["complete", "partial", "verified"],
)
def test_x23_the_first_line_says_whose_words_these_are(report: AReport, label: str) -> None:
    assert said(report)[0] == label


def test_x23_how_certain_the_program_is_stands_beside_no_finding() -> None:
    (made,) = of_type(mapped(a_cad_report(detection())), "DiagnosticReport")
    (found,) = of_type(mapped(a_cad_report(detection())), "Observation")
    shares = [one["valueQuantity"] for one in found["component"] if one.get("valueQuantity", {}).get("code") in ("%", "1")]

    assert shares, "the Observation has it"
    assert not any(str(one["value"]) in made["conclusion"] for one in shares)
    assert "ertainty" not in made["conclusion"]


def test_a_report_of_a_person_s_measurements_is_none_and_many_findings_are_counted() -> None:
    assert (
        of_type(mapped(AReport(groups=[a_nodule(algorithm=None)], device=None, person="Reader^Ruth")), "DiagnosticReport") == []
    )
    lines = conclusion_of([{"code": {"text": f"Nodule {number}"}} for number in range(MANY + 7)], "AI results").split("\n")
    assert (len(lines), lines[1], lines[-1]) == (MANY + 2, "Nodule 0.", "+ 7")
