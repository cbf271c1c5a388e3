"""Reading the session's Patient: an answer of 200 that is none verifies nobody's identity (wrong-patient guard)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import jsonify

from tests.contract.smart_actors import FakeEhr, a_world, demo_record, patient_a


@pytest.mark.parametrize(
    "answer",
    [
        {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "security"}]},
        {name: value for name, value in patient_a().items() if name != "id"},
        {**patient_a(), "id": "another"},
        {},
    ],
    ids=["an outcome", "no id", "another id", "nothing"],
)
def test_an_answer_that_is_not_the_patient_is_said_to_be_none(tmp_path: Path, answer: dict[str, Any]) -> None:
    class Odd(FakeEhr):
        def _read(self, resource_type: str, resource_id: str) -> Any:
            return jsonify(answer) if resource_type == "Patient" else super()._read(resource_type, resource_id)

    with a_world(tmp_path, ehr=Odd(fhir=demo_record())) as world:
        page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert "Identity not readable here" in page.text
    assert "SYNTHETIC" not in page.text
    assert "did not answer the question for the patient&#39;s name" in page.text
