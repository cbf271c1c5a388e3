"""Every claim's forms, good and bad (SMART Imaging Access F5, A3, groups 2, 4 and 8; IHE IUA)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.settings import EhrSettings
from imaging_server.access import AccessGrant, read_patient_id
from imaging_server.claims import ExpectedToken, check_introspected_claims, check_jwt_claims, grant_of
from imaging_server.iua import Coding, IuaClaims, contradicts_patient, read_iua

NOW = 1_800_000_000
BASE = "https://ehr.example/fhir"
EXPECTED = ExpectedToken(
    fhir_base=BASE,
    issuers=frozenset({"https://ehr.example/auth"}),
    audiences=frozenset({BASE, "https://images.example/imaging/north"}),
    now=NOW,
    leeway_s=30,
)
GOOD: dict[str, Any] = {
    "iss": "https://ehr.example/auth",
    "sub": "user-1",
    "aud": [BASE],
    "iat": NOW - 1,
    "nbf": NOW - 1,
    "exp": NOW + 300,
    "jti": "1",
    "client_id": "viewer",
    "scope": "patient/ImagingStudy.rs",
    "patient": "pat-a",
}


class _Absent:
    """A claim that is not there; its words are fixed, so that every worker collects the same tests."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def with_claims(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ABSENT}


def test_good_claims_hold() -> None:
    assert check_jwt_claims(GOOD, EXPECTED) is not None
    assert check_introspected_claims({**GOOD, "active": True}, EXPECTED) is not None


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        # Group 2: time
        ("exp", NOW + 0.5),
        ("exp", NOW - 29),
        ("exp", float(NOW + 300)),
        ("nbf", NOW + 30),
        ("nbf", ABSENT),
        ("iat", NOW + 29.5),
        ("iat", ABSENT),
        # Group 4: audience, kind
        ("aud", BASE),
        ("aud", ["https://other.example", BASE]),
        ("aud", ["https://images.example/imaging/north"]),
        ("sub", ABSENT),
        ("jti", ABSENT),
        ("typ", "Bearer"),
        ("token_use", "access"),
        # Group 7: a scope without words is still a scope
        ("scope", ""),
        ("scope", " "),
        # Unknown claims are no matter
        ("acr", "1"),
        ("extensions", {"other": {}}),
        ("extensions", "nothing of IUA"),
    ],
)
def test_form_of_a_claim_that_holds(claim: str, value: Any) -> None:
    assert check_jwt_claims(with_claims(**{claim: value}), EXPECTED) is not None


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        # Group 2
        ("exp", ABSENT),
        ("exp", None),
        ("exp", NOW - 30),
        ("exp", NOW - 30.0),
        ("exp", str(NOW + 300)),
        ("exp", True),
        ("exp", float("nan")),
        ("exp", float("inf")),
        ("exp", -1),
        ("exp", 253_402_300_800),
        ("exp", [NOW + 300]),
        ("exp", {"at": NOW + 300}),
        ("nbf", NOW + 31),
        ("nbf", None),
        ("iat", NOW + 31),
        ("iat", "yesterday"),
        ("iat", False),
        # Group 4
        ("iss", ABSENT),
        ("iss", "https://ehr.example/auth/"),
        ("iss", "https://EHR.example/auth"),
        ("iss", "https://ehr.example:443/auth"),
        ("iss", ["https://ehr.example/auth"]),
        ("aud", ABSENT),
        ("aud", None),
        ("aud", []),
        ("aud", f"{BASE}/"),
        ("aud", f"{BASE} https://other.example"),
        ("aud", [[BASE]]),
        ("aud", [BASE, 7]),
        ("aud", {BASE: True}),
        ("aud", "*"),
        ("sub", ""),
        ("sub", 7),
        ("jti", ""),
        ("jti", ["1"]),
        ("client_id", ABSENT),
        ("client_id", ""),
        ("nonce", "n"),
        ("at_hash", "h"),
        ("c_hash", "h"),
        ("events", {}),
        ("typ", "ID"),
        ("typ", "Refresh"),
        ("typ", "Offline"),
        ("typ", 7),
        ("token_use", "id"),
        ("token_use", "refresh_token"),
        ("cnf", {"jkt": "thumbprint"}),
        ("cnf", {"x5t#S256": "thumbprint"}),
        ("cnf", None),
        # Group 7: only one text is a list of scopes
        ("scope", ABSENT),
        ("scope", None),
        ("scope", ["patient/ImagingStudy.rs"]),
        ("scope", {"patient/ImagingStudy.rs": True}),
        # IUA
        ("extensions", {"ihe_iua": {"person_id": "pat-b"}}),
        ("extensions", {"ihe_iua": {"person_id": f"{BASE}/Patient/pat-b"}}),
        ("extensions", {"ihe_iua": {"person_id": ["pat-a", "pat-b"]}}),
    ],
)
def test_form_of_a_claim_that_does_not_hold(claim: str, value: Any) -> None:
    assert check_jwt_claims(with_claims(**{claim: value}), EXPECTED) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"active": "true"},
        {"active": 1},
        {"active": None},
        {"active": []},
        {"active": False},
        {"active": ABSENT},
        {"token_type": "refresh_token"},
        {"token_type": "DPoP"},
        {"token_use": "refresh_token"},
        {"cnf": {"jkt": "thumbprint"}},
        {"extensions": {"ihe_iua": {"person_id": "pat-b"}}},
    ],
    ids=str,
)
def test_introspection_answer_that_does_not_hold(changes: dict[str, Any]) -> None:
    assert check_introspected_claims(with_claims(**{"active": True, **changes}), EXPECTED) is None


