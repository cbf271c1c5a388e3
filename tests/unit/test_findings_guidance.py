"""G: echo before infer, missing input, due dates, suppression, AI beside the reader, and no mixing of guidelines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from imaging_findings.advice import Authority, Guidance, Judgement
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from imaging_findings.rules import Urgency
from tests.cds_actors import (
    DCM,
    LOINC,
    LUNG_RADS,
    NOW,
    SCT,
    a_condition,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_study,
    an_ai_lung_rads,
    an_order,
    concept,
    nodule_components,
)

Resource = Mapping[str, Any]


def judged(*findings: Resource, **others: list[Resource] | None) -> Judgement:
    """The judgement of a patient whose other resources are a chest CT and nothing else, unless said otherwise."""
    whole: dict[str, list[Resource] | None] = {
        "patient": [a_patient()],
        "findings": list(findings),
        "studies": [a_study()],
        "orders": [],
        "reports": [],
        "conditions": [],
        "smoking": [],
    }
    return judge(read_facts(whole | others, "p"), bundled_packs(), NOW)


def the_guidance(*findings: Resource, **others: list[Resource] | None) -> Guidance:
    judgement = judged(*findings, **others)
    assert len(judgement.guidance) == 1, judgement
    return judgement.guidance[0]


def coded_interval(amount: int, unit: str) -> dict[str, Any]:
    quantity = {"value": amount, "code": unit, "system": "http://unitsofmeasure.org"}
    return {"code": concept(DCM, "111055"), "valueQuantity": quantity}


def test_ge_due_dates_count_from_the_date_of_the_study() -> None:
    guidance = the_guidance(a_lung_rads("3"))

    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-04-01"
    assert not guidance.overdue


def test_the_studys_own_date_counts_before_the_observations() -> None:
    guidance = the_guidance(a_lung_rads("3", effectiveDateTime="2026-10-05"))

    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-04-01"


def test_a_follow_up_that_nobody_did_is_overdue() -> None:
    guidance = the_guidance(a_lung_rads("4A"), studies=[a_study(started="2026-05-31")])

    assert guidance.overdue
    assert guidance.next_step is not None
    assert guidance.next_step.due.latest == date(2026, 8, 31)


def test_an_optional_step_is_never_overdue_and_never_ordered() -> None:
    guidance = the_guidance(a_nodule(5.0, risk="high"), studies=[a_study(started="2020-01-01")])

    assert guidance.rule_id == "fleischner-2017/F2-lt6"
    assert not guidance.overdue
    assert guidance.order is None


@pytest.mark.parametrize("category", ["0", "4B", "4X"])
def test_no_order_where_no_single_order_is_right(category: str) -> None:
    guidance = the_guidance(a_lung_rads(category))

    assert guidance.order is None
    assert guidance.next_step is None
    assert guidance.urgency is Urgency.WARNING


def test_x5_lung_rads_2_is_only_information() -> None:
    assert the_guidance(a_lung_rads("2"), studies=[a_study(started="2020-01-01")]).urgency is Urgency.INFO


def test_modifier_s_is_named() -> None:
    """LS: it needs what the other finding needs, which no pack knows."""
    guidance = the_guidance(a_lung_rads("2", component=[{"code": concept(LUNG_RADS, "S"), "valueBoolean": True}]))

    assert any(note.startswith("Modifier S") for note in guidance.notes)


def test_ga_the_readers_own_interval_stands_first_and_decides_the_date() -> None:
    guidance = the_guidance(a_lung_rads("3", component=[coded_interval(5, "mo")]))

    assert [one.authority for one in guidance.statements] == [Authority.READER, Authority.GUIDELINE]
    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-03-01"
    assert guidance.order is None, "reader and guideline differ, so nothing is drafted"


def test_ga_reader_and_guideline_agree_and_the_order_takes_the_readers_date() -> None:
    guidance = the_guidance(a_lung_rads("3", component=[coded_interval(6, "mo")]))

    assert guidance.order is not None
    assert str(guidance.order.due) == "2027-04-01"


def test_ga_a_readers_recommendation_against_no_routine_follow_up_is_a_warning() -> None:
    component = [*nodule_components(4.0, "solid", risk="low"), coded_interval(12, "mo")]

    guidance = the_guidance(a_nodule(component=component))

    assert guidance.urgency is Urgency.WARNING
    assert guidance.order is None


@pytest.mark.parametrize(
    ("conclusion", "ordered"),
    [
        ("Solid nodule of 7 mm. Follow-up CT in 6-12 months is recommended.", True),
        ("Solid nodule of 7 mm. Follow-up CT in 3 months is recommended.", False),
        ("Solid nodule of 7 mm, known for 3 months.", True),
        ("Recommend follow-up as the guideline asks.", True),
    ],
    ids=["same interval", "another interval", "an interval that is no recommendation", "no interval"],
)
def test_report_text_is_quoted_and_may_hold_an_order_back_but_sets_no_date(conclusion: str, ordered: bool) -> None:
    guidance = the_guidance(a_nodule(7.0), reports=[a_report(conclusion)])

    assert (guidance.order is not None) is ordered
    assert guidance.next_step is not None
    assert str(guidance.next_step.due) == "2027-04-01 to 2027-10-01"


def test_gc_no_category_is_computed_from_text() -> None:
    text_only = a_lung_rads("3", valueCodeableConcept={"text": "Lung-RADS 4A"})

    guidance = the_guidance(text_only)

    assert guidance.missing == ("a coded Lung-RADS category",)
    assert guidance.next_step is None
    assert guidance.order is None


def test_gb_without_a_version_there_is_no_interval_but_the_urgency_stays() -> None:
    guidance = the_guidance(a_lung_rads("4A", version=None))

    assert guidance.missing == ("the Lung-RADS version",)
    assert (guidance.next_step, guidance.order, guidance.urgency) == (None, None, Urgency.WARNING)


@pytest.mark.parametrize(
    ("method", "missing"),
    [
        (None, "guideline not coded by the reader"),
        (concept(LUNG_RADS, "fleischner", "2017"), "guideline not coded by the reader"),
        (
            concept("https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline", "fleischner"),
            "the guideline's version",
        ),
        (
            concept("https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline", "fleischner", "2005"),
            "rules for version 2005 (this service knows 2017)",
        ),
    ],
)
def test_gb_a_nodule_names_its_guideline_and_version(method: dict[str, Any] | None, missing: str) -> None:
    guidance = the_guidance(a_nodule(method=method))

    assert guidance.missing == (missing,)
    assert guidance.statements == ()


def test_gd_nothing_is_computed_without_the_conditions() -> None:
    guidance = the_guidance(a_nodule(), conditions=None)

    assert guidance.statements == ()
    assert any("conditions" in one for one in guidance.missing)


def test_known_cancer_excludes_and_says_so() -> None:
    guidance = the_guidance(a_nodule(), conditions=[a_condition(SCT, "93880001")])

    assert guidance.rule_id == "fleischner-2017/excluded"
    assert guidance.notes == ("Fleischner Society 2017 does not apply (a known cancer); no interval is computed.",)


def test_resolved_cancer_and_family_history_do_not_exclude() -> None:
    resolved = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "resolved")
    conditions = [a_condition(SCT, "93880001", clinicalStatus=resolved), a_condition("http://hl7.org/fhir/sid/icd-10", "Z80.1")]

    assert the_guidance(a_nodule(), conditions=conditions).rule_id == "fleischner-2017/F2-6-8"


def test_x4_a_nodule_beside_a_lung_rads_category_is_the_screenings() -> None:
    guidance = the_guidance(a_lung_rads("2"), a_nodule(4.0, id="nodule"))

    assert guidance.rule_id == "lung-rads-2022/2"
    assert [one.pack.pack_id for one in guidance.statements if one.pack] == ["lung-rads-2022"]


def test_x4_a_nodule_of_a_screening_study_gets_no_fleischner_interval() -> None:
    screening = a_study(procedureCode=[concept(LOINC, "79086-5")])

    guidance = the_guidance(a_nodule(4.0), studies=[screening])

    assert guidance.rule_id == "fleischner-2017/excluded"
    assert guidance.next_step is None


def test_several_nodules_of_one_study_count_together_and_the_most_suspicious_speaks() -> None:
    guidance = the_guidance(a_nodule(4.0, id="small"), a_nodule(7.0, id="large"))

    assert guidance.rule_id == "fleischner-2017/F4-ge6"
    assert guidance.finding.reference == "Observation/large"
    assert [one.reference for one in guidance.others] == ["Observation/small"]


def test_risk_unknown_gives_the_step_that_both_rows_share() -> None:
    guidance = the_guidance(a_nodule(7.0, risk=None))

    assert guidance.rule_id == "fleischner-2017/F1-6-8+F2-6-8"
    assert guidance.order is not None
    assert guidance.missing == ("the patient's risk (low or high)",)


def test_risk_unknown_gives_no_step_where_the_rows_differ() -> None:
    guidance = the_guidance(a_nodule(5.0, risk=None))

    assert len(guidance.statements) == 2
    assert (guidance.next_step, guidance.order) == (None, None)


# --- Gf: suppression


@pytest.mark.parametrize(
    ("later", "name"),
    [
        (a_study(id="later", started="2026-11-01"), "CT chest"),
        (
            a_study(id="later", started="2026-11-01", series=[], procedureCode=[concept(LOINC, "87869-4")]),
            "CT Chest and Abdomen and Pelvis",
        ),
        (a_study(id="later", started="2026-11-01", series=[], description="CT Chest w/o contrast"), "CT Chest w/o contrast"),
    ],
    ids=["same region", "chest-abdomen-pelvis overlaps", "by description"],
)
def test_gf_a_later_chest_ct_ends_the_matter(later: dict[str, Any], name: str) -> None:
    later["identifier"] = [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}]

    judgement = judged(a_lung_rads("3"), studies=[a_study(started="2026-04-20"), later])

    assert judgement.guidance == ()
    assert [(one.by, one.reason) for one in judgement.suppressed] == [
        ("ImagingStudy/later", f"a later chest CT was done on 2026-11-01 ({name})")
    ]


@pytest.mark.parametrize(
    "members",
    [
        {"status": "cancelled"},
        {"status": "entered-in-error"},
        {"status": "unknown"},
        {"started": "2026-10-01"},
        {"started": "2026-09-01"},
        {"modality": [{"code": "MR"}], "series": []},
        {"series": [{"uid": "2.25.9.1", "modality": {"code": "CT"}, "bodySite": {"system": SCT, "code": "69536005"}}]},
        {"subject": {"reference": "Patient/other"}},
    ],
    ids=["cancelled", "in error", "unknown", "same day", "earlier", "another modality", "another region", "another patient"],
)
def test_gf_other_studies_do_not(members: dict[str, Any]) -> None:
    uid = {"identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}]}
    other = a_study(id="other", **{"started": "2026-11-01"} | uid | members)
    guidance = the_guidance(a_lung_rads("3"), studies=[a_study(), other])

    # One that came too early would leave information without an order.
    assert guidance.urgency is Urgency.WARNING
    assert guidance.order is not None
    assert not any(note.startswith("A later") for note in guidance.notes), "nor does it look like an answer"


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"intent": "plan"},
        {"authoredOn": None, "reasonReference": [{"reference": "Observation/finding"}]},
    ],
    ids=["active", "plan", "names the finding"],
)
def test_gf_an_open_order_ends_the_matter(members: dict[str, Any]) -> None:
    judgement = judged(a_lung_rads("3"), orders=[an_order(**members)])

    assert judgement.guidance == ()
    assert judgement.suppressed[0].by == "ServiceRequest/order"


@pytest.mark.parametrize(
    "members",
    [
        {"status": "completed"},
        {"status": "revoked"},
        {"intent": "proposal"},
        {"authoredOn": "2026-09-01"},
        {"authoredOn": None},
        {"code": concept(LOINC, "24629-8")},
        {"subject": {"reference": "Patient/other"}},
        {"code": {"coding": [{}]}},
    ],
    ids=["completed", "revoked", "proposal", "before the study", "undated", "MR", "another patient", "empty coding"],
)
def test_gf_other_orders_do_not(members: dict[str, Any]) -> None:
    assert len(judged(a_lung_rads("3"), orders=[an_order(**members)]).guidance) == 1


def test_gf_the_order_of_the_study_itself_does_not_count() -> None:
    study = a_study(basedOn=[{"reference": "ServiceRequest/order"}])

    assert len(judged(a_lung_rads("3"), studies=[study], orders=[an_order(authoredOn="2026-10-01")]).guidance) == 1


def test_a_draft_order_quiets_the_card_and_is_not_drafted_twice() -> None:
    guidance = the_guidance(a_lung_rads("3"), orders=[an_order(status="draft")])

    assert guidance.urgency is Urgency.INFO
    assert guidance.order is None
    assert guidance.notes == ("A draft order (CT Chest WO contrast) is waiting to be signed.",)


def test_an_order_planned_later_than_due_does_not_end_the_matter() -> None:
    guidance = the_guidance(a_lung_rads("3"), orders=[an_order(occurrenceDateTime="2027-10-01")])

    assert guidance.notes == ("An order (CT Chest WO contrast) is planned for 2027-10-01, later than due.",)


# --- AI


def test_t8_an_unsigned_ai_result_alone_computes_and_orders_nothing() -> None:
    guidance = the_guidance(an_ai_lung_rads("4B"))

    assert guidance.rule_id == "ai-unsigned/lung-rads"
    assert guidance.urgency is Urgency.WARNING
    assert (guidance.next_step, guidance.order, guidance.statements) == (None, None, ())


def test_patient_a_reader_and_ai_disagree_and_are_shown_together() -> None:
    reader = a_lung_rads("4B", component=nodule_components(9.0, "solid", change="growing"))
    machine = an_ai_lung_rads("4A", component=nodule_components(9.0, "solid", change="baseline"))

    guidance = the_guidance(reader, machine)

    assert guidance.rule_id == "lung-rads-2022/4B"
    assert guidance.ai is not None
    assert (guidance.ai.category, guidance.ai_agrees) == ("4A", False)
    assert guidance.notes == (), "9 mm growing fits 4B, so there is nothing to question"


def test_agreeing_ai_is_named_as_agreeing() -> None:
    assert the_guidance(a_lung_rads("3"), an_ai_lung_rads("3")).ai_agrees is True


def test_measurements_that_fit_another_category_are_questioned() -> None:
    guidance = the_guidance(a_lung_rads("3", component=nodule_components(9.0, "solid", change="growing")))

    assert guidance.notes == ("The coded measurements alone would fit category 4B of the table.",)


def test_ai_of_another_study_stays_apart() -> None:
    other = an_ai_lung_rads("4A", derivedFrom=[{"reference": "ImagingStudy/other"}])

    assert [one.ai for one in judged(a_lung_rads("3"), other).guidance] == [None, None]


def test_an_older_finding_is_answered_by_the_study_of_the_newer_one() -> None:
    older = a_study(id="older", started="2025-10-01", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.8"}])
    first = a_lung_rads("3", id="first", derivedFrom=[{"reference": "ImagingStudy/older"}], effectiveDateTime="2025-10-01")

    judgement = judged(first, a_lung_rads("4A"), studies=[older, a_study()])

    assert [one.finding.reference for one in judgement.guidance] == ["Observation/finding"]
    assert [one.finding.reference for one in judgement.suppressed] == ["Observation/first"]


def test_the_most_urgent_comes_first() -> None:
    quiet = a_lung_rads("2", id="quiet", derivedFrom=[{"reference": "ImagingStudy/2"}], effectiveDateTime="2026-10-01")

    judgement = judged(quiet, a_lung_rads("4A"))

    assert [one.urgency for one in judgement.guidance] == [Urgency.WARNING, Urgency.INFO]


@pytest.mark.parametrize(
    ("mm", "kind", "agrees"),
    [(7.4, "solid", True), (9.0, "solid", False), (7.0, "part-solid", False), (None, None, None)],
    ids=["same band", "another band", "another type", "nothing to compare"],
)
def test_ai_and_reader_agree_on_a_nodule_by_type_and_size_band(mm: float | None, kind: str | None, agrees: bool | None) -> None:
    ai = {"id": "ai", "status": "preliminary", "device": {"display": "Synthetic AI"}}
    machine = a_nodule(component=nodule_components(mm, kind), **ai)

    assert the_guidance(a_nodule(7.0), machine).ai_agrees is agrees


def test_ga_a_date_that_the_reader_coded_is_the_due_date() -> None:
    component = [{"code": concept(DCM, "111054"), "valueDateTime": "2027-04-01"}]

    guidance = the_guidance(a_lung_rads("3", component=component))

    assert guidance.statements[0].words == "Follow-up on 2027-04-01, as the reader recommended."
    assert guidance.order is not None


def test_a_finding_without_any_date_gets_no_due_date_and_no_order() -> None:
    guidance = the_guidance(a_lung_rads("3", effectiveDateTime=None), studies=[])

    assert guidance.missing == ("the date of the study",)
    assert (guidance.next_step, guidance.order) == (None, None)
