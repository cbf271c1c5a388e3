"""No alert fatigue: what holds for several orders of one request is one card that names them, and nothing is said twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_imaging.store.engine import Store
from tests.cds_actors import SCT, CdsActor, a_bundle, a_cds_service, a_nodule, a_patient, a_report, a_store, a_study, concept
from tests.order_actors import a_metformin, an_allergy, an_egfr
from tests.order_cases import a_chart, a_draft, cards_of, selecting, signing, topics

CHEST_WITH, CHEST_PLAIN, ABDOMEN_WITH = "24628-0", "24627-2", "36813-4"
BODY = {"chest": "816094009", "abdomen": "818981001", "pelvis": "12921003"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"))


CHEST = a_draft(CHEST_WITH)
ABDOMEN = a_draft(ABDOMEN_WITH, id="abdomen")
WHOLE = a_draft("72254-6", id="whole")


def a_prior(uid: str, *regions: str, day: str = "2026-11-01", **members: Any) -> dict[str, Any]:
    series = [
        {"uid": f"{uid}.{place}", "modality": {"code": "CT"}, "bodySite": {"system": SCT, "code": BODY[region]}}
        for place, region in enumerate(regions, 1)
    ]
    identifier = [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}]
    return a_study(**{"id": uid.replace(".", "-"), "started": day, "identifier": identifier, "series": series} | members)


@pytest.mark.parametrize("value", [27, 40])
def test_the_same_contrast_warning_for_two_drafts_is_one_card_that_names_both(cds: CdsActor, value: int) -> None:
    chart = a_chart(labs=a_bundle(an_egfr(value)))

    (card,) = cards_of(cds, signing(CHEST, ABDOMEN, chart=chart))

    assert topics([card]) == ["order-kidney"]
    assert "**Orders:** CT Chest W contrast IV; CT Abdomen and Pelvis W contrast IV" in card["detail"]
    assert card["summary"].startswith("2 orders: iodinated contrast with eGFR")


def test_every_reason_is_said_once_for_all_orders(cds: CdsActor) -> None:
    chart = a_chart(
        patient=a_patient(born="1996-05-01") | {"gender": "female"},
        labs=a_bundle(an_egfr(27)),
        medications=a_bundle(a_metformin()),
        allergies=a_bundle(an_allergy(criticality="high")),
    )

    cards = cards_of(
        cds, signing(ABDOMEN, WHOLE | {"code": a_draft("36813-4")["code"], "subject": ABDOMEN["subject"]}, chart=chart)
    )

    assert sorted(topics(cards)) == sorted(set(topics(cards)))
    assert {"order-kidney", "order-contrast-reaction", "order-pregnancy"} <= set(topics(cards))


def test_two_drafts_of_the_same_examination_are_counted(cds: CdsActor) -> None:
    chart = a_chart(labs=a_bundle(an_egfr(27)))

    cards = cards_of(cds, signing(CHEST, CHEST | {"id": "second"}, chart=chart))

    kidney = next(card for card in cards if topics([card]) == ["order-kidney"])
    assert kidney["summary"].startswith("CT Chest W contrast IV (2 orders): ")


def test_gadolinium_and_iodine_stay_two_cards(cds: CdsActor) -> None:
    chart = a_chart(labs=a_bundle(an_egfr(20)))

    cards = cards_of(cds, signing(CHEST, a_draft("24589-4", id="brain"), chart=chart))

    assert sorted(card["indicator"] for card in cards if topics([card]) == ["order-kidney"]) == ["info", "warning"]


def test_three_series_of_one_day_are_one_repeat(cds: CdsActor) -> None:
    prior = a_prior("2.25.5", "chest", "chest", "chest")

    (card,) = cards_of(cds, signing(CHEST, chart=a_chart(studies=a_bundle(prior))))

    assert card["detail"].count("**Prior study:**") == 1
    assert len([link for link in card["links"] if link["type"] == "smart"]) == 1


def test_one_study_that_two_systems_have_stored_is_one_prior(cds: CdsActor) -> None:
    prior = a_prior("2.25.5", "chest")
    stored = a_bundle(prior | {"id": "a", "status": "registered"}, prior | {"id": "b"}, prior | {"id": "c"})

    (card,) = cards_of(cds, signing(CHEST, chart=a_chart(studies=stored)))

    assert card["detail"].count("**Prior study:**") == 1


def test_two_orders_that_repeat_one_prior_are_one_card(cds: CdsActor) -> None:
    chart = a_chart(studies=a_bundle(a_prior("2.25.5", "chest", "abdomen", "pelvis")), reports=a_bundle(a_report("Normal.")))

    (card,) = cards_of(cds, signing(CHEST, ABDOMEN, chart=chart))

    assert (topics([card]), card["indicator"]) == (["order-duplicate"], "warning")
    assert card["summary"].startswith("2 orders: same region already imaged on 2026-11-01")
    assert card["detail"].count("**Prior study:**") == 1


def test_two_orders_that_repeat_two_studies_of_one_day_are_one_card_with_both(cds: CdsActor) -> None:
    studies = a_bundle(a_prior("2.25.5", "chest"), a_prior("2.25.6", "abdomen"))

    (card,) = cards_of(cds, signing(CHEST, ABDOMEN, chart=a_chart(studies=studies)))

    assert card["summary"] == "2 orders: same regions already imaged on 2026-11-01"
    assert card["detail"].count("**Prior study:**") == 2
    assert {link["appContext"] for link in card["links"] if link["type"] == "smart"} == {"2.25.5", "2.25.6"}


def test_repeats_of_two_days_stay_two_cards(cds: CdsActor) -> None:
    studies = a_bundle(a_prior("2.25.5", "chest"), a_prior("2.25.6", "abdomen", day="2026-11-02"))

    assert topics(cards_of(cds, signing(CHEST, ABDOMEN, chart=a_chart(studies=studies)))) == ["order-duplicate"] * 2


def test_order_sign_is_quiet_after_the_second_draft_was_taken_away(cds: CdsActor) -> None:
    first, second = a_draft(CHEST_PLAIN), a_draft(CHEST_PLAIN, id="second")
    (offered,) = cards_of(cds, selecting(first, second, selections=["ServiceRequest/second"]))
    removed = offered["suggestions"][0]["actions"][0]["resourceId"]

    left = [one for one in (first, second) if f"ServiceRequest/{one['id']}" != removed]

    assert len(left) == 1
    assert cards_of(cds, signing(*left)) == []


def test_two_orders_for_one_follow_up_are_told_as_a_repeat_and_one_follow_up(cds: CdsActor) -> None:
    when = "2026-02-01T10:00:00+01:00"
    chart = a_chart(findings=a_bundle(a_nodule(7.0, effectiveDateTime=when)), studies=a_bundle(a_study(started=when)))
    first = a_draft("29252-4")

    cards = cards_of(cds, signing(first, first | {"id": "second"}, chart=chart))

    assert topics(cards) == ["order-duplicate", "order-follow-up"]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_r25_summaries_of_many_orders_stay_short(cds: CdsActor, count: int) -> None:
    long = concept("http://loinc.org", "83299-8")
    drafts = [a_draft(id=f"d{place}", code=long) for place in range(count)]

    cards = cards_of(cds, signing(*drafts, chart=a_chart(labs=a_bundle(an_egfr(27)))))

    assert cards
    assert [card["summary"] for card in cards if len(card["summary"]) >= 140] == []


def test_a_follow_up_that_one_order_fulfils_asks_nothing_of_the_others(cds: CdsActor) -> None:
    when = "2026-02-01T10:00:00+01:00"
    chart = a_chart(findings=a_bundle(a_nodule(7.0, effectiveDateTime=when)), studies=a_bundle(a_study(started=when)))
    orders = (a_draft("29252-4"), a_draft(CHEST_WITH, id="other"), a_draft("30745-4", id="film"))

    cards = cards_of(cds, signing(*orders, chart=chart))

    assert topics(cards) == ["order-follow-up", "order-related"]
    assert cards[0]["summary"].startswith("CT Chest WO contrast: fulfils the follow-up")
    assert cards_of(cds, signing(orders[2], chart=chart)) != [], "by itself the film is told that it replaces nothing"


def test_o5_three_drafts_of_one_examination_are_one_card_that_takes_two_away(cds: CdsActor) -> None:
    drafts = [a_draft(CHEST_PLAIN, id=name) for name in ("a", "b", "c")]

    (card,) = cards_of(cds, signing(*drafts))

    assert card["summary"] == "CT Chest (2 orders): the same examination is in these drafts 3 times"
    (suggestion,) = card["suggestions"]
    assert suggestion["label"] == "Remove 2 drafts that repeat another: CT Chest"
    assert [action["resourceId"] for action in suggestion["actions"]] == ["ServiceRequest/b", "ServiceRequest/c"]


def test_o5_drafts_that_repeat_a_prior_and_each_other_are_one_card_that_takes_the_later_one_away(cds: CdsActor) -> None:
    chart = a_chart(studies=a_bundle(a_prior("2.25.71", "chest")))
    drafts = [a_draft(CHEST_PLAIN, id=name) for name in ("a", "b")]

    (card,) = cards_of(cds, signing(*drafts, chart=chart))

    assert card["summary"].startswith("CT Chest (2 orders): same region already imaged on 2026-11-01")
    assert "**In the same drafts:** CT Chest (draft)" in card["detail"]
    (suggestion,) = card["suggestions"]
    assert suggestion["label"] == "Remove the draft that repeats another: CT Chest"
    assert [action["resourceId"] for action in suggestion["actions"]] == ["ServiceRequest/b"]


def test_o5_an_order_that_exists_is_not_counted_among_drafts_that_repeat_each_other(cds: CdsActor) -> None:
    """O2, O5: a related study of one day beside both does not make them one matter."""
    plain = {"procedureCode": [concept("http://loinc.org", code) for code in ("42276-6",)]}
    active = a_draft(ABDOMEN_WITH, id="active", status="active", authoredOn="2026-11-15T10:00:00Z")
    chart = a_chart(studies=a_bundle(a_prior("2.25.5", "chest", "abdomen", **plain)), orders=a_bundle(active))

    cards = cards_of(cds, signing(CHEST, CHEST | {"id": "second"}, ABDOMEN, chart=chart))

    told = [card["summary"] for card in cards if topics([card]) in (["order-duplicate"], ["order-related"])]
    assert "CT Chest W contrast IV: the same examination is in these drafts twice" in told
    assert any(one.startswith("CT Abdomen and Pelvis W contrast IV: already ordered on 2026-11-15") for one in told)


def test_a_contradiction_in_two_drafts_that_repeat_each_other_is_told_once(cds: CdsActor) -> None:
    code = concept("http://loinc.org", "36643" + "-5") | {"text": "CT chest with contrast"}

    cards = cards_of(cds, signing(*(a_draft(id=name, code=code) for name in ("a", "b"))))

    assert sorted(topics(cards)) == ["order-code", "order-duplicate"]
    told = next(card for card in cards if topics([card]) == ["order-code"])
    assert told["summary"].startswith("XR Chest 2 Views (2 orders): code and words contradict each other")
    (suggestion,) = told["suggestions"]
    assert [action["resource"]["id"] for action in suggestion["actions"]] == ["a", "b"]


def test_one_better_code_for_two_orders_is_one_suggestion_for_both(cds: CdsActor) -> None:
    code = concept("http://loinc.org", "36643" + "-5") | {"text": "CT chest without contrast"}
    drafts = [a_draft(id=name, code=code, occurrenceDateTime=day) for name, day in (("a", "2026-12-01"), ("b", "2027-06-01"))]

    (card,) = cards_of(cds, signing(*drafts))

    (suggestion,) = card["suggestions"]
    assert suggestion["label"] == "Change the code of 2 drafts to CT Chest WO contrast (29252-4)"
    assert [action["resource"]["id"] for action in suggestion["actions"]] == ["a", "b"]


def test_o5_two_drafts_of_one_request_repeat_each_other_whenever_they_were_begun(cds: CdsActor) -> None:
    film = a_draft("30745-4", authoredOn="2026-08-01")

    (card,) = cards_of(cds, signing(film, film | {"id": "second", "authoredOn": "2026-11-21"}))

    assert "in these drafts twice" in card["summary"]
    assert cards_of(cds, signing(film, film | {"id": "second", "occurrenceDateTime": "2027-02-01"})) == []
