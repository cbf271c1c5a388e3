"""The app where the EHR grants something else than was asked (SBX-S11 against APP-A16, A17, A39)."""

from __future__ import annotations

import html
from collections.abc import Iterator

import pytest

from ehr_sandbox.settings import Faults
from smart_app.explanations import Reason
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital, assert_explained


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC) as made:
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


@pytest.mark.parametrize("granted_as", ["split", "v1", "wildcard"])
def test_s11_a17_the_same_rights_in_other_words_make_no_difference(hospital: Hospital, granted_as: str) -> None:
    usual = hospital.launches()
    other = hospital.anew()
    page = other.launches(faults=Faults(granted_as=granted_as))

    assert page.status_code == 200
    for words in ("SYNTHETIC, Alma", "CT chest", "Final report", "Open images"):
        assert words in usual.text
        assert words in page.text
    assert "not permitted" not in page.text


def test_s11_a17_only_identity_is_granted_so_the_missing_permission_is_named(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(granted_as="identity"))

    words = assert_explained(page, Reason.NO_IMAGING_PERMISSION)
    assert "patient/ImagingStudy.rs" in words
    assert "launch openid fhirUser" in words, "what was granted stands in the details"


def test_s11_a17_an_empty_scope_ends_with_the_missing_permission(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(denied_scopes=("*",)))

    words = assert_explained(page, Reason.NO_IMAGING_PERMISSION)
    assert "patient/ImagingStudy.rs" in words


def test_s11_a39_without_the_studies_scope_no_study_is_shown(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(denied_scopes=("patient/ImagingStudy.rs",)))

    assert_explained(page, Reason.NO_IMAGING_PERMISSION)
    assert "CT chest" not in page.text


def test_s11_a39_without_reports_the_studies_come_and_the_missing_scope_is_named(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(denied_scopes=("patient/DiagnosticReport.rs",)))

    words = html.unescape(page.text)
    assert page.status_code == 200
    assert "CT chest" in words
    assert "patient/DiagnosticReport.s" in words
    assert "Final report" not in words


def test_s11_a40_without_the_patient_scope_the_id_stands_in_for_the_name(hospital: Hospital) -> None:
    page = hospital.launches(faults=Faults(denied_scopes=("patient/Patient.r",)))

    words = html.unescape(page.text)
    assert page.status_code == 200
    assert "patient/Patient.r" in words
    assert "Patient demo-a" in words
    assert "SYNTHETIC" not in words
