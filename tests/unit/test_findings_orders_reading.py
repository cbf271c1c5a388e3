"""R23, R33 and T6: orders as clients send them, studies with what a card shows, and the chart around them."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, OrderChart, read_order_chart
from imaging_findings.order_facts import PriorStudy, read_draft_orders, read_prior
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.orders import judge_orders
from imaging_findings.packs import bundled_packs
from tests.cds_actors import LOINC, NOW, a_condition, a_nodule, a_patient, a_study, an_order, concept
from tests.order_actors import TODAY, a_metformin


def a_chart(encounter: str | None = "e", policy: OrderPolicy | None = None, **resources: Any) -> OrderChart:
    empty: dict[str, Any] = {query.key: () for query in ORDER_QUERIES}
    moment = ChartMoment(patient_id="p", encounter_id=encounter, today=TODAY)
    return read_order_chart(empty | {"patient": [a_patient()]} | resources, moment, policy or OrderPolicy())


def an_encounter(code: str, encounter_id: str = "e") -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    subject = {"reference": "Patient/p"}
    return {"resourceType": "Encounter", "id": encounter_id, "subject": subject, "class": {"system": system, "code": code}}


def drafts_in(*resources: Any, **context: Any) -> list[str]:
    stated = {"draftOrders": {"entry": [{"resource": one} for one in resources]}} | context
    return [one.key for one in read_draft_orders(stated, "p", by_selection="selections" in context).judged]


def test_r23_orders_without_id_are_told_apart_by_their_place() -> None:
    nameless = {key: value for key, value in an_order(status="draft").items() if key != "id"}

    assert drafts_in(nameless, nameless) == ["draftOrders entry 0", "draftOrders entry 1"]


def test_t6_an_order_that_stands_twice_under_one_id_is_one_order() -> None:
    assert drafts_in(an_order(), an_order(status="active")) == ["ServiceRequest/order"]


def test_r33_other_drafts_are_context() -> None:
    context = {"draftOrders": {"entry": [{"resource": an_order(id="a")}, {"resource": an_order(id="b")}]}, "selections": ["b"]}

    drafts = read_draft_orders(context, "p", by_selection=True)

    assert [one.key for one in drafts.judged] == ["ServiceRequest/b"]
    assert [one.key for one in drafts.others] == ["ServiceRequest/a"]


@pytest.mark.parametrize("empty", [{"coding": [{}]}, {"coding": []}, {}, None, {"coding": [{"code": "24627-2"}]}])
def test_r23_an_order_without_a_coded_examination_is_none(empty: Any) -> None:
    assert drafts_in(an_order(code=empty)) == []


def test_serial_orders_and_what_they_cite() -> None:
    context = {
        "draftOrders": {
            "entry": [
                {
                    "resource": an_order(
                        occurrenceTiming={"repeat": {"frequency": 1}},
                        supportingInfo=[{"reference": "https://ehr.example.org/fhir/ImagingStudy/study/_history/3"}],
                    )
                }
            ]
        }
    }

    (order,) = read_draft_orders(context, "p", by_selection=False).judged

    assert order.is_serial
    assert order.cites == {"ImagingStudy/study"}


def test_o6_the_performer_of_a_prior() -> None:
    series = {"uid": "2.25.1", "modality": {"code": "CT"}, "performer": [{"actor": {"display": "Synthetic Radiology"}}]}

    study = read_prior(a_study(series=[series]))

    assert isinstance(study, PriorStudy)
    assert study.performer == "Synthetic Radiology"


@pytest.mark.parametrize(
    ("encounters", "named", "inpatient", "emergency"),
    [
        ([an_encounter("IMP")], "e", True, False),
        ([an_encounter("AMB")], "e", False, False),
        ([an_encounter("EMER")], "e", False, True),
        ([an_encounter("IMP", "other")], "e", False, False),
        ([an_encounter("IMP", "other")], None, True, False),
        ([], "e", False, False),
    ],
)
def test_n6_the_patients_class_is_that_of_the_hooks_encounter(
    encounters: list[dict[str, Any]], named: str | None, inpatient: bool, emergency: bool
) -> None:
    chart = a_chart(named, encounters=encounters)

    assert (chart.contrast.is_inpatient, chart.is_emergency) == (inpatient, emergency)


def test_diabetes_is_a_kidney_risk_only_where_the_site_says_so() -> None:
    diabetes = [a_condition("http://hl7.org/fhir/sid/icd-10", "E11.9")]

    assert a_chart(conditions=diabetes).contrast.kidney_risks == ()
    assert a_chart(policy=OrderPolicy(diabetes_is_a_kidney_risk=True), conditions=diabetes).contrast.kidney_risks != ()


def test_resolved_conditions_and_other_patients_do_not_count() -> None:
    resolved = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "resolved")
    injury = a_condition("http://hl7.org/fhir/sid/icd-10", "N17.9", clinicalStatus=resolved)
    chart = a_chart(conditions=[injury], medications=[a_metformin(subject={"reference": "Patient/other"})])

    assert chart.contrast.acute_kidney_injury is None
    assert chart.contrast.metformin is None


def test_t8_an_unsigned_ai_finding_is_no_open_follow_up() -> None:
    machine = a_nodule(7.0, status="preliminary", device={"reference": "Device/ai"}, performer=[])
    chart = a_chart(findings=[machine], studies=[a_study(started="2026-01-10T10:00:00Z")])
    context = {"draftOrders": {"entry": [{"resource": an_order(status="draft", code=concept(LOINC, "29252-4"))}]}}
    drafts = read_draft_orders(context, "p", by_selection=False)

    assert judge_orders(drafts, chart, bundled_packs(), OrderPolicy(), NOW).advice == ()
