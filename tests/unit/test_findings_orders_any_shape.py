"""T11 and R23 as properties: whatever drafts and chart look like, no error, no invalid card, nothing without its reason."""

from __future__ import annotations

import copy
import uuid
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.card_parts import CardContext
from cds_service.order_cards import order_cards
from cds_service.protocol import parse_request
from cds_service.validator import faults_of
from imaging_findings.guidance import judge
from imaging_findings.order_advice import OrderJudgement, Reason
from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, OrderChart, read_order_chart
from imaging_findings.order_facts import DraftOrders, read_draft_orders
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.orders import judge_orders
from imaging_findings.packs import bundled_packs
from imaging_findings.study_table import CPT
from tests.cds_actors import (
    APP,
    LOINC,
    NOW,
    SCT,
    a_condition,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_study,
    an_ai_lung_rads,
    an_order,
    concept,
)
from tests.examples import examples
from tests.order_actors import a_metformin, an_allergy, an_egfr

OFTEN = settings(max_examples=examples(250), deadline=None)
ODD_VALUES = st.sampled_from(["ServiceRequest/new", "p", "#w", "2026-11-20"]) | st.text(max_size=8)
ODD_NAMES = st.sampled_from(["coding", "code", "text", "reference", "display", "value"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**6) | ODD_VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_NAMES, inner),
    max_leaves=5,
)
NUMBERS = ["24627-2", "24628-0", "29252-4", "30598-7", "79086-5", "87279-6", "79077-4", "36813-4", "24589-4", "36643" + "-5"]
CODES = st.one_of(
    st.sampled_from(NUMBERS).map(lambda code: concept(LOINC, code)),
    st.sampled_from(["71250", "71260", "71271", "70553", "71046"]).map(lambda code: concept(CPT, code)),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(["CT chest with contrast", "CT chest", "MR head", "pt, dx"])).map(
        lambda pair: concept(LOINC, pair[0]) | {"text": pair[1]}
    ),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(["71250", "71260"])).map(
        lambda pair: {"coding": [*concept(LOINC, pair[0])["coding"], *concept(CPT, pair[1])["coding"]]}
    ),
    ODD,
)
MEMBERS = {
    "code": CODES,
    "status": st.sampled_from(["draft", "active", "on-hold", "revoked", "unknown"]) | ODD,
    "reasonCode": st.just([concept(SCT, "427359005")]) | st.just([]) | ODD,
    "reasonReference": st.just([{"reference": "Observation/finding"}]) | ODD,
    "orderDetail": st.just([concept(LOINC, "24628-0")]) | ODD,
    "occurrenceDateTime": st.sampled_from(["2026-12-01", "2028-01-01", "2026"]) | ODD,
    "occurrenceTiming": st.just({"repeat": {"frequency": 1}}) | ODD,
    "bodySite": ODD,
    "note": st.just([{"text": "n"}, None]) | ODD,
    "authoredOn": ODD,
    "subject": st.just({"reference": "Patient/other"}) | ODD,
}
CHANGES = st.fixed_dictionaries({"code": CODES}, optional={name: one for name, one in MEMBERS.items() if name != "code"})
DRAFTS = st.lists(st.tuples(st.sampled_from(["new", "second", None]), CHANGES), max_size=3)
GOOD: dict[str, list[dict[str, Any]]] = {
    "findings": [
        a_nodule(7.0),
        a_nodule(7.0, risk=None),
        a_nodule(None),
        a_lung_rads("3"),
        a_lung_rads("4A"),
        an_ai_lung_rads("4B"),
    ],
    "reports": [a_report("Follow-up CT in 6 months.")],
    "orders": [an_order(status="active"), an_order(id="new")],
    "studies": [a_study(), a_study(started="2026-02-01"), a_study(status="cancelled")],
    "conditions": [a_condition("http://hl7.org/fhir/sid/icd-10", code) for code in ("N17.9", "C50.9", "N18.3", "Z33")],
    "labs": [an_egfr(20), an_egfr(40), an_egfr(80), an_egfr(None, valueString="<15"), an_egfr(20, 200)],
    "medications": [a_metformin()],
    "allergies": [an_allergy(criticality="high"), an_allergy()],
    "encounters": [
        {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/p"}, "class": {"code": code, "system": "s"}}
        for code in ("IMP", "EMER")
    ],
}


def _answers(key: str, resource_type: str) -> st.SearchStrategy[list[dict[str, Any]] | None]:
    known = GOOD.get(key) or [{"resourceType": resource_type, "id": "one", "subject": {"reference": "Patient/p"}}]
    bent = st.tuples(st.sampled_from(known), st.sampled_from(sorted({name for one in known for name in one})), ODD)
    return st.none() | st.lists(st.sampled_from(known) | bent.map(lambda one: one[0] | {one[1]: one[2]}), max_size=3)


CHARTS = st.fixed_dictionaries(
    {query.key: _answers(query.key, query.resource_type) for query in ORDER_QUERIES if query.key != "patient"}
)
PATIENTS = st.sampled_from([a_patient(), a_patient(born=None), a_patient(born="1996-05-01") | {"gender": "female"}])


def drafted(changes: list[tuple[str | None, dict[str, Any]]]) -> dict[str, Any]:
    drafts = [an_order(id=name, status="draft") | members for name, members in changes]
    bundle = {"entry": [{"resource": {key: one for key, one in draft.items() if one is not None}} for draft in drafts]}
    return {"userId": "Practitioner/gp", "patientId": "p", "draftOrders": bundle}


def judged(context: dict[str, Any], answers: dict[str, Any]) -> tuple[OrderJudgement, DraftOrders, OrderChart]:
    drafts = read_draft_orders(context, "p", by_selection=False)
    chart = read_order_chart(answers, ChartMoment(patient_id="p", encounter_id=None, now=NOW), OrderPolicy())
    return judge_orders(drafts, chart, bundled_packs(), OrderPolicy(), NOW), drafts, chart


@OFTEN
@given(DRAFTS, CHARTS, PATIENTS)
def test_nothing_is_said_of_an_order_without_its_reason(
    changes: list[tuple[str | None, dict[str, Any]]], chart: dict[str, Any], patient: dict[str, Any]
) -> None:
    context = drafted(changes)
    before = copy.deepcopy((context, chart))
    judgement, drafts, facts = judged(context, chart | {"patient": [patient]})

    told = [(one, order) for one in judgement.advice for order in (one.order, *one.also)]
    assert len({(one.reason, order.key) for one, order in told}) == len(told), "one piece of advice per order and reason"
    for one, order in told:
        assert order in drafts.judged
        if one.reason in (Reason.KIDNEY, Reason.METFORMIN, Reason.REACTION):
            assert order.kind.contrast.is_given, "no contrast advice without contrast"
        if one.rule_id in ("contrast/N1", "contrast/N2", "contrast/N7"):
            assert facts.contrast.egfr is not None or facts.contrast.acute_kidney_injury
        if one.reason is Reason.METFORMIN:
            assert facts.contrast.metformin
        if one.reason is Reason.FOLLOW_UP:
            assert facts.facts.findings, "no follow-up without a finding"
        if one.better is not None and one.better.is_recommended:
            assert order.cites & {finding.reference for finding in facts.facts.findings}
    assert (context, chart) == before, "what came in is left as it was"


@OFTEN
@given(DRAFTS, CHARTS, PATIENTS)
def test_whatever_is_said_is_a_valid_card_and_an_update_is_the_order_as_sent(
    changes: list[tuple[str | None, dict[str, Any]]], chart: dict[str, Any], patient: dict[str, Any]
) -> None:
    context = drafted(changes)
    judgement, drafts, _ = judged(context, chart | {"patient": [patient]})
    request = parse_request(a_hook({}, hook="order-sign", context=context), hook="order-sign")
    around = CardContext(request=request, app_url=APP, ehr_name="sandbox", now=NOW, new_uuid=lambda: str(uuid.uuid4()))

    cards = [one.card for one in order_cards(judgement.advice, around)]

    assert faults_of({"cards": cards}) == ()
    assert all(card["indicator"] in ("info", "warning") for card in cards), "an order is never stopped"
    assert len({(card["summary"], card["detail"]) for card in cards}) == len(cards), "nothing is said twice"
    sent = {order.key: order.sent for order in drafts.judged}
    for card in cards:
        for suggestion in card.get("suggestions", []):
            updates = [action for action in suggestion["actions"] if action["type"] == "update"]
            assert len({action["resource"]["id"] for action in updates}) == len(updates)
            for action in updates:
                resource = action["resource"]
                own = sent[f"ServiceRequest/{resource['id']}"]
                assert {name for name in resource if resource[name] != own.get(name)} <= {"code", *_with_empty(own)}
                assert resource["status"] == "draft"


def _with_empty(value: object) -> set[str]:
    """The members that hold something empty, which may not be handed back as it is."""
    return {name for name, member in value.items() if _is_empty(member)} if isinstance(value, dict) else set()


def _is_empty(value: object) -> bool:
    if isinstance(value, dict | list):
        return not value or any(map(_is_empty, value.values() if isinstance(value, dict) else value))
    return value is None or value == ""


@OFTEN
@given(CHARTS, PATIENTS)
def test_t11_where_an_input_is_missing_there_is_no_interval_and_no_order(
    chart: dict[str, Any], patient: dict[str, Any]
) -> None:
    _, _, facts = judged({}, chart | {"patient": [patient]})

    for one in judge(facts.facts, bundled_packs(), NOW).guidance:
        if one.missing and not one.statements:
            assert one.next_step is None
            assert one.order is None
        if one.finding.author == "ai":
            assert (one.next_step, one.order) == (None, None)
            assert one.urgency != "critical"
        if one.order is not None:
            assert one.next_step is not None
            assert one.study is not None or one.finding.study_date is not None
