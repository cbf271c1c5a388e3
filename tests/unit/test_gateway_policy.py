"""Decisions about studies, as pure facts in and a verdict out (SMART Imaging Access F5-F9, W3-W5, P6)."""

from __future__ import annotations

import pytest

from fhir_imaging.scopes import parse_scopes
from fhir_imaging.uids import SeriesInstanceUID, StudyInstanceUID
from imaging_server.access import AccessGrant, BearerToken, FhirPatientId, read_patient_id
from imaging_server.policy import (
    DCM_SYSTEM,
    Evidence,
    Granted,
    Reason,
    Refused,
    StudyFacts,
    decide,
    decide_beforehand,
    visible_studies,
)
from imaging_server.resource import DicomResource, Kind, Level

NOW = 1_800_000_000
STUDY, OTHER = StudyInstanceUID("2.25.1"), StudyInstanceUID("2.25.2")
METADATA = DicomResource(kind=Kind.METADATA, level=Level.STUDY, study=STUDY)
SERIES = DicomResource(kind=Kind.METADATA, level=Level.SERIES, study=STUDY, series=SeriesInstanceUID("2.25.1.1"))
SEARCH = DicomResource(kind=Kind.SEARCH, level=Level.STUDY)
CT = StudyFacts(study=STUDY, modalities=frozenset({"CT", "SR"}))
MR = StudyFacts(study=OTHER, modalities=frozenset({"MR"}))
FINE = Evidence(owned=CT, contains=True)


def a_grant(scope: str = "patient/ImagingStudy.rs", *, patient: str | None = "pat-a", expires_in_s: int = 300) -> AccessGrant:
    return AccessGrant(
        ehr="north",
        issuer="https://ehr.example/auth",
        patient_id=None if patient is None else FhirPatientId(patient),
        scopes=parse_scopes(scope),
        user="Practitioner/1",
        client_id="viewer",
        expires_at=NOW + expires_in_s,
        token_reference="jti-1",
    )


def reason_of(verdict: Granted | Refused) -> Reason | None:
    return verdict.reason if isinstance(verdict, Refused) else None


def test_own_study_with_fitting_scope_is_granted() -> None:
    verdict = decide(a_grant(), METADATA, FINE, now=NOW)

    assert verdict == Granted()
    assert bool(verdict) is True


def test_refusal_is_falsy_and_says_why() -> None:
    verdict = decide(a_grant(), METADATA, Evidence(owned=None, contains=True), now=NOW)

    assert verdict == Refused(Reason.STUDY_NOT_OF_PATIENT)
    assert bool(verdict) is False


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (a_grant(expires_in_s=0), Reason.TOKEN_ENDED),
        (a_grant(expires_in_s=-1), Reason.TOKEN_ENDED),
        (a_grant(patient=None), Reason.NO_PATIENT),
        (a_grant("system/*.rs user/*.rs", patient=None), Reason.NO_PATIENT),
        (a_grant("patient/Observation.rs"), Reason.INSUFFICIENT_SCOPE),
        (a_grant("system/ImagingStudy.rs"), Reason.INSUFFICIENT_SCOPE),
        (a_grant("patient/ImagingStudy.s"), Reason.INSUFFICIENT_SCOPE),
        (a_grant("patient/ImagingStudy.rs?status=available"), Reason.INSUFFICIENT_SCOPE),
        (a_grant("patient/ImagingStudy.rs?modality=http://other|CT"), Reason.INSUFFICIENT_SCOPE),
        (a_grant(), None),
    ],
)
def test_token_alone_decides_before_anybody_is_asked(grant: AccessGrant, reason: Reason | None) -> None:
    """F8, F9, P6; ``decide`` repeats it all."""
    assert reason_of(decide_beforehand(grant, METADATA, now=NOW)) == reason
    assert reason_of(decide(grant, METADATA, FINE, now=NOW)) == reason


