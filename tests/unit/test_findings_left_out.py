"""What the rules leave out on purpose: a policy that is switched off, unsigned reports, resources that are none of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cds_service.plain_words import SUMMARY_MAX
from cds_service.wording import summary_of
from imaging_findings.advice import Guidance
from imaging_findings.contrast import ContrastFacts, contrast_advice
from imaging_findings.facts import Facts, read_facts
from imaging_findings.findings import Kind
from imaging_findings.guidance import judge
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.packs import bundled_packs
from imaging_findings.pregnancy import PregnancyFacts, pregnancy_advice
from imaging_findings.pregnancy_records import PregnancyRecord
from imaging_findings.study_kinds import Contrast
from imaging_findings.value_sets import value_set
from tests.cds_actors import NOW, SCT, a_lung_rads, a_nodule, a_patient, a_report, a_study, concept
from tests.order_actors import TODAY, a_kind, an_imaging_order, days_ago

Resource = Mapping[str, Any]
EMBOLISM = concept(SCT, "59282003")


def facts_with(*findings: Resource, **others: list[Resource]) -> Facts:
    empty: dict[str, list[Resource]] = {key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")}
    return read_facts(empty | {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]} | others, "p")


def an_embolism(**members: Any) -> dict[str, Any]:
    return a_report("Central embolism.", conclusionCode=[EMBOLISM], issued="2026-11-21T08:00:00Z", **members)


def test_without_a_policy_on_actionable_findings_nothing_is_critical() -> None:
    facts = facts_with(reports=[an_embolism()])
    packs = bundled_packs()

    assert [one.urgency.value for one in judge(facts, packs, NOW).guidance] == ["critical"]
    assert judge(facts, replace(packs, actionable=None), NOW).guidance == ()


@pytest.mark.parametrize("status", ["preliminary", "registered", "partial", "entered-in-error"])
def test_gg_the_coded_conclusion_of_an_unsigned_report_says_nothing(status: str) -> None:
    assert judge(facts_with(reports=[an_embolism(status=status)]), bundled_packs(), NOW).guidance == ()


def test_gg_what_is_no_observation_is_no_finding() -> None:
    assert facts_with(a_lung_rads("3") | {"resourceType": "Media"}).findings == ()


@pytest.mark.parametrize("length", [60, 100, 200])
def test_r25_a_long_name_is_cut_and_says_so_and_the_message_stays(length: int) -> None:
    (guidance,) = judge(facts_with(a_nodule()), bundled_packs(), NOW).guidance
    long = replace(guidance, finding=replace(guidance.finding, kind=Kind.ACTIONABLE), title="x" * length, headline="told")

    summary = summary_of(long)

    assert len(summary) <= SUMMARY_MAX
    assert ("…" in summary) is (length > 70)
    assert "told" in summary


def test_gd_an_unknown_risk_with_different_rows_is_said_in_the_summary() -> None:
    (guidance,) = judge(facts_with(a_nodule(5.0, risk=None)), bundled_packs(), NOW).guidance

    assert isinstance(guidance, Guidance)
    assert "depends on the patient's risk" in summary_of(guidance)


@pytest.mark.parametrize("family", ["US", "NM", "MG"])
def test_n1_contrast_of_other_families_is_judged_by_no_kidney_rule(family: str) -> None:
    order = an_imaging_order(a_kind(family, "abdomen", contrast=Contrast.WITH))

    assert contrast_advice(order, ContrastFacts(acute_kidney_injury="AKI"), OrderPolicy(), TODAY) == ()


def test_p_a_record_that_says_neither_is_no_answer() -> None:
    order = an_imaging_order(a_kind("CT", "pelvis"))
    unclear = PregnancyRecord(day=days_ago(2), words="pregnancy test: unclear", pregnant=None)
    facts = PregnancyFacts(gender="female", birth_date=days_ago(30 * 365), records=(unclear,))

    advice = pregnancy_advice(order, facts, OrderPolicy(), TODAY)

    assert advice is not None
    assert advice.rule_id == "pregnancy/not-recorded"


def test_a_value_set_that_does_not_exist_is_an_error_and_no_empty_set() -> None:
    with pytest.raises(LookupError, match="there is no value set unicorns"):
        value_set("unicorns")
