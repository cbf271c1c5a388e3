"""A signed report's coded conclusion: a Lung-RADS category or a nodule that no Observation says (3.5)."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.wording import summary_of
from imaging_findings.rules import Urgency
from tests.cds_actors import LUNG_RADS, SCT, a_lung_rads, a_nodule, a_report, a_study, an_ai_lung_rads, concept
from tests.unit.test_findings_guidance import judged, the_guidance

NODULE_CODE = concept(SCT, "427359005")


def concluded(*codes: dict[str, Any], **members: Any) -> dict[str, Any]:
    return a_report("Nodule.", conclusionCode=list(codes), **members)


def category(code: str, version: str | None = "2022") -> dict[str, Any]:
    return concept(LUNG_RADS, code, version)


@pytest.mark.parametrize("status", ["final", "amended", "corrected"])
def test_l4b_of_a_signed_reports_conclusion_is_read(status: str) -> None:
    guidance = the_guidance(reports=[concluded(category("4B"), status=status)])

    assert guidance.rule_id == "lung-rads-2022/4B"
    assert guidance.urgency is Urgency.WARNING
    assert summary_of(guidance).startswith("Lung-RADS 4B (LDCT 2026-10-01): refer for further clinical evaluation")
    assert guidance.finding.reference == "DiagnosticReport/report"


@pytest.mark.parametrize("status", ["preliminary", "registered", "cancelled", "entered-in-error"])
def test_gg_an_unsigned_reports_conclusion_says_nothing(status: str) -> None:
    assert judged(reports=[concluded(category("4B"), status=status)]).guidance == ()


def test_l3_of_a_conclusion_is_due_and_drafted_as_that_of_an_observation() -> None:
    guidance = the_guidance(reports=[concluded(category("3"))])

    assert str(guidance.next_step and guidance.next_step.due) == "2027-04-01"
    assert guidance.order is not None


def test_gb_a_conclusion_without_a_version_computes_nothing_and_stays_urgent() -> None:
    guidance = the_guidance(reports=[concluded(category("4B", None))])

    assert guidance.urgency is Urgency.WARNING
    assert guidance.missing == ("the Lung-RADS version",)


def test_ls_modifier_of_a_conclusion_is_named() -> None:
    guidance = the_guidance(reports=[concluded(category("2"), category("S"))])

    assert guidance.finding.modifier_s


def test_two_categories_in_one_concept_are_none() -> None:
    both = {"coding": [*category("2")["coding"], *category("4B")["coding"]]}

    assert judged(reports=[concluded(both)]).guidance == ()


def test_an_observation_of_the_same_study_says_it_in_full() -> None:
    guidance = the_guidance(a_lung_rads("4B"), reports=[concluded(category("4B"), NODULE_CODE)])

    assert guidance.finding.reference == "Observation/finding"
    assert guidance.others == ()


def test_a_conclusion_that_says_more_than_the_observation_leads() -> None:
    guidance = the_guidance(a_lung_rads("2"), reports=[concluded(category("4B"))])

    assert guidance.finding.category == "4B"
    assert [one.category for one in guidance.others] == ["2"]


def test_an_ai_result_stands_beside_a_signed_conclusion() -> None:
    guidance = the_guidance(an_ai_lung_rads("4A"), reports=[concluded(category("4B"))])

    assert guidance.finding.category == "4B"
    assert guidance.ai is not None
    assert guidance.ai_agrees is False


def test_gd_a_nodule_of_a_conclusion_has_no_interval() -> None:
    guidance = the_guidance(reports=[concluded(NODULE_CODE)])

    assert guidance.urgency is Urgency.INFO
    assert (guidance.next_step, guidance.order) == (None, None)
    assert "the nodule's mean diameter in mm" in guidance.missing


def test_a_nodule_of_a_conclusion_gives_way_to_the_coded_one_and_to_time() -> None:
    report = concluded(NODULE_CODE)

    assert the_guidance(a_nodule(7.0), reports=[report]).rule_id == "fleischner-2017/F2-6-8"
    assert judged(reports=[report], studies=[a_study(started="2024-11-20")]).guidance == ()
    assert judged(reports=[report], studies=[a_study(started="2024-11-21")]).guidance
