"""What every answer of every service must be, and what clients may send (R9, R12, R14, R18, R23-R32)."""

from __future__ import annotations

import uuid
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

import pytest

from cds_service.definitions import ServiceDefinition
from cds_service.evaluate import SERVICES
from cds_service.validator import faults_of
from tests.cds_actors import (
    APP,
    CdsActor,
    a_bundle,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    an_ai_lung_rads,
    whole_prefetch,
)

FINDINGS = SERVICES["imaging-findings"]
# The 3.0 code system's codes as the specification reference lists them.
STANDARD_REASONS = {
    "action-completed",
    "indication-order-exists",
    "patient-refuses",
    "patient-contraindication",
    "patient-ineligible",
    "action-not-priority",
    "wrong-time-workflow",
    "inappropriate-recipient",
    "need-more-info",
    "does-not-align-latest-evidence",
    "policy-contradicts",
    "service-not-available",
}


@pytest.fixture
def cards(cds: CdsActor) -> list[dict[str, Any]]:
    """A card of each kind: a category with an order, a nodule with two suggestions' worth of evidence, an AI result."""
    findings = [
        a_lung_rads("3", id="screened", derivedFrom=[{"reference": "ImagingStudy/study"}]),
        a_nodule(7.0, id="nodule", derivedFrom=[{"reference": "ImagingStudy/other"}]),
        an_ai_lung_rads("4A", id="machine", derivedFrom=[{"reference": "ImagingStudy/third"}]),
    ]
    reports = a_bundle(a_report("Solid nodule <b>7 mm</b>, follow-up CT in 6-12 months <script>x</script>."))
    made = cds.cards(a_hook(whole_prefetch(*findings, reports=reports)))
    assert len(made) == 3
    return made


def actions_of(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [action for card in cards for suggestion in card.get("suggestions", []) for action in suggestion["actions"]]


# --- what the cards are


def test_r9_discovery_may_refuse_and_then_says_nothing(cds: CdsActor) -> None:
    response = cds.client.get("/cds-services")

    assert (response.status_code, response.get_data()) == (401, b"")


def test_r12_no_template_needs_what_only_3_0_clients_can_do() -> None:
    templates = [query.template for service in SERVICES.values() for query in service.queries]

    assert templates
    for template in templates:
        assert not any(mark in template for mark in ("%", "ofType(", "resolve(", "today()", "_maxresults")), template


def test_r24_r32_an_answer_is_cards_and_nothing_is_done_unasked(cds: CdsActor) -> None:
    for findings in ([], [a_lung_rads("3")]):
        answer = cds.call(a_hook(whole_prefetch(*findings))).get_json()
        assert set(answer) == {"cards"}, "no systemActions without an agreement"


def test_r25_each_card_has_a_short_summary_an_indicator_and_a_uuid_of_its_own(cards: list[dict[str, Any]]) -> None:
    for card in cards:
        assert 0 < len(card["summary"]) < 140
        assert card["indicator"] in ("info", "warning", "critical")
        assert uuid.UUID(card["uuid"]).version == 4
        assert "<script" not in card["detail"]
        assert "<b>" not in card["detail"], "the report's own HTML is text"
    assert len({card["uuid"] for card in cards}) == len(cards)


def test_r26_each_source_has_a_label_and_a_topic_with_system_and_code(cards: list[dict[str, Any]]) -> None:
    for card in cards:
        source = card["source"]
        assert source["label"]
        assert source["topic"]["code"]
        assert urlsplit(source["topic"]["system"]).scheme == "https"
        assert all(urlsplit(source[name]).netloc for name in ("url", "icon") if name in source)


def test_r27_r28_cds_resp_6_suggestions_say_how_many_may_be_taken(cards: list[dict[str, Any]]) -> None:
    offering = [card for card in cards if "suggestions" in card]

    assert offering
    for card in offering:
        assert card["selectionBehavior"] == "at-most-one"
        assert sum(suggestion.get("isRecommended", False) for suggestion in card["suggestions"]) <= 1
        assert all(suggestion["label"] and uuid.UUID(suggestion["uuid"]) for suggestion in card["suggestions"])
        assert all("actionSelectionBehavior" not in suggestion for suggestion in card["suggestions"]), "3.0 clients only"
    assert all("selectionBehavior" not in card for card in cards if card not in offering)


def test_r29_cds_resp_5_actions_create_whole_drafts_and_are_described(cards: list[dict[str, Any]]) -> None:
    actions = actions_of(cards)

    assert actions
    for action in actions:
        assert action["type"] == "create"
        assert action["description"]
        assert action["resource"]["resourceType"] == "ServiceRequest"
        assert action["resource"]["status"] == "draft", "nothing is ordered, only drafted"


def test_r30_cds_resp_3_links_say_their_kind_and_context_stays_out_of_the_address(cards: list[dict[str, Any]]) -> None:
    links = [link for card in cards for link in card.get("links", [])]

    assert {link["type"] for link in links} == {"smart", "absolute"}
    for link in links:
        assert link["label"]
        assert link["url"].startswith(f"{APP}/")
        assert ("appContext" in link) is (link["type"] == "smart")
        assert not urlsplit(link["url"]).query
        assert "autolaunchable" not in link, "3.0 clients only"


def test_r31_cds_resp_4_override_reasons_are_standard_and_can_be_read(cards: list[dict[str, Any]]) -> None:
    for card in cards:
        assert {reason["code"] for reason in card["overrideReasons"]} <= STANDARD_REASONS
        for reason in card["overrideReasons"]:
            assert reason["system"] == "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"
            assert reason["display"]


# --- what clients may send


def everything_empty(service: ServiceDefinition) -> dict[str, Any]:
    return dict.fromkeys((query.key for query in service.queries), None) | {"patient": a_patient()}


def a_context(**members: Any) -> dict[str, Any]:
    """A context that fits every hook: what a hook does not know is an unknown member (R3)."""
    order = {
        "resourceType": "ServiceRequest",
        "id": "example-request-id",
        "status": "draft",
        "intent": "plan",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{}]},
        "reasonCode": [],
    }
    drafts = {"resourceType": "Bundle", "entry": [{"resource": order}]}
    appointments = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Appointment", "status": "proposed"}}]}
    context = {"userId": "Practitioner/gp", "patientId": "p", "encounterId": "e", "study": "ImagingStudy/study"}
    shared = {"selections": ["ServiceRequest/example-request-id"], "draftOrders": drafts, "appointments": appointments}
    return context | shared | members


