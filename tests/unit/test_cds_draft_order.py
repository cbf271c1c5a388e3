"""The draft order as FHIR R4: what it must hold (X6), and that a wrong one cannot be written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from fhir.resources.R4B.servicerequest import ServiceRequest

from fhir_imaging.fhir_mapping.service_request import DraftOrder, draft_service_request


def an_order(**members: Any) -> DraftOrder:
    base: dict[str, Any] = {
        "patient_id": "p",
        "code_system": "http://loinc.org",
        "code": "29252-4",
        "code_display": "CT Chest WO contrast",
        "due_from": date(2027, 4, 1),
        "due_until": date(2027, 10, 1),
        "authored_on": datetime(2026, 11, 21, 9, 0, tzinfo=UTC),
    }
    return DraftOrder(**base | members)


def test_x6_the_least_order_has_subject_status_intent_code_and_date() -> None:
    written = draft_service_request(an_order())

    assert written == {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/p"},
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "29252-4", "display": "CT Chest WO contrast"}],
            "text": "CT Chest WO contrast",
        },
        "authoredOn": "2026-11-21T09:00:00+00:00",
        "occurrencePeriod": {"start": "2027-04-01", "end": "2027-10-01"},
    }
    ServiceRequest.model_validate(written)


def test_a_single_day_is_a_date_and_not_a_period() -> None:
    written = draft_service_request(an_order(due_until=date(2027, 4, 1)))

    assert written["occurrenceDateTime"] == "2027-04-01"
    assert "occurrencePeriod" not in written


def test_everything_that_an_order_may_say() -> None:
    order = an_order(
        requester="PractitionerRole/r",
        encounter_id="e",
        reasons=("Observation/o",),
        supporting=("ImagingStudy/s",),
        note="Low dose",
    )

    written = draft_service_request(order)

    assert written["requester"] == {"reference": "PractitionerRole/r"}
    assert written["encounter"] == {"reference": "Encounter/e"}
    assert written["reasonReference"] == [{"reference": "Observation/o"}]
    assert written["supportingInfo"] == [{"reference": "ImagingStudy/s"}]
    assert written["note"] == [{"text": "Low dose"}]
    ServiceRequest.model_validate(written)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        draft_service_request(an_order(authored_on=datetime(2026, 11, 21, 9, 0)))  # noqa: DTZ001 - the point of the test
