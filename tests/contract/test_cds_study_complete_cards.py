"""The cards of ``imaging-study-complete``: AI results labelled and never critical, beside what people have signed (T8)."""

from __future__ import annotations

import json

import pytest

from tests.cds_actors import (
    SCT,
    STUDY_UID,
    CdsActor,
    a_bundle,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_patient,
    a_report,
    a_study,
    an_ai_lung_rads,
    an_observation,
    an_order,
    concept,
)
from tests.study_actors import AI, SERVICE_ID, an_embolism, bi_rads, cards, completed

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


@pytest.mark.parametrize("turned", [False, True], ids=["as it came", "turned"])
def test_t8_the_most_urgent_card_of_the_study_comes_first(cds: CdsActor, *, turned: bool) -> None:
    """What both agree on and what an AI says alone is information, and stands below the signed embolism."""
    agreed = an_ai_lung_rads("4A"), a_lung_rads("4A")
    claimed = bi_rads("4", **AI | {"id": "breast"})
    findings = [*agreed, claimed, an_embolism()]

    found = cards(cds, completed(*(reversed(findings) if turned else findings)))

    assert [card["indicator"] for card in found] == ["critical", "info", "info"]
    assert [card["indicator"] for card in cards(cds, completed(*agreed, an_embolism()))] == ["critical", "info"]


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
