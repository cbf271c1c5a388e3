"""Who may read an Endpoint: whoever may read ImagingStudy or Endpoint of a patient in context (SMART Imaging Access F4, F8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_imaging.scopes import parse_scopes
from imaging_server.access import AccessGrant, FhirPatientId
from imaging_server.policy import Granted, Reason, Refused, decide_endpoint

GRANT = AccessGrant(
    ehr="north",
    issuer="https://ehr.example",
    patient_id=FhirPatientId("pat-a"),
    scopes=parse_scopes("patient/ImagingStudy.rs"),
    user=None,
    client_id=None,
    expires_at=100,
    token_reference="jti",
)


@pytest.mark.parametrize(
    "scope", ["patient/ImagingStudy.r", "patient/Endpoint.r", "user/*.read", "patient/ImagingStudy.r?modality=CT"]
)
def test_a_reader_may_know_where_the_images_are(scope: str) -> None:
    assert decide_endpoint(replace(GRANT, scopes=parse_scopes(scope)), now=99) == Granted()


@pytest.mark.parametrize(
    ("changes", "now", "reason"),
    [
        ({}, 100, Reason.TOKEN_ENDED),
        ({"patient_id": None}, 99, Reason.NO_PATIENT),
        ({"scopes": parse_scopes("patient/ImagingStudy.s")}, 99, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": parse_scopes("system/Endpoint.r")}, 99, Reason.INSUFFICIENT_SCOPE),
        ({"scopes": parse_scopes("patient/Patient.r")}, 99, Reason.INSUFFICIENT_SCOPE),
    ],
)
def test_anybody_else_may_not(changes: dict[str, object], now: int, reason: Reason) -> None:
    assert decide_endpoint(replace(GRANT, **changes), now=now) == Refused(reason)  # type: ignore[arg-type]
