"""What a user who is the patient may be told: nothing by default, and each thing that stays withheld where a site releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from cds_service.card_parts import CardContext
from cds_service.evaluate import SERVICES, services_on
from cds_service.gather import gather
from cds_service.runtime import random_uuid
from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.store.engine import Store
from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.rule_settings import RuleSettings
from imaging_findings.site_policy import product_policy
from tests.cds_actors import (
    APP,
    FHIR,
    NOW,
    SCT,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_report,
    a_store,
    a_study,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
    whole_prefetch,
)

PATIENT = {"userId": "Patient/p", "patientId": "p"}
RELEASED = ReleaseRule(patient_results=PatientResults.RELEASED)
DCM = "http://dicom.nema.org/resources/ontology/DCM"
OWN = "https://imaging-cds.example/fhir/CodeSystem"
FAILED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
JARGON = (
    "Lung-RADS",
    "Fleischner",
    "nodule",
    "radiologist",
    "LDCT",
    "chest CT",
    "Guideline",
    "version",
    "row",
    " mm",
    "AI",
    "Dr ",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return at_a_site(a_cds_service(store, tmp_path), RELEASED)


def at_a_site(cds: CdsActor, rule: ReleaseRule) -> CdsActor:
    """The service of a site with this release rule."""
    services = replace(cds.services, policy=replace(product_policy(), release=rule))
    app = Flask("releasing")
    app.register_blueprint(create_blueprint(services))
    web.install(app, [error_surface(services)])
    return CdsActor(app=app, services=services, ehr=cds.ehr)


def signed(**members: Any) -> dict[str, Any]:
    """A signed report of seven weeks ago that quotes no interval."""
    return a_report("Solid nodule.", **members)


def asked(*findings: dict[str, Any], user: str = "Patient/p", **keys: Any) -> dict[str, Any]:
    prefetch = whole_prefetch(*findings, **({"reports": a_bundle(signed())} | keys))
    return a_hook(prefetch, context={"userId": user, "patientId": "p"})


# --- nothing by default


def test_the_default_releases_nothing_and_fetches_nothing(store: Store, tmp_path: Path) -> None:
    default = a_cds_service(store, tmp_path)

    assert RuleSettings().release == ReleaseRule() == product_policy().release
    assert not ReleaseRule().serves_patients
    assert default.cards(asked(a_lung_rads("3"))) == []
    assert default.cards(a_hook({}, context=PATIENT)) == [], "not even a 412"


@pytest.mark.parametrize("hours", [-1, 8761])
def test_hours_that_cannot_be_meant_are_refused_by_their_name(hours: int) -> None:
    with pytest.raises(ValueError, match=r"^release_after_hours is"):
        RuleSettings(release_after_hours=hours)


def test_the_settings_make_the_rule() -> None:
    stated = RuleSettings(patient_results=PatientResults.RELEASED, release_after_hours=24, patient_image_links=True)

    assert stated.release == ReleaseRule(patient_results=PatientResults.RELEASED, release_after_hours=24, image_links=True)


# --- what is told


def test_the_patient_is_told_which_examination_what_and_when_and_whom_to_ask(cds: CdsActor) -> None:
    (card,) = cds.cards(asked(a_lung_rads("3")))

    assert card["summary"] == "Your CT scan of 1 October 2026: a follow-up examination is recommended around 1 April 2027"
    assert card["indicator"] == "info"
    assert "Please talk to your care team." in card["detail"]
    assert set(card) == {"uuid", "summary", "indicator", "detail", "source"}, "nothing to accept, override or open"
    assert [word for word in JARGON if word in json.dumps(card)] == []
    assert card["source"]["label"] == "Imaging results"


def test_a_window_is_told_with_both_days(cds: CdsActor) -> None:
    (card,) = cds.cards(asked(a_nodule(7.0)))

    assert card["summary"].endswith("is recommended between 1 April 2027 and 1 October 2027")


def test_what_is_past_due_is_told_without_alarm(cds: CdsActor) -> None:
    old = a_lung_rads("3", effectiveDateTime="2026-01-31")
    reports = a_bundle(signed(issued="2026-02-01T10:00:00Z"))

    (card,) = cds.cards(asked(old, reports=reports, studies=a_bundle(a_study(started="2026-01-31"))))

    assert card["summary"] == "Your CT scan of 31 January 2026: a follow-up examination was recommended by 31 July 2026"
    assert card["indicator"] == "info"


def test_the_longest_summary_is_under_the_limit(cds: CdsActor) -> None:
    """R25: nuclear medicine has the longest name, September the longest month."""
    study = a_study(started="2026-09-30", modality=[{"code": "NM"}], series=[])
    (card,) = cds.cards(asked(a_nodule(7.0, effectiveDateTime="2026-09-30"), studies=a_bundle(study)))

    assert card["summary"].startswith("Your nuclear medicine scan of 30 September 2026: ")
    assert len(card["summary"]) < 140


def test_one_card_for_one_study(cds: CdsActor) -> None:
    assert len(cds.cards(asked(a_lung_rads("3"), a_lung_rads("4A", id="second")))) == 1


def test_a_related_person_is_told_the_same(cds: CdsActor) -> None:
    (own,), (proxy,) = (cds.cards(asked(a_lung_rads("3"), user=user)) for user in ("Patient/p", "RelatedPerson/r"))

    assert own["detail"] == proxy["detail"]


def test_an_image_link_only_where_the_site_allows_it(cds: CdsActor) -> None:
    linking = at_a_site(cds, replace(RELEASED, image_links=True))

    (card,) = linking.cards(asked(a_lung_rads("3")))

    assert card["links"] == [{"label": "Open your images", "url": f"{APP}/launch", "type": "smart", "appContext": STUDY_UID}], (
        "a smart link only: it asks the EHR who is there"
    )


# --- to whom nothing is told, whatever is set


@pytest.mark.parametrize(
    "user",
    [
        "Patient/other",
        f"{FHIR}/Patient/other",
        "https://elsewhere.example.org/fhir/Patient/p",
        "https://elsewhere.example.org/fhir/RelatedPerson/r",
        "Person/p",
        "Group/p",
        "Device/p",
    ],
)
def test_strangers_get_nothing_and_nothing_is_fetched(cds: CdsActor, user: str) -> None:
    assert cds.cards(asked(a_lung_rads("3"), user=user)) == []
    assert cds.cards(a_hook({}, context={"userId": user, "patientId": "p"})) == []


def test_the_patient_on_the_charts_own_server_is_the_patient(cds: CdsActor) -> None:
    assert len(cds.cards(asked(a_lung_rads("3"), user=f"{FHIR}/Patient/p"))) == 1


@pytest.mark.parametrize("service_id", sorted(set(SERVICES) - {"imaging-findings"}))
def test_no_other_service_speaks_to_a_patient(cds: CdsActor, service_id: str) -> None:
    service = services_on(release=RELEASED)[service_id]
    draft = {"resourceType": "Bundle", "entry": [{"resource": an_order(status="draft")}]}
    context = PATIENT | {"encounterId": "e", "draftOrders": draft, "selections": ["ServiceRequest/order"]}
    context |= {"study": "ImagingStudy/study", "appointments": {"resourceType": "Bundle", "entry": []}}
    body = a_hook(whole_prefetch(a_lung_rads("3")), hook=service.hook, context=context)

    assert not service.serves_patients
    assert cds.call(body, service_id).get_json() == {"cards": []}


def test_clinicians_see_what_they_always_saw(cds: CdsActor, store: Store, tmp_path: Path) -> None:
    body = asked(a_lung_rads("3"), user="Practitioner/gp")

    (card,) = cds.cards(body)

    assert card["summary"].startswith("Lung-RADS 3 (LDCT 2026-10-01)")
    assert card["suggestions"]


# --- what is withheld, one by one


def an_embolism(**members: Any) -> dict[str, Any]:
    return an_observation(**{"id": "pe", "code": concept(SCT, "59282003"), "issued": "2026-10-01T12:00:00Z"} | members)


def rated(category: str, **members: Any) -> dict[str, Any]:
    value = {"code": concept(DCM, "121071"), "valueCodeableConcept": concept(SCT, "427359005")}
    return an_observation(**{"id": "rated", "interpretation": [concept("http://radlex.org", category)]} | value | members)


def told(about: str = "DiagnosticReport/report") -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": "call",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "sent": "2026-10-01T12:30:00Z",
        "recipient": [{"display": "Dr Synthetic"}],
        "about": [{"reference": about}],
    }


def bosniak(category: str) -> dict[str, Any]:
    value = concept(f"{OWN}/bosniak", category, "2019")
    return an_observation(code=concept(f"{OWN}/imaging-assessment", "bosniak"), valueCodeableConcept=value)


def hours_ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


def coded_follow_up(months: int) -> list[dict[str, Any]]:
    quantity = {"value": months, "unit": "mo", "system": "http://unitsofmeasure.org", "code": "mo"}
    return [{"code": concept(DCM, "111055"), "valueQuantity": quantity}]


NOT_CODED = a_bundle(a_report("BI-RADS 3. Short-term follow-up in 6 months is recommended."))
WITHHELD: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("nobody has signed it", [an_ai_lung_rads("3")], {}),
    ("quoted from a report's words", [], {"reports": NOT_CODED}),
    ("no signed report names it", [a_lung_rads("3")], {"reports": None}),
    ("no signed report names it", [a_lung_rads("3")], {"reports": a_bundle(signed(status="preliminary"))}),
    ("no signed report names it", [a_lung_rads("3")], {"reports": a_bundle(signed(status="registered"))}),
    ("no signed report names it", [a_lung_rads("3")], {"reports": a_bundle(signed(status="entered-in-error"))}),
    ("does not say when it was signed", [a_lung_rads("3")], {"reports": a_bundle(signed(issued=None))}),
    ("does not say when it was signed", [a_lung_rads("3")], {"reports": a_bundle(signed(issued="2026-10-01"))}),
    ("less than 72 hours ago", [a_lung_rads("3")], {"reports": a_bundle(signed(issued=hours_ago(71.9)))}),
    ("less than 72 hours ago", [a_lung_rads("3")], {"reports": a_bundle(signed(issued=hours_ago(-1)))}),
    (
        "less than 72 hours ago",
        [a_lung_rads("3")],
        {"reports": a_bundle(signed(), signed(id="amended", status="amended", issued=hours_ago(2)))},
    ),
    ("less than 72 hours ago", [a_lung_rads("3", issued=hours_ago(1))], {}),
    ("must be communicated first", [a_lung_rads("3"), rated("RID49480")], {}),
    ("must be communicated first", [a_lung_rads("3"), rated("RID49481")], {}),
    ("must be communicated first", [a_lung_rads("3"), rated("RID49480", derivedFrom=[])], {"reports": a_bundle(signed())}),
    ("must be communicated first", [a_lung_rads("3"), an_embolism()], {}),
    (
        "must be communicated first",
        [a_lung_rads("3"), rated("RID49480")],
        {"communications": a_bundle(told("DiagnosticReport/another"))},
    ),
    ("no follow-up with a date", [a_lung_rads("4B")], {}),
    ("no follow-up with a date", [a_lung_rads("3", version=None)], {}),
    ("no follow-up with a date", [a_nodule(5.0)], {}),
    ("name another time", [a_nodule(7.0)], {"reports": a_bundle(a_report("Follow-up CT in 3 months is recommended."))}),
    ("yet to check the rule", [bosniak("IIF")], {}),
    ("read as a whole", [a_lung_rads("3")], {"orders": FAILED}),
    ("read as a whole", [a_lung_rads("3")], {"studies": FAILED}),
    ("read as a whole", [a_lung_rads("3")], {"communications": FAILED}),
    ("read as a whole", [a_lung_rads("3"), a_lung_rads("2", id="x", subject={"reference": "Patient/q"})], {}),
]


def silences_about(cds: CdsActor, body: dict[str, Any]) -> list[str]:
    """Why the patient is told nothing, as ``imaging-cds explain`` has it."""
    service = services_on(release=RELEASED)["imaging-findings"]
    request = service.request_in(body)
    gathered = gather(request, service.queries, None, cds.services.budgets)
    policy = cds.services.policy
    context = CardContext(request=request, app_url=APP, ehr_name=None, now=NOW, new_uuid=random_uuid, policy=policy)
    return [silence.reason for silence in service.silences(gathered, context)]


@pytest.mark.parametrize(("reason", "findings", "keys"), WITHHELD, ids=[f"{n} {one[0]}" for n, one in enumerate(WITHHELD)])
def test_each_thing_withheld_has_its_reason_and_makes_no_card(
    cds: CdsActor, reason: str, findings: list[dict[str, Any]], keys: dict[str, Any]
) -> None:
    body = asked(*findings, **keys)

    assert cds.cards(body) == []
    clinician = cds.cards(body | {"context": PATIENT | {"userId": "Practitioner/gp"}})
    assert clinician, "the clinician is told what the patient is not"
    silences = silences_about(cds, body)
    assert any(reason in silence for silence in silences), silences


def test_a_category_2_result_on_record_as_told_holds_nothing_back(cds: CdsActor) -> None:
    keys = {"communications": a_bundle(told())}

    (card,) = cds.cards(asked(a_lung_rads("3"), rated("RID49481"), **keys))

    assert "follow-up examination" in card["summary"]
    assert cds.cards(asked(rated("RID49480"), **keys)) == [], "the result itself is never a patient's card"


def test_a_category_3_result_holds_nothing_back(cds: CdsActor) -> None:
    assert len(cds.cards(asked(a_lung_rads("3"), rated("RID49482")))) == 1


def test_an_unread_result_of_another_study_holds_nothing_back(cds: CdsActor) -> None:
    elsewhere = rated("RID49480", derivedFrom=[{"reference": "ImagingStudy/other"}])

    assert len(cds.cards(asked(a_lung_rads("3"), elsewhere))) == 1


def test_the_hour_of_release_counts_from_the_signature(cds: CdsActor) -> None:
    for hours, number in ((71.99, 0), (72, 1)):
        reports = a_bundle(signed(issued=hours_ago(hours)))
        assert len(cds.cards(asked(a_lung_rads("3"), reports=reports))) == number


def test_what_is_done_or_ordered_is_not_told(cds: CdsActor) -> None:
    assert cds.cards(asked(a_lung_rads("3"), orders=a_bundle(an_order()))) == []


def test_the_ais_word_is_in_no_card_of_a_patient(cds: CdsActor) -> None:
    (card,) = cds.cards(asked(a_lung_rads("3"), an_ai_lung_rads("4A")))

    assert "AI" not in json.dumps(card)
    assert "4A" not in json.dumps(card)


def test_the_readers_own_interval_is_told_where_it_is_coded(cds: CdsActor) -> None:
    (card,) = cds.cards(asked(a_lung_rads("3", component=coded_follow_up(4))))

    assert card["summary"].endswith("is recommended around 1 February 2027")


def test_r40_the_release_rule_is_told_to_the_integrator(cds: CdsActor) -> None:
    token = cds.ehr.jwt_for(f"{APP}/cds-services")
    listed = cds.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"}).get_json()["services"]

    (findings,) = [one for one in listed if one["id"] == "imaging-findings"]
    assert "signed 72 hours ago or earlier" in findings["usageRequirements"]
    assert "get no cards." in SERVICES["imaging-findings"].usage_requirements
