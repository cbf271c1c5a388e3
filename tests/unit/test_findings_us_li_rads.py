"""Y3: US LI-RADS gives times for categories 1 and 2, and an examination without a time for category 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imaging_findings.advice import Guidance, Suppressed
from imaging_findings.facts import read_facts
from imaging_findings.guidance import judge
from imaging_findings.packs import bundled_packs
from tests.cds_actors import NOW, a_patient, a_study, an_observation, concept

BASE = "https://imaging-cds.example/fhir/CodeSystem"
OWN = f"{BASE}/imaging-assessment"


def an_ultrasound(category: str, *, at_risk: bool) -> dict[str, Any]:
    return an_observation(
        code=concept(OWN, "us-li-rads"),
        valueCodeableConcept=concept(f"{BASE}/us-li-rads", category, "2017"),
        component=[{"code": concept(OWN, "at-risk"), "valueBoolean": at_risk}],
    )


def spoken(finding: Mapping[str, Any], studied: str = "2026-10-01") -> Guidance | Suppressed:
    empty: dict[str, list[Mapping[str, Any]] | None] = {
        key: [] for key in ("orders", "reports", "conditions", "smoking", "communications")
    }
    study = a_study(started=studied)
    facts = read_facts(empty | {"patient": [a_patient()], "findings": [finding], "studies": [study]}, "p")
    judgement = judge(facts, bundled_packs(), NOW)
    (one,) = (*judgement.guidance, *judgement.suppressed)
    return one


@pytest.mark.parametrize(
    ("category", "studied", "due"),
    [
        ("US-1", "2026-05-01", "2026-11-01"),
        ("US-2", "2026-10-01", "2027-01-01 to 2027-04-01"),
        ("US-3", "2026-10-01", None),
    ],
)
def test_y3_times_of_us_li_rads_and_none_for_category_3(category: str, studied: str, due: str | None) -> None:
    guidance = spoken(an_ultrasound(category, at_risk=True), studied)

    assert isinstance(guidance, Guidance)
    assert (str(guidance.next_step.due) if guidance.next_step else None) == due
    assert guidance.order is None


def test_y3_nothing_is_firm_and_nothing_ever_overdue() -> None:
    guidance = spoken(an_ultrasound("US-2", at_risk=True), "2020-01-01")

    assert isinstance(guidance, Guidance)
    assert guidance.next_step is not None
    assert not guidance.next_step.firm
    assert not guidance.overdue


def test_y3_outside_of_the_population_at_risk_no_time_is_given() -> None:
    guidance = spoken(an_ultrasound("US-2", at_risk=False))

    assert isinstance(guidance, Guidance)
    assert guidance.rule_id == "us-li-rads-2017/not-at-risk"
    assert guidance.next_step is None
