"""N4, N5: metformin wherever a chart may say it: ordered, reported, in a combination, contained or by reference."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.medications import takes_metformin
from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, read_order_chart
from imaging_findings.order_policy import OrderPolicy
from tests.cds_actors import NOW, a_patient, concept
from tests.order_actors import TODAY, a_metformin, days_ago

ATC = "http://www.whocc.no/atc"


def a_statement(**members: Any) -> dict[str, Any]:
    stated = {
        "resourceType": "MedicationStatement",
        "id": "stated",
        "status": "active",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": concept(ATC, "A10BA02"),
    }
    return stated | members


def is_taken(resource: dict[str, Any]) -> bool:
    return takes_metformin([resource], TODAY) is not None


@pytest.mark.parametrize(
    ("status", "taken"),
    [
        ("active", True),
        ("intended", True),
        ("on-hold", True),
        ("unknown", True),
        ("recorded", True),
        (None, True),
        ("completed", False),
        ("stopped", False),
        ("not-taken", False),
        ("entered-in-error", False),
        ("draft", False),
        ("ACTIVE", False),
    ],
)
def test_statuses_of_a_reported_medication(status: str | None, taken: bool) -> None:
    assert is_taken(a_statement(status=status)) is taken


@pytest.mark.parametrize(
    ("status", "taken"),
    [("active", True), ("on-hold", True), ("unknown", True), (None, True), ("draft", False), ("cancelled", False)],
)
def test_statuses_of_an_ordered_medication(status: str | None, taken: bool) -> None:
    assert is_taken(a_metformin(status=status)) is taken


@pytest.mark.parametrize(("end", "taken"), [(days_ago(0), True), (days_ago(1), False), (days_ago(-1), True), ("2026", True)])
def test_a_reported_medication_ends_after_its_last_day(end: object, taken: bool) -> None:
    assert is_taken(a_statement(effectivePeriod={"start": "2020-01-01", "end": str(end)})) is taken


@pytest.mark.parametrize(
    "members",
    [
        {"medicationCodeableConcept": concept(ATC, "A10BD07")},
        {"medicationCodeableConcept": concept(ATC, "A10BD27")},
        {"medicationCodeableConcept": {"text": "Sitagliptin/Metformin 50 mg/1000 mg"}},
        {"medicationCodeableConcept": {"text": "vildagliptine et metformine"}},
        {
            "medicationCodeableConcept": None,
            "medicationReference": {"reference": "Medication/m", "display": "Metformin 850 mg"},
        },
        {"medicationCodeableConcept": None, "medication": {"concept": {"text": "metformin"}}},
        {"medicationCodeableConcept": None, "medication": {"reference": {"display": "metformin"}}},
        {
            "medicationCodeableConcept": {"text": "Combination tablet"},
            "contained": [
                {
                    "resourceType": "Medication",
                    "ingredient": [
                        {"itemCodeableConcept": {"text": "Sitagliptin"}},
                        {"itemCodeableConcept": concept(ATC, "A10BA02")},
                    ],
                }
            ],
        },
        {
            "medicationCodeableConcept": None,
            "contained": [{"resourceType": "Medication", "ingredient": [{"item": {"concept": {"text": "Metformin"}}}]}],
        },
    ],
    ids=["atc-2", "atc-3", "name", "french", "reference", "r5-concept", "r5-reference", "ingredient", "r5-ingredient"],
)
def test_combinations_and_every_way_to_name_them(members: dict[str, Any]) -> None:
    assert is_taken(a_statement(**members))


@pytest.mark.parametrize("code", ["A10BD01", "A10BD04", "A10BD06", "A10BD09", "A10BD12", "A10BD19", "A10BD21", "A10BD24"])
def test_combinations_without_metformin_are_none(code: str) -> None:
    assert not is_taken(a_statement(medicationCodeableConcept=concept(ATC, code)))


def test_r5_says_in_adherence_that_nothing_is_taken() -> None:
    stopped = concept("http://hl7.org/fhir/CodeSystem/medication-statement-adherence", "not-taking")

    assert not is_taken(a_statement(status="recorded", adherence={"code": stopped}))


@pytest.mark.parametrize("key", ["medications", "medication-statements"])
def test_both_reach_the_chart(key: str) -> None:
    resource = a_metformin() if key == "medications" else a_statement()
    answers: dict[str, Any] = {query.key: () for query in ORDER_QUERIES} | {"patient": [a_patient()], key: [resource]}
    moment = ChartMoment(patient_id="p", encounter_id=None, now=NOW)

    assert read_order_chart(answers, moment, OrderPolicy()).contrast.metformin is not None
    stranger = answers | {key: [resource | {"subject": {"reference": "Patient/other"}}]}
    assert read_order_chart(stranger, moment, OrderPolicy()).contrast.metformin is None
