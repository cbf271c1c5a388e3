"""Gf: an examination of another organ of the same region answers no follow-up; one of the organ or the whole region does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imaging_findings.anatomy import phrases
from imaging_findings.answers import CHEST_CT_ANSWER, Answer, of_table
from imaging_findings.booking import BookingMoment, Verdict, judge_bookings
from imaging_findings.codes import LOINC, Code
from imaging_findings.order_answers import answering
from imaging_findings.order_facts import ImagingOrder, read_draft_orders
from imaging_findings.organs import Shown, StudyNames, organs_of, shown
from imaging_findings.packs import bundled_packs
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import product_policy
from imaging_findings.study_kinds import kind_of_order, kind_of_study
from imaging_findings.study_table import CPT, study_codes
from tests.cds_actors import NOW, SCT, a_bundle, a_lung_rads, a_patient, an_order, concept
from tests.followed_actors import ABDOMEN, ASSESSMENT, BREAST, NECK, PELVIS, assessed, followed, imaged

# The site has chosen its table for the aorta.
PACKS = parse_site_packs('[[pack]]\nid = "aaa-acr-2013"\nclinical_owner = "Dr Synthetic Owner"\n', "site.toml")
AT_RISK = {"code": concept(ASSESSMENT, "at-risk"), "valueBoolean": True}
LR_3 = assessed("li-rads-ct-mr", "LR-3", "2018")
OF_LIVER = LR_3 | {"component": [*LR_3["component"], AT_RISK]}
NODULE = assessed("adrenal-nodule", mm=15)
GUIDELINE = "https://imaging-cds.example/fhir/CodeSystem/follow-up-guideline"
HOUNSFIELD = {"value": 30, "code": "[hnsf'U]", "system": "http://unitsofmeasure.org"}
FLAGS = ("symptomatic", "stable-one-year", "cancer-history", "macroscopic-fat")
OF_ADRENAL = NODULE | {
    "method": concept(GUIDELINE, "adrenal-acr", "2017"),
    "component": [
        *NODULE["component"],
        {"code": concept(ASSESSMENT, "attenuation-hu"), "valueQuantity": HOUNSFIELD},
        *({"code": concept(ASSESSMENT, flag), "valueBoolean": False} for flag in FLAGS),
    ],
}

# Each finding with the modality and site of its own study, the examinations that answer it, and those of other organs.
FAMILIES: dict[str, tuple[dict[str, Any], tuple[str, str], list[str], list[str]]] = {
    "aorta": (
        assessed("abdominal-aorta", mm=46),
        ("US", ABDOMEN),
        ["69276-4", "24558-9", "24547-2", "35948-9", "24531-6", "24534-0"],
        ["24711-4", "38036-0", "28614-6", "24532-4", "24857-5", "39494-0"],
    ),
    "thyroid": (
        assessed("ti-rads", "TR3", "2017", mm=16),
        ("US", NECK),
        ["25010-0", "24842-7", "44164-2"],
        ["24616-5", "38045-1", "44175-8", "80850-1"],
    ),
    "adrenals": (
        OF_ADRENAL,
        ("CT", ABDOMEN),
        ["36953-8", "24556-3", "72246-2"],
        ["24857-5", "24988-8", "24814-6", "36792-0"],
    ),
    "kidneys": (
        assessed("bosniak", "IIF", "2019"),
        ("CT", ABDOMEN),
        ["36503-1", "36033-9", "24556-3", "42275-8"],
        ["24814-6", "24857-5", "30622-5", "36953-8"],
    ),
    "liver": (
        OF_LIVER,
        ("CT", ABDOMEN),
        ["24814-6", "30670-4", "24556-3"],
        ["36503-1", "24988-8", "36931-4"],
    ),
    "ovaries": (
        assessed("o-rads-us", "0", "2022"),
        ("US", PELVIS),
        ["69390-3", "24869-0", "24677-7", "36779-7", "24867-4"],
        ["24884-9", "24870-8", "42301-2", "30705-8"],
    ),
    "breast": (
        assessed("bi-rads", "3", "5"),
        ("MG", BREAST),
        ["24601-7", "24605-8", "24599-3"],
        ["24596-9", "24597-7", "69397-8"],
    ),
    "prostate": (
        assessed("pi-rads", "3", "2.1"),
        ("MR", PELVIS),
        ["30675-3", "36389-5", "24867-4"],
        ["42301-2", "36779-7", "36542-9"],
    ),
    "lungs": (
        a_lung_rads("4A"),
        ("CT", "816094009"),
        ["29252-4", "24627-2", "42276-6"],
        ["82699-0", "35969-5", "36534-6"],
    ),
}
ANSWERING = [(organ, code) for organ, (_, _, codes, _) in FAMILIES.items() for code in codes]
OF_OTHERS = [(organ, code) for organ, (_, _, _, codes) in FAMILIES.items() for code in codes]


def after(organ: str, *, study: str | None = None, order: str | None = None) -> Any:
    finding, (modality, site), _, _ = FAMILIES[organ]
    own = imaged("study", "2026-09-01", modality, site)
    later = [imaged("later", "2026-11-01", _family(study), None, procedureCode=[concept(LOINC, study)])] if study else []
    orders = [an_order(code=concept(LOINC, order), authoredOn="2026-10-20")] if order else []
    finding = finding | {"effectiveDateTime": "2026-09-01"}
    return followed(finding, studies=[own, *later], orders=orders, packs=PACKS)


def _family(code: str) -> str:
    return study_codes([Code(LOINC, code)])[0].modality or ""


def name_of(code: str) -> str:
    return study_codes([Code(LOINC, code)])[0].code.display or ""


def test_names_are_parsed_once_however_many_findings_ask() -> None:
    names = StudyNames(coded=("CT Chest WO contrast",), sites=("Chest",), said=("CT Thorax", "CT chest"))

    first, again = list(names.sources()), list(names.sources())

    assert [len(one) for one in first] == [1, 1, 2]
    assert all(one is other for source, same in zip(first, again, strict=True) for one, other in zip(source, same, strict=True))


@pytest.mark.parametrize(("organ", "code"), ANSWERING)
def test_gf_an_order_of_the_organ_or_of_its_whole_region_answers(organ: str, code: str) -> None:
    judgement = after(organ, order=code)

    assert judgement.guidance == ()
    assert judgement.suppressed[0].reason == f"{name_of(code)} is already ordered"


@pytest.mark.parametrize(("organ", "code"), OF_OTHERS)
def test_gf_an_order_of_another_organ_is_named_and_ends_nothing(organ: str, code: str) -> None:
    guidance = after(organ, order=code).guidance

    note = f"An order ({name_of(code)}) does not answer it ({name_of(code)} does not show the {organ})."
    assert note in guidance[0].notes


@pytest.mark.parametrize(("organ", "code"), ANSWERING)
def test_gf_a_study_of_the_organ_or_of_its_whole_region_is_no_false_answer(organ: str, code: str) -> None:
    judgement = after(organ, study=code)

    assert not any("does not answer it" in note for one in judgement.guidance for note in one.notes)


@pytest.mark.parametrize(("organ", "code"), OF_OTHERS)
def test_gf_a_study_of_another_organ_is_named_and_ends_nothing(organ: str, code: str) -> None:
    guidance = after(organ, study=code).guidance

    assert any(note.endswith(f"does not answer it ({name_of(code)} does not show the {organ}).") for note in guidance[0].notes)


# --- the same at the order and at the appointment


def ordered(code: str) -> ImagingOrder:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": an_order(status="draft", code=concept(LOINC, code))}]}
    return read_draft_orders({"draftOrders": bundle}, "p", by_selection=False).judged[0]


@pytest.mark.parametrize(("organ", "code"), ANSWERING)
def test_gf_the_order_hooks_take_the_same_orders_for_answers(organ: str, code: str) -> None:
    answer = answering(after(organ).guidance[0], PACKS)
    order = ordered(code)

    assert answer.is_met_by(order) or answer.may_be_met_by(order)
    assert not answer.is_of_other_organ(order)


@pytest.mark.parametrize(("organ", "code"), OF_OTHERS)
def test_gf_the_order_hooks_take_no_order_of_another_organ_for_an_answer(organ: str, code: str) -> None:
    answer = answering(after(organ).guidance[0], PACKS)
    order = ordered(code)

    assert not answer.is_met_by(order)
    assert not answer.may_be_met_by(order)
    assert answer.is_of_other_organ(order)


def test_gf_a_table_that_the_site_has_still_to_choose_is_about_the_same_organ() -> None:
    finding = assessed("abdominal-aorta", mm=46, effectiveDateTime="2026-09-01")
    guidance = followed(finding, studies=[imaged("study", "2026-09-01", "US", ABDOMEN)]).guidance[0]

    answer = answering(guidance, bundled_packs())

    assert answer.is_met_by(ordered("69276-4"))
    assert not answer.is_met_by(ordered("24711-4"))


@pytest.mark.parametrize(
    ("code", "cites", "expected"),
    [
        ("69276-4", (), []),
        ("24711-4", (), []),
        ("24711-4", ("Observation/finding",), [Verdict.WRONG_EXAMINATION]),
    ],
    ids=["the aorta", "the gallbladder", "the gallbladder, for the finding"],
)
def test_gf_an_appointment_for_another_organ_is_wrong_where_it_names_the_finding(
    code: str, cites: tuple[str, ...], expected: list[Verdict]
) -> None:
    finding = assessed("abdominal-aorta", mm=46, effectiveDateTime="2026-09-01")
    appointment = {
        "resourceType": "Appointment",
        "id": "a",
        "status": "proposed",
        "start": "2027-03-01T09:00:00+01:00",
        "serviceType": [concept(LOINC, code)],
        "participant": [{"actor": {"reference": "Patient/p"}, "status": "needs-action"}],
        "reasonReference": [{"reference": one} for one in cites],
    }
    resources: dict[str, Any] = dict.fromkeys(("reports", "conditions", "smoking", "orders"), ())
    resources |= {"patient": [a_patient()], "findings": [finding], "studies": [imaged("study", "2026-09-01", "US", ABDOMEN)]}
    moment = BookingMoment(patient_id="p", appointments=a_bundle(appointment), now=NOW)

    judgement = judge_bookings(resources, moment, replace(product_policy(), packs=PACKS))

    assert [one.verdict for one in judgement.advice] == expected
    assert [one.is_in_time for one in judgement.quiet] == ([code == "69276-4"] if not expected else [])


# --- what the names of one examination say together


AORTA = next(of_table(pack) for pack in bundled_packs().undecided if pack.reads == "abdominal-aorta")


def aorta_in(modality: str, site: str | None = None, **members: Any) -> Shown:
    return AORTA.shown_by(kind_of_study(imaged("later", "2026-11-01", modality, site, **members)))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"description": "US abdominal aorta"}, Shown.YES),
        ({"description": "Sono Bauchaorta"}, Shown.YES),
        ({"description": "Sono Abdomen"}, Shown.YES),
        ({"description": "Sono Gallenblase, Leber"}, Shown.NO),
        ({"description": "US abdomen limited"}, Shown.REGION_ONLY),
        ({"description": "Kontrolle"}, Shown.REGION_ONLY),
        ({"procedureCode": [concept(CPT, "76700")]}, Shown.REGION_ONLY),
        ({"procedureCode": [concept(CPT, "76700")], "description": "gallbladder"}, Shown.NO),
        ({"procedureCode": [concept(LOINC, "24558-9")], "description": "gallbladder"}, Shown.NO),
        ({"procedureCode": [concept(LOINC, "24711-4")], "description": "US abdomen"}, Shown.NO),
        ({"procedureCode": [concept(LOINC, "69276-4")], "description": "gallbladder"}, Shown.YES),
        ({"procedureCode": [concept(LOINC, "24558-9")], "description": "US abdomen for gallbladder polyp"}, Shown.YES),
    ],
)
def test_gf_codes_name_the_organ_before_words_and_words_only_take_away(members: dict[str, Any], expected: Shown) -> None:
    assert aorta_in("US", ABDOMEN, **members) is expected


@pytest.mark.parametrize(("modality", "expected"), [("CT", Shown.YES), ("MR", Shown.YES), ("US", Shown.REGION_ONLY)])
def test_gf_slices_of_a_region_show_all_in_it_and_a_probe_what_it_was_held_to(modality: str, expected: Shown) -> None:
    assert aorta_in(modality, ABDOMEN) is expected


@pytest.mark.parametrize(("site", "expected"), [("28231008", Shown.NO), ("7832008", Shown.YES)], ids=["gallbladder", "aorta"])
def test_gf_a_body_site_names_the_organ_too(site: str, expected: Shown) -> None:
    assert aorta_in("US", site) is expected
    sited = {"code": concept(LOINC, "24558-9"), "bodySite": [concept(SCT, site)]}
    assert AORTA.shown_by(kind_of_order(sited)) is expected


def test_gf_an_order_of_which_only_the_region_is_known_answers_and_says_so() -> None:
    order = an_order(code=concept(CPT, "76700"), authoredOn="2026-10-20")
    finding = assessed("abdominal-aorta", mm=46, effectiveDateTime="2026-09-01")

    judgement = followed(finding, studies=[imaged("study", "2026-09-01", "US", ABDOMEN)], orders=[order])

    note = "is already ordered; only its region is stated, not whether it shows the aorta"
    assert judgement.guidance == ()
    assert judgement.suppressed[0].reason.endswith(note)


def test_gf_a_rule_without_an_organ_asks_for_none() -> None:
    answer = Answer(words="examination")

    assert answer.shown_by(kind_of_study(imaged("later", "2026-11-01", "US", ABDOMEN, description="gallbladder"))) is Shown.YES


# --- the table


def test_every_table_pack_names_one_organ_of_the_table() -> None:
    packs = bundled_packs()

    named = {pack.info.pack_id: organs_of(pack.organ) for pack in (*packs.tables, *packs.undecided)}

    assert {name: len(organs) for name, organs in named.items()} == dict.fromkeys(named, 1)
    assert CHEST_CT_ANSWER.organs == {"lungs"}


def test_every_organ_that_a_pack_asks_for_is_shown_by_its_own_region() -> None:
    packs = bundled_packs()
    for pack in (*packs.tables, *packs.undecided):
        answer = of_table(pack)
        assert {answer.shown_by(one) for one in map(_whole, answer.regions)} == {Shown.YES}, pack.info.pack_id


def _whole(region: str) -> Any:
    return kind_of_study(imaged("whole", "2026-11-01", "CT", None, description=f"CT {region}"))


def test_anatomy_that_is_no_organ_of_the_table_is_one_of_its_own() -> None:
    others = [phrase for phrase, regions in phrases().items() if "gallbladder" in phrase and regions]

    assert others
    for phrase in others:
        names = StudyNames(coded=(f"US {phrase}",))
        assert shown(names, {"US"}, frozenset({"aorta"}), frozenset({"abdomen"})) is Shown.NO
