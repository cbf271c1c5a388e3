"""``imaging-study-complete``: a hook of our own (X8), the AI's results of one study, and not a word about anybody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from cds_service.evaluate import services_on
from cds_service.settings import CdsHooksVersion, CdsSettings
from cds_service.validator import faults_of
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
    a_study,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
)
from tests.conftest import CHECKOUT

HOOK = "org.imaging-cds.imaging-study-complete"
SERVICE_ID = "imaging-study-complete"
ASSESSMENT = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
BI_RADS = "https://imaging-cds.example/fhir/CodeSystem/bi-rads"
AI = {"status": "preliminary", "device": {"reference": "Device/ai", "display": "Synthetic AI 1.0"}, "performer": []}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def completed(
    *findings: dict[str, Any], hook: str = HOOK, context: dict[str, Any] | None = None, **keys: Any
) -> dict[str, Any]:
    """The hook as a PACS would fire it: a patient and a study, and nobody who asks."""
    prefetch = {"findings": a_bundle(*findings), "studies": a_bundle(a_study()), "reports": None, "communications": None}
    stated = {"patientId": "p", "study": "ImagingStudy/study"} if context is None else context
    return a_hook({name: value for name, value in (prefetch | keys).items() if value != "absent"}, hook=hook, context=stated)


def cards(cds: CdsActor, body: object) -> list[dict[str, Any]]:
    response = cds.call(body, SERVICE_ID)
    assert response.status_code == 200, response.get_data(as_text=True)
    answer = response.get_json()
    assert faults_of(answer) == ()
    found: list[dict[str, Any]] = answer["cards"]
    return found


def refusal(cds: CdsActor, body: object) -> str:
    response = cds.call(body, SERVICE_ID)
    assert response.status_code == 400
    told: str = json.loads(response.get_data())["issue"][0]["diagnostics"]
    return told


def an_embolism(**members: Any) -> dict[str, Any]:
    issued = (NOW - timedelta(hours=2)).isoformat()
    coded = [concept("http://radlex.org", "RID49480")]
    return an_observation(**{"id": "pe", "code": concept(SCT, "59282003"), "issued": issued, "interpretation": coded} | members)


def bi_rads(category: str, **members: Any) -> dict[str, Any]:
    value = concept(BI_RADS, category, "5")
    return an_observation(**{"code": concept(ASSESSMENT, "bi-rads"), "valueCodeableConcept": value} | members)


# --- the hook


def discovered(cds: CdsActor) -> dict[str, Any]:
    token = cds.ehr.jwt_for(f"{APP}/cds-services")
    listed = cds.client.get("/cds-services", headers={"Authorization": f"Bearer {token}"}).get_json()["services"]
    (found,) = [one for one in listed if one["id"] == SERVICE_ID]
    assert not any(one["hook"] == SERVICE_ID for one in listed), "the alias is listed nowhere"
    return dict(found)


def test_x8_discovery_lists_the_reverse_domain_name_once_and_says_that_it_is_no_standard_hook(cds: CdsActor) -> None:
    service = discovered(cds)

    assert service["hook"] == HOOK
    assert "no published hook library has it" in service["description"]
    assert service["usageRequirements"].startswith("Not a standard hook")
    assert set(service["prefetch"]) == {"findings", "studies", "reports", "communications"}, "only what is needed"


def test_r6_a_hook_of_our_own_has_no_published_version(store: Store, tmp_path: Path) -> None:
    service = discovered(a_cds_service(store, tmp_path, specification=CdsHooksVersion.V3))

    assert service["version"] == "3.0.0"
    assert "hookVersion" not in service


def test_x8_the_sites_own_name_takes_the_place_of_the_products(store: Store, tmp_path: Path) -> None:
    named = a_cds_service(store, tmp_path, study_complete_hook="nl.example-hospital.study-done")

    assert discovered(named)["hook"] == "nl.example-hospital.study-done"
    assert len(cards(named, completed(an_ai_lung_rads("4A"), hook="nl.example-hospital.study-done"))) == 1
    assert refusal(named, completed(hook=HOOK)).startswith("hook: this service answers nl.example-hospital.study-done.")


@pytest.mark.parametrize(
    "name",
    [
        "imaging-study-complete",
        "patient-view",
        "example.done",
        "org..done",
        "org.example.",
        ".org.example",
        "org.exa mple.x",
        "1.2.3",
    ],
)
def test_x8_a_name_that_is_not_in_reverse_domain_form_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(ValueError, match=r"^study_complete_hook must be a name in reverse domain form"):
        CdsSettings(public_base_url=APP, study_complete_hook=name)


def test_the_bare_name_is_an_alias_in_requests_and_its_cards_take_feedback(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), hook="imaging-study-complete"))
    entry = {
        "card": card["uuid"],
        "outcome": "overridden",
        "overrideReason": {"userComment": "seen"},
        "outcomeTimestamp": "2026-11-21T09:05:00Z",
    }

    assert cds.post(f"/cds-services/{SERVICE_ID}/feedback", {"feedback": [entry]}).status_code == 200
    (counted,) = cds.services.feedback.by_rule(service_id=SERVICE_ID)
    assert (counted.rule_id, counted.shown, counted.overridden) == ("ai-unsigned/lung-rads", 1, 1)


def test_r15_other_services_do_not_answer_for_it_nor_it_for_them(cds: CdsActor) -> None:
    assert cds.call(completed(), "imaging-findings").status_code == 400
    assert refusal(cds, completed(hook="patient-view")).startswith("hook:")


def test_r40_people_read_that_the_hook_is_not_standard_and_what_its_context_is(cds: CdsActor) -> None:
    app = Flask("pages", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    app.register_blueprint(create_blueprint(cds.services))
    web.install(app, [error_surface(cds.services)])

    page = unescape(app.test_client().get("/cds-documentation").get_data(as_text=True))

    section = page.partition(f'id="{SERVICE_ID}"')[2].partition("</section>")[0]
    assert f"<code>{HOOK}</code>, not a standard hook" in section
    assert "a request may also say <code>imaging-study-complete</code>" in section
    for name in ("patientId", "study", "studyInstanceUid", "userId", "encounterId"):
        assert f"<dt><code>{name}</code></dt>" in section


# --- its context


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({"patientId": "p"}, "context.study: must be given, or context.studyInstanceUid."),
        ({"patientId": "p", "study": None}, "context.study: must be given, or context.studyInstanceUid."),
        ({"patientId": "p", "study": ""}, "context.study: must be a reference"),
        ({"patientId": "p", "study": ["ImagingStudy/study"]}, "context.study: must be a reference"),
        ({"patientId": "p", "study": "study"}, "context.study: must be a reference"),
        ({"patientId": "p", "study": "Patient/p"}, "context.study: must be a reference"),
        ({"patientId": "p", "study": "ImagingStudy/a/../b"}, "context.study: must be a reference"),
        ({"patientId": "p", "study": "ImagingStudy?x=1"}, "context.study: must be a reference"),
        ({"patientId": "p", "study": "https://other.example/fhir/ImagingStudy/study"}, "context.study: must be a reference"),
        ({"patientId": "p", "studyInstanceUid": "urn:oid:1.2"}, "context.studyInstanceUid: must be a DICOM UID"),
        ({"patientId": "p", "studyInstanceUid": "1.2.x"}, "context.studyInstanceUid: must be a DICOM UID"),
        ({"patientId": "p", "studyInstanceUid": "1." * 40 + "1"}, "context.studyInstanceUid: must be a DICOM UID"),
        ({"patientId": "p", "studyInstanceUid": 12}, "context.studyInstanceUid: must be a DICOM UID"),
        ({"patientId": "p", "study": "ImagingStudy/study", "studyInstanceUid": "1.2\n3"}, "context.studyInstanceUid: must be"),
        ({"study": "ImagingStudy/study"}, "context.patientId: must be given"),
        ({"patientId": "p", "study": "ImagingStudy/study", "userId": "Practitioner/a b"}, "context.userId:"),
    ],
)
def test_r15_a_wrong_context_is_400_and_names_the_field(cds: CdsActor, context: dict[str, Any], told: str) -> None:
    assert refusal(cds, completed(context=context)).startswith(told)


@pytest.mark.parametrize(
    "study",
    [
        {"study": "ImagingStudy/study"},
        {"study": "https://ehr.example.org/fhir/ImagingStudy/study"},
        {"studyInstanceUid": STUDY_UID},
        {"study": "ImagingStudy/study", "studyInstanceUid": STUDY_UID},
    ],
)
@pytest.mark.parametrize("user", [{}, {"userId": "Practitioner/r"}, {"userId": "PractitionerRole/r"}])
def test_the_study_may_be_named_either_way_and_a_system_may_ask(
    cds: CdsActor, study: dict[str, str], user: dict[str, str]
) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), context={"patientId": "p"} | study | user))

    assert card["summary"].startswith("AI (unsigned): Lung-RADS 4A")


def test_two_names_of_two_studies_are_a_contradiction(cds: CdsActor) -> None:
    other = a_study(id="other", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.77"}])
    both = a_bundle(a_study(), other)
    told = "context.studyInstanceUid: is not that of the study that context.study names."

    for uid in ("2.25.77", "2.25.99"):
        context = {"patientId": "p", "study": "ImagingStudy/study", "studyInstanceUid": uid}
        assert refusal(cds, completed(an_ai_lung_rads("4A"), context=context, studies=both)).startswith(told)
    unknown = {"patientId": "p", "study": "ImagingStudy/nowhere", "studyInstanceUid": STUDY_UID}
    assert refusal(cds, completed(an_ai_lung_rads("4A"), context=unknown, studies=both)).startswith(told)


@pytest.mark.parametrize("user", ["Patient/p", "RelatedPerson/r", "Device/d"])
def test_a_patient_or_proxy_gets_nothing_and_nothing_is_fetched(cds: CdsActor, user: str) -> None:
    context = {"patientId": "p", "study": "ImagingStudy/study", "userId": user}

    assert cards(cds, completed(an_ai_lung_rads("4A"), context=context)) == []
    assert cards(cds, a_hook({}, hook=HOOK, context=context)) == []


# --- whose study


OTHERS = {"reference": "Patient/other"}


def test_a_study_of_another_patient_and_one_that_does_not_exist_are_answered_alike(cds: CdsActor) -> None:
    theirs = a_bundle(a_study(subject=OTHERS))
    finding = an_ai_lung_rads("4A", subject=OTHERS)

    for context in ({"study": "ImagingStudy/study"}, {"studyInstanceUid": STUDY_UID}):
        asked = {"patientId": "p"} | context
        assert cards(cds, completed(finding, context=asked, studies=theirs)) == []
        assert cards(cds, completed(finding, context=asked, studies=None)) == []
        assert cards(cds, completed(context=asked, studies=a_bundle())) == []


def test_two_names_say_nothing_about_another_patients_study(cds: CdsActor) -> None:
    """A contradiction is told only between studies of this chart, so that nobody can try UIDs on others."""
    theirs = a_bundle(a_study(subject=OTHERS))

    for uid in (STUDY_UID, "2.25.99"):
        context = {"patientId": "p", "study": "ImagingStudy/study", "studyInstanceUid": uid}
        assert cards(cds, completed(context=context, studies=theirs)) == []


def test_anothers_finding_on_this_study_is_not_even_counted(cds: CdsActor) -> None:
    assert cards(cds, completed(an_ai_lung_rads("4A", subject=OTHERS))) == []

    (card,) = cards(cds, completed(an_ai_lung_rads("3"), a_lung_rads("4B", id="theirs", subject=OTHERS)))
    assert "another patient" not in card["detail"]
    assert card["summary"].startswith("AI (unsigned): Lung-RADS 3")


def test_another_study_of_the_patient_says_nothing_here(cds: CdsActor) -> None:
    elsewhere = an_ai_lung_rads("4A", derivedFrom=[{"reference": "ImagingStudy/other"}], extension=[])

    assert cards(cds, completed(elsewhere, a_lung_rads("4B", derivedFrom=[{"reference": "ImagingStudy/other"}]))) == []


# --- what is said


def test_t8_an_ai_result_is_labelled_at_most_a_warning_and_never_an_order(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4X")))

    assert card["indicator"] == "warning"
    assert card["summary"] == "AI (unsigned): Lung-RADS 4X (LDCT 2026-10-01): nobody has signed it – AI result"
    assert card["source"]["label"] == "AI (unsigned) imaging result"
    assert "suggestions" not in card
    assert [link["appContext"] for link in card["links"] if "slice" in link["label"]] == [
        f"studies/{STUDY_UID}/series/{STUDY_UID}.1/instances/{STUDY_UID}.1.7"
    ]
    assert "Not available" not in card["detail"]


def test_t8_an_ai_claim_of_a_category_1_finding_is_a_warning(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_embolism(**AI)))

    assert card["indicator"] == "warning"
    assert card["summary"].startswith("AI (unsigned): ")
    assert "suggestions" not in card


def test_one_card_for_each_kind_of_result(cds: CdsActor) -> None:
    found = cards(cds, completed(an_ai_lung_rads("3"), bi_rads("4", **AI | {"id": "breast"}), an_embolism(**AI)))

    assert len(found) == 3
    assert all(card["summary"].startswith("AI (unsigned): ") for card in found)
    assert [card["indicator"] for card in found] == sorted((card["indicator"] for card in found), reverse=True)


def test_a_signed_result_and_the_ais_are_shown_together(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), a_lung_rads("4B")))

    assert card["summary"] == (
        "Lung-RADS 4B (LDCT 2026-10-01): already signed, the AI result differs; AI (unsigned) says 4A – radiologist"
    )
    assert card["indicator"] == "warning"
    assert "Signed by Dr Synthetic Radiologist" in card["detail"]
    assert "**AI (unsigned):** Lung-RADS 4A" in card["detail"]
    assert "It differs from the reader." in card["detail"]
    assert "suggestions" not in card
    assert "due" not in card["summary"]


def test_where_both_agree_the_card_is_only_information(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), a_lung_rads("4A")))

    assert (card["indicator"], "the AI result agrees" in card["summary"]) == ("info", True)


@pytest.mark.parametrize(("signed", "verdict"), [("2", "It differs from the reader."), ("4", "It agrees with the reader.")])
def test_a_table_assessment_stands_beside_the_readers_even_where_nothing_would_follow(
    cds: CdsActor, signed: str, verdict: str
) -> None:
    (card,) = cards(cds, completed(bi_rads("4", **AI | {"id": "machine"}), bi_rads(signed, id="reader")))

    assert card["summary"].startswith(f"BI-RADS {signed} ")
    assert verdict in card["detail"]


def test_results_of_two_kinds_cannot_be_compared_and_that_is_said(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), a_nodule(9.0)))

    assert "an unsigned AI result stands beside it" in card["summary"]
    assert "The two cannot be compared." in card["detail"]


def test_a_signed_report_without_codes_is_quoted_beside_the_ai(cds: CdsActor) -> None:
    report = a_bundle(a_report("No suspicious nodule. Heart of normal size."))

    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), reports=report))

    assert "No suspicious nodule." in card["detail"]
    assert "A signed report of this study exists" in card["detail"]
    assert card["summary"].startswith("AI (unsigned): ")


def test_a_signed_category_1_finding_is_told_as_in_the_chart(cds: CdsActor) -> None:
    (here,) = cards(cds, completed(an_embolism()))
    whole = {"patient": a_patient(), "findings": a_bundle(an_embolism()), "studies": a_bundle(a_study())}
    others = dict.fromkeys(("reports", "orders", "smoking", "conditions", "communications"))
    (there,) = cds.cards(a_hook(whole | others))

    assert here["indicator"] == there["indicator"] == "critical"
    assert (here["summary"], here["detail"]) == (there["summary"], there["detail"])


@pytest.mark.parametrize("category", ["RID49481", "RID49482"])
def test_signed_findings_of_other_categories_are_left_to_the_chart(cds: CdsActor, category: str) -> None:
    stated = an_observation(
        code=concept("http://dicom.nema.org/resources/ontology/DCM", "121071"),
        valueCodeableConcept=concept(SCT, "427359005"),
        interpretation=[concept("http://radlex.org", category)],
    )

    assert cards(cds, completed(stated)) == []


def test_signed_and_claimed_category_1_are_one_card(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_embolism(), an_embolism(**AI | {"id": "machine"})))

    assert card["indicator"] == "critical", "by the radiologist's word alone"
    assert "It agrees with the reader." in card["detail"]


def test_a_signed_result_alone_is_left_to_the_chart(cds: CdsActor) -> None:
    """This service brings the AI's results; follow-ups are told when the chart is opened."""
    assert cards(cds, completed(a_lung_rads("3"), reports=a_bundle(a_report("Lung-RADS 3.")))) == []