@pytest.mark.parametrize("changes", [{"iss": ABSENT, "aud": ABSENT}, {"token_type": "bearer"}, {"client_id": ABSENT}], ids=str)
def test_introspection_answer_of_the_configured_server_may_say_less(changes: dict[str, Any]) -> None:
    assert check_introspected_claims(with_claims(active=True, **changes), EXPECTED) is not None


# Group 8


@pytest.mark.parametrize(
    "claim",
    [
        None,
        "",
        " ",
        ".",
        "..",
        "a" * 65,
        "pat a",
        "pat_a",
        "pat/a",
        "Patient/pat-a",
        f"{BASE}/Patient/pat-a",
        "pat-a\n",
        "\npat-a",
        "pat-a\0",
        "pat-a|1",
        "pat-a,pat-b",
        "pat-a&x=1",
        "*",
        "páť",
        "٣",
        b"pat-a",
        7,
        True,
        ["pat-a"],
        {"reference": "Patient/pat-a"},
    ],
    ids=repr,
)
def test_patient_claim_in_another_shape_is_no_patient(claim: object) -> None:
    assert read_patient_id(claim) is None


@pytest.mark.parametrize("claim", ["pat-a", "1", "A.b-3", "a" * 64])
def test_plain_id_is_the_patient(claim: str) -> None:
    assert read_patient_id(claim) == claim


# IUA


def granted(**changes: Any) -> AccessGrant:
    claims = check_jwt_claims(with_claims(**changes), EXPECTED)
    assert claims is not None
    return grant_of(claims, EhrSettings(name="north", fhir_base=BASE), issuer="https://ehr.example/auth", digest="digest:x")


def test_iua_claims_are_carried_for_the_audit_record() -> None:
    stated = {
        "subject_name": "Dr. Synthetic",
        "subject_organization": "Synthetic Hospital",
        "subject_organization_id": "urn:oid:2.25.77",
        "subject_role": [{"system": "urn:oid:2.25.78", "code": "HCP"}],
        "purpose_of_use": [{"system": "urn:oid:2.25.79", "code": "NORM"}],
        "person_id": "8000^^^&2.25.80&ISO",
    }

    grant = granted(extensions={"ihe_iua": stated})

    assert grant.patient_id == "pat-a"
    assert grant.iua == IuaClaims(
        subject_name="Dr. Synthetic",
        subject_organization="Synthetic Hospital",
        subject_organization_id="urn:oid:2.25.77",
        subject_role=(Coding("urn:oid:2.25.78", "HCP"),),
        purpose_of_use=(Coding("urn:oid:2.25.79", "NORM"),),
    )


