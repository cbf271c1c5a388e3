"""A site without Lung-RADS, Fleischner or a table: nothing in their name, the reader's own word stays, AI stays labelled."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings.advice import Judgement
from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.rules import Packs, Urgency
from imaging_findings.site_packs import parse_site_packs
from tests.cds_actors import (
    DCM,
    NOW,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_study,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
    nodule_components,
)

BASE = "https://imaging-cds.example/fhir/CodeSystem"
SIX_MONTHS = {
    "code": concept(DCM, "111055"),
    "valueQuantity": {"value": 6, "code": "mo", "system": "http://unitsofmeasure.org"},
}
AI = {"id": "ai", "status": "preliminary", "device": {"display": "Synthetic AI"}}
NOT_IN_FORCE = "At this site no guideline is in force for"


def off(*packs: str) -> Packs:
    return parse_site_packs("".join(f'[[pack]]\nid = "{one}"\nenabled = false\n' for one in packs), "site.toml")


BARE = off("lung-rads-2022", "fleischner-2017", "bosniak-2019")


def facts_of(*findings: Any, **others: Any) -> Facts:
    whole: dict[str, Any] = {key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")}
    return read_facts(whole | {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]} | others, "p")


def judged(*findings: Any, packs: Packs = BARE, **others: Any) -> Judgement:
    return judge(facts_of(*findings, **others), packs, NOW)


def a_bosniak(*components: Any, **members: Any) -> dict[str, Any]:
    value = concept(f"{BASE}/bosniak", "IIF", "2019")
    code = concept(f"{BASE}/imaging-assessment", "bosniak")
    return an_observation(**{"code": code, "valueCodeableConcept": value, "component": list(components)} | members)


# Each kind of finding whose guideline is off, with the reader's coded recommendation.
KINDS = [
    (a_lung_rads("3", component=[SIX_MONTHS]), "lung-rads", "Lung-RADS"),
    (a_nodule(component=[*nodule_components(7.0, "solid"), SIX_MONTHS]), "nodule", "incidental lung nodules"),
    (a_bosniak(SIX_MONTHS), "bosniak", "Bosniak"),
]


def test_packs_are_switched_off_one_by_one() -> None:
    packs = off("lung-rads-2022")

    assert packs.screening is None
    assert packs.nodules is not None
    assert off("fleischner-2017").nodules is None
    assert off("fleischner-2017").screening is not None


@pytest.mark.parametrize("finding", [a_lung_rads("4B"), a_lung_rads("1"), a_nodule(), a_bosniak()])
def test_nothing_is_said_in_the_name_of_a_pack_that_is_off(finding: Any) -> None:
    judgement = judged(finding)

    assert judgement.guidance == ()
    assert [one.reason for one in judgement.suppressed] == [
        "no guideline is in force for it at this site, and the reader recommended nothing"
    ]
    assert judgement.suppressed[0].by.startswith("no-guideline/")


@pytest.mark.parametrize(("finding", "name", "title"), KINDS, ids=[name for _, name, _ in KINDS])
def test_ga_the_readers_recommendation_is_echoed_and_the_card_says_that_no_guideline_is_in_force(
    finding: Any, name: str, title: str
) -> None:
    facts = facts_of(finding)
    guidance = judge(facts, BARE, NOW).guidance[0]

    assert guidance.rule_id == f"no-guideline/{name}"
    assert [one.words for one in guidance.statements] == ["Follow-up at 6 months, as the reader recommended."]
    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-04-01"
    assert guidance.order is None
    assert f"{NOT_IN_FORCE} {title}" in detail_of(guidance, facts)
    assert "**Guideline:**" not in detail_of(guidance, facts)
    assert "2027-04-01" in summary_of(guidance)


def test_ga_a_recommendation_in_the_reports_words_is_quoted() -> None:
    guidance = judged(a_lung_rads("3"), reports=[a_report("Recommend CT chest in 6 months.")]).guidance[0]

    assert [quote.sentence for quote in guidance.quotes] == ["Recommend CT chest in 6 months."]
    assert (guidance.urgency, guidance.next_step, guidance.order) == (Urgency.INFO, None, None)


@pytest.mark.parametrize("finding", [finding for finding, name, _ in KINDS if name != "bosniak"])
def test_gf_an_order_ends_the_readers_recommendation_too(finding: Any) -> None:
    judgement = judged(finding, orders=[an_order(reasonReference=[{"reference": "Observation/finding"}])])

    assert judgement.guidance == ()
    assert judgement.suppressed[0].by == "ServiceRequest/order"


@pytest.mark.parametrize(
    ("machine", "rule"),
    [
        (an_ai_lung_rads("4B"), "ai-unsigned/lung-rads"),
        (a_nodule(**AI), "ai-unsigned/nodule"),
        (a_bosniak(**AI), "ai-unsigned/bosniak"),
    ],
)
def test_t8_an_ai_result_alone_is_shown_as_labelled_information(machine: Any, rule: str) -> None:
    guidance = judged(machine).guidance[0]

    assert (guidance.rule_id, guidance.urgency) == (rule, Urgency.INFO)
    assert "nobody has signed it" in summary_of(guidance)


def test_ai_beside_the_reader_is_shown_and_no_size_is_judged_without_a_table() -> None:
    same = judged(a_nodule(7.0), a_nodule(component=nodule_components(12.0, "solid"), **AI)).guidance[0]
    other = judged(a_nodule(7.0), a_nodule(component=nodule_components(7.0, "ground-glass"), **AI)).guidance[0]
    lungs = judged(a_lung_rads("3"), an_ai_lung_rads("4B")).guidance[0]

    assert (same.rule_id, same.ai_agrees) == ("no-guideline/nodule", None)
    assert other.ai_agrees is False
    assert lungs.ai_agrees is False
    assert NOT_IN_FORCE in lungs.notes[0]


def test_x4_fleischner_never_speaks_on_a_screening_whose_own_pack_is_off() -> None:
    screening = a_lung_rads("3", id="category")
    nodule = a_nodule(component=nodule_components(7.0, "solid", risk="high"))

    judgement = judged(screening, nodule, packs=off("lung-rads-2022"))

    assert judgement.guidance == ()
    assert [one.by for one in judgement.suppressed] == ["no-guideline/lung-rads"]


def test_gc_a_category_in_words_is_not_quoted_for_a_pack_that_is_off() -> None:
    report = a_report("Lung-RADS 4A.")

    assert [one.rule_id for one in judged(reports=[report], packs=off()).guidance] == ["report-text/lung-rads"]
    assert judged(reports=[report]).guidance == ()


def test_modifier_s_is_named_without_a_table_too() -> None:
    modifier = {"code": concept(f"{BASE}/lung-rads", "S"), "valueBoolean": True}
    guidance = judged(a_lung_rads("2", component=[modifier, SIX_MONTHS])).guidance[0]

    assert any(note.startswith("Modifier S") for note in guidance.notes)


def test_an_aorta_of_a_site_that_chose_neither_guideline_waits_for_nobody() -> None:
    neither = off("aaa-acr-2013", "aaa-svs-2018")
    aorta = an_observation(
        code=concept(f"{BASE}/imaging-assessment", "abdominal-aorta"),
        component=[
            {
                "code": concept(f"{BASE}/imaging-assessment", "max-diameter"),
                "valueQuantity": {"value": 52, "code": "mm", "system": "http://unitsofmeasure.org"},
            }
        ],
    )

    assert neither.undecided == ()
    assert judged(aorta, packs=off()).guidance[0].rule_id == "choice-abdominal-aorta/undecided"
    assert judged(aorta, packs=neither).guidance == ()
