"""N1-N8 and T7: eGFR with its comparators and windows, AKI, dialysis, metformin, reactions by class."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.contrast import ContrastFacts, contrast_advice
from imaging_findings.contrast_reactions import contrast_reactions
from imaging_findings.medications import takes_metformin
from imaging_findings.order_advice import OrderAdvice, Reason
from imaging_findings.order_merging import with_metformin_told_once
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.patient_facts import latest_egfr
from imaging_findings.rules import Urgency
from imaging_findings.study_kinds import Contrast, StudyKind
from tests.cds_actors import NOW, SCT, concept
from tests.order_actors import TODAY, a_kind, a_metformin, an_allergy, an_egfr, an_imaging_order

CT = a_kind("CT", "abdomen", contrast=Contrast.WITH)
MR = a_kind("MR", "head", contrast=Contrast.WITH)


def rules(
    kind: StudyKind = CT, *, name: str = "an examination", policy: OrderPolicy | None = None, **facts: Any
) -> dict[str, Urgency]:
    """The rules that speak, with their urgency."""
    found = contrast_advice(an_imaging_order(kind, name=name), ContrastFacts(**facts), policy or OrderPolicy(), TODAY)
    return {one.rule_id: one.urgency for one in found}


def egfr(value: float | None = None, ago: int = 5, **members: Any) -> Any:
    read = latest_egfr([an_egfr(value, ago, **members)], NOW)
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (15, {"contrast/N1": Urgency.WARNING}),
        (29, {"contrast/N1": Urgency.WARNING}),
        (29.9, {"contrast/N1": Urgency.WARNING}),
        (30, {"contrast/N2": Urgency.INFO}),
        (44, {"contrast/N2": Urgency.INFO}),
        (44.9, {"contrast/N2": Urgency.INFO}),
        (45, {}),
        (90, {}),
    ],
)
def test_n1_n2_n3_boundaries(value: float, expected: dict[str, Urgency]) -> None:
    assert rules(egfr=egfr(value)) == expected


def test_n1_dialysis_with_low_egfr_says_nothing() -> None:
    assert rules(egfr=egfr(12), dialysis="Dependence on renal dialysis") == {}


def test_n1_acute_kidney_injury_whatever_the_egfr() -> None:
    assert rules(egfr=egfr(80), acute_kidney_injury="Acute kidney injury") == {"contrast/N1": Urgency.WARNING}


def test_n1_says_not_to_withhold_a_necessary_examination() -> None:
    (advice,) = contrast_advice(an_imaging_order(CT), ContrastFacts(egfr=egfr(20)), OrderPolicy(), TODAY)

    assert "Do not withhold a necessary examination" in dict(advice.lines)["Advice"]
    assert dict(advice.lines)["Latest eGFR"] == "20 mL/min/1.73 m², 2026-11-16"


@pytest.mark.parametrize("contrast", [Contrast.WITHOUT, Contrast.UNKNOWN, Contrast.OTHER_ROUTE])
def test_no_contrast_into_the_vessels_no_word(contrast: Contrast) -> None:
    facts = {"egfr": egfr(10), "metformin": "metformin", "reactions": contrast_reactions([an_allergy(criticality="high")])}

    assert rules(a_kind("CT", "abdomen", contrast=contrast), **facts) == {}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"comparator": "<", "value": 15}, {"contrast/N1": Urgency.WARNING}),
        ({"comparator": "<", "value": 30}, {"contrast/N1": Urgency.WARNING}),
        ({"comparator": "<=", "value": 30}, {"contrast/egfr-unclear": Urgency.INFO}),
        ({"comparator": "<", "value": 60}, {"contrast/egfr-unclear": Urgency.INFO}),
        ({"comparator": ">", "value": 60}, {}),
        ({"comparator": ">", "value": 15}, {"contrast/egfr-unclear": Urgency.INFO}),
        ({"comparator": ">=", "value": 45}, {}),
    ],
)
def test_t7_a_comparator_is_a_bound_and_never_a_number(written: dict[str, Any], expected: dict[str, Urgency]) -> None:
    quantity = {"system": "http://unitsofmeasure.org", "code": "mL/min"} | written

    assert rules(egfr=egfr(valueQuantity=quantity)) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [(">60", {}), ("<15 mL/min", {"contrast/N1": Urgency.WARNING}), ("25", {"contrast/egfr-unclear": Urgency.INFO})],
)
def test_t7_words_are_bounds_or_nothing(written: str, expected: dict[str, Urgency]) -> None:
    assert rules(egfr=egfr(valueString=written)) == expected


@pytest.mark.parametrize("unit", ["mL/min", "mL/min/{1.73_m2}"])
def test_t7_both_units_are_read(unit: str) -> None:
    quantity = {"value": 20, "system": "http://unitsofmeasure.org", "code": unit}

    assert rules(egfr=egfr(valueQuantity=quantity)) == {"contrast/N1": Urgency.WARNING}


def test_t7_another_unit_gives_no_class() -> None:
    quantity = {"value": 0.4, "system": "http://unitsofmeasure.org", "code": "mL/s"}

    assert rules(egfr=egfr(valueQuantity=quantity)) == {"contrast/egfr-unclear": Urgency.INFO}


def test_t7_the_latest_final_value_counts() -> None:
    read = latest_egfr(
        [an_egfr(20, 40), an_egfr(50, 3), an_egfr(10, 1, status="preliminary"), an_egfr(11, 0, status="entered-in-error")],
        NOW,
    )

    assert read is not None
    assert read.value == 50


def test_t7_of_two_values_of_one_sample_the_lower_counts() -> None:
    read = latest_egfr([an_egfr(34), an_egfr(29)], NOW)

    assert read is not None
    assert read.value == 29


@pytest.mark.parametrize(
    ("inpatient", "ago", "speaks"), [(True, 30, True), (True, 31, False), (False, 90, True), (False, 91, False)]
)
def test_n6_windows_by_class(inpatient: bool, ago: int, speaks: bool) -> None:
    found = rules(egfr=egfr(20, ago), is_inpatient=inpatient)

    assert found == ({"contrast/N1": Urgency.WARNING} if speaks else {"contrast/N6": Urgency.INFO})


def test_n6_needs_a_risk_factor() -> None:
    assert rules() == {}
    assert rules(egfr=egfr(80, 200)) == {}
    assert rules(metformin="metformin") == {"contrast/N6": Urgency.INFO}
    assert rules(kidney_risks=("Chronic kidney disease",)) == {"contrast/N6": Urgency.INFO}


def test_n6_says_when_the_laboratory_could_not_be_asked() -> None:
    facts = ContrastFacts(metformin="metformin", not_available=frozenset({"labs"}))

    (advice,) = contrast_advice(an_imaging_order(CT), facts, OrderPolicy(), TODAY)

    assert "could not be looked up" in advice.headline


@pytest.mark.parametrize(
    ("facts", "speaks"),
    [
        ({"egfr": 29}, True),
        ({"egfr": 30}, False),
        ({"egfr": 80}, False),
        ({"egfr": 80, "acute_kidney_injury": "AKI"}, True),
    ],
)
def test_n4_n5_metformin(facts: dict[str, Any], speaks: bool) -> None:
    found = rules(metformin="Metformin 500 mg", **facts | {"egfr": egfr(facts["egfr"])})

    assert ("contrast/N4" in found) is speaks


def test_n4_an_arterial_catheter_study_is_enough() -> None:
    arterial = a_kind("XA", "abdomen", contrast=Contrast.WITH)

    assert "contrast/N4" in rules(arterial, name="RFA Renal artery W contrast IA", metformin="metformin", egfr=egfr(80))
    assert "contrast/N4" not in rules(arterial, name="RFA Portal vein W contrast IV", metformin="metformin", egfr=egfr(80))


@pytest.mark.parametrize(
    ("members", "taken"),
    [
        ({}, True),
        ({"status": "stopped"}, False),
        ({"status": "completed"}, False),
        ({"doNotPerform": True}, False),
        ({"medicationCodeableConcept": concept("http://www.whocc.no/atc", "A10BA02")}, True),
        ({"medicationCodeableConcept": concept("http://www.nlm.nih.gov/research/umls/rxnorm", "6809")}, True),
        ({"medicationCodeableConcept": {"text": "Insulin"}}, False),
        (
            {"medicationCodeableConcept": None, "contained": [{"resourceType": "Medication", "code": {"text": "METFORMIN"}}]},
            True,
        ),
    ],
)
def test_metformin_by_code_or_by_its_own_name(members: dict[str, Any], taken: bool) -> None:
    assert (takes_metformin([a_metformin(**members)], TODAY) is not None) is taken


@pytest.mark.parametrize(("value", "speaks"), [(29, True), (30, False)])
def test_n7_gadolinium(value: float, speaks: bool) -> None:
    assert rules(MR, egfr=egfr(value), metformin="metformin") == ({"contrast/N7": Urgency.INFO} if speaks else {})


@pytest.mark.parametrize(
    ("allergy", "ct", "mr"),
    [
        ({"criticality": "high"}, True, True),
        ({"criticality": "high", "code": {"text": "Iohexol"}}, True, False),
        ({"criticality": "high", "code": {"text": "Gadobutrol"}}, False, True),
        ({"criticality": "high", "code": concept("http://www.whocc.no/atc", "V08AB05")}, True, False),
        ({"criticality": "high", "code": concept(SCT, "293638001")}, True, False),
        ({"criticality": "high", "code": {"text": "Shellfish"}}, False, False),
        ({"criticality": "high", "verificationStatus": {"coding": [{"system": "x", "code": "refuted"}]}}, False, False),
        ({"criticality": "high", "clinicalStatus": {"coding": [{"system": "x", "code": "resolved"}]}}, False, False),
    ],
)
def test_n8_reactions_match_by_class(allergy: dict[str, Any], ct: bool, mr: bool) -> None:
    reactions = contrast_reactions([an_allergy(**allergy)])

    assert rules(CT, reactions=reactions) == ({"contrast/N8": Urgency.WARNING} if ct else {})
    assert rules(MR, reactions=reactions) == ({"contrast/N8": Urgency.WARNING} if mr else {})


@pytest.mark.parametrize(
    ("members", "urgency"),
    [
        ({"reaction": [{"severity": "severe"}]}, Urgency.WARNING),
        ({"reaction": [{"severity": "mild"}]}, Urgency.INFO),
        ({}, Urgency.INFO),
    ],
)
def test_n8_only_a_severe_reaction_warns(members: dict[str, Any], urgency: Urgency) -> None:
    assert rules(reactions=contrast_reactions([an_allergy(**members)])) == {"contrast/N8": urgency}


def merged_rules(**facts: Any) -> list[OrderAdvice]:
    order = an_imaging_order(CT)
    return with_metformin_told_once(contrast_advice(order, ContrastFacts(**facts), OrderPolicy(), TODAY))


def test_n1_n4_one_kidney_function_is_one_piece_of_advice() -> None:
    (advice,) = merged_rules(egfr=egfr(27), metformin="Metformin 500 mg")

    assert (advice.rule_id, advice.reason, advice.urgency) == ("contrast/N1+N4", Reason.KIDNEY, Urgency.WARNING)
    assert advice.headline.endswith(": hold metformin")
    labels = [label for label, _ in advice.lines]
    assert labels == ["Latest eGFR", "Advice", "Medication", "Metformin"]


def test_n4_alone_and_n1_alone_stay_what_they_are() -> None:
    (on_dialysis,) = merged_rules(egfr=egfr(27), dialysis="dialysis", metformin="Metformin")
    (without,) = merged_rules(egfr=egfr(27))

    assert (on_dialysis.rule_id, without.rule_id) == ("contrast/N4", "contrast/N1")


def test_n1_n4_acute_kidney_injury_is_said_once() -> None:
    (advice,) = merged_rules(acute_kidney_injury="Acute kidney injury", metformin="Metformin")

    assert [words for _, words in advice.lines].count("Acute kidney injury") == 1
    assert "Because of" not in dict(advice.lines)
