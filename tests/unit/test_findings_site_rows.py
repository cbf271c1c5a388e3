"""Lung-RADS and Fleischner as a site overrides them, row by row: what it says holds, and every other boundary stays (L, F)."""

from __future__ import annotations

import pytest

from imaging_findings.findings import Attenuation, Change, Nodule, Risk
from imaging_findings.incidental import rows_for
from imaging_findings.nodule_terms import Rounding
from imaging_findings.packs import bundled_nodules, bundled_screening
from imaging_findings.rules import CategoryRow, NodulePack, ScreeningPack, Urgency
from imaging_findings.screening import Examination, category_of, row_for
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.toml_tables import PackError

LUNG = '[[pack]]\nid = "lung-rads-2022"\n'
NODULES = '[[pack]]\nid = "fleischner-2017"\n'
CATEGORY_3 = """
[[pack.category]]
code = "3"
statement = "LDCT at 5 to 6 months."
step = { examination = "LDCT", low = 5, high = 6, unit = "mo" }
urgency = "info"
order = { system = "http://loinc.org", code = "79086-5" }
evidence = "S"
"""
SOLID_BASELINE = """
[[pack.trigger]]
id = "3-solid-baseline"
attenuation = "solid"
change = ["baseline"]
diameter = { from = 7.0, below = 8.0 }
category = "3"
evidence = "C"

[[pack.trigger]]
id = "2-solid-baseline"
attenuation = "solid"
change = ["baseline"]
diameter = { below = 7.0 }
category = "2"
evidence = "C"
"""
LOW_RISK_6_8 = """
[[pack.row]]
id = "F1-6-8"
attenuation = ["solid"]
risk = "low"
multiple = false
band = ["6-8"]
statement = "CT at 12 months."
steps = [{ examination = "chest CT", low = 12, high = 12, unit = "mo" }]
urgency = "info"
evidence = "C"
"""


def screening(toml: str) -> ScreeningPack:
    pack = parse_site_packs(toml, "site.toml").screening
    assert pack is not None
    return pack


def nodules(toml: str) -> NodulePack:
    pack = parse_site_packs(toml, "site.toml").nodules
    assert pack is not None
    return pack


def faults(toml: str) -> list[str]:
    with pytest.raises(PackError) as refused:
        parse_site_packs(toml, "site.toml")
    return refused.value.problems


def category(pack: ScreeningPack, mm: float, change: Change = Change.BASELINE) -> str | None:
    nodule = Nodule(attenuation=Attenuation.SOLID, diameter_mm=mm, change=change)
    trigger = category_of(pack, Examination(nodule=nodule))
    return trigger.category if trigger else None


def test_one_category_is_replaced_and_the_others_stay() -> None:
    pack = screening(LUNG + CATEGORY_3)
    row = row_for(pack, "3", "2022")

    assert isinstance(row, CategoryRow)
    assert (row.statement, row.urgency, row.steps[0].interval.low) == ("LDCT at 5 to 6 months.", Urgency.INFO, 5)
    assert row.order is not None
    assert row.order.code.code == "79086-5"
    others = {code: one for code, one in pack.categories.items() if code != "3"}
    assert others == {code: one for code, one in bundled_screening().categories.items() if code != "3"}
    assert pack.triggers == bundled_screening().triggers


@pytest.mark.parametrize(
    ("mm", "change", "expected"),
    [
        (6.9, Change.BASELINE, "2"),
        (7.0, Change.BASELINE, "3"),
        (7.9, Change.BASELINE, "3"),
        (8.0, Change.BASELINE, "4A"),
        (14.9, Change.BASELINE, "4A"),
        (15.0, Change.BASELINE, "4B"),
        (3.9, Change.NEW, "2"),
        (4.0, Change.NEW, "3"),
        (7.9, Change.GROWING, "4A"),
        (8.0, Change.GROWING, "4B"),
    ],
)
def test_overridden_triggers_move_their_own_boundary_and_no_other(mm: float, change: Change, expected: str) -> None:
    assert category(screening(LUNG + SOLID_BASELINE), mm, change) == expected


def test_a_new_trigger_counts_before_the_products() -> None:
    own = SOLID_BASELINE.split("\n\n")[0].replace('"3-solid-baseline"', '"own"').replace('category = "3"', 'category = "4X"')
    pack = screening(LUNG + own)

    assert pack.triggers[0].trigger_id == "own"
    assert category(pack, 7.5) == "4X"
    assert category(pack, 6.5) == "3"


def test_growth_is_the_sites_to_set() -> None:
    pack = screening(LUNG + "[pack.growth]\nabove_mm = 2.0\n")

    assert (pack.growth_above_mm, pack.growth_within_months) == (2.0, 12)


@pytest.mark.parametrize(
    ("mm", "risk", "expected"),
    [
        (5.4, Risk.LOW, "F1-lt6"),
        (6.0, Risk.LOW, "F1-6-8"),
        (8.4, Risk.LOW, "F1-6-8"),
        (8.6, Risk.LOW, "F1-gt8"),
        (6.0, Risk.HIGH, "F2-6-8"),
    ],
)
def test_an_overridden_row_holds_where_the_products_did(mm: float, risk: Risk, expected: str) -> None:
    pack = nodules(NODULES + LOW_RISK_6_8)
    found = rows_for(pack, Nodule(attenuation=Attenuation.SOLID, diameter_mm=mm, count=1, risk=risk)).rows

    assert [row.row_id for row in found] == [expected]
    own = expected == "F1-6-8"
    assert [step.interval.low for row in found for step in row.steps][:1] == ([12] if own else before(expected))
    assert [row.statement for row in found] == (["CT at 12 months."] if own else [statement(expected)])