def test_token_without_iua_claims_has_none() -> None:
    assert granted().iua == IuaClaims()


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        ("TREAT", (Coding(None, "TREAT"),)),
        (["TREAT", "ETREAT"], (Coding(None, "TREAT"), Coding(None, "ETREAT"))),
        ({"system": "urn:oid:2.25.1", "code": "TREAT"}, (Coding("urn:oid:2.25.1", "TREAT"),)),
        ([{"code": "TREAT"}, 7, None, {"code": ["x"]}, "a\nb", ""], (Coding(None, "TREAT"),)),
        ("x" * 257, ()),
        (["T"] * 40, (Coding(None, "T"),) * 16),
        (None, ()),
    ],
    ids=lambda value: str(value)[:20],
)
def test_purpose_is_read_in_every_shape_and_bounded(purpose: object, expected: tuple[Coding, ...]) -> None:
    assert read_iua({"extensions": {"ihe_iua": {"purpose_of_use": purpose}}}).purpose_of_use == expected


@pytest.mark.parametrize(
    ("person", "patient", "contradicts"),
    [
        ("pat-a", "pat-a", False),
        ("pat-a^^^", "pat-a", False),
        ("pat-a^^^&&", "pat-b", True),
        (f"{BASE}/Patient/pat-a", "pat-a", False),
        ("https://mpi.example/fhir/Patient/9", "pat-a", False),
        (f"{BASE}.evil.example/Patient/pat-b", "pat-a", False),
        ("9^^^&2.25.80&ISO", "pat-a", False),
        ("9^^^MPI", "pat-a", False),
        ("pat-b", "pat-a", True),
        ("pat-a", None, True),
        ("pat-a", ["pat-a"], True),
        ("pat-a\n", "pat-a", True),
        ({}, "pat-a", True),
    ],
)
def test_person_contradicts_the_patient_where_both_are_of_one_register(person: Any, patient: Any, contradicts: bool) -> None:
    claims = {"patient": patient, "extensions": {"ihe_iua": {"person_id": person}}}

    assert contradicts_patient(claims, fhir_base=BASE) is contradicts


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "extensions", "active", "typ", "cnf"]), json_values, max_size=4))
def test_claims_of_any_shape_never_raise_and_never_name_an_odd_patient(changes: dict[str, Any]) -> None:
    claims = {**GOOD, **changes}
    for checked in (check_jwt_claims(claims, EXPECTED), check_introspected_claims(claims, EXPECTED)):
        if checked is not None:
            grant = grant_of(checked, EhrSettings(name="n", fhir_base=BASE), issuer="i", digest="d")

            assert grant.patient_id is None or grant.patient_id == claims["patient"]


@pytest.mark.parametrize("jti", ["opaque-1", "opaque", "1"])
def test_p7_a_jti_that_is_the_token_itself_stands_in_no_record(jti: str) -> None:
    """Some servers name an opaque token by its own text; group 34."""
    claims = check_introspected_claims(
        {"active": True, "exp": NOW + 60, "scope": "patient/ImagingStudy.rs", "jti": jti}, EXPECTED
    )
    assert claims is not None

    kept = grant_of(claims, EhrSettings(name="n", fhir_base=BASE), issuer="i", digest="digest:x", token="opaque-1")

    assert kept.token_reference == "digest:x"
    assert (
        grant_of(claims, EhrSettings(name="n", fhir_base=BASE), issuer="i", digest="digest:x", token="other").token_reference
        == jti
    )
