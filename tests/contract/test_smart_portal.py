"""Patient A and her daughter open the app from the sandbox: what was released, in plain words, and nothing else (APP-A35)."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ehr_sandbox.patients import build_demo
from imaging_findings.release import PatientResults, ReleaseRule
from imaging_findings.site_policy import product_policy
from tests.contract.hospital_actors import PUBLIC, Hospital, a_hospital
from tests.contract.smart_actors import GATEWAY
from tests.synced_studies import synced_demo

RELEASED = ReleaseRule(patient_results=PatientResults.RELEASED, release_after_hours=240)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    policy = replace(product_policy(), release=RELEASED)
    images, day = tmp_path_factory.mktemp("images"), datetime.now(UTC).date()
    demo = build_demo(images, demo_day=day, fhir_base="http://ehr", only=frozenset({"demo-a"}), slices=1)
    with a_hospital(tmp_path_factory.mktemp("hospital"), PUBLIC, app_settings={"policy": policy}) as made:
        store = made.services.store
        for resource in store.search("DiagnosticReport", {"patient": "demo-a"}):
            store.delete("DiagnosticReport", resource["id"])
        for resource in synced_demo(demo, images, GATEWAY).resources:
            store.put(resource)
        yield made


@pytest.fixture
def hospital(shared: Hospital) -> Hospital:
    return shared.anew()


def all_but_the_session(hospital: Hospital, page: Any) -> str:
    """The whole source of a page, attributes and all, but the random session id, which may hold any two characters."""
    session = hospital.clinician.session
    assert session in page.text
    return html.unescape(page.text.replace(session, "session"))


@pytest.mark.parametrize("user", ["Patient/demo-a", "RelatedPerson/demo-a-daughter"])
def test_a35_patient_and_daughter_read_released_reports_and_no_findings(hospital: Hospital, user: str) -> None:
    page = hospital.launches(user=user)
    words = all_but_the_session(hospital, page)

    assert page.status_code == 200
    assert "Lung-RADS 3 (v2022). Solid nodule of 6.0 mm in the right upper lobe." in words, "last year's report"
    assert "Normal chest." in words
    assert words.count("No report to show here") == 2, "this year's report was signed a few days ago"
    for held_back in ("not signed", "calcification", "Lung-RADS 4B", "4A", "Demo Nodule AI"):
        assert held_back not in words, held_back


def test_a35_her_doctor_sees_the_findings_and_that_one_report_is_not_signed(hospital: Hospital) -> None:
    words = html.unescape(hospital.launches().text)

    assert "Lung-RADS 4B" in words
    assert "Preliminary report" in words
    assert "moderate calcification" in words


def test_images_that_are_kept_offline_are_said_to_be_so_in_words_for_each_reader(hospital: Hospital) -> None:
    of_doctor = html.unescape(hospital.launches().text)
    of_patient = html.unescape(hospital.anew().launches(user="Patient/demo-a").text)

    assert "Kept offline: ask the archive to bring the images back" in of_doctor
    assert "Pictures are kept elsewhere: ask the imaging department if you need them" in of_patient
