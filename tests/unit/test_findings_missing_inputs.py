"""Gd, T11 for every table pack: of a complete assessment any input may be missing, and then there is no interval and no order.

The assessments are made from the rows themselves, so that a row that somebody adds is tried with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imaging_findings.advice import Guidance, Judgement
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs, bundled_tables
from imaging_findings.rules import Packs, SizeRange, TablePack, TableRow
from tests.cds_actors import NOW, a_patient, a_study, an_observation, concept
from tests.examples import examples

OWN = "https://imaging-cds.example/fhir/CodeSystem/imaging-assessment"
UNITS = {"max-diameter": "mm", "attenuation-hu": "[hnsf'U]"}
# What is said of the inputs that a row leaves open, so that no row above it holds.
OPEN_NUMBERS, OPEN_WORD = {"attenuation-hu": 30.0, "max-diameter": 15.0}, "no"
CASES = [(pack, row) for pack in bundled_tables() for row in pack.rows if row.steps]


@dataclass(frozen=True, slots=True)
class Assessed:
    """A complete assessment in parts, each of which may be left out: inputs by name, category, version, study date."""

    pack: TablePack
    inputs: Mapping[str, float | str]
    category: str | None
    number: str | None = None
    """The number that stands for the category where none is coded (TI-RADS points)."""

    @property
    def parts(self) -> list[str]:
        category = ["category"] if self.category and not self.number else []
        # The site's choice of an aortic table names the guideline, where the finding names none (Gb).
        version = [] if self.pack.choice else ["version"]
        return [*self.inputs, *category, *version, "study date"]

    def judged(self, *, without: Iterable[str] = ()) -> Judgement:
        left_out = set(without)
        guideline = self.pack.info.guideline
        version = None if "version" in left_out else guideline.version
        stated: dict[str, Any] = {"code": concept(OWN, self.pack.reads)}
        stated["component"] = [component(name, value) for name, value in self.inputs.items() if name not in left_out]
        if self.category and not self.number and "category" not in left_out:
            stated["valueCodeableConcept"] = concept(guideline.system, self.category, version)
        elif not (self.pack.choice and version is None):
            stated["method"] = concept(guideline.system, guideline.code or self.pack.reads, version)
        study = a_study(**({"started": None} if "study date" in left_out else {}))
        chart = {"patient": [a_patient()], "findings": [an_observation(**stated)], "studies": [study]}
        if "study date" in left_out:
            del chart["findings"][0]["effectiveDateTime"]
        empty = dict.fromkeys(("orders", "reports", "conditions", "smoking", "communications"), ())
        return judge(read_facts(empty | chart, "p"), with_only(self.pack), NOW)


def with_only(pack: TablePack) -> Packs:
    packs = bundled_packs()
    return Packs(screening=packs.screening, nodules=packs.nodules, actionable=packs.actionable, tables=(pack,))


def component(name: str, value: float | str) -> dict[str, Any]:
    code = {"code": concept(OWN, name)}
    if isinstance(value, str):
        return code | (
            {"valueBoolean": value == "yes"} if value in ("yes", "no") else {"valueCodeableConcept": concept(OWN, value)}
        )
    if name == "points":
        return code | {"valueInteger": int(value)}
    return code | {"valueQuantity": {"value": value, "code": UNITS[name], "system": "http://unitsofmeasure.org"}}


def sizes(wanted: SizeRange, *, whole: bool = False) -> st.SearchStrategy[float]:
    """Values of the range, to a tenth (points: whole)."""
    step = 1 if whole else 10
    low = next((bound for bound in (wanted.at_least, wanted.above) if bound is not None), 0.0)
    high = next((bound for bound in (wanted.up_to, wanted.below) if bound is not None), low + 40)
    return st.integers(int(low * step), int(high * step)).map(lambda tenth: tenth / step).filter(wanted.holds)


@st.composite
def complete(draw: st.DrawFn, pack: TablePack, row: TableRow) -> Assessed:
    """What a reader would have to state for this row to hold."""
    category = draw(st.sampled_from(sorted(row.categories))) if row.categories else None
    inputs: dict[str, float | str] = {name: draw(sizes(wanted)) for name, wanted in row.numbers}
    inputs |= dict(row.words)
    if not pack.asks_category:
        asked = {name for one in pack.rows for name, _ in one.numbers}, {name for one in pack.rows for name, _ in one.words}
        inputs = {name: OPEN_NUMBERS[name] for name in asked[0]} | dict.fromkeys(asked[1], OPEN_WORD) | inputs
    of_points = [one for one in pack.derived if one.category == category]
    if of_points and draw(st.booleans()):
        (derived,) = of_points
        return Assessed(pack, inputs | {derived.number: draw(sizes(derived.range, whole=True))}, category, derived.number)
    return Assessed(pack, inputs, category)


@pytest.mark.parametrize(("pack", "row"), CASES, ids=[f"{pack.info.pack_id}/{row.row_id}" for pack, row in CASES])
@settings(max_examples=examples(12), deadline=None)
@given(data=st.data())
def test_t11_no_interval_and_no_order_where_any_input_is_missing(pack: TablePack, row: TableRow, data: st.DataObject) -> None:
    """Gd, T11."""
    assessed = data.draw(complete(pack, row))
    whole = assessed.judged()
    assert [one.rule_id for one in (*whole.guidance, *whole.suppressed)] == [f"{pack.info.pack_id}/{row.row_id}"]
    assert all(one.next_step is not None and not one.missing for one in whole.guidance)

    without = data.draw(st.sets(st.sampled_from(assessed.parts), min_size=1))
    judgement = assessed.judged(without=without)

    for one in judgement.guidance:
        assert (one.next_step, one.planned, one.order) == (None, (), None), without
        assert one.missing, without


@pytest.mark.parametrize(("pack", "row"), CASES, ids=[f"{pack.info.pack_id}/{row.row_id}" for pack, row in CASES])
@settings(max_examples=examples(3), deadline=None)
@given(data=st.data())
def test_gd_each_single_input_that_is_missing_is_named(pack: TablePack, row: TableRow, data: st.DataObject) -> None:
    """Gd: and never is the finding passed over for want of one."""
    assessed = data.draw(complete(pack, row))

    for part in assessed.parts:
        (guidance,) = assessed.judged(without=[part]).guidance
        assert isinstance(guidance, Guidance)
        assert guidance.missing, part
        assert (guidance.next_step, guidance.order) == (None, None), part


def test_every_table_pack_that_gives_an_interval_is_among_the_cases() -> None:
    assert {pack.reads for pack, _ in CASES} == {
        "abdominal-aorta",
        "adrenal-nodule",
        "bi-rads",
        "bosniak",
        "li-rads-ct-mr",
        "o-rads-us",
        "ti-rads",
        "us-li-rads",
    }
    assert {pack.info.pack_id for pack, _ in CASES} >= {"aaa-acr-2013", "aaa-svs-2018"}
