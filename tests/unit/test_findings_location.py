"""Clinical rules 3.5: side and site of a finding are shown in its words, and nothing is computed from them."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.wording import SUMMARY_MAX, detail_of, summary_of
from imaging_findings.guidance import judge
from imaging_findings.location import site_of
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NOW, SCT, a_lung_rads, a_nodule, concept, nodule_components
from tests.unit.test_findings_critical import an_embolism, facts_with

LEFT = {"system": SCT, "code": "7771000"}
RIGHT = {"system": SCT, "code": "24028007"}
UPPER = {"system": SCT, "code": "45653009"}
LEFT_UPPER = {"system": SCT, "code": "44714003"}


def a_site(*codings: dict[str, str], words: str | None = None, side: dict[str, str] | None = None) -> dict[str, Any]:
    members: dict[str, Any] = {"bodySite": {"coding": list(codings)} | ({"text": words} if words else {})}
    if side:
        laterality = {"code": concept(SCT, "272741003"), "valueCodeableConcept": {"coding": [side]}}
        members["component"] = [laterality]
    return members


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (a_site(LEFT_UPPER), "left upper lobe"),
        (a_site({"system": SCT, "code": "72481006"}), "right middle lobe"),
        (a_site(UPPER), "upper lobe"),
        (a_site(UPPER, side=RIGHT), "right upper lobe"),
        (a_site(UPPER, RIGHT), "right upper lobe"),
        (a_site(UPPER, words="Right upper lobe"), "right upper lobe"),
        (a_site({"system": SCT, "code": "3341006"}), "right lung"),
        (a_site({"system": SCT, "code": "39607008"}, side=LEFT), "left lung"),
        (a_site({"system": SCT, "code": "23451007"}, side=LEFT), "left adrenal gland"),
        (a_site(LEFT), "left"),
        (a_site(LEFT, words="pleural cavity"), "left pleural cavity"),
        (a_site(words="RLL, segment 9"), "RLL, segment 9"),
        (a_site({"system": "urn:local", "code": "7", "display": "Lingula (body structure)"}), "lingula"),
        (a_site({"system": SCT, "code": "39607008"}, {"system": SCT, "code": "51440002"}), "lung, both sides"),
        (a_site(LEFT, RIGHT), None),
        ({}, None),
        ({"bodySite": "left"}, None),
        ({"bodySite": {"coding": [7], "text": 7}}, None),
    ],
)
def test_3_5_side_and_site_in_words(stated: dict[str, Any], words: str | None) -> None:
    assert site_of(stated) == words


def test_3_5_words_that_contradict_the_coded_side_stand_beside_it() -> None:
    assert site_of(a_site(LEFT_UPPER, words="Right upper lobe")) == "left upper lobe (stated: right upper lobe)"


def test_a_pneumothorax_says_its_side_in_title_and_finding() -> None:
    facts = facts_with(an_embolism(2, code=concept(SCT, "36118008"), **a_site(LEFT)))
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert summary_of(guidance).startswith("Pneumothorax, left (CT 2026-10-01): ACR category 1")
    assert "**Finding:** Pneumothorax, left (CT" in detail_of(guidance, facts)


def test_a_nodule_says_its_lobe_and_keeps_its_source() -> None:
    components = [*nodule_components(7.0, "solid", risk="high"), *a_site(side=RIGHT)["component"]]
    facts = facts_with(a_nodule(component=components, bodySite={"coding": [UPPER]}))
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    seen = "7 mm solid lung nodule, right upper lobe (CT 2026-10-01): "
    assert summary_of(guidance) == f"{seen}chest CT due 2027-04-01 to 2027-10-01 – Fleischner Society 2017"
    assert "**Finding:** Lung nodule, 7 mm, solid, single, high risk, right upper lobe (CT" in detail_of(guidance, facts)


def test_a_screening_category_says_where_its_nodule_is_in_the_detail() -> None:
    facts = facts_with(a_lung_rads("4A", bodySite={"coding": [LEFT_UPPER]}))
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert summary_of(guidance).startswith("Lung-RADS 4A (LDCT 2026-10-01)")
    assert "**Finding:** Lung-RADS 4A, left upper lobe (" in detail_of(guidance, facts)


def test_a_long_or_hostile_site_stays_out_of_the_summary_and_is_plain_text_in_the_detail() -> None:
    words = "<img src=x onerror=alert(1)> [left](https://evil.example) " * 3
    facts = facts_with(a_nodule(bodySite={"text": words}))
    (guidance,) = judge(facts, bundled_packs(), NOW).guidance

    assert "img" not in summary_of(guidance)
    assert len(summary_of(guidance)) <= SUMMARY_MAX
    assert "<img" not in detail_of(guidance, facts)
    assert "[left](" not in detail_of(guidance, facts)
