"""Clinical rules Y1-Y8, Y10, Y11: every boundary, version-exact, and no interval where an input is missing (T2, T11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cds_service.wording import detail_of, summary_of
from imaging_findings.advice import Guidance, Judgement, Suppressed
from imaging_findings.facts import Facts, read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs, bundled_tables
from imaging_findings.rules import Packs, Urgency
from tests.cds_actors import DCM, GUIDELINE, NOW, SCT, a_patient, a_report, a_study, an_observation, concept

BASE = "https://imaging-cds.example/fhir/CodeSystem"
OWN = f"{BASE}/imaging-assessment"
VERSIONS = {
    "bi-rads": "5",
    "li-rads-ct-mr": "2018",
    "us-li-rads": "2017",
    "ti-rads": "2017",
    "pi-rads": "2.1",
    "o-rads-us": "2022",
    "bosniak": "2019",
}
Resource = Mapping[str, Any]


def quantity(name: str, value: float, unit: str = "mm") -> dict[str, Any]:
    return {"code": concept(OWN, name), "valueQuantity": {"value": value, "code": unit, "system": "http://unitsofmeasure.org"}}


def flag(name: str, value: bool) -> dict[str, Any]:
    return {"code": concept(OWN, name), "valueBoolean": value}


def word(name: str, value: str) -> dict[str, Any]:
    return {"code": concept(OWN, name), "valueCodeableConcept": concept(OWN, value)}


def an_assessment(name: str, category: str | None = None, *components: Resource, **members: Any) -> dict[str, Any]:
    value = {"valueCodeableConcept": concept(f"{BASE}/{name}", category, VERSIONS[name])} if category else {}
    return an_observation(**{"code": concept(OWN, name), "component": list(components)} | value | members)


def facts_with(*findings: Resource, **others: list[Resource] | None) -> Facts:
    whole: dict[str, list[Resource] | None] = {
        key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")
    }
    return read_facts(whole | {"patient": [a_patient()], "findings": list(findings), "studies": [a_study()]} | others, "p")


def judged(*findings: Resource, packs: Packs | None = None, **others: list[Resource] | None) -> Judgement:
    return judge(facts_with(*findings, **others), packs or bundled_packs(), NOW)


def the_guidance(*findings: Resource, packs: Packs | None = None, **others: list[Resource] | None) -> Guidance:
    judgement = judged(*findings, packs=packs, **others)
    assert len(judgement.guidance) == 1, judgement
    return judgement.guidance[0]


def row_of(finding: Resource, packs: Packs | None = None) -> str:
    """The row that the rules name, whether it spoke or was silent."""
    judgement = judged(finding, packs=packs)
    spoken: list[Guidance | Suppressed] = [*judgement.guidance, *judgement.suppressed]
    (one,) = spoken
    return (one.rule_id if isinstance(one, Guidance) else one.by).partition("/")[2]


def chosen(pack_id: str) -> Packs:
    """The packs of a site that has chosen one of those that exclude each other."""
    table = next(one for one in bundled_tables() if one.info.pack_id == pack_id)
    return replace(bundled_packs(), tables=(*bundled_packs().tables, table), undecided=())


def the_step(guidance: Guidance) -> str:
    return str(guidance.next_step.due) if guidance.next_step else "none"


@pytest.mark.parametrize(
    ("category", "row", "urgency", "due"),
    [
        ("0", "0", "warning", "none"),
        ("3", "3", "warning", "2027-04-01"),
        ("4", "4", "warning", "none"),
        ("4A", "4", "warning", "none"),
        ("4C", "4", "warning", "none"),
        ("5", "5", "warning", "none"),
        ("6", "6", "info", "none"),
    ],
)
def test_y1_bi_rads(category: str, row: str, urgency: str, due: str) -> None:
    guidance = the_guidance(an_assessment("bi-rads", category))

    assert guidance.rule_id == f"bi-rads-5/{row}"
    assert guidance.urgency.value == urgency
    assert the_step(guidance) == due


@pytest.mark.parametrize("category", ["1", "2"])
def test_y1_routine_annual_screening_is_silent_until_it_is_due(category: str) -> None:
    finding = an_assessment("bi-rads", category)
    old = a_study(started="2025-10-01")

    assert judged(finding).guidance == ()
    assert judged(finding).suppressed[0].reason == "nothing is due before 2027-10-01"
    assert the_guidance(finding, studies=[old]).overdue


def test_y1_side_stands_in_the_title() -> None:
    left = {"code": concept(SCT, "272741003"), "valueCodeableConcept": concept(SCT, "7771000")}
    guidance = the_guidance(an_assessment("bi-rads", "3", left))

    assert summary_of(guidance) == "BI-RADS 3 (left) (CT 2026-10-01): breast imaging due 2027-04-01 – radiologist"


def test_y1_two_sides_make_one_card_led_by_the_more_urgent() -> None:
    guidance = the_guidance(an_assessment("bi-rads", "2"), an_assessment("bi-rads", "4", id="other"))

    assert guidance.rule_id == "bi-rads-5/4"
    assert [one.category for one in guidance.others] == ["2"]


@pytest.mark.parametrize(
    ("code", "category"),
    [("397138000", "0"), ("397140005", "1"), ("397141009", "2"), ("397143007", "3"), ("397144001", "4"), ("397145000", "5")],
)
def test_bi_rads_of_snomed_is_read_but_its_version_must_be_named(code: str, category: str) -> None:
    bare = an_assessment("bi-rads", valueCodeableConcept=concept(SCT, code))
    named = bare | {"method": concept(f"{BASE}/bi-rads", "bi-rads", "5")}

    assert facts_with(bare).assessments[0].category == category
    assert the_guidance(bare).missing == ("the version of BI-RADS 5th edition that the reader meant",)
    assert row_of(named) in {category, "1-2"}


@pytest.mark.parametrize("name", sorted(VERSIONS))
@pytest.mark.parametrize("version", ["1999", None])
def test_gb_another_version_or_none_gives_no_interval(name: str, version: str | None) -> None:
    category = {"li-rads-ct-mr": "LR-3", "us-li-rads": "US-2", "ti-rads": "TR4", "bosniak": "IIF"}.get(name, "3")
    finding = an_assessment(name, valueCodeableConcept=concept(f"{BASE}/{name}", category, version))
    guidance = the_guidance(finding)

    assert guidance.next_step is None
    assert guidance.statements == ()
    assert "version" in guidance.missing[0]


@pytest.mark.parametrize(
    ("category", "row"),
    [
        ("LR-NC", "NC"),
        ("LR-1", "1-2"),
        ("LR-2", "1-2"),
        ("LR-3", "3"),
        ("LR-4", "4"),
        ("LR-5", "5-M-TIV"),
        ("LR-M", "5-M-TIV"),
        ("LR-TIV", "5-M-TIV"),
    ],
)
def test_y2_li_rads_is_never_ordered_and_never_firm(category: str, row: str) -> None:
    guidance = the_guidance(an_assessment("li-rads-ct-mr", category, flag("at-risk", True)))

    assert guidance.rule_id == f"li-rads-ct-mr-2018/{row}"
    assert guidance.order is None
    assert guidance.next_step is None or not guidance.next_step.firm


def test_y2_li_rads_is_for_patients_at_risk_only() -> None:
    assert row_of(an_assessment("li-rads-ct-mr", "LR-3", flag("at-risk", False))) == "not-at-risk"
    assert the_guidance(an_assessment("li-rads-ct-mr", "LR-3")).missing == (
        "whether the patient belongs to the at-risk population",
    )


@pytest.mark.parametrize("category", ["US-1", "US-2", "US-3"])
def test_y3_us_li_rads(category: str) -> None:
    assert row_of(an_assessment("us-li-rads", category, flag("at-risk", True))) == category


@pytest.mark.parametrize(
    ("category", "mm", "row"),
    [
        ("TR1", 40, "TR1-TR2"),
        ("TR2", 40, "TR1-TR2"),
        ("TR3", 14.9, "TR3-small"),
        ("TR3", 15, "TR3-follow"),
        ("TR3", 24.9, "TR3-follow"),
        ("TR3", 25, "TR3-fna"),
        ("TR4", 9.9, "TR4-small"),
        ("TR4", 10, "TR4-follow"),
        ("TR4", 14.9, "TR4-follow"),
        ("TR4", 15, "TR4-fna"),
        ("TR5", 4.9, "TR5-small"),
        ("TR5", 5, "TR5-follow"),
        ("TR5", 9.9, "TR5-follow"),
        ("TR5", 10, "TR5-fna"),
    ],
)
def test_y4_ti_rads_sizes(category: str, mm: float, row: str) -> None:
    """T2."""
    assert row_of(an_assessment("ti-rads", category, quantity("max-diameter", mm))) == row
    assert row_of(an_assessment("ti-rads", category, quantity("max-diameter", round(mm / 10, 2), "cm"))) == row


@pytest.mark.parametrize(
    ("points", "row"),
    [
        (0, "TR1-TR2"),
        (2, "TR1-TR2"),
        (3, "TR3-fna"),
        (4, "TR4-fna"),
        (6, "TR4-fna"),
        (7, "TR5-fna"),
        (14, "TR5-fna"),
        (1, "no-row"),
    ],
)
def test_y4_points_stand_for_a_category(points: int, row: str) -> None:
    finding = an_assessment(
        "ti-rads",
        None,
        {"code": concept(OWN, "points"), "valueInteger": points},
        quantity("max-diameter", 30),
        method=concept(f"{BASE}/ti-rads", "ti-rads", "2017"),
    )

    assert row_of(finding) == row


def test_y4_category_and_points_that_contradict_are_both_shown_and_give_no_interval() -> None:
    points = {"code": concept(OWN, "points"), "valueInteger": 7}
    guidance = the_guidance(an_assessment("ti-rads", "TR3", points, quantity("max-diameter", 16)))

    assert guidance.next_step is None
    assert guidance.notes == ("TR3 is coded, but the TI-RADS points stand for TR5; no interval is computed.",)


@pytest.mark.parametrize(("category", "row"), [("1", "1-2"), ("2", "1-2"), ("3", "3"), ("4", "4-5"), ("5", "4-5"), ("X", "X")])
def test_y5_pi_rads_is_a_likelihood_and_no_interval(category: str, row: str) -> None:
    finding = an_assessment("pi-rads", category)

    assert row_of(finding) == row
    assert all(one.next_step is None for one in judged(finding).guidance)


@pytest.mark.parametrize(
    ("code", "category"),
    [("RID50289", "1"), ("RID50293", "5"), ("RID50322", "X"), ("RID50296", "1"), ("RID50300", "5"), ("RID50323", "X")],
)
@pytest.mark.parametrize("system", ["http://radlex.org", "http://www.radlex.org"])
def test_y5_pi_rads_of_radlex_with_the_version_of_dicom(code: str, category: str, system: str) -> None:
    version = {"code": concept(OWN, "version"), "valueCodeableConcept": concept(DCM, "130565")}
    finding = an_assessment("pi-rads", None, version, valueCodeableConcept=concept(system, code))

    (read,) = facts_with(finding).assessments
    assert read.category == category
    assert read.scheme is not None
    assert read.scheme.version == "2.1"


@pytest.mark.parametrize(
    ("category", "mm", "lesion", "menopause", "row"),
    [
        ("0", None, None, None, "0"),
        ("1", None, None, None, "1"),
        ("2", 50.0, "haemorrhagic-cyst", "premenopausal", "2-other"),
        ("2", 50.1, "haemorrhagic-cyst", "premenopausal", "2-haemorrhagic"),
        ("2", 99.9, "haemorrhagic-cyst", "premenopausal", "2-haemorrhagic"),
        ("2", 100.0, "haemorrhagic-cyst", "premenopausal", "2-other"),
        ("2", 60.0, "haemorrhagic-cyst", "postmenopausal", "2-other"),
        ("2", 60.0, "haemorrhagic-cyst", None, "no-row"),
        ("2", 60.0, "simple-cyst", "premenopausal", "2-other"),
        ("2", 60.0, "simple-cyst", None, "2-other"),
        ("2", 60.0, None, "premenopausal", "no-row"),
        ("2", 60.0, None, "postmenopausal", "2-other"),
        ("3", None, None, None, "3-5"),
        ("5", None, None, None, "3-5"),
    ],
)
def test_y6_o_rads(category: str, mm: float | None, lesion: str | None, menopause: str | None, row: str) -> None:
    parts = [quantity("max-diameter", mm)] if mm else []
    parts += [word("lesion", lesion)] if lesion else []
    parts += [word("menopausal-state", menopause)] if menopause else []

    assert row_of(an_assessment("o-rads-us", category, *parts)) == row


@pytest.mark.parametrize(("menopause", "due"), [("premenopausal", "2026-11-26 to 2026-12-24"), ("postmenopausal", "none")])
def test_y6_the_interval_of_a_haemorrhagic_cyst_is_that_before_the_menopause(menopause: str, due: str) -> None:
    parts = quantity("max-diameter", 60), word("lesion", "haemorrhagic-cyst")

    assert the_step(the_guidance(an_assessment("o-rads-us", "2", *parts, word("menopausal-state", menopause)))) == due
    assert the_guidance(an_assessment("o-rads-us", "2", *parts)).missing == ("the menopausal state",)


@pytest.mark.parametrize(
    ("category", "row"), [("I", "I-II"), ("II", "I-II"), ("IIF", "IIF"), ("III", "III-IV"), ("IV", "III-IV"), ("V", "no-row")]
)
def test_y7_bosniak(category: str, row: str) -> None:
    assert row_of(an_assessment("bosniak", category)) == row


def test_y7_bosniak_iif_is_due_at_six_months() -> None:
    assert the_step(the_guidance(an_assessment("bosniak", "IIF"))) == "2027-04-01"


def an_adrenal(mm: float | None, hu: float | None = 30, *, fat: bool = False, **flags: bool) -> dict[str, Any]:
    parts = [quantity("max-diameter", mm)] if mm is not None else []
    parts += [quantity("attenuation-hu", hu, "[hnsf'U]")] if hu is not None else []
    stated = {"symptomatic": False, "stable_one_year": False, "cancer_history": False, "macroscopic_fat": fat} | flags
    parts += [flag(name.replace("_", "-"), value) for name, value in stated.items()]
    return an_assessment("adrenal-nodule", None, *parts, method=concept(GUIDELINE, "adrenal-acr", "2017"))


@pytest.mark.parametrize(
    ("finding", "row"),
    [
        (an_adrenal(9.9), "lt10"),
        (an_adrenal(10.0), "10-20"),
        (an_adrenal(19.9), "10-20"),
        (an_adrenal(20.0), "20-40"),
        (an_adrenal(39.9), "20-40"),
        (an_adrenal(40.0), "ge40"),
        (an_adrenal(30, 10), "benign-hu"),
        (an_adrenal(30, 11), "20-40"),
        (an_adrenal(30, fat=True), "benign-fat"),
        (an_adrenal(30, stable_one_year=True), "stable"),
        (an_adrenal(15, cancer_history=True), "cancer"),
        (an_adrenal(15, symptomatic=True), "symptomatic"),
        (an_adrenal(15, None), "no-row"),
        (an_adrenal(None), "no-row"),
    ],
)
def test_y8_adrenal(finding: Resource, row: str) -> None:
    """T2."""
    assert row_of(finding) == row


def test_y8_what_is_missing_is_named() -> None:
    assert the_guidance(an_adrenal(15, None)).missing == ("the attenuation without contrast in HU",)


def an_aorta(mm: float, **members: Any) -> dict[str, Any]:
    return an_assessment("abdominal-aorta", None, quantity("max-diameter", mm), **members)


@pytest.mark.parametrize(
    ("mm", "row", "due"),
    [
        (24.9, "lt25", None),
        (25.0, "25-30", "2031-10-01"),
        (29.9, "25-30", "2031-10-01"),
        (30.0, "30-35", "2029-10-01"),
        (34.9, "30-35", "2029-10-01"),
        (35.0, "35-40", "2028-10-01"),
        (39.9, "35-40", "2028-10-01"),
        (40.0, "40-45", "2027-10-01"),
        (44.9, "40-45", "2027-10-01"),
        (45.0, "45-50", "2027-04-01"),
        (49.9, "45-50", "2027-04-01"),
        (50.0, "50-55", "2027-01-01 to 2027-04-01"),
        (55.0, "50-55", "2027-01-01 to 2027-04-01"),
        (55.1, "above", "none"),
    ],
)
def test_y10_aorta_of_acr(mm: float, row: str, due: str | None) -> None:
    """T2."""
    packs = chosen("aaa-acr-2013")

    assert row_of(an_aorta(mm), packs) == row
    if due:
        assert the_step(the_guidance(an_aorta(mm), packs=packs)) == due


@pytest.mark.parametrize(
    ("mm", "row", "due"),
    [
        (24.9, "lt25", None),
        (25.0, "25-30", "2036-10-01"),
        (29.9, "25-30", "2036-10-01"),
        (30.0, "30-40", "2029-10-01"),
        (39.9, "30-40", "2029-10-01"),
        (40.0, "40-50", "2027-10-01"),
        (49.9, "40-50", "2027-10-01"),
        (50.0, "50-55", "2027-04-01"),
        (54.9, "50-55", "2027-04-01"),
        (55.0, "above", "none"),
    ],
)
def test_y11_aorta_of_svs(mm: float, row: str, due: str | None) -> None:
    """T2."""
    packs = chosen("aaa-svs-2018")

    assert row_of(an_aorta(mm), packs) == row
    if due:
        assert the_step(the_guidance(an_aorta(mm), packs=packs)) == due


def test_y11_a_site_that_has_not_chosen_gets_no_interval_and_is_told() -> None:
    facts = facts_with(an_aorta(36))
    guidance = judge(facts, bundled_packs(), NOW).guidance[0]

    assert guidance.next_step is None
    assert guidance.missing == ("the site's choice between Abdominal aorta, ACR 2013 and Abdominal aorta, SVS 2018",)
    assert "This site has not chosen a guideline" in detail_of(guidance, facts)


def test_y11_where_both_ask_for_nothing_nothing_is_said() -> None:
    assert judged(an_aorta(20)).guidance == ()


def test_y11_a_reader_who_names_the_other_guideline_is_not_overruled() -> None:
    finding = an_aorta(36, method=concept(GUIDELINE, "aaa-svs", "2018"))
    guidance = the_guidance(finding, packs=chosen("aaa-acr-2013"))

    assert guidance.next_step is None
    assert "this service uses Abdominal aorta, ACR 2013" in guidance.missing[0]


@pytest.mark.parametrize(
    "finding", [an_assessment("abdominal-aorta"), an_assessment("ti-rads", "TR4"), an_assessment("bi-rads")]
)
def test_t11_a_missing_input_gives_no_interval(finding: Resource) -> None:
    guidance = the_guidance(finding, packs=chosen("aaa-svs-2018"))

    assert guidance.missing
    assert guidance.next_step is None
    assert guidance.statements == ()


def test_rows_that_need_a_clinicians_check_say_so() -> None:
    facts = facts_with(an_assessment("bosniak", "IIF"))

    assert "still needs a clinician's check" in detail_of(judge(facts, bundled_packs(), NOW).guidance[0], facts)


def test_a_later_examination_of_the_kind_ends_the_matter() -> None:
    later = a_study(id="later", started="2026-11-01", identifier=[{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}])
    body = {"series": [{"uid": "2.25.9.1", "bodySite": {"system": SCT, "code": "416775004"}}]}
    judgement = judged(an_assessment("bosniak", "IIF"), studies=[a_study(started="2021-10-20"), later | body])

    assert judgement.guidance == ()
    assert judgement.suppressed[0].reason == "a later CT or MR of the kidney was done on 2026-11-01 (CT abdomen/chest/pelvis)"


def test_t8_an_unsigned_ai_assessment_computes_nothing() -> None:
    machine = an_assessment("bi-rads", "4", id="ai", status="preliminary", device={"display": "Synthetic AI"}, performer=[])
    guidance = the_guidance(machine)

    assert (guidance.rule_id, guidance.urgency) == ("ai-unsigned/bi-rads", Urgency.INFO)
    assert guidance.statements == ()


def test_an_ai_assessment_stands_beside_the_readers() -> None:
    machine = an_assessment("bi-rads", "4", id="ai", status="preliminary", device={"display": "Synthetic AI"}, performer=[])
    guidance = the_guidance(an_assessment("bi-rads", "3"), machine)

    assert guidance.ai_agrees is False
    assert "AI (unsigned) says 4" in summary_of(guidance)


def test_a_reports_conclusion_code_is_read() -> None:
    coded = concept(f"{BASE}/bosniak", "IIF", "2019")
    guidance = the_guidance(reports=[a_report("", conclusionCode=[coded])])

    assert guidance.rule_id == "bosniak-2019/IIF"
    assert guidance.finding.reference == "DiagnosticReport/report"


def test_y10_y11_where_both_tables_agree_nobody_needs_to_choose() -> None:
    """Y10, Y11: above the last band both say vascular assessment, whether or not the site has chosen a table."""
    guidance = the_guidance(an_aorta(58.0))

    assert guidance.urgency is Urgency.WARNING
    assert guidance.missing == ()
    assert [one.pack.pack_id for one in guidance.statements if one.pack] == [
        "aaa-acr-2013",
        "aaa-svs-2018",
    ]
    assert summary_of(guidance) == "Abdominal aorta 58 mm (CT 2026-10-01): vascular assessment – radiologist"
    for pack_id in ("aaa-acr-2013", "aaa-svs-2018"):
        assert summary_of(the_guidance(an_aorta(58.0), packs=chosen(pack_id))) == summary_of(guidance)


@pytest.mark.parametrize(("mm", "urgency"), [(32.0, "info"), (47.0, "info"), (52.0, "warning"), (55.0, "warning")])
def test_y10_y11_until_the_site_chooses_the_card_is_as_urgent_as_the_milder_table(mm: float, urgency: str) -> None:
    guidance = the_guidance(an_aorta(mm))

    assert guidance.urgency.value == urgency
    assert guidance.next_step is None
    assert guidance.missing[0].startswith("the site's choice between")


@pytest.mark.parametrize(("category", "urgency"), [("3", "warning"), ("4", "warning"), ("5", "warning"), ("6", "info")])
def test_gb_a_missing_edition_takes_the_interval_and_not_the_urgency(category: str, urgency: str) -> None:
    """Gb, Y1: SNOMED's categories carry no version, and BI-RADS 5 is no information only."""
    guidance = the_guidance(an_assessment("bi-rads", valueCodeableConcept=concept(f"{BASE}/bi-rads", category)))

    assert guidance.urgency.value == urgency
    assert (guidance.next_step, guidance.statements) == (None, ())
    assert summary_of(guidance) == (
        f"BI-RADS {category} (CT 2026-10-01): BI-RADS edition not coded, so no interval is computed – radiologist"
    )
