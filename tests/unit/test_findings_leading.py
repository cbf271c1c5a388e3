"""Which finding of a study leads the card: the worst category, and what the rules say of the others is told beside it (Y)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings.advice import Guidance
from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs, bundled_tables
from imaging_findings.table_packs import parse_table_pack
from imaging_findings.toml_tables import PackError
from tests.cds_actors import NOW, SCT, a_nodule, a_patient, a_study, an_observation, concept

BASE = "https://imaging-cds.example/fhir/CodeSystem"
SIDES = {"left": "7771000", "right": "24028007"}


def an_assessment(name: str, version: str, category: str, observation_id: str, side: str | None = None) -> dict[str, Any]:
    laterality = [{"code": concept(SCT, "272741003"), "valueCodeableConcept": concept(SCT, SIDES[side])}] if side else []
    at_risk = {"code": concept(f"{BASE}/imaging-assessment", "at-risk"), "valueBoolean": True}
    return an_observation(
        id=observation_id,
        code=concept(f"{BASE}/imaging-assessment", name),
        valueCodeableConcept=concept(f"{BASE}/{name}", category, version),
        component=[at_risk, *laterality],
    )


def the_guidance(*findings: Mapping[str, Any]) -> tuple[Guidance, Facts]:
    empty: dict[str, list[Mapping[str, Any]]] = {
        key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")
    }
    facts = read_facts(empty | {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]}, "p")
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance
    return guidance, facts


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("name", "version", "worse", "better"),
    [
        ("bi-rads", "5", "4", "3"),
        ("bi-rads", "5", "4C", "4A"),
        ("bi-rads", "5", "5", "0"),
        ("bosniak", "2019", "IV", "IIF"),
        ("bosniak", "2019", "IV", "III"),
        ("li-rads-ct-mr", "2018", "LR-5", "LR-3"),
        ("us-li-rads", "2017", "US-3", "US-2"),
    ],
)
def test_y_the_worst_category_leads_whatever_is_due_first(
    name: str, version: str, worse: str, better: str, turned: bool
) -> None:
    """Y1, Y2, Y3, Y7: the worst categories have no interval, and must not lose to one that has."""
    findings = [an_assessment(name, version, worse, "a"), an_assessment(name, version, better, "b")]
    guidance, _ = the_guidance(*(reversed(findings) if turned else findings))

    assert guidance.finding.category == worse
    assert [one.finding.category for one in guidance.beside] == [better]


def test_y1_the_other_side_keeps_its_own_advice_in_the_detail() -> None:
    right, left = an_assessment("bi-rads", "5", "3", "a", "right"), an_assessment("bi-rads", "5", "4", "b", "left")
    guidance, facts = the_guidance(right, left)

    assert summary_of(guidance) == "BI-RADS 4 (left) (CT 2026-10-01): tissue diagnosis – radiologist"
    assert "**Also on this study:** BI-RADS 3 (right): breast imaging due 2027-04-01. Signed by" in detail_of(guidance, facts)


def test_a_side_of_which_nothing_is_asked_is_named_without_advice() -> None:
    right, left = an_assessment("bi-rads", "5", "2", "a", "right"), an_assessment("bi-rads", "5", "4", "b", "left")
    guidance, facts = the_guidance(right, left)

    assert guidance.beside == ()
    assert "**Also on this study:** BI-RADS 2 (right). Signed by" in detail_of(guidance, facts)


def test_f_a_further_nodule_keeps_its_own_advice_too() -> None:
    guidance, facts = the_guidance(a_nodule(12.0), a_nodule(4.0, "ground-glass", id="other"))

    assert guidance.finding.nodule.diameter_mm == 12.0
    assert "**Also on this study:** Lung nodule, 4 mm, ground-glass, 2 nodules, high risk: chest CT due" in detail_of(
        guidance, facts
    )


def test_each_pack_of_categories_says_which_is_the_worst() -> None:
    assert [one.info.pack_id for one in bundled_tables() if one.asks_category and not one.severity] == []


@pytest.mark.parametrize("severity", ['["II", "I"]', '["I", "I"]', '["I", "IV"]'])
def test_an_order_of_severity_names_each_category_once(severity: str) -> None:
    toml = f"""
id = "own"
kind = "table"
title = "Own"
system = "https://site.example/own"
version = "1"
citation = "none"
url = "https://site.example/"
clinical_owner = "Dr Own"
reads = "bosniak"
severity = {severity}

[[row]]
id = "I"
category = ["I"]
statement = "No follow-up."
urgency = "info"
evidence = "C"
"""
    assert parse_table_pack(toml.replace(severity, '["I"]'), "own").severity == ("I",)
    with pytest.raises(PackError, match="each category of the pack once"):
        parse_table_pack(toml, "own")
