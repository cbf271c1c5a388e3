"""The order services over HTTP: R23, R33 and whole cards for orders like those of patient D; nothing is ever a 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_imaging.store.engine import Store
from imaging_findings.order_chart import ORDER_QUERIES
from tests.cds_actors import (
    APP,
    LOINC,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_condition,
    a_nodule,
    a_patient,
    a_report,
    a_store,
    a_study,
    an_order,
    concept,
)
from tests.examples import examples
from tests.order_actors import a_metformin, an_allergy, an_egfr
from tests.order_cases import CT_PLAIN, a_chart, a_draft, cards_of, selecting, signing, topics

CT_WITH = "24628-0"
CT_WITHOUT = "29252-4"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"))


REPEATED = a_chart(studies=a_bundle(a_study()), reports=a_bundle(a_report("No nodule.")))


def test_patient_d_a_repeat_with_contrast_and_metformin_at_low_egfr(cds: CdsActor) -> None:
    chart = REPEATED | {"labs": a_bundle(an_egfr(27)), "medications": a_bundle(a_metformin())}

    cards = cards_of(cds, signing(a_draft(CT_WITH), chart=chart))

    assert topics(cards) == ["order-duplicate", "order-kidney"]
    assert [card["indicator"] for card in cards] == ["warning"] * 2
    assert cards[0]["summary"] == (
        "CT Chest W contrast IV: same region already imaged on 2026-10-01 (CT chest), report available"
    )
    assert "Dr Synthetic Radiologist" in cards[0]["detail"]
    assert "Do not withhold a necessary examination" in cards[1]["detail"]
    for card in cards:
        assert "rule set version 2. Clinical owner: not named yet" in card["detail"], "every rule names its authority"
    assert "27 mL/min" in cards[1]["summary"]
    assert cards[1]["summary"].endswith(": hold metformin"), "one eGFR, one card (N1, N4)"
    assert "Hold metformin at or before the examination and for 48 hours" in cards[1]["detail"]


def test_o6_the_prior_opens_in_the_viewer(cds: CdsActor) -> None:
    (card,) = cards_of(cds, signing(a_draft(), chart=REPEATED))

    assert card["links"] == [
        {"label": "Open the images of 2026-10-01", "url": f"{APP}/launch", "type": "smart", "appContext": STUDY_UID},
        {
            "label": "Open the images of 2026-10-01 in a new window",
            "url": f"{APP}/open/sandbox/{STUDY_UID}",
            "type": "absolute",
        },
    ]
    assert "suggestions" not in card, "no order is replaced or taken away because of a prior"


def test_o4_a_study_that_is_only_registered_has_no_images_to_open(cds: CdsActor) -> None:
    (card,) = cards_of(cds, signing(a_draft(), chart=a_chart(studies=a_bundle(a_study(status="registered")))))

    assert card["summary"].endswith("registered, not yet available")
    assert "links" not in card


def test_both_services_say_the_same_of_the_same_order(cds: CdsActor) -> None:
    told = [cards_of(cds, body(a_draft(), chart=REPEATED)) for body in (signing, selecting)]

    assert [card["summary"] for card in told[0]] == [card["summary"] for card in told[1]]


def test_nothing_to_say_is_an_empty_list(cds: CdsActor) -> None:
    assert cards_of(cds, signing(a_draft())) == []


@pytest.mark.parametrize("selection", ["ServiceRequest/new", "new", "https://ehr.example.org/fhir/ServiceRequest/new"])
def test_r33_r23_only_selections_are_judged_however_they_are_written(cds: CdsActor, selection: str) -> None:
    other = a_draft(id="other", code=concept(LOINC, CT_WITH))

    cards = cards_of(cds, selecting(other, a_draft(CT_WITHOUT), selections=[selection], chart=REPEATED))

    assert topics(cards) == ["order-duplicate"]
    assert cards[0]["summary"].startswith("CT Chest WO contrast")
    assert "In the same drafts" in cards[0]["detail"], "the other drafts are context"


@pytest.mark.parametrize("selections", [[], ["ServiceRequest/else"], [None, 3]])
def test_r33_without_a_selection_nothing_is_judged(cds: CdsActor, selections: Any) -> None:
    body = selecting(a_draft(), chart=REPEATED)
    body["context"]["selections"] = selections

    assert cards_of(cds, body) == []


def test_r33_order_sign_judges_new_and_revised_orders(cds: CdsActor) -> None:
    revised = a_draft(id="revised", status="active")

    cards = cards_of(cds, signing(revised, chart=REPEATED | {"orders": a_bundle(revised)}))

    assert topics(cards) == ["order-duplicate"]
    assert "Open order" not in cards[0]["detail"], "a revised order is not its own repeat"


def test_r33_an_order_that_is_withdrawn_is_not_judged(cds: CdsActor) -> None:
    assert cards_of(cds, signing(a_draft(status="revoked"), chart=REPEATED)) == []


def test_o5_the_same_order_twice_offers_to_take_the_second_away(cds: CdsActor) -> None:
    (card,) = cards_of(cds, signing(a_draft(id="first"), a_draft(id="second")))

    assert "in these drafts twice" in card["summary"]
    (suggestion,) = card["suggestions"]
    (action,) = suggestion["actions"]
    assert (action["type"], action["resourceId"]) == ("delete", "ServiceRequest/second")
    assert suggestion["isRecommended"] is False


def test_r23_pama_screen_at_load(cds: CdsActor) -> None:
    """Public sandbox: Bundle without type, an empty coding, an empty reasonCode."""
    draft = {
        "resourceType": "ServiceRequest",
        "id": "example-request-id",
        "status": "draft",
        "intent": "plan",
        "code": {"coding": [{}]},
        "subject": {"reference": "Patient/p"},
        "reasonCode": [],
    }
    body = selecting(selections=["ServiceRequest/example-request-id"], chart=REPEATED)
    body["context"]["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": draft}]}

    assert cards_of(cds, body) == []

    draft["code"] = {"coding": [{"system": LOINC, "code": CT_PLAIN}]}
    assert topics(cards_of(cds, body)) == ["order-duplicate"]


@pytest.mark.parametrize(
    "draft",
    [
        {"resourceType": "MedicationRequest", "id": "new"},
        a_draft(code=concept(LOINC, "98979-8")),
        a_draft(doNotPerform=True),
        a_draft(subject={"reference": "Patient/other"}),
        a_draft(subject={"reference": "https://elsewhere.example.org/fhir/Patient/p"}),
    ],
    ids=["medication", "laboratory", "do-not-perform", "another-patient", "another-server"],
)
def test_orders_that_are_no_imaging_of_this_patient_are_left_alone(cds: CdsActor, draft: dict[str, Any]) -> None:
    assert cards_of(cds, selecting(draft, chart=REPEATED)) == []
    assert cards_of(cds, signing(draft, chart=REPEATED)) == []


def test_another_patients_chart_says_nothing(cds: CdsActor) -> None:
    stranger = {"subject": {"reference": "Patient/other"}}
    chart = a_chart(studies=a_bundle(a_study(**stranger)), labs=a_bundle(an_egfr(10, **stranger)))
    chart |= {"medications": a_bundle(a_metformin(**stranger)), "orders": a_bundle(an_order(**stranger))}
    chart |= {"allergies": a_bundle(an_allergy(criticality="high", patient={"reference": "Patient/other"}))}

    assert cards_of(cds, signing(a_draft(CT_WITH), chart=chart)) == []


@pytest.mark.parametrize("user", ["Patient/p", "RelatedPerson/r"])
def test_patients_and_proxies_get_no_clinician_cards(cds: CdsActor, user: str) -> None:
    assert cards_of(cds, signing(a_draft(), chart=REPEATED, userId=user)) == []


def test_r19_what_did_not_come_is_said_once(cds: CdsActor) -> None:
    chart = {key: value for key, value in a_chart().items() if key not in ("studies", "labs")}

    (card,) = cards_of(cds, signing(a_draft(CT_WITH), a_draft(CT_WITHOUT, id="second"), chart=chart))[-1:]

    assert topics([card]) == ["order-not-checked"]
    assert "imaging studies" in card["detail"]
    assert "eGFR results" in card["detail"]


def test_r19_only_the_patient_is_required(cds: CdsActor) -> None:
    body = signing(a_draft(), chart={})

    response = cds.call(body, "imaging-order-sign")

    assert response.status_code == 412
    assert "patient" in response.get_data(as_text=True)


def test_o4_oncology_is_quiet(cds: CdsActor) -> None:
    cancer = a_condition("http://hl7.org/fhir/sid/icd-10", "C50.9")

    assert cards_of(cds, signing(a_draft(), chart=REPEATED | {"conditions": a_bundle(cancer)})) == []


def test_n8_and_pregnancy_reach_the_card(cds: CdsActor) -> None:
    chart = a_chart(
        patient=a_patient(born="1996-05-01") | {"gender": "female"},
        allergies=a_bundle(an_allergy(criticality="high")),
    )

    assert topics(cards_of(cds, signing(a_draft("72254-6"), chart=chart))) == ["order-contrast-reaction", "order-pregnancy"]


def a_follow_up_chart(mm: float = 7.0) -> dict[str, Any]:
    """A nodule of 2026-01-10 whose chest CT is due 2026-07-10 to 2027-01-10."""
    finding = a_nodule(mm, effectiveDateTime="2026-01-10T10:00:00+01:00")
    return a_chart(findings=a_bundle(finding), studies=a_bundle(a_study(started="2026-01-10T10:00:00+01:00")))


@pytest.mark.parametrize(
    ("members", "indicator", "words"),
    [
        ({}, "info", "fulfils the follow-up due 2026-07-10 to 2027-01-10"),
        ({"occurrenceDateTime": "2026-12-01"}, "info", "fulfils the follow-up"),
        ({"occurrenceDateTime": "2027-01-11"}, "warning", "later than the follow-up due"),
    ],
)
def test_the_order_that_fulfils_an_open_follow_up(cds: CdsActor, members: dict[str, Any], indicator: str, words: str) -> None:
    (card,) = cards_of(cds, signing(a_draft(CT_WITHOUT, **members), chart=a_follow_up_chart()))

    assert card["indicator"] == indicator
    assert words in card["summary"]
    assert topics([card]) == ["order-follow-up"]


def test_the_order_before_its_time(cds: CdsActor) -> None:
    finding = a_nodule(7.0, effectiveDateTime="2026-11-01T10:00:00+01:00")
    chart = a_chart(findings=a_bundle(finding), studies=a_bundle(a_study(started="2026-11-01T10:00:00+01:00")))

    planned = cards_of(cds, signing(a_draft(CT_WITHOUT, occurrenceDateTime="2026-12-01"), chart=chart))
    undated = cards_of(cds, signing(a_draft(CT_WITHOUT), chart=chart))

    assert topics(planned) == topics(undated) == ["order-duplicate"], "too early and a repeat are one matter"
    assert "already imaged on 2026-11-01; planned for 2026-12-01, earlier than the follow-up due" in planned[0]["summary"]
    assert undated[0]["summary"].endswith(
        "already imaged on 2026-11-01; a follow-up is due 2027-05-01 to 2027-11-01, and the order names no date"
    )
    for (card,) in (planned, undated):
        assert "**Prior study:**" in card["detail"]
        assert "**Open follow-up:**" in card["detail"]


def test_the_order_that_is_not_the_follow_up(cds: CdsActor) -> None:
    (card,) = cards_of(cds, signing(a_draft(CT_WITH), chart=a_follow_up_chart()))

    assert card["indicator"] == "info"


def test_a_draft_that_the_ehr_has_stored_still_fulfils(cds: CdsActor) -> None:
    draft = a_draft(CT_WITHOUT, status="active", authoredOn="2026-11-20")

    (card,) = cards_of(cds, signing(draft, chart=a_follow_up_chart() | {"orders": a_bundle(draft)}))

    assert "fulfils the follow-up" in card["summary"]


def test_text_from_outside_is_escaped_and_the_summary_stays_short(cds: CdsActor) -> None:
    study = a_study(description="CT <img src=x onerror=alert(1)> **bold** " + "x" * 300)

    (card,) = cards_of(cds, signing(a_draft(), chart=a_chart(studies=a_bundle(study))))

    assert "<img" not in card["detail"]
    assert len(card["summary"]) < 140


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
MEMBERS = ("status", "intent", "code", "subject", "occurrencePeriod", "occurrenceTiming", "reasonReference", "bodySite", "id")
odd_drafts = st.fixed_dictionaries(
    {"resourceType": st.sampled_from(["ServiceRequest", "MedicationRequest"]) | json_values},
    optional={name: json_values for name in MEMBERS},
) | st.sampled_from(MEMBERS).flatmap(lambda name: json_values.map(lambda value: a_draft(CT_WITH, **{name: value})))
odd_orders = (
    st.lists(odd_drafts, max_size=3).map(
        lambda drafts: {"resourceType": "Bundle", "entry": [{"resource": one} for one in drafts]}
    )
    | st.lists(odd_drafts, max_size=2)
    | json_values
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draft_orders=odd_orders, selections=json_values, select=st.booleans())
def test_r23_no_shape_of_draft_orders_gives_an_error_or_an_invalid_card(
    cds: CdsActor, draft_orders: Any, selections: Any, select: bool
) -> None:
    body = selecting(chart=REPEATED | {"labs": a_bundle(an_egfr(20))}) if select else signing(chart=REPEATED)
    body["context"] |= {"draftOrders": draft_orders, "selections": selections}

    if isinstance(draft_orders, dict | list) and (isinstance(selections, list) or not select):
        cards_of(cds, body)
    else:
        assert cds.call(body, f"imaging-{body['hook']}").status_code == 400


KEYS = sorted(query.key for query in ORDER_QUERIES if query.key != "patient")
TYPE_OF = {query.key: query.resource_type for query in ORDER_QUERIES}


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(KEYS),
    members=st.dictionaries(
        st.sampled_from(
            ["status", "code", "effectiveDateTime", "valueQuantity", "valueString", "reaction", "class", "contained", "started"]
        )
        | st.text(max_size=8),
        json_values,
        max_size=4,
    ),
)
def test_no_shape_of_the_chart_gives_an_error_or_an_invalid_card(cds: CdsActor, key: str, members: dict[str, Any]) -> None:
    own = {"subject": {"reference": "Patient/p"}, "patient": {"reference": "Patient/p"}}
    base = {"resourceType": TYPE_OF[key], "id": "odd"} | own
    whole = {"labs": an_egfr(20), "allergies": an_allergy(), "medications": a_metformin(), "studies": a_study()}.get(key, base)

    cards_of(cds, signing(a_draft(CT_WITH), chart=a_chart(**{key: a_bundle(whole | members)})))
