"""The CDS service over HTTP: discovery, whole cards for patients like A, B and C, and every refusal by its status."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest
from flask import Flask

from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    APP,
    NOW,
    SCT,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_store,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
    nodule_components,
    whole_prefetch,
)

SERVICE = "/cds-services/imaging-findings"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    directory = tmp_path / "state"
    opened = a_store(directory)
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def test_r4_r5_r8_discovery_lists_the_service(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}/cds-services")

    response = cds.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200
    assert response.mimetype == "application/json"
    (service,) = [one for one in response.get_json()["services"] if one["id"] == "imaging-findings"]
    assert (service["id"], service["hook"]) == ("imaging-findings", "patient-view")
    first = {"patient", "findings", "reports", "orders", "studies", "smoking", "conditions"}
    assert set(service["prefetch"]) == first | {"communications"}
    assert "patient, findings" in service["usageRequirements"], "required keys are named in the documentation"


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


def test_more_cards_than_a_clinician_reads_are_cut_and_counted(store: Store, tmp_path: Path) -> None:
    brief = a_cds_service(store, tmp_path, max_cards=2)
    findings = [
        a_lung_rads(category, id=f"f{n}", derivedFrom=[{"reference": f"ImagingStudy/{n}"}])
        for n, category in enumerate(("1", "4A", "2", "3"))
    ]

    cards = brief.cards(a_hook(whole_prefetch(*findings)))

    assert [card["summary"][:12] for card in cards] == ["Lung-RADS 4A", "Lung-RADS 3 "]
    assert cards[-1]["detail"].endswith("**Not shown:** 2 further, less urgent.")


def test_unknown_ehr_gets_no_absolute_link(cds: CdsActor) -> None:
    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3")), fhirServer="https://other.example.org/fhir"))

    assert {link["type"] for link in card["links"]} == {"smart"}


def test_links_hold_nothing_of_the_patient(cds: CdsActor) -> None:
    patient = a_patient() | {"name": [{"family": "Synthetic"}], "identifier": [{"value": "DEMO-1"}]}

    (card,) = cds.cards(a_hook(whole_prefetch(a_lung_rads("3"), patient=patient)))

    links = json.dumps(card["links"])
    assert not any(secret in links for secret in ("Synthetic", "DEMO-1", "Patient", "patient="))


# --- refusals


def outcome(response: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.get_data(as_text=True))
    assert body["resourceType"] == "OperationOutcome"
    issue: dict[str, Any] = body["issue"][0]
    return issue


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "JSON object"),
        (json.dumps(a_hook(context={"userId": "Practitioner/gp"})).encode(), "context.patientId"),
        (json.dumps(a_hook(hook="order-sign")).encode(), "hook: this service answers patient-view"),
    ],
    ids=["broken", "empty", "no text", "too deep", "an array", "missing context", "another hook"],
)
def test_r20_malformed_requests_are_400_with_a_reason(cds: CdsActor, body: bytes, told: str) -> None:
    response = cds.post(SERVICE, body)

    assert response.status_code == 400
    assert told in outcome(response)["diagnostics"]


def test_an_unknown_service_is_404(cds: CdsActor) -> None:
    response = cds.post("/cds-services/other", a_hook())

    assert response.status_code == 404
    assert outcome(response)["code"] == "not-found"


def test_another_method_is_405(cds: CdsActor) -> None:
    response = cds.client.put(SERVICE, json={})

    assert response.status_code == 405
    assert outcome(response)["code"] == "not-supported"


def test_another_media_type_is_415(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}")

    response = cds.client.post(SERVICE, data="hook=patient-view", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 415


def test_a_body_over_the_limit_is_413(store: Store, tmp_path: Path) -> None:
    small = a_cds_service(store, tmp_path, max_body_bytes=1000)

    response = small.call(a_hook(whole_prefetch(a_lung_rads("3"))))

    assert response.status_code == 413
    assert outcome(response)["code"] == "too-long"


def test_several_megabytes_of_prefetch_are_taken(cds: CdsActor) -> None:
    many = [a_lung_rads("3", id=f"f{number}", note=[{"text": "x" * 900}]) for number in range(3000)]

    assert len(cds.cards(a_hook(whole_prefetch(*many)))) == 1


def test_r19_required_data_out_of_reach_is_412_and_names_the_key(cds: CdsActor) -> None:
    response = cds.call(a_hook({"patient": a_patient()}))

    assert response.status_code == 412
    issue = outcome(response)
    assert issue["code"] == "processing"
    assert "findings: not in the prefetch" in issue["diagnostics"]
    assert "patient:" not in issue["diagnostics"]


def test_optional_data_out_of_reach_is_named_in_the_card(cds: CdsActor) -> None:
    prefetch = {"patient": a_patient(), "findings": a_bundle(a_lung_rads("3"))}

    (card,) = cds.cards(a_hook(prefetch))

    assert "**Not available:** radiology reports, open orders, imaging studies" in card["detail"]
    assert "links" not in card, "without the ImagingStudy nobody knows the study's UID"


def test_r17_no_token_and_no_patient_in_the_log(cds: CdsActor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    grant = {"access_token": "s3cret-token", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.rs", "subject": "x"}
    token = cds.ehr.jwt_for(f"{APP}{SERVICE}")

    cds.post(SERVICE, a_hook(whole_prefetch(a_lung_rads("3")), fhirAuthorization=grant), token=token)
    cds.post(SERVICE, a_hook({}, fhirAuthorization=grant | {"patient": "somebody-else"}))

    assert "s3cret-token" not in caplog.text
    assert token not in caplog.text
    assert "somebody-else" not in caplog.text


def test_an_answer_that_is_not_valid_is_an_error_and_no_silence(cds: CdsActor) -> None:
    services = dataclasses.replace(cds.services, new_uuid=lambda: "")
    app = Flask("broken")
    app.register_blueprint(create_blueprint(services))
    web.install(app, [error_surface(services)])
    broken = CdsActor(app=app, services=services, ehr=cds.ehr)

    response = broken.call(a_hook(whole_prefetch(a_lung_rads("3"))))

    assert response.status_code == 500
    assert outcome(response)["severity"] == "error"


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
