"""Lung-RADS categories as they stand in the wild: in local code systems, in words, and in a panel's component (section 3.5)."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.advice import Guidance
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Packs, Urgency
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.toml_tables import PackError
from imaging_findings.wording import finding_words, title_of
from tests.cds_actors import (
    DCM,
    LUNG_RADS,
    NOW,
    SCT,
    a_lung_rads,
    a_patient,
    a_study,
    an_observation,
    concept,
    nodule_components,
)

LITHUANIA = "https://tx.hl7.lt/fhir/CodeSystem/lung-rads-category"
HOSPITAL = "https://hospital.example.org/fhir/CodeSystem/screening"
CATEGORY = concept(SCT, "1362105002")
PACK = '[[pack]]\nid = "lung-rads-2022"\n'


def told(observation: dict[str, Any], packs: Packs | None = None) -> list[Guidance]:
    sent = {"patient": [a_patient()], "findings": [observation], "studies": [a_study()], "conditions": []}
    return list(judge(read_facts(sent, "p"), packs or bundled_packs(), NOW).guidance)


def in_system(system: str, category: str = "4A", version: str | None = "2022") -> dict[str, Any]:
    return an_observation(code=CATEGORY, valueCodeableConcept=concept(system, category, version))


def site(*systems: str) -> Packs:
    return parse_site_packs(f"{PACK}systems = [{', '.join(f'{chr(34)}{one}{chr(34)}' for one in systems)}]\n", "site.toml")


def test_l_a_category_of_the_lithuanian_guide_is_answered_as_one_of_ours() -> None:
    (own,), (local,) = told(a_lung_rads("4A")), told(in_system(LITHUANIA))

    assert (local.rule_id, local.next_step, local.order) == (own.rule_id, own.next_step, own.order)
    assert local.next_step is not None


def test_gb_a_local_code_without_a_version_computes_nothing_and_stands_in_the_summary() -> None:
    (said,) = told(in_system(LITHUANIA, version=None))

    assert (said.next_step, said.order, said.missing) == (None, None, ("the Lung-RADS version",))
    assert (title_of(said.finding), said.urgency) == ("Lung-RADS 4A", Urgency.WARNING)


def test_gb_a_system_that_nobody_named_computes_nothing_and_stands_in_the_summary() -> None:
    (said,) = told(in_system(HOSPITAL))

    assert (said.next_step, said.order) == (None, None)
    assert said.missing == ("a Lung-RADS code system that this site accepts",)
    assert (title_of(said.finding), said.urgency) == ("Lung-RADS 4A", Urgency.WARNING)


def coded_twice(*codings: tuple[str, str | None]) -> dict[str, Any]:
    both = [concept(system, "4A", version)["coding"][0] for system, version in codings]
    return an_observation(code=CATEGORY, valueCodeableConcept={"coding": both})


@pytest.mark.parametrize(
    "codings",
    [
        [(HOSPITAL, "1"), (LITHUANIA, "2022")],
        [(LITHUANIA, "2022"), (HOSPITAL, "1")],
        [(HOSPITAL, None), (LITHUANIA, "2022")],
        [(HOSPITAL, "1"), (LUNG_RADS, "2022")],
        [(LITHUANIA, "2019"), (LUNG_RADS, "2022")],
    ],
)
def test_gb_the_order_of_codings_does_not_decide_which_is_answered(codings: list[tuple[str, str | None]]) -> None:
    (own,), (said,) = told(a_lung_rads("4A")), told(coded_twice(*codings))

    assert (said.rule_id, said.next_step, said.missing) == (own.rule_id, own.next_step, ())


def test_gb_another_system_does_not_speak_for_another_version_of_ours() -> None:
    (said,) = told(coded_twice((LITHUANIA, "2022"), (LUNG_RADS, "1.1")))

    assert (said.next_step, said.missing) == (None, ("rules for Lung-RADS version 1.1 (this service knows 2022)",))


@pytest.mark.parametrize(
    ("accepted", "version", "answered"),
    [
        (HOSPITAL, "2022", True),
        (HOSPITAL, "7", False),
        (HOSPITAL, None, False),
        (f"{HOSPITAL}|7", "7", True),
        (f"{HOSPITAL}|7", "8", False),
        (f"{HOSPITAL}|7", None, False),
    ],
)
def test_gb_a_site_names_its_own_system_and_which_of_its_versions_it_means(
    accepted: str, version: str | None, *, answered: bool
) -> None:
    (said,) = told(in_system(HOSPITAL, version=version), site(accepted))

    assert (said.next_step is not None) is answered
    assert told(in_system(LITHUANIA), site(accepted))[0].next_step is not None


@pytest.mark.parametrize("system", ["", "hospital", f"{HOSPITAL}|", f"{HOSPITAL}|1|2x ,", SCT, "http://loinc.org|v"])
def test_a_system_that_can_hold_no_categories_is_refused_with_its_line(system: str) -> None:
    with pytest.raises(PackError, match=r"line 3: .*systems has .*no code system"):
        site(system)


@pytest.mark.parametrize(
    "value",
    [
        {"valueString": "Lung-RADS 4A"},
        {"valueCodeableConcept": {"text": "Lung-RADS 4A"}},
        {"valueCodeableConcept": {"coding": [{"system": HOSPITAL, "code": "x9", "display": "Lung-RADS 4A"}]}},
    ],
)
def test_gc_a_category_in_words_is_shown_and_computes_nothing(value: dict[str, Any]) -> None:
    (said,) = told(an_observation(code=CATEGORY, **value))

    assert title_of(said.finding) == "Lung-RADS without coded category, stated: “Lung-RADS 4A”"
    assert (said.next_step, said.order, said.urgency) == (None, None, Urgency.INFO)


def test_long_words_are_cut_in_the_title_and_whole_in_the_detail() -> None:
    words = "Category 4A, to be discussed in the nodule conference"
    (said,) = told(an_observation(code=CATEGORY, valueString=words))

    assert words not in title_of(said.finding)
    assert words in finding_words(said.finding)


@pytest.mark.parametrize("other", ["3", "4"])
def test_gd_codes_that_contradict_each_other_are_none(other: str) -> None:
    both = {"coding": [{"system": LUNG_RADS, "code": other, "version": "2022"}, {"system": LITHUANIA, "code": "4A"}]}

    (said,) = told(an_observation(code=CATEGORY, valueCodeableConcept=both))

    assert (said.finding.category, said.next_step) == (None, None)


def a_panel(*categories: str, **members: Any) -> dict[str, Any]:
    coded = [{"code": CATEGORY, "valueCodeableConcept": concept(LUNG_RADS, one, "2022")} for one in categories]
    return an_observation(**{"code": concept(DCM, "121071"), "component": [*coded, *nodule_components(9.0, "solid")]} | members)


def test_l_a_category_in_a_panels_component_is_answered() -> None:
    (own,), (said,) = told(a_lung_rads("4A")), told(a_panel("4A"))

    assert (said.rule_id, said.next_step, said.finding.reference) == (own.rule_id, own.next_step, "Observation/finding")
    assert said.finding.nodule.diameter_mm == 9.0


def test_gd_several_categories_of_a_panel_are_shown_and_none_is_the_examinations() -> None:
    (said,) = told(a_panel("3", "4A"))

    assert (title_of(said.finding), said.next_step) == ("Lung-RADS without coded category, stated: “3, 4A”", None)


@pytest.mark.parametrize("status", ["entered-in-error", "preliminary", "cancelled"])
def test_gg_a_panel_that_nobody_signed_says_nothing(status: str) -> None:
    assert told(a_panel("4A", status=status)) == []


def test_a_component_that_says_why_it_is_missing_says_nothing() -> None:
    absent = {
        "code": CATEGORY,
        "dataAbsentReason": concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown"),
    }

    assert told(an_observation(code=concept(DCM, "121071"), component=[absent])) == []
