"""Orders beside open findings (Ge, Gf, L4B, Y1, Y4, Y7, Y8, Y10): the right examination, the other side, work-up, screening."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fhir_imaging.store.engine import Store
from imaging_findings.site_policy import SitePolicy, product_policy
from tests.cds_actors import (
    DCM,
    SCT,
    CdsActor,
    a_bundle,
    a_cds_service,
    a_lung_rads,
    a_nodule,
    a_store,
    a_study,
    an_observation,
    concept,
    millimetres,
)
from tests.order_cases import a_chart, a_draft, cards_of, signing, topics

ASSESSMENT = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
SYSTEMS = "https://imaging-cds.example/fhir/CodeSystem/"
SIDES = {"left": "7771000", "right": "24028007"}
ABDOMEN, BREAST, NECK = "818981001", "76752008", "45048000"
CT_CHEST, CT_WITH, CT_WITHOUT, CT_SCREENING = "24627-2", "24628-0", "29252-4", "79086-5"
CT_ABDOMEN_PELVIS, MR_ABDOMEN, MR_NECK = "36813-4", "24556-3", "24841-9"
US_AORTA, US_THYROID, US_BREASTS, PET, BONE_SCAN = "69276-4", "25010-0", "26214-7", "44139-4", "25031-6"
MG_RIGHT, MG_SCREENING = "26348-3", "24606-6"
XR_CHEST = "36643-5"  # two views of the chest: an X-ray


def with_the_aortic_table_of_the_acr() -> SitePolicy:
    policy = product_policy()
    acr = [one for one in policy.packs.undecided if one.info.pack_id == "aaa-acr-2013"]
    return replace(policy, packs=replace(policy.packs, tables=(*policy.packs.tables, *acr), undecided=()))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = a_store(tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cds(store: Store, tmp_path_factory: pytest.TempPathFactory) -> CdsActor:
    return a_cds_service(store, tmp_path_factory.mktemp("keys"), policy=with_the_aortic_table_of_the_acr())


def seen(day: str, modality: str = "CT", site: str = "816094009") -> dict[str, Any]:
    """The study on which the finding was seen."""
    series = [{"uid": "2.25.2001.1", "modality": {"code": modality}, "bodySite": {"system": SCT, "code": site}}]
    return a_study(started=day, modality=[{"system": DCM, "code": modality}], series=series)


def assessed(
    name: str, day: str, category: str = "", version: str = "", side: str = "", mm: float | None = None
) -> dict[str, Any]:
    """A coded assessment as ``imaging_findings/facts.py`` describes it."""
    found = an_observation(id="finding", code=concept(ASSESSMENT, name), effectiveDateTime=day)
    components = [millimetres((ASSESSMENT, "max-diameter"), mm)] if mm is not None else []
    if side:
        coded = {"code": concept(SCT, "272741003"), "valueCodeableConcept": concept(SCT, SIDES[side])}
        components.append(coded)
    found |= {"component": components} if components else {}
    return found | ({"valueCodeableConcept": concept(SYSTEMS + name, category, version)} if category else {})


def told(cds: CdsActor, draft: dict[str, Any] | str, finding: dict[str, Any], study: dict[str, Any], **chart: Any) -> Any:
    order = a_draft(draft) if isinstance(draft, str) else draft
    whole = a_chart(findings=a_bundle(finding), studies=a_bundle(study)) | chart
    return cards_of(cds, signing(order, chart=whole))


def bi_rads(category: str = "3", side: str = "left") -> tuple[dict[str, Any], dict[str, Any]]:
    return assessed("bi-rads", "2026-05-20", category, "5", side), seen("2026-05-20", "MG", BREAST)


BOSNIAK = assessed("bosniak", "2026-05-20", "IIF", "2019"), seen("2026-05-20", "CT", ABDOMEN)
BOSNIAK_ON_US = BOSNIAK[0], seen("2026-05-20", "US", ABDOMEN)
AORTA = assessed("abdominal-aorta", "2026-05-25", mm=46), seen("2026-05-25", "CT", ABDOMEN)
THYROID = assessed("ti-rads", "2025-11-25", "TR4", "2017", mm=12), seen("2025-11-25", "CT", NECK)
LARGE_NODULE = a_nodule(12, effectiveDateTime="2026-09-01"), seen("2026-09-01")
NODULE = a_nodule(7, effectiveDateTime="2026-03-01"), seen("2026-03-01")
OLD_NODULE = a_nodule(7, effectiveDateTime="2025-10-01"), seen("2025-10-01")


@pytest.mark.parametrize(
    ("draft", "found"),
    [
        (US_AORTA, AORTA),
        (US_THYROID, THYROID),
        (MR_ABDOMEN, BOSNIAK),
        (CT_ABDOMEN_PELVIS, BOSNIAK),
        (CT_ABDOMEN_PELVIS, BOSNIAK_ON_US),
        (PET, LARGE_NODULE),
        (CT_WITHOUT, LARGE_NODULE),
        (a_draft(code={"text": "PET/CT chest"}), LARGE_NODULE),
        (a_draft(code={"text": "CT guided biopsy lung"}), LARGE_NODULE),
        (US_BREASTS, bi_rads()),
    ],
    ids=["y10-us", "y4-us", "y7-mr", "y7-ct", "y7-seen-on-us", "f2-pet", "f2-ct", "f2-pet-words", "f2-biopsy", "y1-both-sides"],
)
def test_gf_whatever_the_rules_own_words_name_is_the_right_examination(cds: CdsActor, draft: Any, found: Any) -> None:
    (card,) = told(cds, draft, *found)

    assert "fulfils the follow-up" in card["summary"]
    assert topics([card]) == ["order-follow-up"]


def test_y10_a_modality_that_only_the_table_lets_answer_is_told_as_such(cds: CdsActor) -> None:
    (card,) = told(cds, CT_ABDOMEN_PELVIS, *AORTA)

    assert card["summary"].endswith("may answer the follow-up due 2026-11-25, which asks for ultrasound of the abdominal aorta")
    assert card["indicator"] == "info"


@pytest.mark.parametrize(("draft", "found"), [(MR_NECK, THYROID), (BONE_SCAN, LARGE_NODULE)], ids=["y4-mr", "f2-bone-scan"])
def test_gf_another_examination_of_the_region_replaces_nothing(cds: CdsActor, draft: Any, found: Any) -> None:
    assert all("fulfils" not in card["summary"] for card in told(cds, draft, *found))


def test_gf_a_drainage_is_neither_the_follow_up_nor_a_wrong_examination(cds: CdsActor) -> None:
    assert told(cds, a_draft(code={"text": "CT guided drainage chest"}), *LARGE_NODULE) == []
    assert told(cds, a_draft(code={"text": "CT guided biopsy lung"}), *NODULE) == [], "it asks for images alone"


def test_y1_an_examination_of_the_other_breast_fulfils_nothing(cds: CdsActor) -> None:
    (card,) = told(cds, MG_RIGHT, *bi_rads(side="left"))

    assert card["summary"].endswith("other side: the follow-up breast imaging due 2026-11-20 is left")
    assert "the follow-up is left, the order right" in card["detail"]
    (same,) = told(cds, MG_RIGHT, *bi_rads(side="right"))
    assert "fulfils the follow-up" in same["summary"]


L4B = a_lung_rads("4B", effectiveDateTime="2026-10-01"), seen("2026-10-01")


@pytest.mark.parametrize("draft", [CT_CHEST, CT_WITH, CT_WITHOUT])
def test_l4b_the_work_up_is_no_repeat_of_the_screening_that_asks_for_it(cds: CdsActor, draft: str) -> None:
    assert told(cds, draft, *L4B) == []


def test_l4b_it_stays_a_repeat_where_nobody_asks_for_a_work_up(cds: CdsActor) -> None:
    (card,) = told(cds, CT_WITH, a_lung_rads("2"), seen("2026-10-01"))
    assert topics([card]) == ["order-duplicate"]
    assert "a follow-up is due 2027-10-01" in card["summary"]
    other_study = seen("2026-10-01") | {"id": "else"}
    assert "order-duplicate" in topics(told(cds, CT_WITH, L4B[0], other_study)), "another study of that day asks for nothing"


def test_y7_a_repeat_is_no_work_up_where_a_specialist_answers(cds: CdsActor) -> None:
    """Bosniak III asks for urology: the same CT again within weeks is a repeat."""
    finding = assessed("bosniak", "2026-11-01", "III", "2019")

    assert topics(told(cds, CT_ABDOMEN_PELVIS, finding, seen("2026-11-01", "CT", ABDOMEN))) == ["order-duplicate"]


@pytest.mark.parametrize("category", ["0", "4", "5"])
def test_y1_breast_ultrasound_is_the_work_up_of_an_incomplete_or_suspicious_breast(cds: CdsActor, category: str) -> None:
    finding = assessed("bi-rads", "2026-11-20", category, "5", "left")

    assert "order-duplicate" not in topics(told(cds, US_BREASTS, finding, seen("2026-11-20", "US", BREAST)))


@pytest.mark.parametrize(
    ("draft", "found", "words"),
    [
        (CT_SCREENING, L4B, "Lung-RADS 4B is open (refer for further clinical evaluation); screening does not replace it"),
        (MG_SCREENING, bi_rads("4"), "BI-RADS 4 (left) is open (tissue diagnosis); screening does not replace it"),
    ],
    ids=["l4b", "y1"],
)
def test_a_screening_is_told_that_a_suspicious_finding_is_open(cds: CdsActor, draft: str, found: Any, words: str) -> None:
    card = told(cds, draft, *found)[0]

    assert card["summary"].endswith(words)
    assert card["indicator"] == "warning"
    assert "suggestions" not in card, "nothing is ordered by a category that needs a clinician"


def test_gf_a_screening_code_never_fulfils_the_follow_up_of_an_incidental_nodule(cds: CdsActor) -> None:
    (card,) = told(cds, CT_SCREENING, *NODULE)

    assert card["summary"].endswith("a screening examination does not fulfil the follow-up due 2026-09-01 to 2027-03-01")
    assert [one["label"] for one in card["suggestions"]] == ["Change the code of the draft to CT Chest WO contrast (29252-4)"]


def test_y1_a_screening_mammogram_is_no_short_interval_follow_up(cds: CdsActor) -> None:
    assert "does not fulfil the follow-up" in told(cds, MG_SCREENING, *bi_rads("3"))[0]["summary"]


def an_encounter(code: str) -> dict[str, Any]:
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}
    return {
        "resourceType": "Encounter",
        "id": "e",
        "status": "in-progress",
        "subject": {"reference": "Patient/p"},
        "class": coding,
    }


def test_t6_films_of_an_acute_course_are_not_called_the_wrong_follow_up(cds: CdsActor) -> None:
    """A chest film of every day in intensive care is nobody's mistake for the CT of a nodule."""
    serial = a_draft(XR_CHEST, occurrenceTiming={"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}})

    assert told(cds, XR_CHEST, *OLD_NODULE, encounters=a_bundle(an_encounter("EMER"))) == []
    assert told(cds, serial, *OLD_NODULE) == []
    (card,) = told(cds, XR_CHEST, *OLD_NODULE, encounters=a_bundle(an_encounter("AMB")))
    assert "does not replace the follow-up chest CT" in card["summary"]
    (fitting,) = told(cds, CT_WITHOUT, *OLD_NODULE, encounters=a_bundle(an_encounter("EMER")))
    assert "fulfils the follow-up" in fitting["summary"], "what does answer it is said everywhere"


def test_l3_a_repeat_that_is_an_early_follow_up_is_one_card(cds: CdsActor) -> None:
    (card,) = told(cds, CT_CHEST, a_lung_rads("3"), seen("2026-10-01"))

    assert topics([card]) == ["order-duplicate"]
    assert card["summary"].endswith("already imaged on 2026-10-01; a follow-up is due 2027-04-01, and the order names no date")
    assert "**Missing:**" in card["detail"]
