"""Scopes open what their grammar says (group 7, P6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.gateway_actors import Answer, World
from tests.security.gateway_stubs import PRIOR_A, STUDY_A


def found(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [one["0020000D"]["Value"][0] for one in answer.json()]


# Group 7: scopes


@pytest.mark.parametrize(
    ("scope", "retrieve", "search"),
    [
        ("openid", 403, 403),
        ("patient/Patient.rs", 403, 403),
        ("patient/ImagingStudy.c", 403, 403),
        ("patient/ImagingStudy.r", 200, 403),
        ("patient/ImagingStudy.s", 403, 200),
        ("patient/ImagingStudy.r patient/ImagingStudy.s", 200, 200),
        ("patient/ImagingStudy.rs", 200, 200),
        ("patient/ImagingStudy.cruds", 200, 200),
        ("patient/ImagingStudy.sr", 403, 403),
        ("patient/ImagingStudy.read", 200, 200),
        ("patient/ImagingStudy.write", 403, 403),
        ("patient/ImagingStudy.*", 200, 200),
        ("patient/*.rs", 200, 200),
        ("patient/*.read", 200, 200),
        ("patient/*.*", 200, 200),
        ("user/ImagingStudy.rs", 200, 200),
        ("system/ImagingStudy.rs", 403, 403),
        ("system/*.*", 403, 403),
        ("patient/Observation.rs system/ImagingStudy.rs", 403, 403),
        ("patient/ImagingStudyX.rs", 403, 403),
        ("xpatient/ImagingStudy.rs", 403, 403),
        ("Patient/ImagingStudy.rs", 403, 403),
        ("patient/imagingstudy.rs", 403, 403),
        ("openid\tpatient/ImagingStudy.rs", 403, 403),
        ("openid\npatient/ImagingStudy.rs", 403, 403),
        ("patient/ImagingStudy.rs,openid", 403, 403),
        ("patient/ImagingStudy.rs?modality=CT", 200, 200),
        ("patient/ImagingStudy.rs?modality=MR,CT", 200, 200),
        ("patient/ImagingStudy.rs?modality=http://dicom.nema.org/resources/ontology/DCM|CT", 200, 200),
        ("patient/ImagingStudy.rs?modality=MR", 403, None),
        ("patient/ImagingStudy.rs?modality=http://other.example|CT", 403, 403),
        ("patient/ImagingStudy.rs?modality=", 403, 403),
        ("patient/ImagingStudy.rs?status=available", 403, 403),
        ("patient/ImagingStudy.rs?modality=CT&status=available", 403, 403),
        ("patient/ImagingStudy.rs?", 403, 403),
        ("patient/ImagingStudy.rs?&", 403, 403),
        ("patient/ImagingStudy.rs?modality", 403, 403),
        ("patient/ImagingStudy.rs?Modality=CT", 403, 403),
        ("patient/ImagingStudy.rs?modality:not=MR", 403, 403),
        ("patient/ImagingStudy.rs?modality=ct", 403, None),
        ("patient/ImagingStudy.rs?modality=CT&modality=MR", 403, None),
        ("patient/ImagingStudy.rs?modality=MR patient/ImagingStudy.rs?modality=CT", 200, 200),
        ("patient/ImagingStudy.r?modality=MR patient/ImagingStudy.s", 403, 200),
        ("patient/ImagingStudy.read patient/ImagingStudy.cud", 200, 200),
        ("patient/ImagingStudy.write patient/ImagingStudy.s", 403, 200),
        ("patient/ImagingStudy.write user/ImagingStudy.r", 200, 403),
        ("patient/Observation.rs user/ImagingStudy.c system/ImagingStudy.rs", 403, 403),
        ("patient/ImagingStudy.readx", 403, 403),
        ("patient/ImagingStudy.rs/", 403, 403),
        ("patient//ImagingStudy.rs", 403, 403),
        ("patient/ImagingStudy%2Ers", 403, 403),
        ("patients/ImagingStudy.rs", 403, 403),
        ("patient/**.rs", 403, 403),
        ("patient/Imaging*.rs", 403, 403),
        ("https://ehr.example/patient/ImagingStudy.rs", 403, 403),
        ("openid\u00a0patient/ImagingStudy.rs", 403, 403),
    ],
)
def test_scopes_open_what_their_grammar_says(world: World, scope: str, retrieve: int, search: int | None) -> None:
    token = world.north.token(scope=scope)

    retrieved, searched = world.get(f"/studies/{STUDY_A}/metadata", token), world.get("/studies", token)

    assert retrieved.status == retrieve
    if search is None:
        assert found(searched) == []
    else:
        assert searched.status == search
    for answer in (retrieved, searched):
        if answer.status == 403:
            assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
            assert answer.problem == "insufficient-scope"
    if 200 not in (retrieve, search):
        assert world.pacs.retrievals() == []


def test_filtered_scope_narrows_a_search(world: World) -> None:
    world.north.modalities[PRIOR_A] = ["MR"]

    answer = world.get("/studies", world.north.token(scope="patient/ImagingStudy.rs?modality=CT"))

    assert found(answer) == [STUDY_A]


def test_user_scope_without_a_patient_opens_nothing(world: World) -> None:
    """F8: a missing patient context is no wider access."""
    answer = world.get("/studies", world.north.token(None, scope="user/ImagingStudy.rs user/*.cruds system/*.rs"))

    assert (answer.status, answer.problem) == (403, "no-patient-in-context")


def test_search_is_recorded_with_its_query(world: World) -> None:
    world.get("/studies?PatientID=MRN-A", world.north.token())

    record: Any = world.audit()[0]
    assert (record.action, record.outcome, record.query) == ("searched", "allowed", "studies?PatientID=MRN-A")
