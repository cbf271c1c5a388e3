"""What workers tell each other through the database comes back as it was, and what is none of it is no answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.scopes import parse_scopes
from fhir_imaging.uids import study_uid
from imaging_server.access import AccessGrant, FhirPatientId
from imaging_server.answer_forms import NUMBERS, STUDIES, STUDY, read_grant, write_grant
from imaging_server.iua import Coding, IuaClaims
from imaging_server.ownership import PatientStudies
from imaging_server.policy import StudyFacts
from imaging_server.revocations import Mark, Marks

SCOPES = [
    "patient/ImagingStudy.rs",
    "patient/*.read",
    "user/ImagingStudy.s?modality=CT,MR",
    "openid",
    "system/Patient.r",
    "x y",
]
CODINGS = st.lists(st.builds(Coding, st.none() | st.text(), st.text(min_size=1)), max_size=2).map(tuple)
GRANTS = st.builds(
    AccessGrant,
    ehr=st.text(),
    issuer=st.text(),
    patient_id=st.none() | st.text().map(FhirPatientId),
    scopes=st.lists(st.sampled_from(SCOPES)).map(" ".join).map(parse_scopes),
    user=st.none() | st.text(),
    client_id=st.none() | st.text(),
    expires_at=st.integers(0, 2**40),
    token_reference=st.text(),
    iua=st.builds(IuaClaims, subject_name=st.none() | st.text(), subject_role=CODINGS, purpose_of_use=CODINGS),
)


@given(GRANTS)
def test_a_grant_opens_the_same_for_every_worker(grant: AccessGrant) -> None:
    assert read_grant(write_grant(grant)) == grant


def test_what_an_ehr_said_of_studies_and_numbers_comes_back() -> None:
    facts = StudyFacts(study=study_uid("2.25.1"), modalities=frozenset({"CT", "MR"}))
    found = PatientStudies((facts,), complete=False)

    assert STUDY.read(STUDY.write(facts)) == facts
    assert STUDIES.read(STUDIES.write(found)) == found
    assert NUMBERS.read(NUMBERS.write(frozenset({"1", "2"}))) == {"1", "2"}


@pytest.mark.parametrize("written", [None, 7, [], {}, ["not-a-uid", []], {"studies": [[]]}, {"patient_id": "a"}])
def test_what_another_version_wrote_is_an_error_and_never_an_answer(written: Any) -> None:
    for read in (read_grant, STUDY.read, STUDIES.read):
        with pytest.raises((ValueError, TypeError, KeyError)):
            read(written)


@pytest.mark.parametrize(
    ("ehr", "patient", "concerned"),
    [
        (None, None, True),
        ("north", None, True),
        ("south", None, False),
        (None, "a", True),
        (None, "b", False),
        ("south", "a", False),
    ],
)
def test_a_mark_concerns_those_that_it_names_and_nobody_else(ehr: str | None, patient: str | None, concerned: bool) -> None:
    grant = AccessGrant(
        ehr="north",
        issuer="i",
        patient_id=FhirPatientId("a"),
        scopes=parse_scopes(""),
        user=None,
        client_id=None,
        expires_at=1,
        token_reference="t",
    )
    marks = Marks([Mark(number=5, ehr=ehr, patient=patient, token=None)], lambda _kind, value: value)

    assert marks.concerning(grant) == (5 if concerned else 0)
    assert not marks.refuses(grant)
