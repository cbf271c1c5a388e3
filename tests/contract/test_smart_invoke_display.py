"""IHE Invoke Image Display inside a session: it only ever narrows to the session's patient (RAD-106; smart-imaging §4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import request

from smart_app.explanations import Reason
from tests.contract.hospital_actors import assert_explained
from tests.contract.smart_actors import STUDY_A, STUDY_B, FakeEhr, World, a_world, demo_record, imaging_study, query_of

MRN = "https://imaging-cds.example/demo/mrn"
ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


def with_accession(uid: str, accession: str, **more: Any) -> dict[str, Any]:
    study = imaging_study(uid, study_id=f"s-{accession.lower()}", **more)
    return study | {"identifier": [*study["identifier"], {"type": ACSN, "value": accession}]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        made.ehr.fhir = demo_record()
        made.ehr.fhir["ImagingStudy"] += [
            with_accession("2.25.31", "MR-7", description="MR brain", started="2020-05-04", modality=[{"code": "MR"}]),
            with_accession("2.25.32", "CT-8", description="CT abdomen", started="2022-05-04T10:00:00Z"),
        ]
        yield made


@pytest.fixture
def inside(world: World) -> str:
    """A session of patient A; the address at which it answers."""
    world.clinician.launches(world.ehr)
    return f"/s/{world.clinician.session}/IHEInvokeImageDisplay"


def test_iid_a_study_of_the_patient_opens(world: World, inside: str) -> None:
    answer = world.clinician.get(f"{inside}?requestType=STUDY&studyUID={STUDY_A}")

    assert answer.status_code == 303
    assert answer.location == f"/s/{world.clinician.session}/viewer/{STUDY_A}"


def test_iid_several_studies_open_beside_each_other(world: World, inside: str) -> None:
    answer = world.clinician.get(f"{inside}?requestType=STUDY&studyUID={STUDY_A};2.25.32")

    assert answer.location.startswith(f"/s/{world.clinician.session}/viewer/{STUDY_A}?")
    assert query_of(answer.location) == {"with": "2.25.32"}


def test_iid_more_studies_than_fit_are_listed(world: World, inside: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=STUDY&studyUID={STUDY_A},2.25.31,2.25.32")

    assert page.status_code == 200
    assert "Open them one by one" in page.text


def test_iid_studies_are_listed_in_the_lists_own_order(world: World, inside: str) -> None:
    """A year is one section, in whatever order another application names the studies."""
    world.ehr.fhir["ImagingStudy"].append(with_accession("2.25.33", "CT-9", started="2020-11-04", endpoint=[]))
    page = world.clinician.get(f"{inside}?requestType=STUDY&studyUID=2.25.31,{STUDY_A},2.25.33,2.25.32")

    shown = re.findall(r'id="study-([0-9.]+)"', page.text)
    assert shown == [STUDY_A, "2.25.32", "2.25.33", "2.25.31"]
    assert len(re.findall(r"<h2[^>]*>\s*2020", page.text)) == 1


def test_iid_an_accession_number_opens_its_study(world: World, inside: str) -> None:
    answer = world.clinician.get(f"{inside}?requestType=STUDY&Accessionnumber=CT-8&idCDA=1")

    assert answer.location == f"/s/{world.clinician.session}/viewer/2.25.32"


@pytest.mark.parametrize("named", [f"studyUID={STUDY_B}", f"studyUID={STUDY_A},{STUDY_B}", "accessionNumber=NOBODYS"])
def test_iid_group_15_a_study_that_is_not_the_patients_opens_nothing(world: World, inside: str, named: str) -> None:
    answer = world.clinician.get(f"{inside}?requestType=STUDY&{named}")

    assert answer.status_code == 403
    assert "not among this patient" in answer.text


@pytest.mark.parametrize(
    ("narrowing", "shown"),
    [
        ("modalitiesInStudy=MR", {"2.25.31"}),
        ("lowerDateTime=2022-01-01", {STUDY_A, "2.25.32"}),
        ("upperDateTime=2020-05-04", {"2.25.31"}),
        ("lowerDateTime=2020-05-04T23:00:00&upperDateTime=2022-05-04T09:00:00Z", {"2.25.31"}),
        ("mostRecentResults=2", {STUDY_A, "2.25.32"}),
        ("mostRecentResults=1&modalitiesInStudy=CT&upperDateTime=2026-01-01", {"2.25.32"}),
    ],
)
def test_iid_a_patient_request_narrows_the_list(world: World, inside: str, narrowing: str, shown: set[str]) -> None:
    page = world.clinician.get(f"{inside}?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}&{narrowing}")

    assert page.status_code == 200
    assert {uid for uid in (STUDY_A, "2.25.31", "2.25.32") if f"/viewer/{uid}" in page.text} == shown
    assert f"{len(shown)} of 3 studies are shown here" in page.text
    assert f'<a href="/s/{world.clinician.session}/studies">All studies</a>' in page.text


def test_iid_nothing_inside_the_range_is_not_taken_for_nothing_at_all(world: World, inside: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}&modalitiesInStudy=US")

    assert "no study of this patient matches" in page.text


def test_iid_a_patient_request_without_narrowing_is_the_list(world: World, inside: str) -> None:
    answer = world.clinician.get(f"{inside}?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}")

    assert answer.location == f"/s/{world.clinician.session}/studies"


@pytest.mark.parametrize("patient", [f"DEMO-1002^^^{MRN}", f"demo-a^^^{MRN}", f"DEMO-1001^^^{MRN}&patientBirthDate=1964-03-03"])
def test_iid_another_patient_is_refused(world: World, inside: str, patient: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=PATIENT&patientID={patient}")

    assert page.status_code == 403
    assert "another patient" in page.text
    assert "CT chest" not in page.text


@pytest.mark.parametrize("narrowing", ["", "&modalitiesInStudy=CT"])
@pytest.mark.parametrize("further", [{"system": MRN, "value": "DEMO-1001"}, None])
def test_iid_a_number_that_the_record_calls_old_identifies_nobody(
    world: World, inside: str, further: dict[str, str] | None, narrowing: str
) -> None:
    world.ehr.fhir["Patient"][0]["identifier"] = [{"system": MRN, "value": "DEMO-0900", "use": "old"}]
    world.ehr.fhir["Patient"][0]["identifier"] += [further] if further else []
    page = world.clinician.get(f"{inside}?requestType=PATIENT&patientID=DEMO-0900^^^{MRN}{narrowing}")

    assert page.status_code == 403
    assert ("another patient" if further else "cannot be told whose images") in page.text
    assert "CT chest" not in page.text


def test_iid_the_patient_is_read_once(world: World, inside: str) -> None:
    world.ehr.fhir_requests.clear()
    for narrowing in ("", "&modalitiesInStudy=CT"):
        world.clinician.get(f"{inside}?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}{narrowing}")

    assert [path.startswith("/fhir/Patient/") for path in world.ehr.fhir_requests].count(True) == 2


@dataclass
class PatientRefused(FakeEhr):
    """An EHR that takes no token of the first sign-in for the Patient, or none at all."""

    for_ever: bool = False

    def _read(self, resource_type: str, resource_id: str) -> Any:
        if resource_type == "Patient" and (self.for_ever or len(self.token_requests) < 2):
            self.fhir_requests.append(request.full_path)
            return "", 401
        return super()._read(resource_type, resource_id)


@pytest.mark.parametrize("narrowing", ["", "&modalitiesInStudy=CT"])
@pytest.mark.parametrize("for_ever", [False, True])
def test_iid_a39_a_refused_token_is_renewed_once_before_the_comparison_is_given_up(
    tmp_path: Path, for_ever: bool, narrowing: str
) -> None:
    with a_world(tmp_path, ehr=PatientRefused(fhir=demo_record(), for_ever=for_ever)) as world:
        world.clinician.launches(world.ehr)
        world.clock.passes(seconds=30)
        address = f"/s/{world.clinician.session}/IHEInvokeImageDisplay"
        answer = world.clinician.get(f"{address}?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}{narrowing}")

        assert [one["grant_type"] for one in world.ehr.token_requests] == ["authorization_code", "refresh_token"]
    assert answer.status_code == (403 if for_ever else 200 if narrowing else 303)


@dataclass
class NoStudies(FakeEhr):
    """An EHR whose imaging server is down."""

    def _search(self, resource_type: str) -> Any:
        return ("", 500) if resource_type == "ImagingStudy" else super()._search(resource_type)


@pytest.mark.parametrize("narrowing", ["", "&modalitiesInStudy=CT"])
def test_iid_another_patient_is_refused_as_such_while_the_images_cannot_be_had(tmp_path: Path, narrowing: str) -> None:
    with a_world(tmp_path, ehr=NoStudies(fhir=demo_record())) as world:
        world.clinician.launches(world.ehr)
        address = f"/s/{world.clinician.session}/IHEInvokeImageDisplay?requestType=PATIENT"
        other, own = (
            world.clinician.get(f"{address}&patientID={mrn}^^^{MRN}{narrowing}") for mrn in ("DEMO-1002", "DEMO-1001")
        )

    assert_explained(other, Reason.DISPLAY_OTHER_PATIENT)
    if narrowing:
        assert_explained(own, Reason.IMAGING_UNAVAILABLE)


@pytest.mark.parametrize("patient", ["DEMO-1001", "DEMO-1001^^^https://elsewhere.example/mrn", "demo-a"])
def test_iid_m10_a_number_without_a_known_issuer_is_no_identity(world: World, inside: str, patient: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=PATIENT&patientID={patient}")

    assert page.status_code == 403
    assert "cannot be told whose images" in page.text


def test_iid_without_the_right_to_the_patient_nothing_can_be_compared(world: World) -> None:
    world.ehr.token_changes = {"scope": "launch patient/ImagingStudy.rs"}
    world.clinician.launches(world.ehr)
    inside = f"/s/{world.clinician.session}/IHEInvokeImageDisplay"
    page = world.clinician.get(f"{inside}?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}")

    assert page.status_code == 403


def test_iid_a_malformed_request_names_its_fault(world: World, inside: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=STUDY")

    assert page.status_code == 400
    assert "A STUDY request needs studyUID or accessionNumber." in page.text


@pytest.mark.parametrize(
    ("wish", "said"), [("viewerType=IHE_BIR", "kind of viewer"), ("diagnosticQuality=true", "Not for diagnostic use")]
)
def test_iid_what_this_viewer_is_not_is_said_and_a_way_on_offered(world: World, inside: str, wish: str, said: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=STUDY&studyUID={STUDY_A}&{wish}")

    assert page.status_code == 406
    assert said in page.text
    assert f'href="{inside}?requestType=STUDY&amp;studyUID={STUDY_A}"' in page.text


def test_iid_key_images_only_is_answered_honestly(world: World, inside: str) -> None:
    page = world.clinician.get(f"{inside}?requestType=STUDY&studyUID={STUDY_A}&keyImagesOnly=true")

    assert "That choice is not offered here" in page.text
    assert f"/viewer/{STUDY_A}" in page.text
    assert "/viewer/2.25.31" not in page.text


def test_iid_another_browser_has_no_session_here(world: World, inside: str) -> None:
    answer = world.another_clinician().get(f"{inside}?requestType=STUDY&studyUID={STUDY_A}")

    assert answer.status_code == 403
    assert "There is no session here" in answer.text


def test_iid_the_conventional_address_finds_the_one_session_of_this_browser(world: World, inside: str) -> None:
    answer = world.clinician.get(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}")

    assert answer.location == f"/s/{world.clinician.session}/viewer/{STUDY_A}"


def test_iid_without_a_session_a_sign_in_is_offered_for_the_study(world: World) -> None:
    page = world.clinician.get(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}")

    assert page.status_code == 403
    assert "No patient is open here" in page.text
    assert f"study={STUDY_A}" in page.text
    assert "/launch/standalone?iss=" in page.text


def test_iid_without_a_session_no_patient_identifier_is_handed_on(world: World) -> None:
    page = world.clinician.get(f"/IHEInvokeImageDisplay?requestType=PATIENT&patientID=DEMO-1001^^^{MRN}")

    assert page.status_code == 403
    assert "DEMO-1001" not in page.text


def test_iid_of_several_sessions_somebody_chooses(world: World, inside: str) -> None:
    first = world.clinician.session
    world.clinician.launches(world.ehr, "launch-2")
    page = world.clinician.get(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}")

    assert page.status_code == 200
    assert "Which patient?" in page.text
    for session in (first, world.clinician.session):
        assert f"/s/{session}/IHEInvokeImageDisplay?requestType=STUDY&amp;studyUID={STUDY_A}" in page.text


def test_iid_an_ended_session_is_not_offered(world: World, inside: str) -> None:
    world.clinician.post(f"/s/{world.clinician.session}/logout")
    page = world.clinician.get(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}")

    assert "No patient is open here" in page.text


def test_iid_the_conventional_address_names_faults_before_it_looks_for_sessions(world: World) -> None:
    assert world.clinician.get("/IHEInvokeImageDisplay?requestType=SERIES").status_code == 400
    assert world.clinician.get(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}&viewerType=X").status_code == 406
