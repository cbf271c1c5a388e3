"""LS: modifier S names the other significant findings that the chart codes for the same images, and refers to their cards."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.wording import detail_of
from imaging_findings.advice import Guidance, Judgement
from imaging_findings.facts import read_facts
from imaging_findings.findings import Kind
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import DCM, LUNG_RADS, NOW, SCT, a_lung_rads, a_patient, a_report, a_study, an_observation, concept
from tests.followed_actors import assessed

EMBOLISM = concept(SCT, "59282003")
SCREENED = a_lung_rads("2", id="screened", component=[{"code": concept(LUNG_RADS, "S"), "valueBoolean": True}])
OWN_CARD = "see its own card"


def judged(*findings: dict[str, Any], **others: Any) -> Judgement:
    resources: dict[str, Any] = dict.fromkeys(("orders", "reports", "conditions", "smoking", "communications"), ())
    resources |= {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]}
    return judge(read_facts(resources | others, "p"), bundled_packs(), NOW)


def screening_of(judgement: Judgement) -> Guidance:
    (found,) = [one for one in judgement.guidance if one.finding.kind is Kind.LUNG_RADS]
    return found


def note_of(judgement: Judgement) -> str:
    (note,) = [one for one in screening_of(judgement).notes if one.startswith("Modifier S")]
    return note


def test_ls_the_other_finding_is_named_and_its_own_card_says_what_it_needs() -> None:
    embolism = an_observation(id="pe", code=EMBOLISM, issued="2026-11-21T08:00:00Z")
    judgement = judged(SCREENED, embolism)

    assert len(judgement.guidance) == 2
    assert note_of(judgement).endswith("The chart names Pulmonary embolism (see its own card).")


def test_ls_an_assessment_of_the_same_images_is_named() -> None:
    judgement = judged(SCREENED, assessed("bosniak", "III", "2019", id="cyst"))

    assert note_of(judgement).endswith("The chart names Bosniak III (see its own card).")
    assert screening_of(judgement).urgency.value == "info", "the modifier makes nothing louder"


def test_ls_a_finding_of_the_report_that_names_the_category_is_named() -> None:
    """LS: the Observation names no study; the report that holds both does."""
    embolism = an_observation(id="pe", code=EMBOLISM, issued="2026-11-21T08:00:00Z", derivedFrom=[])
    results = [{"reference": "Observation/screened"}, {"reference": "Observation/pe"}]

    assert OWN_CARD in note_of(judged(SCREENED, embolism, reports=[a_report("See findings.", result=results)]))


def test_ls_a_reports_coded_conclusion_is_named() -> None:
    report = a_report("See findings.", conclusionCode=[EMBOLISM], issued="2026-11-21T08:00:00Z")

    assert OWN_CARD in note_of(judged(SCREENED, reports=[report]))


@pytest.mark.parametrize(
    "other",
    [
        (),
        (an_observation(id="pe", code=EMBOLISM, derivedFrom=[{"reference": "ImagingStudy/another"}]),),
        (an_observation(id="pe", code=EMBOLISM, status="preliminary", device={"reference": "Device/ai"}, performer=[]),),
        (an_observation(id="pe", code=EMBOLISM, valueBoolean=False),),
        (assessed("bosniak", "I", "2019", id="cyst"),),
        (an_observation(id="nodule", code=concept(DCM, "121071"), valueCodeableConcept=concept(SCT, "427359005")),),
    ],
    ids=["nothing", "another study", "an unsigned AI result", "denied", "nothing is asked for", "the nodule itself"],
)
def test_ls_where_the_chart_names_no_other_finding_the_report_is_referred_to(other: tuple[dict[str, Any], ...]) -> None:
    assert note_of(judged(SCREENED, *other)).endswith("The chart names none in code: see the report.")


def test_ls_a_finding_without_a_card_of_its_own_is_named_with_the_reason() -> None:
    """LS: its communication is a month old, so its own rule is silent."""
    embolism = an_observation(id="pe", code=EMBOLISM, issued="2026-10-01T08:00:00Z")

    assert "Pulmonary embolism (no card of its own: " in note_of(judged(SCREENED, embolism))


def test_ls_without_the_modifier_nothing_is_said_of_other_findings() -> None:
    embolism = an_observation(id="pe", code=EMBOLISM, issued="2026-11-21T08:00:00Z")
    plain = a_lung_rads("2", id="screened")

    assert not any("Modifier S" in note for one in judged(plain, embolism).guidance for note in one.notes)


def test_ls_the_name_of_the_other_finding_is_escaped_in_the_detail() -> None:
    named = {"coding": [{"system": SCT, "code": "59282003", "display": "[x](http://evil.example)"}], "text": "<b>x</b>"}
    embolism = an_observation(id="pe", code=named, issued="2026-11-21T08:00:00Z")
    detail = detail_of(screening_of(judged(SCREENED, embolism)), read_facts({}, "p"))

    assert "[x](http" not in detail
    assert "<b>" not in detail
