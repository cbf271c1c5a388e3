"""Whole cards of ``imaging-findings`` for patients like A, B, C and E: words, links, draft orders, and what is not said."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest

from tests.cds_actors import (
    APP,
    NOW,
    SCT,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
    nodule_components,
    whole_prefetch,
)

SERVICE = "/cds-services/imaging-findings"


def test_patient_a_reader_4b_and_ai_4a_in_one_warning_without_an_order(cds: CdsActor) -> None:
    reader = a_lung_rads("4B", component=nodule_components(9.0, "solid", change="growing"))
    machine = an_ai_lung_rads("4A", component=nodule_components(9.0, "solid", change="baseline"))

    (card,) = cds.cards(a_hook(whole_prefetch(reader, machine)))

    assert card["indicator"] == "warning"
    assert card["summary"] == (
        "Lung-RADS 4B (LDCT 2026-10-01): refer for further clinical evaluation; AI (unsigned) says 4A – radiologist"
    )
    assert "suggestions" not in card
    assert "**AI (unsigned):** Lung-RADS 4A" in card["detail"]
    assert "differs from the reader" in card["detail"]
    assert card["links"] == [
        {"label": "Open the images", "url": f"{APP}/launch", "type": "smart", "appContext": STUDY_UID},
        {
            "label": "Open the AI result's slice",
            "url": f"{APP}/launch",
            "type": "smart",
            "appContext": f"studies/{STUDY_UID}/series/{STUDY_UID}.1/instances/{STUDY_UID}.1.7",
        },
        {"label": "Open the images in a new window", "url": f"{APP}/open/sandbox/{STUDY_UID}", "type": "absolute"},
    ]


def test_patient_b_no_routine_follow_up_is_only_information(cds: CdsActor) -> None:
    """X4 done right: incidental 4 mm at low risk is no routine follow-up, not a CT in 12 months."""
    (card,) = cds.cards(a_hook(whole_prefetch(a_nodule(4.0, risk="low"))))

    assert card["indicator"] == "info"
    assert card["summary"] == "4 mm solid lung nodule (CT 2026-10-01): no routine follow-up – Fleischner Society 2017"
    assert "suggestions" not in card


def test_patient_c_the_whole_card(cds: CdsActor) -> None:
    """R25-R31 and X6 in one: 7 mm solid, high risk, CT at 6-12 months, then 18-24."""
    (card,) = cds.cards(a_hook(whole_prefetch(a_nodule(7.0, risk="high"))))

    assert card["indicator"] == "warning"
    assert card["summary"] == (
        "7 mm solid lung nodule (CT 2026-10-01): chest CT due 2027-04-01 to 2027-10-01 – Fleischner Society 2017"
    )
    assert "CT at 6–12 months, then CT at 18–24 months." in card["detail"]
    assert "version 2017, row F2-6-8" in card["detail"]
    assert "Clinical owner:" in card["detail"]
    assert card["source"]["label"] == "Fleischner Society 2017"
    assert card["source"]["topic"]["code"] == "lung-nodule-follow-up"
    assert card["selectionBehavior"] == "at-most-one"
    assert {reason["code"] for reason in card["overrideReasons"]} == {
        "indication-order-exists",
        "action-completed",
        "patient-contraindication",
        "patient-refuses",
        "inappropriate-recipient",
    }
    (suggestion,) = card["suggestions"]
    (action,) = suggestion["actions"]
    assert suggestion["uuid"] != card["uuid"]
    assert action["resource"] == {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "29252-4", "display": "CT Chest WO contrast"}],
            "text": "CT Chest WO contrast",
        },
        "occurrencePeriod": {"start": "2027-04-01", "end": "2027-10-01"},
        "authoredOn": "2026-11-21T09:00:00+00:00",
        "requester": {"reference": "Practitioner/gp"},
        "encounter": {"reference": "Encounter/e"},
        "reasonReference": [{"reference": "Observation/finding"}],
        "supportingInfo": [{"reference": "ImagingStudy/study"}],
    }


@pytest.mark.parametrize(
    ("category", "code", "note"),
    [
        ("1", "79086-5", None),
        ("2", "79086-5", None),
        ("3", "29252-4", "Low dose technique"),
        ("4A", "29252-4", "Low dose technique"),
    ],
)
def test_lung_rads_draft_orders(cds: CdsActor, category: str, code: str, note: str | None) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads(category))))

    order = card["suggestions"][0]["actions"][0]["resource"]
    assert order["code"]["coding"][0]["code"] == code
    assert [one["text"] for one in order.get("note", [])] == ([note] if note else [])


def test_every_draft_order_is_valid_r4(cds: CdsActor) -> None:
    for finding in (a_nodule(7.0), a_lung_rads("2"), a_lung_rads("3")):
        for card in cds.cards(a_hook(whole_prefetch(finding))):
            ServiceRequest.model_validate(card["suggestions"][0]["actions"][0]["resource"])


def test_an_overdue_order_is_drafted_from_today_on(cds: CdsActor) -> None:
    old = a_lung_rads("4A", derivedFrom=[], effectiveDateTime="2026-01-31")

    (card,) = cds.cards(a_hook(whole_prefetch(old, studies=None)))

    assert card["summary"].startswith("Lung-RADS 4A (LDCT 2026-01-31): LDCT overdue since 2026-04-30")
    assert card["suggestions"][0]["actions"][0]["resource"]["occurrenceDateTime"] == "2026-11-21"


def test_t8_ai_alone_is_labelled_and_never_critical(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(an_ai_lung_rads("4X"))))

    assert card["summary"].startswith("AI (unsigned): Lung-RADS 4X")
    assert card["indicator"] == "warning"
    assert card["source"]["label"] == "AI (unsigned) imaging result"
    assert "suggestions" not in card


def test_nothing_to_say_is_an_empty_array(cds: CdsActor) -> None:
    assert cds.cards(a_hook(whole_prefetch())) == []
    assert cds.cards(a_hook(whole_prefetch(a_lung_rads("3"), orders=a_bundle(an_order())))) == []


def test_the_reports_own_words_stand_before_the_guideline(cds: CdsActor) -> None:
    report = a_bundle(a_report("Solid nodule, 7 mm. Follow-up CT in 6-12 months is recommended."))

    (card,) = cds.cards(a_hook(whole_prefetch(a_nodule(7.0), reports=report)))

    assert card["detail"].index("**Report:**") < card["detail"].index("**Guideline:**")


@pytest.mark.parametrize("user", ["Patient/p", "RelatedPerson/r"])
def test_patients_and_proxies_get_no_clinician_cards(cds: CdsActor, user: str) -> None:
    """Not even a 412: nothing is fetched for them."""
    context = {"userId": user, "patientId": "p"}

    assert cds.cards(a_hook({}, context=context)) == []
    assert cds.cards(a_hook(whole_prefetch(an_ai_lung_rads("4A")), context=context)) == []


def test_an_unreadable_finding_is_told_and_not_swallowed(cds: CdsActor) -> None:
    """``cards: []`` never means "I failed"."""
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3", subject={"reference": "Patient/other"}))))

    assert card["indicator"] == "info"
    assert "Observation/finding (it belongs to another patient, or to none)" in card["detail"]


def test_unknown_ehr_gets_no_absolute_link(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3")), fhirServer="https://other.example.org/fhir"))

    assert {link["type"] for link in card["links"]} == {"smart"}


def test_links_hold_nothing_of_the_patient(cds: CdsActor) -> None:
    patient = a_patient() | {"name": [{"family": "Synthetic"}], "identifier": [{"value": "DEMO-1"}]}

    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"), patient=patient)))

    links = json.dumps(card["links"])
    assert not any(secret in links for secret in ("Synthetic", "DEMO-1", "Patient", "patient="))


def test_patient_e_embolism_without_recorded_communication_is_the_one_critical_card(cds: CdsActor) -> None:
    """Clinical rules 3.4: critical, supplementary, with the images and without an order."""
    issued = (NOW - timedelta(hours=2)).isoformat()
    coded = [concept("http://radlex.org", "RID49480")]
    embolism = an_observation(code=concept(SCT, "59282003"), issued=issued, interpretation=coded)
    (card,) = cds.cards(a_hook(whole_prefetch(embolism)))

    assert card["indicator"] == "critical"
    assert "no documented communication found" in card["summary"]
    assert "it has told nobody" in card["detail"]
    assert card["source"]["topic"]["code"] == "critical-result"
    assert {link["type"] for link in card["links"]} == {"smart", "absolute"}
    assert "suggestions" not in card
