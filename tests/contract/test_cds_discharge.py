"""`imaging-discharge` over HTTP: its context, its cards, and what it never says (CDS Hooks section 4; issue 3, T11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.card_parts import CardContext
from cds_service.evaluate import SERVICES
from cds_service.explain import explain
from cds_service.gather import Gathered
from cds_service.prefetch import PrefetchState, classify
from cds_service.protocol import parse_request
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from imaging_findings.site_policy import product_policy
from imaging_findings.visit_policy import UnreadPolicy
from tests.cds_actors import (
    APP,
    DCM,
    NOW,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_patient,
    a_report,
    a_store,
    a_study,
)
from tests.examples import examples

SERVICE = "imaging-discharge"
ENCOUNTER = {"reference": "Encounter/e"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def a_film(number: int = 1, **members: Any) -> dict[str, Any]:
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:2.25.50{number}"}
    base = {"id": f"film{number}", "identifier": [uid], "started": "2026-11-20T08:00:00Z", "encounter": ENCOUNTER}
    return a_study(**base | {"modality": [{"system": DCM, "code": "DX"}], "description": "CHEST", "series": []} | members)


def prefetch(**others: Any) -> dict[str, Any]:
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "subject": {"reference": "Patient/p"},
        "period": {"start": "2026-11-18"},
    }
    empty = dict.fromkeys(query.key for query in SERVICES[SERVICE].queries)
    return empty | {"patient": a_patient(), "encounter": encounter, "studies": a_bundle(a_film())} | others


def a_discharge(sent: Mapping[str, Any] | None = None, **context: Any) -> dict[str, Any]:
    stated = {"userId": "Practitioner/gp", "patientId": "p", "encounterId": "e"} | context
    return a_hook(prefetch() if sent is None else sent, hook="encounter-discharge", context=stated)


def cards_of(cds: CdsActor, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = cds.call(body, SERVICE)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert faults_of(answer.get_json()) == ()
    return list(answer.get_json()["cards"])


@pytest.mark.parametrize("field", ["userId", "patientId", "encounterId"])
def test_r15_every_required_field_of_the_context_is_named_when_it_is_missing(cds: CdsActor, field: str) -> None:
    answer = cds.call(a_discharge({}, **{field: None}), SERVICE)

    assert answer.status_code == 400
    assert f"context.{field}" in answer.get_data(as_text=True)


def test_r19_only_the_patient_is_required(cds: CdsActor) -> None:
    answer = cds.call(a_discharge({}), SERVICE)

    assert answer.status_code == 412
    assert [key for key in prefetch() if f"{key}:" in answer.get_data(as_text=True)] == ["patient"]
    assert cds.call(a_discharge({"patient": a_patient()}), SERVICE).status_code == 200


def test_r11_templates_use_the_tokens_of_this_hook_alone() -> None:
    templates = [query.template for query in SERVICES[SERVICE].queries]
    tokens = {token.partition("}}")[0] for template in templates for token in template.split("{{")[1:]}

    assert tokens == {"context.patientId", "context.encounterId"}
    assert "Encounter/{{context.encounterId}}" in templates


def test_unread_study_of_the_stay_is_one_warning_that_opens_the_images(cds: CdsActor) -> None:
    (card,) = cards_of(cds, a_discharge())

    assert card["indicator"] == "warning"
    assert card["summary"] == "No report found for 1 imaging study of this stay: DX 2026-11-20 08:00 (CHEST)"
    assert "no report for 25 hours; belongs to this stay by its encounter" in card["detail"]
    assert "clinician's check" in card["detail"]
    assert card["source"]["topic"]["code"] == "unread-imaging"
    assert [(link["type"], link.get("appContext")) for link in card["links"]] == [
        ("smart", "2.25.501"),
        ("absolute", None),
    ]
    assert "suggestions" not in card
    assert len(card["overrideReasons"]) == 5


# A radiologist's review, item 31b: an examination that has been made and is not available yet was not mentioned at all.
def test_registered_study_of_the_stay_is_told_as_not_yet_available(cds: CdsActor) -> None:
    (card,) = cards_of(cds, a_discharge(prefetch(studies=a_bundle(a_film(status="registered")))))

    assert (card["indicator"], card["source"]["topic"]["code"]) == ("info", "registered-imaging")
    assert card["summary"] == (
        "No report found for 1 imaging study of this stay, registered and not yet available: DX 2026-11-20 08:00 (CHEST)"
    )
    assert (
        "**Not reported:** DX 2026-11-20 08:00 (CHEST); registered, not yet available; no report for 25 hours" in card["detail"]
    )


def test_registered_studies_are_counted_beside_unread_ones(cds: CdsActor) -> None:
    (card,) = cards_of(cds, a_discharge(prefetch(studies=a_bundle(a_film(2, status="registered"), a_film()))))

    assert card["indicator"] == "warning"
    assert card["summary"].startswith("No report found for 1 imaging study of this stay, 1 more not yet available: DX")


# A radiologist's review, item 45.
def test_unread_barium_swallow_is_told(cds: CdsActor) -> None:
    swallow = a_film(modality=[{"code": "RF"}], series=[], description="BARIUM SWALLOW")
    (card,) = cards_of(cds, a_discharge(prefetch(studies=a_bundle(swallow))))

    assert "(BARIUM SWALLOW)" in card["summary"]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"stay_orders": True, "encounter": {"reference": "Encounter/main"}}, "by its order"),
        ({"encounter": None}, "by its date"),
    ],
)
def test_card_says_by_what_a_study_belongs_to_the_stay(cds: CdsActor, others: dict[str, Any], words: str) -> None:
    order = {"resourceType": "ServiceRequest", "id": "o", "subject": {"reference": "Patient/p"}, "encounter": ENCOUNTER}
    film = a_film(encounter=others["encounter"], basedOn=[{"reference": "ServiceRequest/o"}])
    orders = {"stay_orders": a_bundle(order)} if others.get("stay_orders") else {}
    (card,) = cards_of(cds, a_discharge(prefetch(studies=a_bundle(film), **orders)))

    assert f"belongs to this stay {words}" in card["detail"]


def test_all_waiting_studies_share_one_card(cds: CdsActor) -> None:
    reports = a_bundle(a_report("", status="preliminary", imagingStudy=[{"reference": "ImagingStudy/film2"}]))
    (card,) = cards_of(cds, a_discharge(prefetch(studies=a_bundle(*map(a_film, range(1, 12))), reports=reports)))

    assert card["summary"].startswith("No report found for 10 imaging studies of this stay, a preliminary one for 1 more")
    assert "**Also:** 3 more" in card["detail"]
    assert sum(link["type"] == "smart" for link in card["links"]) == 3


def test_preliminary_reports_alone_are_information(cds: CdsActor) -> None:
    reports = a_bundle(a_report("", status="registered", imagingStudy=[{"reference": "ImagingStudy/film1"}]))
    (card,) = cards_of(cds, a_discharge(prefetch(reports=reports)))

    assert (card["indicator"], card["source"]["topic"]["code"]) == ("info", "preliminary-imaging")
    assert "its report is registered since 2026-10-01" in card["detail"]


@pytest.mark.parametrize("missing", ["reports", "studies", "findings"])
def test_t11_what_did_not_come_is_told_and_never_called_unread(cds: CdsActor, missing: str) -> None:
    sent = prefetch()
    del sent[missing]
    cards = cards_of(cds, a_discharge(sent))
    said = " ".join(card["summary"] + card["detail"] for card in cards)

    assert ("No report found" in said) is (missing == "findings")
    assert "could not be" in said or "**Not available:**" in said


def test_study_that_nobody_can_place_is_told_as_such(cds: CdsActor) -> None:
    sent = prefetch(encounter=None, studies=a_bundle(a_film(encounter=None)))
    (card,) = cards_of(cds, a_discharge(sent))

    assert (card["indicator"], card["source"]["topic"]["code"]) == ("info", "unplaced-imaging")
    assert "the dates of this encounter are not known" in card["detail"]


@pytest.mark.parametrize(
    ("encounter", "state"),
    [
        ({"id": "other"}, PrefetchState.MISMATCHED),
        ({"subject": {"reference": "Patient/other"}}, PrefetchState.MISMATCHED),
        ({"subject": {"reference": "https://ehr.example.org/fhir/Patient/p"}}, PrefetchState.PRESENT),
        ({}, PrefetchState.PRESENT),
    ],
)
def test_r18_encounter_of_another_id_or_patient_is_a_mismatch(encounter: dict[str, Any], state: PrefetchState) -> None:
    query = next(one for one in SERVICES[SERVICE].queries if one.key == "encounter")
    sent = {"encounter": {"resourceType": "Encounter", "id": "e"} | encounter}

    assert classify(query, sent, "p", "e").state is state


def test_follow_ups_say_whether_their_study_is_of_the_stay(cds: CdsActor) -> None:
    findings = a_bundle(a_lung_rads("4A"))
    studies = a_bundle(a_study(encounter=ENCOUNTER))
    reports = a_bundle(a_report("4A"))
    (card,) = cards_of(cds, a_discharge(prefetch(findings=findings, studies=studies, reports=reports)))
    (other,) = cards_of(cds, a_discharge(prefetch(findings=findings, studies=a_bundle(a_study()), reports=reports)))

    assert card["detail"].startswith("**At discharge:** seen on a study of this stay.")
    assert other["detail"].startswith("**At discharge:** seen on a study that is not of this stay.")
    assert card["summary"] == other["summary"]


@pytest.mark.parametrize("user", ["Patient/p", "RelatedPerson/r"])
def test_patients_and_proxies_get_nothing(cds: CdsActor, user: str) -> None:
    assert cards_of(cds, a_discharge(userId=user)) == []


def test_explain_tells_why_a_study_is_not_named() -> None:
    sent = prefetch(studies=a_bundle(a_film(encounter={"reference": "Encounter/other"}), a_film(2)))
    sent |= {"reports": a_bundle(a_report("", imagingStudy=[{"reference": "ImagingStudy/film2"}]))}
    told = explain(a_discharge(sent), SERVICES[SERVICE], NOW)

    assert {(one.about, one.reason, one.by) for one in told.silences} == {
        ("ImagingStudy/film1", "it names another encounter", None),
        ("ImagingStudy/film2", "it has a signed report (final)", "DiagnosticReport/report"),
    }


def test_text_from_outside_is_escaped(cds: CdsActor) -> None:
    (card,) = cards_of(cds, a_discharge(prefetch(studies=a_bundle(a_film(description="<img src=x> *chest*" * 30)))))

    assert "<img" not in card["detail"]
    assert len(card["summary"]) < 140


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["Encounter/e", "ImagingStudy/film1", "2026"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["period", "start", "subject", "reference", "identifier", "value", "status"]), inner)
    ),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        "status",
        "started",
        "encounter",
        "basedOn",
        "identifier",
        "modality",
        "series",
        "imagingStudy",
        "study",
        "performer",
        "period",
    ]
)


@given(broken=st.dictionaries(MEMBERS, JSON, max_size=4), keys=st.sets(st.sampled_from(sorted(prefetch())), max_size=3))
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_shape_of_data_gives_an_error_or_an_invalid_card(cds: CdsActor, broken: dict[str, Any], keys: set[str]) -> None:
    """R2, R23: odd members of study, report and encounter, and keys that did not come."""
    sent = prefetch(
        studies=a_bundle(a_film() | broken, a_film(2)),
        reports=a_bundle(a_report("") | broken),
        stay_orders=a_bundle({"resourceType": "ServiceRequest", "id": "o"} | broken),
        encounter={"resourceType": "Encounter", "id": "e"} | broken,
    )
    sent = {key: value for key, value in sent.items() if key == "patient" or key not in keys}

    assert all(card["indicator"] != "critical" for card in cards_of(cds, a_discharge(sent)))


def test_r5_it_is_listed_on_its_hook_with_all_its_templates() -> None:
    listed = SERVICES[SERVICE].discovery_entry()

    assert listed["hook"] == "encounter-discharge"
    assert set(listed["prefetch"]) == set(prefetch())


def test_the_site_says_what_is_never_reported() -> None:
    request = parse_request(a_discharge(), hook="encounter-discharge")
    policy = replace(product_policy(), unread=UnreadPolicy(unreported_modalities=frozenset({"DX"})))
    context = CardContext(request=request, app_url=APP, ehr_name=None, now=NOW, new_uuid=lambda: "u", policy=policy)
    gathered = Gathered(resources={"patient": [a_patient()], "studies": [a_film()], "reports": [], "findings": []})

    assert SERVICES[SERVICE].evaluate(gathered, context) == ()
    assert len(SERVICES[SERVICE].evaluate(gathered, replace(context, policy=product_policy()))) == 1
