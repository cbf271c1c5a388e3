"""N1, N6 and T7: eGFR units and codes as laboratories write them; what cannot be read is told as it stands."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.contrast import ContrastFacts, contrast_advice
from imaging_findings.order_chart import ORDER_QUERIES
from imaging_findings.order_policy import OrderPolicy
from imaging_findings.patient_facts import latest_egfr
from imaging_findings.study_kinds import Contrast
from tests.cds_actors import LOINC, NOW, concept
from tests.order_actors import TODAY, UCUM, a_kind, an_egfr, an_imaging_order

CT = an_imaging_order(a_kind("CT", "abdomen", contrast=Contrast.WITH))


def told(resource: dict[str, Any]) -> tuple[str, str] | None:
    """Rule and headline of what is said of a CT with contrast."""
    found = contrast_advice(CT, ContrastFacts(egfr=latest_egfr([resource], NOW)), OrderPolicy(), TODAY)
    return next(((one.rule_id, one.headline) for one in found), None)


@pytest.mark.parametrize(
    "unit",
    [
        "mL/min/1.73m2",
        "ml/min/1.73m²",
        "mL/min/1.73 m²",
        "mL/min/1.73 m^2",
        "mL/min/1.73m*2",
        "mL/min/1.73m**2",
        "mL/min/1.73_m2",
        "mL/min/{1.73_m2}",
        "ML/MIN/1.73 M2",
        "mL/min per 1.73 m2",
        "mL / min / 1,73 m²",
        "mL/min/(1.73)",
        "mL/min/1.73 sq m",
        "mL/min/1.73qm",
    ],
)
@pytest.mark.parametrize("member", ["unit", "code"])
def test_n1_t7_the_unit_per_surface_however_it_is_written(unit: str, member: str) -> None:
    resource = an_egfr(None, valueQuantity={"value": 27, member: unit})

    assert told(resource) == ("contrast/N1", "iodinated contrast with eGFR 27 mL/min/1.73 m² (2026-11-16)")


def test_t7_the_ucum_code_counts_before_the_unit_and_a_code_of_another_system_does_not() -> None:
    contrary = {"value": 27, "unit": "mL/min", "code": "mL/s", "system": UCUM}
    local = {"value": 27, "unit": "ml/min", "code": "U17", "system": "urn:oid:2.999.1"}

    assert (told(an_egfr(None, valueQuantity=contrary)) or ("", ""))[0] == "contrast/egfr-unclear"
    assert (told(an_egfr(None, valueQuantity=local)) or ("", ""))[0] == "contrast/N1"


@pytest.mark.parametrize(
    ("members", "headline"),
    [
        ({"valueQuantity": {"value": 0.4, "unit": "mL/s"}}, "the unit of the latest eGFR is not recognised (0.4 mL/s, {day})"),
        ({"valueQuantity": {"value": 27}}, "the unit of the latest eGFR is not recognised (27 without unit, {day})"),
        ({"valueQuantity": {"value": 4000, "unit": "mL/min"}}, "the latest eGFR is no plain number (4000 mL/min, {day})"),
        ({"valueString": "27 mL/min"}, "the latest eGFR is no plain number (27 mL/min, {day})"),
        ({"valueString": "haemolysed"}, "the latest eGFR is no plain number (haemolysed, {day})"),
        ({"valueQuantity": {"unit": "mL/min"}}, "the latest eGFR is no plain number (without value, {day})"),
        ({}, "the latest eGFR is no plain number (without value, {day})"),
    ],
)
def test_t7_what_cannot_be_read_is_told_as_it_stands(members: dict[str, Any], headline: str) -> None:
    expected = ("contrast/egfr-unclear", f"iodinated contrast; {headline.format(day='2026-11-16')}")

    assert told(an_egfr(None, **members)) == expected


@pytest.mark.parametrize(("written", "rule"), [("≥90 mL/min", None), ("≤ 15", "contrast/N1"), ("≤30", "contrast/egfr-unclear")])
def test_t7_the_signs_of_one_character_are_bounds_too(written: str, rule: str | None) -> None:
    assert (told(an_egfr(None, valueString=written)) or (None,))[0] == rule


@pytest.mark.parametrize(
    "code",
    [
        "98979-8",
        "62238-1",
        "77147-7",
        "33914-3",
        "48642-3",
        "48643-1",
        "69405-9",
        "50044-7",
        "70969-1",
        "76633-7",
        "88294-4",
        "88293-6",
        "50210-4",
        "50384-7",
        "94677-2",
        "98980-6",
    ],
)
def test_n1_every_common_code_of_an_egfr_is_asked_for_and_read(code: str) -> None:
    (labs,) = [query for query in ORDER_QUERIES if query.key == "labs"]

    assert (told(an_egfr(12, code=concept(LOINC, code))) or ("", ""))[0] == "contrast/N1"
    assert f"{LOINC}|{code}" in labs.template


def test_n1_another_observation_is_no_egfr() -> None:
    assert told(an_egfr(12, code=concept(LOINC, "82810-3"))) is None
