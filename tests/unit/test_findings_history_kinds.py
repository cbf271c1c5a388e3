"""Gf, Gc: what answers a follow-up is read as the order-time rules read it, and what only words name answers nothing."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.advice import Judgement
from imaging_findings.codes import LOINC, Code
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.history import OrderFacts, StudyFacts, read_order, read_study_facts
from imaging_findings.packs import bundled_packs
from imaging_findings.study_kinds import Basis, kind_of_order, kind_of_study, study_kind_of
from imaging_findings.study_table import CPT
from tests.cds_actors import DCM, NOW, SCT, a_lung_rads, a_patient, a_study, an_order, concept

CHEST_SITE = concept(SCT, "816094009")
BARE = {"modality": [], "series": []}
ORDERS = {
    "LOINC": {"code": concept(LOINC, "29252-4")},
    "LOINC beyond the ones that we draft": {"code": concept(LOINC, "24627-2") | {"text": "CT Thorax"}},
    "CPT": {"code": concept(CPT, "71250") | {"text": "CT thorax native"}},
    "CPT with modifier": {"code": concept(CPT, "71250-26")},
    "R5 concept": {"code": {"concept": concept(CPT, "71250")}},
}
NO_ORDERS: dict[str, dict[str, Any]] = {
    "words only": {"code": {"text": "CT chest without contrast"}},
    "unknown code with the right words": {"code": concept("urn:oid:2.25.9", "RX1") | {"text": "CT chest"}},
    "code without modality": {"code": concept(LOINC, "87029-5") | {"text": "CT mediastinum"}},
    "CPT of another region": {"code": concept(CPT, "74150") | {"text": "CT chest"}},
    "CT-guided biopsy": {"code": concept(LOINC, "24823-7")},
    "do not perform": {"doNotPerform": True},
}
STUDIES: dict[str, dict[str, Any]] = {
    "modality and site": {},
    "CPT": BARE | {"procedureCode": [concept(CPT, "71250")]},
    "R5 procedure": BARE | {"procedure": [{"concept": concept(CPT, "71250")}]},
    "modality, region by its description": {"series": [], "description": "CT Thorax nativ"},
    "modality of a series, region by its description": BARE
    | {"series": [{"modality": {"code": "CT"}}], "description": "Chest"},
}
NO_STUDIES: dict[str, dict[str, Any]] = {
    "words only": BARE | {"description": "CT chest without contrast"},
    "CT-guided biopsy": {"procedureCode": [concept(LOINC, "24823-7")]},
    "CT of PET/CT": {"modality": [{"system": DCM, "code": "PT"}, {"system": DCM, "code": "CT"}]},
    "cancelled": {"status": "cancelled"},
}


def judged(*, orders: tuple[dict[str, Any], ...] = (), later: tuple[dict[str, Any], ...] = ()) -> Judgement:
    keys = ("reports", "conditions", "smoking", "communications")
    resources: dict[str, Any] = dict.fromkeys(keys, ()) | {
        "patient": [a_patient()],
        "findings": [a_lung_rads("3")],
        # An examination before the six months of category 3 would do no step of it.
        "studies": [a_study(started="2026-04-20") if later else a_study(), *later],
        "orders": list(orders),
    }
    return judge(read_facts(resources, "p"), bundled_packs(), NOW)


def a_later_study(**members: Any) -> dict[str, Any]:
    uid = [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.2002"}]
    return a_study(**{"id": "later", "started": "2026-11-01", "identifier": uid} | members)


@pytest.mark.parametrize("members", ORDERS.values(), ids=ORDERS)
def test_gf_a_coded_order_answers_whatever_the_code_system(members: dict[str, Any]) -> None:
    judgement = judged(orders=(an_order(**members),))

    assert judgement.guidance == ()
    assert [one.by for one in judgement.suppressed] == ["ServiceRequest/order"]


@pytest.mark.parametrize("members", NO_ORDERS.values(), ids=NO_ORDERS)
def test_gc_what_is_no_coded_order_of_the_examination_ends_no_reminder(members: dict[str, Any]) -> None:
    assert len(judged(orders=(an_order(**members),)).guidance) == 1


@pytest.mark.parametrize("members", STUDIES.values(), ids=STUDIES)
def test_gf_a_later_study_answers_by_code_or_by_modality_and_region(members: dict[str, Any]) -> None:
    judgement = judged(later=(a_later_study(**members),))

    assert judgement.guidance == ()
    assert [one.by for one in judgement.suppressed] == ["ImagingStudy/later"]


@pytest.mark.parametrize("members", NO_STUDIES.values(), ids=NO_STUDIES)
def test_gc_a_study_that_only_words_name_or_that_shows_less_ends_no_reminder(members: dict[str, Any]) -> None:
    assert len(judged(later=(a_later_study(**members),)).guidance) == 1


@pytest.mark.parametrize("members", [*STUDIES.values(), *NO_STUDIES.values()])
def test_a_study_is_of_the_same_kind_for_a_reminder_and_for_an_order(members: dict[str, Any]) -> None:
    resource = a_later_study(**members)
    kind, facts = kind_of_study(resource), read_study_facts(resource)

    assert isinstance(facts, StudyFacts)
    assert (facts.regions, facts.is_intervention) == (kind.regions, kind.is_intervention)
    assert facts.families == kind.families or (kind.basis is Basis.WORDS and facts.families == frozenset())


@pytest.mark.parametrize("members", [*ORDERS.values(), *NO_ORDERS.values()])
def test_an_order_is_of_the_same_kind_for_a_reminder_and_for_an_order(members: dict[str, Any]) -> None:
    resource = an_order(**members)
    kind, facts = kind_of_order(resource), read_order(resource)

    assert facts is None or (facts.families, facts.regions, facts.is_intervention) == (
        kind.families,
        kind.regions,
        kind.is_intervention,
    )
    assert (facts is None) is (kind.basis is not Basis.CODE or "doNotPerform" in members)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (concept(LOINC, "29252-4") | {"text": "CT native"}, "CT Chest WO contrast"),
        (concept(CPT, "71250") | {"text": "CT thorax native"}, "CT thorax native"),
        ({"coding": [{"system": CPT, "code": "71250", "display": "Chest CT"}]}, "Chest CT"),
        (concept(CPT, "71250"), "CT chest"),
    ],
)
def test_an_order_is_named_by_the_table_or_in_its_own_words_and_never_by_a_number(code: dict[str, Any], words: str) -> None:
    order = read_order(an_order(code=code))

    assert isinstance(order, OrderFacts)
    assert order.code_text == words


def test_x4_only_a_code_calls_a_study_a_screening() -> None:
    coded = read_study_facts(a_study(procedureCode=[concept(CPT, "71271")]))
    in_words = read_study_facts(a_study(description="CT chest low dose screening"))

    assert isinstance(coded, StudyFacts)
    assert isinstance(in_words, StudyFacts)
    assert (coded.is_screening, in_words.is_screening) == (True, False)


def test_a_code_without_modality_leaves_the_family_to_words_and_is_then_no_code_to_decide_by() -> None:
    kind = study_kind_of(stated=[Code(LOINC, "87029-5")], words=["CT mediastinum"])

    assert (kind.families, kind.basis) == (frozenset({"CT"}), Basis.WORDS)


@pytest.mark.parametrize("number", ["71250", "71271", "73700-LT", "77067", "74177"])
def test_words_add_nothing_to_codes_that_tell_all(number: str) -> None:
    coded = study_kind_of(stated=[Code(CPT, number)], body_sites=[Code(SCT, "72696002")] if number.startswith("737") else [])
    beside = study_kind_of(
        stated=[Code(CPT, number)],
        body_sites=[Code(SCT, "72696002")] if number.startswith("737") else [],
        words=["MR brain with contrast, right"],
    )

    assert beside.families == coded.families
    assert beside.regions == coded.regions
    assert beside.basis is coded.basis is Basis.CODE
