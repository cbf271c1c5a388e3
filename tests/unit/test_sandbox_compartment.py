"""Whose record a resource belongs to, and whether it matches a criterion."""

from __future__ import annotations

from typing import Any

import pytest

from ehr_sandbox.fhir_compartment import SHARED_TYPES, in_compartment, patients_of
from ehr_sandbox.fhir_matching import MatchContext, matches, parse_criterion
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS
from ehr_sandbox.fhir_references import references_in, resolved_urns, rewritten

BASE = "http://127.0.0.1:8001/fhir"
CONTEXT = MatchContext(base_url=BASE, now=1_790_000_000.0)


@pytest.mark.parametrize(
    ("resource", "patients"),
    [
        ({"resourceType": "Patient", "id": "a"}, {"a"}),
        ({"resourceType": "Patient"}, set()),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/a"}}, {"a"}),
        ({"resourceType": "Observation", "subject": {"reference": f"{BASE}/Patient/a/_history/2"}}, {"a"}),
        ({"resourceType": "Observation", "subject": {"reference": "https://other.example/fhir/Patient/a"}}, set()),
        ({"resourceType": "Observation", "subject": {"reference": "Group/a"}}, set()),
        ({"resourceType": "Observation", "performer": [{"reference": "Patient/a"}]}, set()),
        ({"resourceType": "Task", "for": {"reference": "Patient/a"}}, {"a"}),
        (
            {
                "resourceType": "AuditEvent",
                "agent": [{"who": {"reference": "Practitioner/p"}}],
                "entity": [{"what": {"reference": "Patient/a"}}, {"what": {"reference": "Patient/b"}}],
            },
            {"a", "b"},
        ),
        ({"resourceType": "Binary", "securityContext": {"reference": "Patient/a"}}, {"a"}),
        ({"resourceType": "Device", "patient": {"reference": "Patient/a"}}, {"a"}),
    ],
)
def test_patients_of(resource: dict[str, Any], patients: set[str]) -> None:
    assert patients_of(resource, BASE) == patients


def test_only_shared_types_are_open_without_a_patient() -> None:
    for resource_type in SEARCH_PARAMETERS:
        assert in_compartment({"resourceType": resource_type}, "a", BASE) == (resource_type in SHARED_TYPES)


def test_a_shared_type_that_names_a_patient_is_that_patients() -> None:
    device = {"resourceType": "Device", "patient": {"reference": "Patient/b"}}

    assert not in_compartment(device, "a", BASE)
    assert in_compartment(device, "b", BASE)


def test_every_type_has_the_common_parameters() -> None:
    for parameters in SEARCH_PARAMETERS.values():
        assert {"_id", "_lastUpdated", "_tag", "_profile", "_security"} <= set(parameters)


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("code", "http://s|1", True),
        ("code", "http://s|", True),
        ("code", "http://other|1", False),
        ("code", "|1", False),
        ("code", "1,2", True),
        ("code:not", "1", False),
        ("status", "final", True),
        ("status", "|final", True),
        ("subject", "Patient/a", True),
        ("subject", f"{BASE}/Patient/a", True),
        ("subject:Patient", "a", True),
        ("subject:Device", "a", False),
        ("date", "2026-03", True),
        ("date", "gt2026-03", False),
    ],
)
def test_criteria(key: str, value: str, found: bool) -> None:
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://s", "code": "1"}]},
        "subject": {"reference": "Patient/a"},
        "effectiveDateTime": "2026-03-01",
    }
    criterion = parse_criterion("Observation", key, value)

    assert criterion is not None
    assert matches(observation, criterion, CONTEXT) is found


def test_references_are_found_renamed_and_resolved_without_touching_other_text() -> None:
    resource = {
        "identifier": [{"value": "urn:uuid:1"}],
        "subject": {"reference": "urn:uuid:1"},
        "item": [{"deep": {"reference": "A/1"}}],
    }

    assert list(references_in(resource)) == ["urn:uuid:1", "A/1"]
    assert resolved_urns(resource, {"urn:uuid:1": "Patient/1"})["subject"] == {"reference": "Patient/1"}
    assert resolved_urns(resource, {"urn:uuid:1": "Patient/1"})["identifier"] == [{"value": "urn:uuid:1"}]
    assert rewritten(resource, str.lower)["item"] == [{"deep": {"reference": "a/1"}}]