def test_an_open_order_does_not_hide_an_ai_result(cds: CdsActor) -> None:
    assert len(cards(cds, completed(an_ai_lung_rads("4A"), orders=a_bundle(an_order())))) == 1


# --- data that did not come


def test_r19_both_required_keys_are_named_by_the_412(cds: CdsActor) -> None:
    response = cds.call(completed(findings="absent", studies="absent"), SERVICE_ID)

    assert response.status_code == 412
    told = json.loads(response.get_data())["issue"][0]["diagnostics"]
    assert "findings: " in told
    assert "studies: " in told


def test_optional_data_that_did_not_come_is_named(cds: CdsActor) -> None:
    (card,) = cards(cds, completed(an_ai_lung_rads("4A"), reports="absent"))

    assert "**Not available:** radiology reports." in card["detail"]


def test_silence_about_a_part_is_told(cds: CdsActor) -> None:
    """``cards: []`` never means "I failed": a page that did not come may hold the study or its finding."""
    page = "https://ehr.example.org/fhir?page=2"
    findings = a_bundle(a_lung_rads("3", derivedFrom=[{"reference": "ImagingStudy/other"}]), next_url=page)
    studies = a_bundle(a_study(id="other"), next_url=page)
    unreadable = a_bundle(a_study(identifier=[]))

    for keys in ({"findings": findings}, {"studies": studies}, {"studies": unreadable}):
        (card,) = cards(cds, completed(**keys))
        assert card["summary"].startswith("Some imaging findings could not be read")


def test_the_registry_holds_the_service_under_one_id() -> None:
    assert services_on("org.example.done")[SERVICE_ID].hook == "org.example.done"
