"""Scopes are a set read by grammar (APP-A15, APP-A16, APP-A17; smart-imaging group 7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.scopes import ScopeContext, parse_scopes

PATIENT = (ScopeContext.PATIENT,)


@pytest.mark.parametrize(
    "granted",
    [
        "patient/ImagingStudy.rs",
        "patient/ImagingStudy.r patient/ImagingStudy.s",
        "patient/*.rs",
        "patient/*.read",
        "patient/ImagingStudy.read launch openid",
        "patient/ImagingStudy.cruds",
        "patient/*.*",
    ],
)
def test_read_and_search_are_granted_in_every_spelling(granted: str) -> None:
    scopes = parse_scopes(granted)

    assert scopes.allows("ImagingStudy", "r", contexts=PATIENT)
    assert scopes.allows("ImagingStudy", "s", contexts=PATIENT)
    assert scopes.letters_for("ImagingStudy", contexts=PATIENT) >= {"r", "s"}


@pytest.mark.parametrize(
    "granted",
    [
        "",
        "launch openid fhirUser",
        "patient/Patient.rs",
        "patient/ImagingStudy.c",
        "patient/ImagingStudy.sr",
        "patient/ImagingStudy.rr",
        "patient/ImagingStudyX.rs",
        "xpatient/ImagingStudy.rs",
        "patient/imagingstudy.rs",
        "patient/ImagingStudy.write",
        "system/ImagingStudy.rs",
        "user/ImagingStudy.rs",
        "patient/ImagingStudy.rs\tx",
        "x\npatient/ImagingStudy.rs",
        "patient/ImagingStudy.rs?modality=CT",
        "patient/ImagingStudy.",
    ],
)
def test_look_alikes_and_filtered_scopes_grant_no_unfiltered_read(granted: str) -> None:
    assert not parse_scopes(granted).allows("ImagingStudy", "r", contexts=PATIENT)


def test_a_filtered_scope_keeps_its_filter() -> None:
    scopes = parse_scopes("patient/ImagingStudy.rs?modality=CT&status=available")

    (scope,) = scopes.granting("ImagingStudy", "r", contexts=PATIENT)
    assert scope.filters == (("modality", "CT"), ("status", "available"))


def test_r_does_not_grant_search_and_s_does_not_grant_read() -> None:
    assert not parse_scopes("patient/ImagingStudy.r").allows("ImagingStudy", "s", contexts=PATIENT)
    assert not parse_scopes("patient/ImagingStudy.s").allows("ImagingStudy", "r", contexts=PATIENT)


def test_other_scopes_are_kept_by_name() -> None:
    assert parse_scopes("launch/patient openid").other == {"launch/patient", "openid"}


@given(st.text(max_size=60))
def test_no_input_raises(text: str) -> None:
    parse_scopes(text)
