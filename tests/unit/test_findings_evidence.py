"""Which rows of the rule packs still need a clinician's check: the tags of the specification, row by row.

A row that loses its tag speaks as if somebody had checked it; so each tag is written down here a second time.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources

import pytest

from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NODULE, NOW, a_lung_rads, a_patient, a_study, concept

# Pack to the rows, categories, triggers and findings with tag [C]; all others have tag [S].
UNCHECKED = {
    "aaa_acr_2013": set[str](),
    "aaa_svs_2018": set[str](),
    "actionable_2014": {"intracranial-haemorrhage", "pneumothorax", "pulmonary-embolism"},
    "adrenal_acr_2017": {"symptomatic", "cancer", "10-20", "20-40", "ge40"},
    "bi_rads_5": {"3"},
    "bosniak_2019": {"I-II", "IIF", "III-IV"},
    "fleischner_2017": {"F2-gt8", "F6-ge6"},
    "li_rads_ct_mr_2018": {"not-at-risk", "NC", "1-2", "3", "4", "5-M-TIV"},
    "lung_rads_2022": {"4B", "4X", "4A-atypical-cyst", "4B-growing-cyst"},
    "o_rads_us_2022": {"2-haemorrhagic"},
    "pi_rads_2_1": {"X", "1-2", "3", "4-5"},
    "ti_rads_2017": {"TR3-follow", "TR3-small", "TR4-follow", "TR4-small", "TR5-follow", "TR5-small"},
    "us_li_rads_2017": {"not-at-risk", "US-1", "US-3"},
}


def tags(value: object) -> Iterator[tuple[str, str]]:
    """Each tagged table of a pack: its id (or category) and its tag."""
    if isinstance(value, dict):
        if "evidence" in value:
            yield value.get("id") or value.get("code") or "", value["evidence"]
        for member in value.values():
            yield from tags(member)
    elif isinstance(value, list):
        for member in value:
            yield from tags(member)


def test_every_pack_is_listed() -> None:
    folder = resources.files("imaging_findings") / "packs"

    assert {one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml")} == set(UNCHECKED)


@pytest.mark.parametrize("pack", UNCHECKED)
def test_the_rows_that_need_a_clinicians_check_are_those_of_the_specification(pack: str) -> None:
    """Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y10, Y11."""
    source = resources.files("imaging_findings") / "packs" / f"{pack}.toml"
    tagged = list(tags(tomllib.loads(source.read_text(encoding="utf-8"))))

    assert len(tagged) >= 3
    assert {name for name, tag in tagged if tag == "C"} == UNCHECKED[pack]
    assert {tag for _, tag in tagged} <= {"S", "C"}


@pytest.mark.parametrize(
    ("feature", "category", "unchecked"),
    [("atypical-cyst", "4A", True), ("growing-cyst", "4B", True), ("airway-segmental", "4A", False)],
)
def test_a_measurement_that_meets_an_unchecked_line_of_lung_rads_says_so(feature: str, category: str, unchecked: bool) -> None:
    """L4A, L4B."""
    coded = {"code": concept(NODULE, "feature"), "valueCodeableConcept": concept(NODULE, feature)}
    chart = {"patient": [a_patient()], "findings": [a_lung_rads("3", component=[coded])], "studies": [a_study()]}
    empty = dict.fromkeys(("orders", "reports", "conditions", "smoking", "communications"), ())

    (guidance,) = judge(read_facts(empty | chart, "p"), bundled_packs(), NOW).guidance

    note = f"The coded measurements alone would fit category {category} of the table."
    assert guidance.notes == (note + (" This line of the table still needs a clinician's check." if unchecked else ""),)
