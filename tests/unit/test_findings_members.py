"""A nodule whose size, type and risk stand in Observations of their own, as HL7 dicom-sr writes them (``hasMember``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imaging_findings.facts import QUERIES, Facts, read_facts
from imaging_findings.findings import Attenuation, Author, Risk
from imaging_findings.guidance import judge
from imaging_findings.members import MEASURED
from imaging_findings.packs import bundled_packs
from tests.cds_actors import (
    DCM,
    FHIR,
    GUIDELINE,
    NODULE,
    NOW,
    RISKS,
    SCT,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_study,
    an_observation,
    concept,
    millimetres,
)

Resource = Mapping[str, Any]
SIZE, TYPE, RISK = "Observation/size", "Observation/type", "Observation/risk"
SOLITARY = concept(SCT, "427359005")


def facts_with(*findings: Resource) -> Facts:
    sent = {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()], "conditions": []}
    return read_facts(sent, "p", bases=(FHIR,))


def a_measurement(name: str, **members: Any) -> dict[str, Any]:
    return an_observation(**{"id": name, "derivedFrom": []} | members)


def size(mm: float = 7.0, **members: Any) -> dict[str, Any]:
    return a_measurement("size", **millimetres((SCT, "81827009"), mm) | members)


def attenuation(kind: str = "solid", **members: Any) -> dict[str, Any]:
    coded = {"code": concept(NODULE, "attenuation"), "valueCodeableConcept": concept(NODULE, kind)}
    return a_measurement("type", **coded | members)


def risk(level: str = "high", **members: Any) -> dict[str, Any]:
    coded = {"code": concept(NODULE, "malignancy-risk"), "valueCodeableConcept": concept(SCT, RISKS[level])}
    return a_measurement("risk", **coded | members)


def a_parent(*references: str, **members: Any) -> dict[str, Any]:
    named = [{"reference": one} for one in references or (SIZE, TYPE, RISK)]
    return an_observation(
        **{"code": SOLITARY, "method": concept(GUIDELINE, "fleischner", "2017"), "hasMember": named} | members
    )


def a_group(*references: str, **members: Any) -> dict[str, Any]:
    coded = {"code": concept(DCM, "121071"), "category": [concept(DCM, "125007")], "valueCodeableConcept": SOLITARY}
    return a_parent(*references, **coded | members)


@pytest.mark.parametrize("parent", [a_parent(), a_group()], ids=["nodule", "dicom-sr group"])
def test_f2_a_nodule_measured_in_its_members_gets_the_same_answer_as_one_with_components(parent: dict[str, Any]) -> None:
    """Section 6: HL7 dicom-sr, hasMember. The same card as for the same nodule with components."""
    facts = facts_with(parent, size(), attenuation(), risk())
    as_components = judge(facts_with(a_nodule(7.0)), bundled_packs(), NOW)

    told = judge(facts, bundled_packs(), NOW)

    assert [one.rule_id for one in told.guidance] == [one.rule_id for one in as_components.guidance]
    assert [one.next_step for one in told.guidance] == [one.next_step for one in as_components.guidance]
    assert not told.guidance[0].missing
    assert facts.findings[0].nodule.count == 1


def test_f_every_code_that_a_member_may_carry_is_asked_for() -> None:
    """R10: one plain search; a member that is not asked for never comes."""
    template = next(query.template for query in QUERIES if query.key == "findings")

    assert all(f"{code.system}|{code.code}" in template for code in MEASURED)
    assert len(template) < 2000


@pytest.mark.parametrize("status", ["preliminary", "entered-in-error", "cancelled", "registered", "unknown", None])
def test_gg_a_member_that_nobody_stands_behind_counts_for_nothing(status: str | None) -> None:
    facts = facts_with(a_parent(), size(), attenuation(status=status), risk())

    assert facts.findings[0].author is Author.PERSON
    assert facts.findings[0].nodule.attenuation is None
    assert "type" in " ".join(judge(facts, bundled_packs(), NOW).guidance[0].missing)


def test_gg_an_ais_member_never_speaks_in_a_readers_name() -> None:
    machine = {"status": "preliminary", "device": {"reference": "Device/ai"}}

    assert facts_with(a_parent(), size(**machine), attenuation(), risk()).findings[0].nodule.diameter_mm is None


def test_t8_an_ais_group_stays_unsigned_with_signed_members() -> None:
    group = a_group(status="preliminary", device={"reference": "Device/ai"})

    finding = facts_with(group, size(), attenuation(), risk()).findings[0]

    assert (finding.author, finding.nodule.diameter_mm) == (Author.AI, 7.0)


def test_a_member_of_another_patient_lends_nothing_and_is_told() -> None:
    facts = facts_with(a_parent(), size(subject={"reference": "Patient/other"}), attenuation(), risk())

    assert facts.findings[0].nodule.diameter_mm is None
    assert [one.reference for one in facts.problems] == [SIZE]


@pytest.mark.parametrize(
    ("reference", "counts"),
    [
        (f"{FHIR}/Observation/size", True),
        ("Observation/size/_history/2", True),
        ("https://other.example.org/fhir/Observation/size", False),
        ("#size", False),
        ("Condition/size", False),
        ("Observation/", False),
    ],
)
def test_only_a_member_on_the_patients_own_server_counts(reference: str, *, counts: bool) -> None:
    facts = facts_with(a_parent(reference, TYPE, RISK), size(), attenuation(), risk())

    assert (facts.findings[0].nodule.diameter_mm == 7.0) is counts


def test_t11_a_member_that_did_not_come_is_missing() -> None:
    told = judge(facts_with(a_parent(), size(), risk()), bundled_packs(), NOW)

    assert told.guidance[0].next_step is None
    assert "type" in " ".join(told.guidance[0].missing)


def test_a_circle_of_groups_ends() -> None:
    one = a_parent("Observation/finding", "Observation/outer", SIZE)
    outer = a_group("Observation/finding", "Observation/outer", id="outer", valueCodeableConcept=concept(SCT, "52101004"))

    facts = facts_with(one, outer, size(hasMember=[{"reference": "Observation/finding"}]))

    assert [finding.nodule.diameter_mm for finding in facts.findings] == [7.0]


def test_gd_two_sizes_that_contradict_each_other_are_none() -> None:
    """Gd: which of them is the nodule's nobody can tell."""
    other = size(9.0) | {"id": "size-2"}

    assert facts_with(a_parent(SIZE, "Observation/size-2", TYPE), size(), other).findings[0].nodule.diameter_mm is None


