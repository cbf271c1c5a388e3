"""SMART scopes as the sandbox reads and grants them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehr_sandbox.oauth_scopes import (
    grantable,
    is_narrower,
    is_supported,
    needs_patient,
    parse_resource_scope,
    resource_scopes,
)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("patient/Patient.r", "r"),
        ("patient/Patient.rs", "rs"),
        ("user/*.cruds", "cruds"),
        ("patient/Patient.read", "rs"),
        ("patient/Patient.write", "cud"),
        ("patient/*.*", "cruds"),
    ],
)
def test_both_versions_become_letters(text: str, letters: str) -> None:
    scope = parse_resource_scope(text)

    assert scope is not None
    assert scope.letters == letters


@pytest.mark.parametrize(
    "text",
    [
        *("patient/Patient.sr", "patient/Patient.dus", "patient/Patient.", "patient/Patient", "patient/.r"),
        *("Patient.r", "patient/Patient.rr", "patient/Patient.read?x=1", "practitioner/Patient.r", "patient/Pa tient.r"),
        *("patient/Patient.rs?", "launch", "openid"),
    ],
)
def test_what_breaks_the_grammar_is_no_resource_scope(text: str) -> None:
    assert parse_resource_scope(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_resource_scope(text)
    is_supported(text)


def test_granular_parameters_are_kept() -> None:
    scope = parse_resource_scope("patient/Observation.rs?category=laboratory&status=final")

    assert scope is not None
    assert scope.criteria == (("category", "laboratory"), ("status", "final"))


@pytest.mark.parametrize(
    ("requested", "granted", "narrower"),
    [
        (["patient/Patient.r"], ["patient/*.rs"], True),
        (["patient/Patient.r"], ["patient/Patient.read"], True),
        (["patient/Patient.rs"], ["patient/Patient.r"], False),
        (["patient/*.r"], ["patient/Patient.r"], False),
        (["user/Patient.r"], ["patient/Patient.r"], False),
        (["patient/Observation.r"], ["patient/Observation.r?category=laboratory"], False),
        (["patient/Observation.r?category=laboratory"], ["patient/Observation.rs"], True),
        (["openid"], ["patient/*.rs"], False),
        (["*"], ["openid"], True),
    ],
)
def test_a_refresh_may_only_narrow(requested: list[str], granted: list[str], narrower: bool) -> None:
    assert is_narrower(requested, granted) is narrower


def test_denied_wins_over_registered() -> None:
    asked = "patient/Patient.r patient/Observation.rs"

    assert grantable(asked, ("*",), ("patient/Patient.r",)) == ("patient/Observation.rs",)
    assert grantable(asked, ("*",), ("*",)) == ()
    assert grantable(asked, ("patient/*.r",)) == ("patient/Patient.r",)


def test_patient_scopes_and_launch_patient_need_a_patient() -> None:
    assert needs_patient(["patient/Patient.r"])
    assert needs_patient(["launch/patient"])
    assert not needs_patient(["openid", "user/Patient.r", "launch"])
    assert resource_scopes(["openid", "launch"]) == ()