def test_search_needs_the_letter_s_and_retrieval_the_letter_r() -> None:
    assert reason_of(decide_beforehand(a_grant("patient/ImagingStudy.r"), SEARCH, now=NOW)) == Reason.INSUFFICIENT_SCOPE
    assert reason_of(decide_beforehand(a_grant("patient/ImagingStudy.s"), SEARCH, now=NOW)) is None


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (Evidence(owned=None, contains=True), Reason.STUDY_NOT_OF_PATIENT),
        (Evidence(owned=MR, contains=True), Reason.STUDY_NOT_OF_PATIENT),
        (Evidence(owned=CT, contains=True, same_person=False), Reason.IDENTITY_CONFLICT),
        (Evidence(owned=CT, contains=True, same_person=True), None),
        (Evidence(owned=CT, contains=False, same_person=True), Reason.NOT_IN_STUDY),
        (Evidence(owned=None, contains=False, same_person=False), Reason.STUDY_NOT_OF_PATIENT),
    ],
)
def test_evidence_decides_about_the_study(evidence: Evidence, reason: Reason | None) -> None:
    """W4, groups 9 to 11. Nobody learns what a study holds that is not the patient's."""
    assert reason_of(decide(a_grant(), SERIES, evidence, now=NOW)) == reason


@pytest.mark.parametrize(("resource", "reason"), [(METADATA, Reason.NO_IMAGES_YET), (SERIES, Reason.NOT_IN_STUDY)])
def test_what_a_study_does_not_hold_is_refused_by_what_was_asked_for(resource: DicomResource, reason: Reason) -> None:
    assert reason_of(decide(a_grant(), resource, Evidence(owned=CT, contains=False, same_person=True), now=NOW)) == reason


@pytest.mark.parametrize("resource", [METADATA, SERIES])
def test_a_study_that_the_archive_does_not_list_is_not_there_whatever_is_named(resource: DicomResource) -> None:
    assert reason_of(decide(a_grant(), resource, Evidence(owned=CT, contains=False), now=NOW)) == Reason.NOT_IN_ARCHIVE


@pytest.mark.parametrize(
    ("filters", "granted"),
    [
        ("modality=CT", True),
        ("modality=MR", False),
        ("modality=MR,CT", True),
        (f"modality={DCM_SYSTEM}|CT", True),
        (f"modality={DCM_SYSTEM}|MR", False),
        ("modality=CT&modality=SR", True),
        ("modality=CT&modality=MR", False),
    ],
)
def test_modality_filter_of_a_scope_narrows(filters: str, granted: bool) -> None:
    verdict = decide(a_grant(f"patient/ImagingStudy.rs?{filters}"), METADATA, FINE, now=NOW)

    assert bool(verdict) is granted


def test_search_shows_what_any_scope_shows() -> None:
    narrow = a_grant("patient/ImagingStudy.rs?modality=CT")
    both = a_grant("patient/ImagingStudy.s?modality=CT patient/ImagingStudy.s?modality=MR")

    assert visible_studies(narrow, SEARCH, [CT, MR]) == (CT,)
    assert visible_studies(both, SEARCH, [CT, MR]) == (CT, MR)
    assert visible_studies(a_grant(), SEARCH, [CT, MR]) == (CT, MR)


@pytest.mark.parametrize("claim", ["pat-a", "A.1-b", "x" * 64])
def test_plain_id_is_the_patient(claim: str) -> None:
    assert read_patient_id(claim) == claim


@pytest.mark.parametrize("claim", [None, "", "x" * 65, "a/b", "a b", "a\n", "ä", ["a"], {"a": 1}, 1, True, ".", ".."])
def test_anything_else_is_no_patient(claim: object) -> None:
    assert read_patient_id(claim) is None


def test_token_does_not_show_itself() -> None:
    token = BearerToken("secret-token")

    assert "secret" not in repr(token)
    assert token.fingerprint == BearerToken("secret-token").fingerprint != BearerToken("other").fingerprint
