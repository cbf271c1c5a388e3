"""``imaging-study-complete``: a hook of our own (X8), the AI's results of one study, and not a word about anybody else's."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from cds_service.evaluate import services_on
from cds_service.settings import CdsHooksVersion, CdsSettings
from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    APP,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_store,
    a_study,
    an_ai_lung_rads,
)
from tests.conftest import CHECKOUT
from tests.study_actors import HOOK, SERVICE_ID, cards, completed, refusal


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


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


def test_the_registry_holds_the_service_under_one_id() -> None:
    assert services_on("org.example.done")[SERVICE_ID].hook == "org.example.done"
