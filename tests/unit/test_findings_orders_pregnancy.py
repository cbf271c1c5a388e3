"""P: who is asked about a pregnancy, and what counts as recorded."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from imaging_findings.order_policy import OrderPolicy
from imaging_findings.pregnancy import PregnancyFacts, pregnancy_advice
from imaging_findings.pregnancy_records import pregnancy_records
from imaging_findings.rules import Urgency
from imaging_findings.study_kinds import Contrast, StudyKind
from tests.cds_actors import LOINC, NOW, SCT, a_condition, concept
from tests.order_actors import TODAY, a_kind, an_imaging_order, days_ago

PELVIS = a_kind("CT", "pelvis")
SILENT = None
ASKS = ("pregnancy/not-recorded", Urgency.INFO)
WARNS = ("pregnancy/recorded", Urgency.WARNING)


def born(years: int) -> date:
    """Turned this many years old today."""
    return TODAY.replace(year=TODAY.year - years)


def said(kind: StudyKind = PELVIS, **facts: Any) -> tuple[str, Urgency] | None:
    known = PregnancyFacts(**{"gender": "female", "birth_date": born(30)} | facts)
    advice = pregnancy_advice(an_imaging_order(kind), known, OrderPolicy(), TODAY)
    return (advice.rule_id, advice.urgency) if advice else None


def a_status(value: str, ago: int = 3, system: str = LOINC, **members: Any) -> dict[str, Any]:
    base = {"resourceType": "Observation", "status": "final", "code": concept(LOINC, "82810-3")}
    return base | {"valueCodeableConcept": concept(system, value), "effectiveDateTime": str(days_ago(ago))} | members


@pytest.mark.parametrize(("years", "expected"), [(11, SILENT), (12, ASKS), (50, ASKS), (51, SILENT)])
def test_p_age_boundaries(years: int, expected: tuple[str, Urgency] | None) -> None:
    assert said(birth_date=born(years)) == expected


@pytest.mark.parametrize(
    ("gender", "expected"), [("female", ASKS), ("unknown", ASKS), ("other", ASKS), (None, ASKS), ("male", SILENT)]
)
def test_p_sex_female_or_unknown(gender: str | None, expected: tuple[str, Urgency] | None) -> None:
    assert said(gender=gender) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (a_kind("XR", "abdomen"), ASKS),
        (a_kind("XA", "pelvis"), ASKS),
        (a_kind("NM", "skeleton"), ASKS),
        (a_kind("CT", "head"), SILENT),
        (a_kind("US", "pelvis"), SILENT),
        (a_kind("MR", "pelvis"), SILENT),
        (a_kind("MR", "pelvis", contrast=Contrast.WITH), SILENT),
    ],
)
def test_p_examinations_that_are_asked_about(kind: StudyKind, expected: tuple[str, Urgency] | None) -> None:
    assert said(kind) == expected


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (a_status("LA15173-0"), WARNS),
        (a_status("77386006", system=SCT), WARNS),
        (a_status("LA26683-5"), SILENT),
        (a_status("LA26683-5", ago=30), SILENT),
        (a_status("LA26683-5", ago=31), ASKS),
        (a_status("LA15173-0", ago=294), WARNS),
        (a_status("LA15173-0", ago=295), ASKS),
        (a_status("LA15173-0", status="entered-in-error"), ASKS),
        (a_status("10828004", system=SCT, code=concept(LOINC, "2106-3")), WARNS),
        (a_status("260385009", system=SCT, code=concept(LOINC, "2118-8")), SILENT),
    ],
)
def test_p_status_and_tests(observation: dict[str, Any], expected: tuple[str, Urgency] | None) -> None:
    assert said(records=pregnancy_records([observation], [], NOW)) == expected


def test_p_the_latest_record_counts() -> None:
    records = pregnancy_records([a_status("LA15173-0", ago=20), a_status("LA26683-5", ago=2)], [], NOW)

    assert said(records=records) is SILENT


def test_p_an_active_condition_counts_also_for_gadolinium_and_at_unknown_age() -> None:
    records = pregnancy_records([], [a_condition("http://hl7.org/fhir/sid/icd-10-cm", "Z33.1")], NOW)

    assert said(records=records) == WARNS
    assert said(a_kind("MR", "head", contrast=Contrast.WITH), records=records) == WARNS
    assert said(a_kind("MR", "head"), records=records) is SILENT
    assert said(birth_date=None, records=records) == WARNS


def test_t11_without_a_birth_date_nobody_is_asked() -> None:
    assert said(birth_date=None) is SILENT


def test_p_the_words_do_not_frighten() -> None:
    facts = PregnancyFacts(gender="female", birth_date=born(30), records=pregnancy_records([a_status("LA15173-0")], [], NOW))

    advice = pregnancy_advice(an_imaging_order(PELVIS), facts, OrderPolicy(), TODAY)

    assert advice is not None
    assert "risk to the fetus is low" in dict(advice.lines)["Advice"]
