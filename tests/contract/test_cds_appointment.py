"""`imaging-appointment` over HTTP: its context, its cards, and what it never says (CDS Hooks section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.evaluate import SERVICES
from cds_service.explain import explain
from cds_service.validator import faults_of
from fhir_imaging.store.engine import Store
from tests.cds_actors import (
    DCM,
    LOINC,
    NOW,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_store,
    a_study,
    an_observation,
    an_order,
    concept,
)
from tests.examples import examples

SERVICE = "imaging-appointment"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = a_store(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


def an_appointment(day: str = "2028-01-10", **members: Any) -> dict[str, Any]:
    base = {"resourceType": "Appointment", "id": "a", "status": "proposed", "start": f"{day}T09:00:00+01:00"}
    base |= {"participant": [{"actor": {"reference": "Patient/p"}, "status": "needs-action"}]}
    return base | {"basedOn": [{"reference": "ServiceRequest/order"}]} | members


def prefetch(**others: Any) -> dict[str, Any]:
    empty = dict.fromkeys(query.key for query in SERVICES[SERVICE].queries)
    stated = {"patient": a_patient(), "findings": a_bundle(a_nodule()), "studies": a_bundle(a_study())}
    return empty | stated | {"orders": a_bundle(an_order())} | others


def a_booking(*appointments: Mapping[str, Any], sent: Mapping[str, Any] | None = None, **context: Any) -> dict[str, Any]:
    stated = {"userId": "Practitioner/gp", "patientId": "p", "appointments": a_bundle(*appointments)} | context
    return a_hook(prefetch() if sent is None else sent, hook="appointment-book", context=stated)


def cards_of(cds: CdsActor, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = cds.call(body, SERVICE)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert faults_of(answer.get_json()) == ()
    return list(answer.get_json()["cards"])


@pytest.mark.parametrize("field", ["userId", "patientId", "appointments"])
@pytest.mark.parametrize("value", [None, 3, "x y"])
def test_r15_every_required_field_of_the_context_is_named_when_it_is_missing_or_wrong(
    cds: CdsActor, field: str, value: object
) -> None:
    answer = cds.call(a_booking({}, **{field: value}), SERVICE)

    assert answer.status_code == 400
    assert f"context.{field}" in answer.get_data(as_text=True)


def test_r15_encounter_is_optional_and_r19_only_the_patient_is_required(cds: CdsActor) -> None:
    answer = cds.call(a_booking(an_appointment(), sent={}), SERVICE)

    assert answer.status_code == 412
    assert [key for key in prefetch() if f"{key}:" in answer.get_data(as_text=True)] == ["patient"]


def test_r11_no_template_takes_anything_from_the_appointments() -> None:
    templates = [query.template for query in SERVICES[SERVICE].queries]

    assert all(template.count("{{") == template.count("{{context.patientId}}") == 1 for template in templates)


def test_late_booking_is_a_warning_with_window_rule_and_images(cds: CdsActor) -> None:
    (card,) = cards_of(cds, a_booking(an_appointment()))

    assert card["indicator"] == "warning"
    assert "on 2028-01-10: later than the follow-up" in card["summary"]
    assert "due 2027-04-01 to 2027-10-01" in card["summary"]
    assert "**Guideline:** CT at 6–12 months" in card["detail"]
    assert "**Source:** Fleischner Society 2017, version 2017, row F2-6-8" in card["detail"]
    assert "Clinical owner: not named yet" in card["detail"]
    assert "local, without a source" in card["detail"]
    assert card["source"]["topic"]["code"] == "appointment-follow-up"
    assert [(link["type"], link.get("appContext")) for link in card["links"]] == [("smart", STUDY_UID), ("absolute", None)]
    assert "suggestions" not in card
    assert len(card["overrideReasons"]) == 5


def test_ga_the_reader_s_own_interval_stands_before_the_guideline(cds: CdsActor) -> None:
    coded = {"code": concept(DCM, "111055")}
    coded |= {"valueQuantity": {"value": 3, "system": "http://unitsofmeasure.org", "code": "mo"}}
    finding = a_nodule()
    finding["component"] = [*finding["component"], coded]
    (card,) = cards_of(cds, a_booking(an_appointment("2027-05-10"), sent=prefetch(findings=a_bundle(finding))))

    assert "later than the follow-up" in card["summary"]
    assert "due 2027-01-01" in card["summary"]
    assert card["detail"].index("**Reader:**") < card["detail"].index("**Guideline:**")


# A radiologist's review, item 28b.
def test_screening_booked_while_a_suspicious_finding_is_open_is_a_warning(cds: CdsActor) -> None:
    screening = an_appointment("2027-10-01", basedOn=[], serviceType=[{"coding": [{"system": LOINC, "code": "79086-5"}]}])
    sent = prefetch(findings=a_bundle(a_lung_rads("4B")), orders=a_bundle())
    (card,) = cards_of(cds, a_booking(screening, sent=sent))

    assert card["indicator"] == "warning"
    assert card["summary"] == "CT Chest for screening WO contrast on 2027-10-01: a screening while Lung-RADS 4B is open"
    assert "**Screening:** a screening examination is for patients without an open finding" in card["detail"]
    assert "**Open follow-up:**" not in card["detail"]
    assert "suggestions" not in card


# A radiologist's review, item 8c.
def test_card_for_the_other_side_names_the_side_that_is_asked_for(cds: CdsActor) -> None:
    assessment = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
    finding = an_observation(code=concept(assessment, "bi-rads"), bodySite=concept("http://snomed.info/sct", "7771000"))
    finding |= {"valueCodeableConcept": concept("https://imaging-cds.example/fhir/CodeSystem/bi-rads", "3", "5")}
    mammogram = a_study(modality=[{"system": DCM, "code": "MG"}], series=[], procedureCode=[concept(LOINC, "26346-7")])
    right = an_appointment("2027-04-01", basedOn=[], serviceType=[{"coding": [{"system": LOINC, "code": "26348-3"}]}])
    sent = prefetch(findings=a_bundle(finding), studies=a_bundle(mammogram), orders=a_bundle())
    (card,) = cards_of(cds, a_booking(right, sent=sent))

    assert card["summary"] == (
        "MG Breast - right Diagnostic on 2027-04-01: other side than the follow-up breast imaging (left) due 2027-04-01"
    )
    assert "**Other side:** the finding is on the left side, the appointment is for the other one" in card["detail"]


def test_early_booking_is_information_and_one_in_time_is_nothing(cds: CdsActor) -> None:
    (card,) = cards_of(cds, a_booking(an_appointment("2026-12-10")))

    assert card["indicator"] == "info"
    assert "earlier than the follow-up" in card["summary"]
    assert cards_of(cds, a_booking(an_appointment("2027-05-10"))) == []


def test_wrong_examination_of_an_order_that_names_the_finding_is_a_warning(cds: CdsActor) -> None:
    film = an_order(code=concept(LOINC, "24648-8"), reasonReference=[{"reference": "Observation/finding"}])
    (card,) = cards_of(cds, a_booking(an_appointment("2027-05-10"), sent=prefetch(orders=a_bundle(film))))

    assert card["indicator"] == "warning"
    assert "does not replace the follow-up" in card["summary"]
    assert "names this finding" in card["detail"]


def test_t11_without_findings_it_says_that_nothing_could_be_checked(cds: CdsActor) -> None:
    sent = prefetch()
    del sent["findings"]
    (card,) = cards_of(cds, a_booking(an_appointment(), sent=sent))

    assert (card["indicator"], card["source"]["topic"]["code"]) == ("info", "incomplete-data")
    assert cards_of(cds, a_booking(an_appointment(basedOn=[], serviceType=[{"text": "Dentist"}]), sent=sent)) == []


def test_t11_missing_orders_and_studies_are_named_in_the_card(cds: CdsActor) -> None:
    sent = {key: value for key, value in prefetch().items() if key not in ("orders", "studies")}
    code = concept(LOINC, "29252-4")
    (card,) = cards_of(cds, a_booking(an_appointment(serviceType=[code]), sent=sent))

    assert "**Not available:** open orders, imaging studies." in card["detail"]
    assert "links" not in card


@pytest.mark.parametrize("user", ["Patient/p", "RelatedPerson/r"])
def test_patients_and_proxies_get_nothing(cds: CdsActor, user: str) -> None:
    assert cards_of(cds, a_booking(an_appointment(), userId=user)) == []


def test_explain_tells_why_an_appointment_got_no_card() -> None:
    cancelled = an_appointment(id="b", status="cancelled")
    told = explain(a_booking(an_appointment("2027-05-10"), cancelled), SERVICES[SERVICE], NOW)

    assert {(one.about, one.reason, one.by) for one in told.silences} == {
        ("Appointment/a", "it is in time", "Observation/finding"),
        ("Appointment/b", "its status is cancelled", None),
    }


def test_text_from_outside_is_escaped_and_the_summary_stays_short(cds: CdsActor) -> None:
    order = an_order(code=concept(LOINC, "29252-4") | {"text": "<b>CT</b> *chest* " * 40})
    (card,) = cards_of(cds, a_booking(an_appointment(), sent=prefetch(orders=a_bundle(order))))

    assert "<b>" not in card["detail"]
    assert len(card["summary"]) < 140


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["2027-05-01", "ServiceRequest/order"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["reference", "coding", "code", "system", "start", "actor", "concept", "text"]), inner
        )
    ),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [
        "status",
        "start",
        "end",
        "requestedPeriod",
        "basedOn",
        "serviceType",
        "serviceCategory",
        "reasonReference",
        "reason",
        "participant",
        "contained",
        "supportingInformation",
        "subject",
        "description",
        "id",
        "resourceType",
        "type",
    ]
)


@given(broken=st.dictionaries(MEMBERS, JSON, max_size=4), keys=st.sets(st.sampled_from(sorted(prefetch())), max_size=3))
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_shape_of_an_appointment_gives_an_error_or_an_invalid_card(
    cds: CdsActor, broken: dict[str, Any], keys: set[str]
) -> None:
    """R2, R23: odd members of appointment and order, and keys that did not come."""
    order = {"resourceType": "ServiceRequest", "id": "order", "subject": {"reference": "Patient/p"}} | broken
    sent = {key: value for key, value in prefetch(orders=a_bundle(order)).items() if key == "patient" or key not in keys}

    cards = cards_of(cds, a_booking(an_appointment() | broken, an_appointment("2026-12-01", id="b"), sent=sent))

    assert all(card["indicator"] != "critical" and "suggestions" not in card for card in cards)


@given(stated=st.dictionaries(st.sampled_from(["entry", "resourceType", "type", "id"]), JSON) | st.lists(JSON, max_size=3))
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_shape_of_the_bundle_gives_an_error(cds: CdsActor, stated: object) -> None:
    assert isinstance(cards_of(cds, a_booking(appointments=stated)), list)


def test_r5_it_is_listed_on_its_hook_with_all_its_templates() -> None:
    listed = SERVICES[SERVICE].discovery_entry()

    assert listed["hook"] == "appointment-book"
    assert set(listed["prefetch"]) == set(prefetch())
