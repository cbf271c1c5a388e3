"""O4: which cancers make repeated imaging a matter of course, and which do not."""

from __future__ import annotations

from typing import Any

import pytest

from imaging_findings.order_chart import ORDER_QUERIES, ChartMoment, read_order_chart
from imaging_findings.order_policy import OrderPolicy
from tests.cds_actors import NOW, SCT, a_condition, a_patient, concept

ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"


def cancer_in(*conditions: dict[str, Any]) -> str | None:
    empty: dict[str, Any] = {query.key: () for query in ORDER_QUERIES}
    moment = ChartMoment(patient_id="p", encounter_id=None, now=NOW)
    return read_order_chart(empty | {"patient": [a_patient()], "conditions": conditions}, moment, OrderPolicy()).cancer


def verified(code: str) -> dict[str, Any]:
    return {"verificationStatus": concept(VERIFICATION, code)}


@pytest.mark.parametrize("members", [{}, verified("confirmed")], ids=["unstated", "confirmed"])
def test_o4_a_confirmed_cancer_is_staged_again(members: dict[str, Any]) -> None:
    assert cancer_in(a_condition(ICD_10_CM, "C34.1", **members)) is not None


@pytest.mark.parametrize("status", ["differential", "provisional", "unconfirmed", "refuted", "entered-in-error"])
def test_o4_a_suspected_or_refuted_cancer_silences_no_repeat(status: str) -> None:
    assert cancer_in(a_condition(ICD_10_CM, "C34.1", **verified(status))) is None


@pytest.mark.parametrize("code", ["C44.31", "C44", "c44.9", "D05.1", "D03.5"])
def test_o4_no_skin_cancer_but_melanoma_and_nothing_in_situ_is_staged_by_imaging(code: str) -> None:
    assert cancer_in(a_condition(ICD_10_CM, code)) is None
    both = concept(ICD_10_CM, code)
    both["coding"] += concept(SCT, "363346000")["coding"]
    assert cancer_in(a_condition(ICD_10_CM, code) | {"code": both}) is None, "the closer code counts"


def test_o4_a_melanoma_or_a_second_cancer_counts() -> None:
    assert cancer_in(a_condition(ICD_10_CM, "C43.5")) is not None
    assert cancer_in(a_condition(ICD_10_CM, "C44.3"), a_condition(ICD_10_CM, "C50.9", id="other")) is not None


@pytest.mark.parametrize("status", ["resolved", "remission", "inactive"])
def test_o4_a_cancer_that_is_not_active_silences_nothing(status: str) -> None:
    clinical = concept("http://terminology.hl7.org/CodeSystem/condition-clinical", status)

    assert cancer_in(a_condition(ICD_10_CM, "C34.1", clinicalStatus=clinical)) is None
