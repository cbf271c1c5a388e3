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
from tests.order_actors import a_metformin


def a_chart(encounter: str | None = "e", policy: OrderPolicy | None = None, **resources: Any) -> OrderChart:
    empty: dict[str, Any] = {query.key: () for query in ORDER_QUERIES}
    moment = ChartMoment(patient_id="p", encounter_id=encounter, now=NOW)
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


@pytest.mark.parametrize("function", ["REF", "VRF", "CON", "AUT"])
def test_o6_who_asked_for_or_read_the_images_did_not_perform_them(function: str) -> None:
    system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
    other = {"function": concept(system, function), "actor": {"display": "Dr Else"}}
    series = {"uid": "2.25.1", "modality": {"code": "CT"}, "performer": [other]}

    study = read_prior(a_study(series=[series], interpreter=[{"display": "Dr Reader"}]))
    performed = read_prior(a_study(series=[series | {"performer": [other, {"actor": {"display": "Synthetic Radiology"}}]}]))

    assert isinstance(study, PriorStudy)
    assert study.performer is None, "the report says who read them"
    assert isinstance(performed, PriorStudy)
    assert performed.performer == "Synthetic Radiology"


@pytest.mark.parametrize(
    ("timing", "serial"),
    [
        ({"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}, True),
        ({"repeat": {"count": 2}}, True),
        ({"repeat": {"count": 1}}, False),
        ({"repeat": {"count": 1, "countMax": 4}}, True),
        ({"repeat": {"dayOfWeek": ["mon"]}}, True),
        ({"repeat": {"boundsPeriod": {"start": "2026-12-01"}}}, False),
        ({"repeat": {}}, False),
        ({"event": ["2026-12-01"]}, False),
        ({"event": ["2026-12-01", "2026-12-02"]}, True),
        (None, False),
    ],
)
def test_o4_an_order_is_serial_when_its_timing_repeats_it(timing: Any, serial: bool) -> None:
    context = {"draftOrders": {"entry": [{"resource": an_order(occurrenceTiming=timing)}]}}

    (order,) = read_draft_orders(context, "p", by_selection=False).judged

    assert order.is_serial is serial


def a_ward(**members: Any) -> dict[str, Any]:
    place = {
        "resourceType": "Location",
        "id": "w",
        "type": [concept("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "ICU")],
    }
    return an_encounter("IMP") | {"location": [{"location": {"reference": "#w"}}], "contained": [place]} | members


@pytest.mark.parametrize(
    ("members", "serial"),
    [
        ({}, True),
        ({"contained": [], "location": [{"location": {"display": "Surgical ICU 2"}}]}, True),
        ({"contained": [], "location": [{"location": {"display": "Trauma bay"}, "status": "active"}]}, True),
        ({"contained": [], "location": [{"location": {"display": "Intensivstation"}}]}, True),
        ({"contained": [], "location": [{"location": {"display": "Ward 7"}}]}, False),
        ({"location": [{"location": {"reference": "#w"}, "status": "completed"}]}, False),
        ({"location": [{"location": {"reference": "#else"}}]}, False),
        ({"location": "ICU"}, False),
    ],
)
def test_o4_intensive_care_and_trauma_wards_make_serial_films(members: dict[str, Any], serial: bool) -> None:
    assert a_chart(encounters=[a_ward(**members)]).is_emergency is serial


@pytest.mark.parametrize(
    ("code", "status", "quiet"),
    [
        ("C50.9", "active", True),
        ("C97", "recurrence", True),
        ("C50.9", "relapse", True),
        ("C50.9", "remission", False),
        ("C50.9", "resolved", False),
        ("C50.9", "inactive", False),
        ("D05.1", "active", False),
        ("D48.6", "active", False),
        ("Z85.3", "active", False),
        ("Z80.3", "active", False),
    ],
)
def test_o4_oncology_is_an_active_malignancy(code: str, status: str, quiet: bool) -> None:
    clinical = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", status)
    condition = a_condition("http://hl7.org/fhir/sid/icd-10", code, clinicalStatus=clinical)

    assert (a_chart(conditions=[condition]).cancer is not None) is quiet


def test_a_study_that_two_systems_have_stored_counts_once() -> None:
    twice = [a_study(id="a", status="registered"), a_study(id="b"), a_study(id="c", status="unknown")]

    (study,) = a_chart(studies=twice).studies

    assert (study.reference, study.status) == ("ImagingStudy/b", "available")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (concept("http://www.ama-assn.org/go/cpt", "71260"), "CT of chest with contrast"),
        (concept("http://www.ama-assn.org/go/cpt", "71250") | {"text": "CT thorax"}, "CT thorax"),
        (concept(LOINC, "36813-4"), "CT Abdomen and Pelvis W contrast IV"),
        ({"concept": concept(LOINC, "24627-2")}, "CT Chest"),
    ],
)
def test_an_order_is_named_by_its_table_its_words_or_its_kind(code: Any, name: str) -> None:
    context = {"draftOrders": {"entry": [{"resource": an_order(code=code)}]}}

    (order,) = read_draft_orders(context, "p", by_selection=False).judged

    assert order.name == name


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


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"onsetDateTime": "2019-01-01", "recordedDate": "2019-02-01"}, "acute kidney injury (of 2019-01-01)"),
        ({"recordedDate": "2026-11-19T08:00:00Z"}, "acute kidney injury (of 2026-11-19)"),
        ({"onsetDateTime": "2019"}, "acute kidney injury"),
        ({}, "acute kidney injury"),
    ],
)
def test_n1_an_acute_kidney_injury_shows_its_day(members: dict[str, Any], words: str) -> None:
    injury = a_condition("http://hl7.org/fhir/sid/icd-10", "N17.9", **members)

    assert a_chart(conditions=[injury]).contrast.acute_kidney_injury == words


def test_n1_the_latest_acute_kidney_injury_is_told_with_its_own_words_and_day() -> None:
    sent = [
        a_condition("http://hl7.org/fhir/sid/icd-10", "N17.9", onsetDateTime=day) | {"id": f"aki-{day}"}
        for day in ("2019-01-01", "2026-11-19")
    ]
    for one, words in zip(sent, ("AKI after sepsis", "AKI of unknown cause"), strict=True):
        one["code"]["text"] = words

    told = [a_chart(conditions=found).contrast.acute_kidney_injury for found in (sent, sent[::-1])]

    assert told == ["AKI of unknown cause (of 2026-11-19)"] * 2


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