def test_what_the_group_itself_states_comes_first() -> None:
    parent = a_parent(component=[millimetres((SCT, "81827009"), 4.0)])

    assert facts_with(parent, size(), attenuation(), risk()).findings[0].nodule.diameter_mm == 4.0


@pytest.mark.parametrize(
    "elsewhere", [{"derivedFrom": [{"reference": "ImagingStudy/prior"}]}, {"effectiveDateTime": "2025-10-01T10:00:00+02:00"}]
)
def test_a_measurement_of_an_earlier_examination_is_not_todays(elsewhere: dict[str, Any]) -> None:
    assert facts_with(a_parent(), size(**elsewhere), attenuation(), risk()).findings[0].nodule.diameter_mm is None


def test_a_measurement_that_says_why_it_is_missing_states_nothing() -> None:
    absent = {"dataAbsentReason": concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-performed")}

    assert facts_with(a_parent(), size(**absent), attenuation()).findings[0].nodule.diameter_mm is None


def test_ls_a_screening_category_is_explained_by_its_members() -> None:
    """Section 3.1: the coded measurements only explain or question the coded category."""
    screened = a_lung_rads("3", hasMember=[{"reference": SIZE}, {"reference": TYPE}])

    nodule = facts_with(screened, size(), attenuation("part-solid")).findings[0].nodule

    assert (nodule.diameter_mm, nodule.attenuation) == (7.0, Attenuation.PART_SOLID)


def test_a_group_whose_member_is_the_nodule_itself_is_no_second_finding() -> None:
    group = a_group("Observation/finding", id="group")

    facts = facts_with(a_nodule(7.0), group)

    assert [one.reference for one in facts.findings] == ["Observation/finding"]
    assert facts.findings[0].nodule.risk is Risk.HIGH


def test_a_nodule_of_no_known_place_is_no_lung_nodule_in_a_group_either() -> None:
    group = a_group(valueCodeableConcept=concept(SCT, "27925004"), bodySite=concept(SCT, "69748006"))

    assert facts_with(group, size()).findings == ()


def test_gc_a_group_that_denies_its_nodule_in_code_is_no_nodule() -> None:
    """Section 3.4: what is interpreted as negative is not there, whatever was measured."""
    negative = concept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "NEG")

    assert facts_with(a_group(interpretation=[negative]), size(), attenuation(), risk()).findings == ()