ODD_CONTEXTS: dict[str, dict[str, Any]] = {
    "the public sandbox's imaging screen": {},
    "prefixed ids": {"patientId": "Patient/p", "encounterId": "Encounter/e"},
    "selections without a type": {"selections": ["example-request-id"]},
    "a selection that is nowhere": {"selections": ["ServiceRequest/none"]},
    "no selection": {"selections": []},
    "a bundle without entries": {"draftOrders": {"resourceType": "Bundle"}},
    "entries without resources": {"draftOrders": {"resourceType": "Bundle", "entry": [{}, {"resource": None}]}},
    "an order without a code": {
        "draftOrders": {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "ServiceRequest", "id": "1"}}]}
    },
    "a practitioner role": {"userId": "PractitionerRole/r"},
    "a bare user": {"userId": "gp"},
    "no encounter": {"encounterId": None},
}


@pytest.mark.parametrize("service_id", SERVICES)
@pytest.mark.parametrize("oddity", ODD_CONTEXTS)
def test_r23_odd_contexts_of_real_clients_are_answered(cds: CdsActor, service_id: str, oddity: str) -> None:
    service = SERVICES[service_id]
    body = a_hook(everything_empty(service), hook=service.hook, context=a_context(**ODD_CONTEXTS[oddity]))

    response = cds.call(body, service_id)

    if service.needs_encounter and body["context"]["encounterId"] is None:
        assert (response.status_code, "context.encounterId" in response.get_data(as_text=True)) == (400, True)
        return
    assert response.status_code == 200, response.get_data(as_text=True)
    assert faults_of(response.get_json()) == ()


@pytest.mark.parametrize("service_id", SERVICES)
@pytest.mark.parametrize(
    "members", [{"draftOrders": "x"}, {"draftOrders": None}, {"selections": {"a": 1}}, {"appointments": 7}]
)
def test_r23_broken_contexts_are_never_our_fault(cds: CdsActor, service_id: str, members: dict[str, Any]) -> None:
    service = SERVICES[service_id]
    body = a_hook(everything_empty(service), hook=service.hook, context=a_context(**members))

    assert cds.call(body, service_id).status_code in (200, 400)


OPTIONAL = [query.key for query in FINDINGS.queries if not query.required]


@pytest.mark.parametrize("kept", [kept for size in (0, 1, len(OPTIONAL)) for kept in combinations(OPTIONAL, size)])
def test_r14_any_part_of_the_optional_keys_may_come(cds: CdsActor, kept: tuple[str, ...]) -> None:
    prefetch = {key: value for key, value in whole_prefetch(a_lung_rads("3")).items() if key in ("patient", "findings", *kept)}

    (card,) = cds.cards(a_hook(prefetch | {"other-service": {"resourceType": "Basic"}}))

    assert ("Not available" in card["detail"]) is (set(kept) != set(OPTIONAL))


def test_r18_the_states_of_a_key_as_the_service_sees_them(cds: CdsActor) -> None:
    """Present, null, empty and legacy-wrapped are data; an error alone, another type and nothing at all are a 412."""
    finding, outcome = a_lung_rads("3"), {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "x"}]}
    wrapped = {"response": {"status": "200 OK"}, "resource": a_bundle(finding)}
    states = [a_bundle(finding), wrapped, None, a_bundle(), outcome, a_patient()]

    answers = [cds.call(a_hook(whole_prefetch() | {"findings": state})) for state in states]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 412, 412]
    assert [len(answer.get_json()["cards"]) for answer in answers[:4]] == [1, 1, 0, 0]
