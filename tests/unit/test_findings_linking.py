"""A finding that names no study belongs to its group's (hasMember) or to that of the report that names it (result)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import DCM, NOW, a_lung_rads, a_nodule, a_patient, a_report, a_study, an_observation, concept

Resource = Mapping[str, Any]
MEMBER = {"hasMember": [{"reference": "Observation/finding"}]}


def facts_with(*findings: Resource, **others: list[Resource]) -> Facts:
    return read_facts(
        {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()], "conditions": []} | others, "p"
    )


def a_group(**members: Any) -> dict[str, Any]:
    return an_observation(**{"id": "group", "code": concept(DCM, "121071")} | MEMBER | members)


def test_a_member_belongs_to_its_groups_study() -> None:
    facts = facts_with(a_nodule(derivedFrom=[], effectiveDateTime=None), a_group())

    assert facts.findings[0].study_reference == "ImagingStudy/study"
    assert str(facts.findings[0].study_date) == "2026-10-01"


def test_a_result_belongs_to_its_reports_study() -> None:
    report = a_report("", result=[{"reference": "Observation/finding"}])

    assert facts_with(a_nodule(derivedFrom=[]), reports=[report]).findings[0].study_reference == "ImagingStudy/study"


def test_two_studies_of_a_report_decide_nothing() -> None:
    studies = [{"reference": "ImagingStudy/study"}, {"reference": "ImagingStudy/other"}]
    report = a_report("", result=[{"reference": "Observation/finding"}], imagingStudy=studies)

    assert facts_with(a_nodule(derivedFrom=[]), reports=[report]).findings[0].study_reference is None


def test_its_own_study_counts_first() -> None:
    own = a_nodule(derivedFrom=[{"reference": "ImagingStudy/own"}])

    assert facts_with(own, a_group()).findings[0].study_reference == "ImagingStudy/own"


def test_a_group_of_another_patient_lends_nothing() -> None:
    facts = facts_with(a_nodule(derivedFrom=[]), a_group(subject={"reference": "Patient/other"}))

    assert facts.findings[0].study_reference is None


def test_a_screenings_member_nodule_is_never_judged_by_fleischner() -> None:
    """X4: the nodule is a member of the Lung-RADS observation and names no study of its own."""
    screening = a_lung_rads("3", id="group", **MEMBER)
    judgement = judge(facts_with(a_nodule(derivedFrom=[]), screening), bundled_packs(), NOW)

    assert [one.rule_id for one in judgement.guidance] == ["lung-rads-2022/3"]
