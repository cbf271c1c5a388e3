"""A launch that points at images by way of a report, an order or an accession number opens them (APP-A29, APP-A19)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Response, jsonify, request

from tests.contract.smart_actors import STUDY_A, STUDY_B, FakeEhr, World, a_world, demo_record, imaging_study

ORDERED = "2.25.3003"
PLACER = {"system": "urn:placer", "value": "P-7"}
ACCESSION = {"type": {"coding": [{"code": "ACSN"}]}, "system": "urn:acsn", "value": "A-77"}


def of_patient(resource_type: str, resource_id: str, patient: str = "demo-a", **more: Any) -> dict[str, Any]:
    return {"resourceType": resource_type, "id": resource_id, "subject": {"reference": f"Patient/{patient}"}, **more}


def a_record() -> dict[str, list[dict[str, Any]]]:
    """Patient A with a current study, a prior, and one that only an order and an accession number lead to."""
    record = demo_record()
    endpoint = record["ImagingStudy"][0]["endpoint"]
    ordered = imaging_study(ORDERED, study_id="study-o", basedOn=[{"reference": "ServiceRequest/o1"}], endpoint=endpoint)
    ordered["identifier"] = [*ordered["identifier"], ACCESSION]
    record["ImagingStudy"] += [imaging_study(STUDY_B, study_id="study-b"), ordered]
    record["ServiceRequest"] = [
        of_patient("ServiceRequest", "o1", identifier=[PLACER]),
        of_patient("ServiceRequest", "foreign", patient="demo-b"),
        of_patient("ServiceRequest", "none"),
    ]
    record["DiagnosticReport"] += [
        of_patient("DiagnosticReport", "r-study", imagingStudy=[{"reference": "ImagingStudy/study-b"}]),
        of_patient("DiagnosticReport", "r-order", basedOn=[{"reference": "ServiceRequest/o1"}]),
        of_patient("DiagnosticReport", "r-accession", identifier=[ACCESSION]),
        of_patient("DiagnosticReport", "r-r5", study=[{"reference": "ImagingStudy/study-b"}]),
        of_patient("DiagnosticReport", "r-foreign", patient="demo-b", imagingStudy=[{"reference": "ImagingStudy/study-b"}]),
    ]
    return record


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, ehr=FakeEhr(fhir=a_record())) as made:
        yield made


def launched_on(world: World, *context: object) -> str:
    """The page at which a launch with this fhirContext ends."""
    world.ehr.token_changes = {"fhirContext": list(context)}
    world.clinician.launches(world.ehr)
    return world.clinician.addresses[-1].rpartition("/s/")[2].partition("/")[2]


@pytest.mark.parametrize(
    ("entry", "uid"),
    [
        ({"reference": "DiagnosticReport/r-study"}, STUDY_B),
        ({"reference": "DiagnosticReport/r-r5"}, STUDY_B),
        ({"reference": "DiagnosticReport/r-order"}, ORDERED),
        ({"reference": "DiagnosticReport/r-accession"}, ORDERED),
        ({"reference": "ServiceRequest/o1"}, ORDERED),
        ("ServiceRequest/o1", ORDERED),
        ({"type": "ServiceRequest", "identifier": PLACER}, ORDERED),
        ({"type": "ImagingStudy", "identifier": ACCESSION}, ORDERED),
        ({"identifier": ACCESSION}, ORDERED),
        ({"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_B}"}}, STUDY_B),
        ({"reference": "ImagingStudy/study-b"}, STUDY_B),
    ],
)
def test_app_a29_whatever_names_a_study_leads_to_it(world: World, entry: object, uid: str) -> None:
    assert launched_on(world, entry) == f"viewer/{uid}"


def test_app_a29_of_several_studies_the_first_is_opened_and_all_are_marked(world: World) -> None:
    page = launched_on(world, {"reference": "DiagnosticReport/r-order"}, {"reference": "ImagingStudy/study-b"})
    listed = world.clinician.get(f"/s/{world.clinician.session}/studies").text
    marked = [row for row in listed.split("<li ")[1:] if "highlighted" in row.partition(">")[0]]

    assert page == f"viewer/{ORDERED}"
    assert len(marked) == 2
    assert not any(f'"study-{STUDY_A}"' in row for row in marked)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"reference": "ServiceRequest/none"}, "no imaging study of this patient was found"),
        ({"reference": "ServiceRequest/unknown"}, "no imaging study of this patient was found"),
        ({"reference": "ServiceRequest/foreign"}, "no imaging study of this patient was found"),
        ({"reference": "DiagnosticReport/r-foreign"}, "no imaging study of this patient was found"),
        ({"reference": "ImagingStudy/of-somebody-else"}, "not among this patient"),
        ({"type": "ImagingStudy", "identifier": {"value": "A-unknown"}}, "not among this patient"),
    ],
)
def test_app_a29_what_leads_nowhere_ends_on_the_list_with_a_word(world: World, entry: object, words: str) -> None:
    world.ehr.token_changes = {"fhirContext": [entry]}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert words in page.text
    assert "/viewer/" not in world.clinician.addresses[-1]


def test_app_a29_another_patients_study_of_that_id_is_never_opened(world: World) -> None:
    world.ehr.fhir["ImagingStudy"].append(imaging_study("2.25.9009", patient="demo-b", study_id="study-x"))

    assert launched_on(world, {"reference": "ImagingStudy/study-x"}) == "named"


def test_app_a29_the_names_are_followed_once(world: World) -> None:
    launched_on(world, {"reference": "DiagnosticReport/r-order"})
    session, before = world.clinician.session, len(reads_of(world))
    again = world.clinician.get(f"/s/{session}/named")

    assert again.headers["Location"].endswith(f"/viewer/{ORDERED}")
    assert before == len(reads_of(world)) == 2


def test_app_a29_however_many_are_named_the_list_is_asked_for_once(world: World) -> None:
    """By a launch that names six studies of which the record knows none, and by one that names six that have no images."""
    unknown = [{"reference": f"ImagingStudy/unknown-{n}"} for n in range(6)]
    assert launched_on(world, *unknown) == "named"
    searched = [asked for asked in world.ehr.fhir_requests if asked.startswith("/fhir/ImagingStudy")]
    whole = [asked for asked in searched if "_id=" not in asked]

    assert len(searched) - len(whole) == 6
    assert len(whole) == 2, "once to follow the names, once for the page"
    assert all("_count=100" in asked for asked in whole)


def test_app_a29_several_studies_without_images_are_listed_by_one_question(world: World) -> None:
    world.ehr.fhir["ImagingStudy"] += [imaging_study(f"2.25.7{n}", study_id=f"bare-{n}", endpoint=[]) for n in range(5)]
    uids = [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:2.25.7{n}"}} for n in range(5)]
    assert launched_on(world, *({"type": "ImagingStudy", **one} for one in uids)) == "named"

    assert len([asked for asked in world.ehr.fhir_requests if asked.startswith("/fhir/ImagingStudy")]) == 2


def test_app_a29_a_later_name_opens_where_the_first_has_no_images(world: World) -> None:
    world.ehr.fhir["ImagingStudy"].append(imaging_study("2.25.70", study_id="bare", endpoint=[]))

    assert launched_on(world, {"reference": "ImagingStudy/bare"}, {"reference": "ImagingStudy/study-b"}) == f"viewer/{STUDY_B}"


def reads_of(world: World) -> list[str]:
    of_types = ("/fhir/DiagnosticReport/", "/fhir/ServiceRequest/")
    return [asked for asked in world.ehr.fhir_requests if asked.startswith(of_types)]


def test_app_a39_a_report_that_may_not_be_read_leaves_the_list(tmp_path: Path) -> None:
    class Strict(FakeEhr):
        def _read(self, resource_type: str, resource_id: str) -> Any:
            return (
                (jsonify(resourceType="OperationOutcome"), 403)
                if resource_type == "DiagnosticReport"
                else super()._read(resource_type, resource_id)
            )

    with a_world(tmp_path, ehr=Strict(fhir=a_record())) as world:
        assert launched_on(world, {"reference": "DiagnosticReport/r-study"}) == "named"


def test_app_a29_a_server_that_knows_no_basedon_is_asked_for_the_whole_list(tmp_path: Path) -> None:
    class Simple(FakeEhr):
        def _search(self, resource_type: str) -> Any:
            if "basedon" in request.args:
                return Response("{}", 400, mimetype="application/fhir+json")
            return super()._search(resource_type)

    with a_world(tmp_path, ehr=Simple(fhir=a_record())) as world:
        assert launched_on(world, {"reference": "ServiceRequest/o1"}) == f"viewer/{ORDERED}"


def test_app_a19_the_study_that_was_picked_at_a_standalone_launch_opens(tmp_path: Path) -> None:
    with a_world(tmp_path, ehr=FakeEhr(fhir=a_record()), study_picker=True) as world:
        world.ehr.token_changes = {"fhirContext": [{"reference": "ImagingStudy/study-b"}]}
        world.clinician.opens(f"/launch/standalone?iss={world.ehr.fhir_base}")

        assert world.ehr.authorizations[0]["scope"].split()[:2] == ["launch/patient", "launch/imagingstudy"]
        assert world.clinician.addresses[-1].endswith(f"/viewer/{STUDY_B}")


def test_app_a39_a_refused_token_is_renewed_once_before_a_report_is_given_up(tmp_path: Path) -> None:
    class Forgetful(FakeEhr):
        refused = 1

        def _read(self, resource_type: str, resource_id: str) -> Any:
            if resource_type == "DiagnosticReport" and self.refused:
                self.refused -= 1
                return "", 401
            return super()._read(resource_type, resource_id)

    with a_world(tmp_path, ehr=Forgetful(fhir=a_record())) as world:
        world.ehr.token_changes = {"fhirContext": [{"reference": "DiagnosticReport/r-study"}]}
        callback = world.clinician.callback_of(world.ehr)
        named = world.clinician.get(callback).headers["Location"]
        world.clock.passes(seconds=30)
        answer = world.clinician.get(named)

    assert answer.headers["Location"].endswith(f"/viewer/{STUDY_B}")
    assert [asked["grant_type"] for asked in world.ehr.token_requests] == ["authorization_code", "refresh_token"]
