"""A better-fitting code of the same family: only where it is certain, only as information, whole as R29 asks, never twice."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cds_service.evaluate import SERVICES
from cds_service.explain import explain
from fhir_imaging.store.engine import Store
from imaging_findings.codes import concept as checked
from imaging_findings.study_table import CPT
from tests.cds_actors import (
    LOINC,
    NOW,
    SCT,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_condition,
    a_lung_rads,
    a_nodule,
    a_report,
    a_store,
    a_study,
    an_ai_lung_rads,
    concept,
)
from tests.order_actors import an_egfr
from tests.order_cases import a_chart, a_draft, cards_of, selecting, signing, topics

CT_WITH, CT_WITHOUT, CT_PLAIN, CT_BOTH = "24628-0", "29252-4", "24627-2", "30598-7"
SCREENING, SCREENING_PLAIN = "79086-5", "87279-6"
# X1: LOINC's chest X-ray, which circulates as a CT.
CHEST_X_RAY = "36643" + "-5"
EARLIER = {"effectiveDateTime": "2026-02-01T10:00:00+01:00"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"))


def following(finding: dict[str, Any], **answers: Any) -> dict[str, Any]:
    """A chart with one finding of 2026-02-01, whose follow-up is open and in time."""
    study = a_study(started="2026-02-01T10:00:00+01:00")
    return a_chart(findings=a_bundle(finding | EARLIER), studies=a_bundle(study)) | answers


def incidental(**answers: Any) -> dict[str, Any]:
    return following(a_nodule(7.0), **answers)


def the_card(cds: CdsActor, draft: dict[str, Any], chart: dict[str, Any]) -> dict[str, Any]:
    (card,) = cards_of(cds, signing(draft, chart=chart))
    return card


def the_update(card: dict[str, Any]) -> dict[str, Any]:
    (suggestion,) = card["suggestions"]
    (action,) = suggestion["actions"]
    assert (action["type"], card["selectionBehavior"]) == ("update", "at-most-one")
    resource: dict[str, Any] = action["resource"]
    return resource


@pytest.mark.parametrize(
    ("finding", "ordered", "asked"),
    [
        (a_nodule(7.0), CT_PLAIN, CT_WITHOUT),
        (a_nodule(7.0), CT_WITH, CT_WITHOUT),
        (a_nodule(7.0), CT_BOTH, CT_WITHOUT),
        (a_nodule(7.0), SCREENING, CT_WITHOUT),
        (a_lung_rads("3"), SCREENING, CT_WITHOUT),
        (a_lung_rads("4A"), CT_PLAIN, CT_WITHOUT),
        (a_lung_rads("4A"), SCREENING_PLAIN, CT_WITHOUT),
        (a_lung_rads("2", effectiveDateTime="2025-11-20"), CT_WITHOUT, SCREENING),
        (a_lung_rads("1", effectiveDateTime="2025-11-20"), SCREENING_PLAIN, SCREENING),
    ],
)
def test_the_follow_ups_own_code_is_offered(cds: CdsActor, finding: dict[str, Any], ordered: str, asked: str) -> None:
    chart = following(finding)
    if finding["effectiveDateTime"] == "2025-11-20":
        chart |= {"findings": a_bundle(finding), "studies": a_bundle(a_study(started="2025-11-20"))}

    card = the_card(cds, a_draft(ordered), chart)

    assert (card["indicator"], topics([card])) == ("info", ["order-follow-up"])
    assert f"{checked(LOINC, asked).display} (LOINC {asked})" in card["detail"]
    assert the_update(card)["code"]["coding"] == [
        {"system": LOINC, "code": asked, "display": checked(LOINC, asked).display},
    ]


OTHER_REGION, OTHER_FAMILY = "30799-1", "24566-2"


@pytest.mark.parametrize(
    "code",
    [CT_WITHOUT, "36266-5", "79077-4", "36089-1", "72254-6", OTHER_REGION, OTHER_FAMILY],
    ids=["the-same", "cta-chest", "cta-lung-embolism", "limited", "chest-abdomen-pelvis", "other", "mr-or-else"],
)
def test_another_examination_is_no_other_code_for_the_same(cds: CdsActor, code: str) -> None:
    cards = cards_of(cds, signing(a_draft(code), chart=incidental()))

    assert bool(cards) is (code not in (OTHER_REGION, OTHER_FAMILY))
    for card in cards:
        assert "suggestions" not in card
        assert "Better-fitting" not in card["detail"]


def test_r29_the_update_is_the_whole_order_as_sent_with_its_code_replaced(cds: CdsActor) -> None:
    draft = a_draft(
        CT_WITH,
        code={
            "coding": [{"system": LOINC, "code": CT_WITH, "display": "CT Chest W contrast IV"}],
            "text": "CT chest with contrast",
        },
        extension=[{"url": "https://ehr.example.org/local", "valueString": "kept"}],
        note=[{"text": "after lunch"}],
        reasonCode=[],
        priority="routine",
        quantityQuantity={"value": 2},
    )
    sent = copy.deepcopy(draft)

    whole = the_update(the_card(cds, draft, incidental()))

    new = {"system": LOINC, "code": CT_WITHOUT, "display": "CT Chest WO contrast"}
    assert whole == {name: member for name, member in sent.items() if name != "reasonCode"} | {
        "code": {"coding": [new], "text": "CT Chest WO contrast"}
    }


def test_r29_the_narrative_of_the_old_code_goes_with_it(cds: CdsActor) -> None:
    narrative = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">CT chest with contrast</div>'}

    assert "text" not in the_update(the_card(cds, a_draft(CT_WITH, text=narrative), incidental()))


def test_r29_no_extension_is_handed_back_without_a_value(cds: CdsActor) -> None:
    """ext-1: an extension has a value or extensions of its own; what the EHR sent empty is no reason to make it invalid."""
    local = "https://ehr.example.org/local"
    whole = {"url": local, "valueString": "kept"}
    outer = {"url": local, "extension": [{"url": "part", "valueBoolean": False}, {"url": "gone", "valueCode": ""}]}
    draft = a_draft(
        CT_WITH,
        extension=[whole, {"url": local, "valueString": ""}, outer, {"url": local, "extension": [{"url": "part"}]}],
        note=[{"text": "after lunch", "_text": {"extension": [{"url": local, "valueString": None}]}}],
    )

    update = the_update(the_card(cds, draft, incidental()))

    kept = {"url": local, "extension": [{"url": "part", "valueBoolean": False}]}
    assert update["extension"] == [whole, kept]
    assert update["note"] == [{"text": "after lunch"}]


def test_the_text_stays_where_it_says_the_new_code_already(cds: CdsActor) -> None:
    code = concept(LOINC, CT_PLAIN) | {"text": "CT thorax without contrast"}

    assert the_update(the_card(cds, a_draft(code=code), incidental()))["code"]["text"] == "CT thorax without contrast"


@pytest.mark.parametrize(
    ("code", "cites", "recommended"),
    [
        (CT_PLAIN, True, True),
        (SCREENING, True, True),
        (CT_WITH, True, False),
        (CT_BOTH, True, False),
        (CT_PLAIN, False, False),
        (SCREENING, False, False),
    ],
)
def test_contrast_is_a_clinical_question_and_never_recommended(
    cds: CdsActor, code: str, cites: bool, recommended: bool
) -> None:
    reason = {"reasonReference": [{"reference": "Observation/finding"}]} if cites else {}

    card = the_card(cds, a_draft(code, **reason), incidental())

    assert card["suggestions"][0]["isRecommended"] is recommended
    assert ("stays the orderer's decision" in card["detail"]) is (code != SCREENING)
    assert ("clinician's check" in card["detail"]) is (code == SCREENING)


@pytest.mark.parametrize(
    "members",
    [
        {"reasonCode": [concept(SCT, "59282003")]},
        {"reasonCode": [{"text": "chest pain"}]},
        {"reasonReference": [{"reference": "Condition/other"}]},
        {"reasonReference": [{"reference": "Observation/finding"}, {"reference": "Condition/other"}]},
        {"reasonCode": [concept("http://hl7.org/fhir/sid/icd-10-cm", "R91.1"), concept(SCT, "36118008")]},
        {"reason": [{"concept": {"text": "chest pain"}}]},
        {"reason": [{"reference": {"reference": "Condition/other"}}]},
    ],
)
def test_an_order_with_another_reason_is_left_alone(cds: CdsActor, members: dict[str, Any]) -> None:
    cards = cards_of(cds, signing(a_draft(CT_WITH, **members), chart=incidental()))

    assert cards
    assert [card for card in cards if "suggestions" in card] == []


@pytest.mark.parametrize(
    "members",
    [
        {"reasonCode": []},
        {"reasonCode": [{}]},
        {"reasonCode": [concept(SCT, "427359005")]},
        {"reasonCode": [concept("http://hl7.org/fhir/sid/icd-10-cm", "R91.1")]},
        {"reasonReference": [{"reference": "ImagingStudy/study"}]},
    ],
)
def test_a_reason_that_is_this_follow_up_is_no_other(cds: CdsActor, members: dict[str, Any]) -> None:
    assert "suggestions" in the_card(cds, a_draft(CT_WITH, **members), incidental())


def an_emergency() -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    members = {"resourceType": "Encounter", "id": "e", "status": "in-progress", "subject": {"reference": "Patient/p"}}
    return a_bundle(members | {"class": {"system": system, "code": "EMER"}})


@pytest.mark.parametrize(
    "answers",
    [
        {"encounters": an_emergency()},
        {"conditions": a_bundle(a_condition("http://hl7.org/fhir/sid/icd-10", "C50.9"))},
    ],
    ids=["emergency", "oncology"],
)
def test_never_in_an_emergency_or_beside_a_cancer(cds: CdsActor, answers: dict[str, Any]) -> None:
    chart = following(a_lung_rads("3"), **answers)

    cards = cards_of(cds, signing(a_draft(CT_WITH), chart=chart))

    assert cards
    assert [card for card in cards if "suggestions" in card] == []


@pytest.mark.parametrize(
    "members",
    [
        {"status": "active"},
        {"id": None},
        {"code": {"coding": [*concept(LOINC, CT_WITH)["coding"], {"system": "urn:oid:2.999.1", "code": "CTCH"}]}},
        {"note": [{"text": "a"}, None]},
        {"modifierExtension": [{"url": "https://ehr.example.org/not", "valueString": ""}]},
    ],
    ids=[
        "no-draft",
        "no-id",
        "a-code-of-the-site-beside",
        "a-gap-that-lines-up-with-extensions",
        "a-modifier-that-says-nothing",
    ],
)
def test_what_cannot_be_changed_safely_is_said_only(cds: CdsActor, members: dict[str, Any]) -> None:
    draft = {name: member for name, member in (a_draft(CT_WITH) | members).items() if member is not None}

    card = the_card(cds, draft, incidental())

    assert topics([card]) == ["order-follow-up"]
    assert "suggestions" not in card


WRITTEN = [
    "1.50",
    "1.5",
    "1.0",
    "1E2",
    "1e-7",
    "-0.0",
    "0.10",
    "123456789012345678901234567890.1234567890",
    "12345678901234567890",
]


@pytest.mark.parametrize("number", WRITTEN)
def test_r29_a_number_is_handed_back_digit_for_digit(cds: CdsActor, number: str) -> None:
    """FHIR: 1.50 is not 1.5. The same number stands in the order twice, and once in words."""
    draft = a_draft(CT_WITH, quantityQuantity={"value": "@@"}, note=[{"text": f"a dose of {number}"}])
    draft |= {"occurrenceTiming": {"repeat": {"boundsQuantity": {"value": "@@"}}}}
    body = signing(draft, chart=incidental())
    raw = json.dumps(body).replace('"@@"', number)

    answer = cds.call(raw.encode(), "imaging-order-sign")

    (card,) = answer.get_json()["cards"]
    assert the_update(card)["note"] == [{"text": f"a dose of {number}"}]
    text = answer.get_data(as_text=True)
    assert text.count(f'{{"value":{number}}}') == 2
    assert f'"quantityQuantity":{{"value":{number}}}' in text


def test_r29_a_number_that_no_client_can_read_is_not_handed_back(cds: CdsActor) -> None:
    body = signing(a_draft(CT_WITH, quantityQuantity={"value": "@@"}), chart=incidental())

    answer = cds.call(json.dumps(body).replace('"@@"', "1.0E999").encode(), "imaging-order-sign")

    assert "suggestions" not in answer.get_json()["cards"][0]


def test_a_repeat_is_asked_whether_before_how(cds: CdsActor) -> None:
    lately = a_study(id="again", started="2026-11-01", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.7"}])
    code = {"coding": [*concept(LOINC, CT_PLAIN)["coding"], {"system": CPT, "code": "71260"}]}

    cards = cards_of(cds, signing(a_draft(code=code), chart=a_chart(studies=a_bundle(lately))))

    assert topics(cards) == ["order-duplicate"]
    assert "suggestions" not in cards[0]


def test_the_study_that_asks_for_the_follow_up_is_no_repeat_whatever_the_contrast(cds: CdsActor) -> None:
    """Lung-RADS 4A of 85 days ago: due at three months, so nobody hears both "do it" and "already done"."""
    when = "2026-08-28T10:00:00+02:00"
    chart = a_chart(findings=a_bundle(a_lung_rads("4A", effectiveDateTime=when)), studies=a_bundle(a_study(started=when)))

    cards = cards_of(cds, signing(a_draft(CT_WITH), chart=chart))

    assert topics(cards) == ["order-follow-up"]
    assert the_update(cards[0])["code"]["coding"][0]["code"] == CT_WITHOUT


@pytest.mark.parametrize(
    ("beside", "meant"),
    [("71260", CT_WITH), ("71250", CT_WITHOUT), ("71270", CT_BOTH)],
)
def test_another_coding_of_the_order_names_the_contrast_phase(cds: CdsActor, beside: str, meant: str) -> None:
    coding = [{"system": LOINC, "code": CT_PLAIN, "display": "CT Chest"}, {"system": CPT, "code": beside}]

    (card,) = cards_of(cds, signing(a_draft(code={"coding": coding, "text": "CT Chest"}), chart=a_chart()))

    assert (topics([card]), card["indicator"]) == (["order-code"], "info")
    assert card["suggestions"][0]["isRecommended"] is False
    new = {"system": LOINC, "code": meant, "display": checked(LOINC, meant).display}
    assert the_update(card)["code"] == {"coding": [new, {"system": CPT, "code": beside}], "text": new["display"]}


@pytest.mark.parametrize("member", ["reasonCode", "orderDetail"])
def test_a_coded_reason_or_detail_names_the_contrast_phase(cds: CdsActor, member: str) -> None:
    (card,) = cards_of(cds, signing(a_draft(**{member: [concept(LOINC, CT_WITH)]}), chart=a_chart()))

    assert topics([card]) == ["order-code"]
    assert the_update(card)["code"]["coding"][0]["code"] == CT_WITH


@pytest.mark.parametrize(
    "members",
    [
        {"code": {"coding": [*concept(LOINC, CT_PLAIN)["coding"], {"system": CPT, "code": "74160"}]}},
        {"reasonCode": [concept(LOINC, CT_WITH), concept(LOINC, CT_WITHOUT)]},
        {"code": concept(LOINC, CT_PLAIN) | {"text": "CT chest with contrast"}},
        {"reasonCode": [concept(LOINC, "79068-3")]},
    ],
    ids=["another-region", "two-phases", "words-alone", "screening"],
)
def test_a_phase_that_is_not_certain_is_not_offered(cds: CdsActor, members: dict[str, Any]) -> None:
    assert cards_of(cds, signing(a_draft(**members), chart=a_chart())) == []


def test_the_phase_that_another_code_names_counts_for_contrast_too(cds: CdsActor) -> None:
    code = {"coding": [*concept(LOINC, CT_PLAIN)["coding"], {"system": CPT, "code": "71260"}]}

    assert "order-kidney" in topics(cards_of(cds, signing(a_draft(code=code), chart=a_chart(labs=a_bundle(an_egfr(20))))))


@pytest.mark.parametrize(
    ("display", "meant"),
    [
        ("CT chest without contrast", CT_WITHOUT),
        ("CT Chest W contrast IV", CT_WITH),
        ("CT of the chest", CT_PLAIN),
        ("Chest CT for screening without contrast", SCREENING),
        ("CT chest, pulmonary embolism", None),
        ("Low dose CT chest", None),
        ("CT abdomen without contrast", None),
        ("MR chest", None),
    ],
)
def test_x1_code_and_words_of_two_modalities_are_said_to_contradict(cds: CdsActor, display: str, meant: str | None) -> None:
    code = {"coding": [{"system": LOINC, "code": CHEST_X_RAY, "display": display}]}

    (card,) = cards_of(cds, signing(a_draft(code=code), chart=a_chart()))

    assert (topics([card]), card["indicator"]) == (["order-code"], "info")
    assert "contradict each other" in card["summary"]
    assert f"XR Chest 2 Views (LOINC {CHEST_X_RAY})" in card["detail"]
    if meant is None:
        assert "suggestions" not in card, "nothing is changed where it is open what was meant"
    else:
        assert card["suggestions"][0]["isRecommended"] is False
        assert the_update(card)["code"]["coding"][0]["code"] == meant


@pytest.mark.parametrize(
    "code",
    [
        {"coding": [{"system": LOINC, "code": CHEST_X_RAY, "display": "XR Chest 2 Views"}], "text": "Chest X-ray"},
        {"coding": [{"system": LOINC, "code": CHEST_X_RAY}], "text": "CXR or CT if needed"},
        {"coding": [{"system": LOINC, "code": CT_PLAIN}], "text": "Dx: chest pain"},
        {"coding": [{"system": LOINC, "code": CT_PLAIN}], "text": "pt with cough, CT"},
        {"coding": [{"system": LOINC, "code": "26346-7"}], "text": "X-ray mammography"},
        {"coding": [{"system": LOINC, "code": CT_PLAIN}], "text": "chest"},
    ],
)
def test_words_that_may_mean_the_code_contradict_nothing(cds: CdsActor, code: dict[str, Any]) -> None:
    assert cards_of(cds, signing(a_draft(code=code), chart=a_chart())) == []


def test_two_codes_of_two_modalities_contradict_each_other(cds: CdsActor) -> None:
    coding = [*concept(LOINC, CHEST_X_RAY)["coding"], {"system": CPT, "code": "71250"}]

    (card,) = cards_of(cds, signing(a_draft(code={"coding": coding}), chart=a_chart()))

    assert "contradict each other (XR and CT)" in card["summary"]
    assert "suggestions" not in card


def test_after_the_suggestion_is_accepted_nothing_more_is_said_of_the_code(cds: CdsActor) -> None:
    """order-select offers, the EHR updates the draft, order-sign finds it right."""
    (offered,) = cards_of(cds, selecting(a_draft(CT_WITH), chart=incidental()))

    (signed,) = cards_of(cds, signing(the_update(offered), chart=incidental()))

    assert "fulfils the follow-up" in signed["summary"]
    assert "suggestions" not in signed
    assert "Better-fitting" not in signed["detail"]


def test_a_conflict_of_report_and_guideline_offers_no_code(cds: CdsActor) -> None:
    chart = incidental(reports=a_bundle(a_report("Recommend follow-up CT in 24 months.")))

    cards = cards_of(cds, signing(a_draft(CT_WITH), chart=chart))

    assert cards
    assert [card for card in cards if "suggestions" in card] == []


def test_t8_an_unsigned_ai_result_offers_no_code(cds: CdsActor) -> None:
    assert cards_of(cds, signing(a_draft(CT_WITH), chart=following(an_ai_lung_rads("4A")))) == []


def test_the_reasons_for_silence_are_kept(cds: CdsActor) -> None:
    body = signing(a_draft(CT_WITH, reasonCode=[{"text": "chest pain"}]), chart=incidental())

    silences = explain(body, SERVICES["imaging-order-sign"], NOW).silences

    assert [(one.by, one.reason) for one in silences] == [("Observation/finding", "the order names another reason")]


def test_the_low_dose_of_a_screening_code_is_not_lost_with_it(cds: CdsActor) -> None:
    """79086-5 means low dose by itself; 29252-4 does not, so the order's words say it."""
    chart = following(a_lung_rads("3"))

    card = the_card(cds, a_draft(SCREENING), chart)

    assert "CT Chest WO contrast (LOINC 29252-4), low dose technique" in card["detail"]
    assert (
        card["suggestions"][0]["label"] == "Change the code of the draft to CT Chest WO contrast (low dose technique) (29252-4)"
    )
    assert the_update(card)["code"]["text"] == "CT Chest WO contrast (low dose technique)"
    (after,) = cards_of(cds, signing(the_update(card), chart=chart))
    assert "suggestions" not in after