def before(row_id: str) -> list[int]:
    row = next(one for one in bundled_nodules().rows if one.row_id == row_id)
    return [step.interval.low for step in row.steps][:1]


def statement(row_id: str) -> str:
    return next(one.statement for one in bundled_nodules().rows if one.row_id == row_id)


@pytest.mark.parametrize(("word", "row"), [("up", "F1-6-8"), ("down", "F1-lt6")])
def test_a_site_decides_how_a_size_on_the_edge_is_rounded(word: str, row: str) -> None:
    pack = nodules(f'{NODULES}rounding_of_half = "{word}"\n')
    found = rows_for(pack, Nodule(attenuation=Attenuation.SOLID, diameter_mm=5.5, count=1, risk=Risk.LOW))

    assert pack.rounding_of_half is Rounding(word)
    assert [one.row_id for one in found.rows] == [row]


def test_exclusions_are_set_one_by_one() -> None:
    pack = nodules(NODULES + '[pack.exclusions]\nage_below = 30\nimmunosuppression_icd10 = ["b20"]\n')
    known = bundled_nodules().exclusions

    assert (pack.exclusions.age_below, pack.exclusions.immunosuppression_icd10) == (30, ("B20",))
    assert (pack.exclusions.cancer_snomed, pack.exclusions.screening) == (known.cancer_snomed, True)


def test_the_order_of_a_recommended_step_is_the_sites() -> None:
    pack = nodules(NODULES + '[pack.order]\nsystem = "http://loinc.org"\ncode = "24627-2"\n')

    assert pack.order.code.code == "24627-2"
    assert pack.rows == bundled_nodules().rows


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        (LUNG + CATEGORY_3.replace('code = "3"', 'code = "4C"'), "line 4: site.toml.pack[lung-rads-2022].category has 4C"),
        (LUNG + CATEGORY_3.replace("79086-5", "36643-5"), "which is no examination of the checked tables"),
        (LUNG + CATEGORY_3 * 2, "line 1: site.toml.pack[lung-rads-2022] has 3 twice"),
        (LUNG + CATEGORY_3.replace("low = 5, high = 6", "low = 500, high = 600"), "which is longer than 240 mo"),
        (LUNG + CATEGORY_3.replace('urgency = "info"', 'urgency = "critical"'), "line 8: site.toml.pack[lung-rads-2022]"),
        (LUNG + SOLID_BASELINE.replace('category = "2"', 'category = "2A"'), "names category 2A, which has no row"),
        (LUNG + SOLID_BASELINE.replace("from = 7.0", "from = 9.0"), "holds for no size"),
        (LUNG + SOLID_BASELINE.replace("from = 7.0", "from = 8.0"), "holds for no size"),
        (LUNG + SOLID_BASELINE.replace("from = 7.0", "above = 8.0"), "holds for no size"),
        (LUNG + CATEGORY_3.replace("step =", "# step ="), "has an order but no step: an order needs its date"),
        (LUNG + SOLID_BASELINE.replace("from = 7.0", "from = nan"), "diameter.from must be a number up to"),
        (LUNG + SOLID_BASELINE.replace('attenuation = "solid"', 'feature = "fluffy"'), "feature is fluffy, which is not"),
        (LUNG + 'rounding_of_half = "up"\n', "line 3: site.toml.pack[lung-rads-2022].rounding_of_half is not known"),
        (LUNG + "[pack.growth]\nwithin_months = 121\n", "line 4: site.toml.pack[lung-rads-2022].growth.within_months is 121"),
        (NODULES + LOW_RISK_6_8.replace('band = ["6-8"]', 'band = ["gt8"]'), "rows F1-6-8 and F1-gt8 both hold"),
        (NODULES + LOW_RISK_6_8.replace('band = ["6-8"]', "band = []"), "has no row for one nodule, solid, 6-8, low risk"),
        (NODULES + LOW_RISK_6_8.replace('"F1-6-8"', '"own"'), "rows own and F1-6-8 both hold"),
        (NODULES + 'rounding_of_half = "maybe"\n', "line 3: site.toml.pack[fleischner-2017].rounding_of_half must be one of"),
        (NODULES + "[pack.exclusions]\nage_below = -1\n", "line 4: site.toml.pack[fleischner-2017].exclusions.age_below is -1"),
        (NODULES + '[pack.exclusions]\ncancer_icd10 = [""]\n', "cancer_icd10 must hold beginnings of ICD-10 codes"),
        (NODULES + '[pack.exclusions]\ncancer_snomed = ["168731009"]\n', "168731009, which is in no checked code table"),
        (NODULES + '[pack.order]\nsystem = "http://loinc.org"\ncode = "36643-5"\n', "which is no examination of the checked"),
        (NODULES * 2, "line 1: site.toml has fleischner-2017 twice"),
    ],
)
def test_a_fault_of_a_row_names_file_and_line(toml: str, fault: str) -> None:
    found = faults(toml)

    assert any(fault in problem for problem in found), found
    assert all(problem.startswith("line ") and "site.toml" in problem for problem in found)


def test_a_range_of_one_size_is_one() -> None:
    one_size = SOLID_BASELINE.replace("{ from = 7.0, below = 8.0 }", "{ from = 7.0, up_to = 7.0 }")
    pack = screening(LUNG + one_size)

    assert [category(pack, mm) for mm in (6.9, 7.0, 7.1)] == ["2", "3", None]
