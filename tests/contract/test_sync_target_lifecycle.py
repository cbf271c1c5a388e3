"""The life of a study in FHIR: announced, complete, late images, another patient, gone and back; written only where it differs.

Spec: clinical rules X14, X16, X17, X24, §7.2, §9.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import request

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.errors import UpstreamError
from pacs_sync.ports import HoldReason, Subject
from pacs_sync.retries import is_like_an_outage
from pacs_sync.settings import ResourceIds
from tests.sync_actors import ACCESSIONS, MRN, STUDY, Sync, a_patient, a_study, a_sync, at_once, json_response


@pytest.fixture(params=[(ids, together) for ids in ResourceIds for together in (False, True)], ids=str)
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    ids, together = request.param
    with a_sync(tmp_path, ids=ids, transactions=together) as made:
        yield made


def test_X16_a_study_stands_once_with_its_patient_its_images_and_our_mark(sync: Sync) -> None:
    sync.archive.put(a_study())

    sync.bring()

    stands, endpoint = sync.fhir.one("ImagingStudy"), sync.fhir.one("Endpoint")
    assert stands["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}]
    assert stands["subject"] == {"reference": "Patient/pat-a", "identifier": {"system": MRN, "value": "DEMO-1001"}}
    assert (stands["status"], stands["numberOfInstances"]) == ("available", 3)
    assert stands["endpoint"] == [{"reference": f"Endpoint/{endpoint['id']}"}]
    assert endpoint["address"] == "https://gateway.example/imaging/demo/dicom-web"
    assert stands["meta"]["source"] == "urn:imaging-cds:sync:demo"
    assert (stands["id"] == STUDY) == (sync.settings.target.ids is ResourceIds.STUDY_UID)
    assert [uid for uid, _ in sync.notes.done_] == [STUDY]


def test_X16_bringing_it_again_writes_nothing_also_in_another_process(sync: Sync) -> None:
    sync.archive.put(a_study(modality="SR"))
    sync.results.resources[STUDY] = some_results()
    sync.bring()
    sync.fhir.requests.clear()

    sync.bring()
    sync.bring()

    assert sync.fhir.writes == []


def test_X24_a_study_is_announced_then_available_and_stays_so_while_late_images_come(sync: Sync) -> None:
    worker = sync.worker()
    sync.archive.put(a_study(images=1))
    sync.bring(worker=worker, is_complete=False, quiet_s=20.0)
    assert sync.fhir.one("ImagingStudy")["status"] == "registered"
    assert sync.notes.done_[-1][1] == 40.0

    sync.bring(worker=worker, is_complete=False, quiet_s=60.0)
    assert sync.fhir.one("ImagingStudy")["status"] == "available"
    assert sync.notes.done_[-1][1] is None

    sync.archive.put(a_study(images=5))
    sync.bring(worker=worker, is_complete=False)

    stands = sync.fhir.one("ImagingStudy")
    assert (stands["status"], stands["numberOfInstances"]) == ("available", 5)


def test_gone_is_entered_in_error_and_back_is_available_in_the_same_resource(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()
    first = sync.fhir.one("ImagingStudy")["id"]

    del sync.archive.studies_by_uid[STUDY]
    sync.bring()
    assert sync.fhir.one("ImagingStudy")["status"] == "entered-in-error"
    sync.fhir.requests.clear()
    sync.bring()
    assert sync.fhir.writes == []

    sync.archive.put(a_study())
    sync.bring()
    stands = sync.fhir.one("ImagingStudy")
    assert (stands["id"], stands["status"]) == (first, "available")


def test_a_study_that_was_only_announced_is_cancelled_when_it_is_gone(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring(is_complete=False)

    sync.archive.studies_by_uid.clear()
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["status"] == "cancelled"


def test_the_subject_follows_when_the_archive_gives_the_study_to_another_patient(sync: Sync) -> None:
    sync.archive.put(a_study(modality="SR"))
    sync.results.resources[STUDY] = some_results()
    sync.bring()

    sync.archive.put(a_study(number="DEMO-1002", modality="SR"))
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["subject"]["reference"] == "Patient/pat-b"
    assert {one["subject"]["reference"] for one in sync.fhir.all("Observation")} == {"Patient/pat-b"}


def test_X14_a_patient_that_nobody_knows_takes_the_study_out_of_the_former_chart(sync: Sync) -> None:
    sync.archive.put(a_study(accession="A-17", modality="SR"))
    sync.results.resources[STUDY] = some_results()
    sync.bring()

    sync.archive.put(a_study(number="NOBODY", accession="A-17"))
    sync.bring()

    stands = sync.fhir.one("ImagingStudy")
    assert stands["status"] == "entered-in-error"
    assert set(stands) == {"resourceType", "id", "meta", "identifier", "status", "subject"}
    assert {one["status"] for one in sync.fhir.all("Observation")} == {"entered-in-error"}
    assert [held.reason for _, held in sync.notes.held_] == [HoldReason.NO_PATIENT]


def test_X14_an_index_that_finds_nobody_any_more_empties_no_chart(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()
    sync.fhir.instead = lambda: (
        json_response({"resourceType": "Bundle", "type": "searchset"}) if request.path == "/fhir/Patient/_search" else None
    )

    with pytest.raises(UpstreamError, match="finds nobody") as raised:
        sync.bring()

    assert is_like_an_outage(raised.value), "every other study fares the same"
    assert sync.fhir.one("ImagingStudy")["status"] == "available"
    assert sync.notes.held_ == []


def test_X14_a_number_that_the_ehr_has_taken_from_its_patient_takes_the_study_out_of_the_chart(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()

    sync.fhir.records.put(a_patient("pat-a", "ANOTHER"))
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["status"] == "entered-in-error"
    assert [held.reason for _, held in sync.notes.held_] == [HoldReason.NO_PATIENT]


def test_parts_of_two_patients_are_in_nobodys_chart(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()

    both = (PatientNumber(number="DEMO-1001", issuer="DEMO"), PatientNumber(number="DEMO-1002", issuer="DEMO"))
    sync.archive.put(a_study(patients=both))
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["status"] == "entered-in-error"
    assert [held.reason for _, held in sync.notes.held_] == [HoldReason.MIXED]


def test_a_study_stays_where_it_is_when_a_second_record_gets_its_patients_number(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()

    sync.fhir.records.put(a_patient("pat-a2", "DEMO-1001"))
    sync.bring()

    assert sync.fhir.one("ImagingStudy")["status"] == "available"
    assert [held.reason for _, held in sync.notes.held_] == [HoldReason.SEVERAL_PATIENTS]


def test_what_a_person_decided_counts_for_what_the_archive_said_then_and_for_nothing_else(sync: Sync) -> None:
    stated = PatientNumber(number="TYPO", issuer="DEMO")
    sync.archive.put(a_study(number="TYPO"))
    assigned = Subject(patient_id="pat-b", system=MRN, number="DEMO-1002")

    sync.bring(assigned=assigned, assigned_for=stated)
    assert sync.fhir.one("ImagingStudy")["subject"]["reference"] == "Patient/pat-b"

    sync.archive.put(a_study(number="DEMO-1001"))
    sync.bring(assigned=assigned, assigned_for=stated)
    assert sync.fhir.one("ImagingStudy")["subject"]["reference"] == "Patient/pat-a"


def test_X14_what_a_person_decided_follows_the_record_that_the_ehr_merges_and_ends_with_one_that_it_closes(sync: Sync) -> None:
    assigned = Subject(patient_id="pat-b", system=MRN, number="DEMO-1002")
    stated = PatientNumber(number="TYPO", issuer="DEMO")
    sync.archive.put(a_study(number="TYPO"))

    def chart(**said: Any) -> str:
        sync.fhir.records.put(a_patient("pat-b", "DEMO-1002", **said))
        sync.bring(assigned=assigned, assigned_for=stated)
        return f"{sync.fhir.one('ImagingStudy')['subject']['reference']} {sync.fhir.one('ImagingStudy')['status']}"

    assert chart() == "Patient/pat-b available"
    replaced_by_a = [{"type": "replaced-by", "other": {"reference": "Patient/pat-a"}}]
    assert chart(active=False, link=replaced_by_a) == "Patient/pat-a available"
    assert chart(link=[{"type": "replaces", "other": {"reference": "Patient/pat-a"}}]) == "Patient/pat-b available"
    assert sync.notes.held_ == []
    assert chart(active=False) == "Patient/pat-b entered-in-error"
    assert [(held.reason, held.patient) for _, held in sync.notes.held_] == [(HoldReason.NO_PATIENT, stated)]


def test_X18_the_order_of_this_patient_is_linked_and_no_other_patients_with_the_same_number(sync: Sync) -> None:
    order = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "code": {"text": "CT"}}
    order |= {"identifier": [{"system": ACCESSIONS, "value": "A-17"}]}
    sync.fhir.records.put({**order, "id": "of-a", "subject": {"reference": "Patient/pat-a"}})
    sync.archive.put(a_study(accession="A-17"), a_study("2.25.7002", number="DEMO-1002", accession="A-17"))

    sync.bring()
    sync.bring("2.25.7002")

    based_on = {one["subject"]["reference"]: one["basedOn"][0].get("reference") for one in sync.fhir.all("ImagingStudy")}
    assert based_on == {"Patient/pat-a": "ServiceRequest/of-a", "Patient/pat-b": None}


def test_eight_writers_of_one_study_make_one_resource_and_one_endpoint(sync: Sync) -> None:
    sync.archive.put(a_study(modality="SR"))
    sync.results.resources[STUDY] = some_results()
    workers = [sync.worker() for _ in range(8)]

    raised = at_once(8, lambda number: sync.bring(worker=workers[number]))

    assert raised == []
    assert sync.fhir.one("ImagingStudy")["status"] == "available"
    assert len(sync.fhir.all("Endpoint")) == 1
    assert sorted(one["resourceType"] for kind in RESULTS for one in sync.fhir.all(kind)) == sorted(RESULTS)


def test_what_others_added_stays_and_what_they_changed_of_ours_is_put_right(sync: Sync) -> None:
    sync.archive.put(a_study())
    sync.bring()
    stands = sync.fhir.one("ImagingStudy")
    sync.fhir.records.put({**stands, "note": [{"text": "seen"}], "description": "Abdomen"})

    sync.bring()

    stands = sync.fhir.one("ImagingStudy")
    assert (stands["note"], stands["description"]) == ([{"text": "seen"}], "Chest")


def test_a_resource_that_nobody_signed_is_taken_over_and_anothers_is_left_to_them(sync: Sync) -> None:
    foreign: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "id": "by-hand",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}],
        "status": "available",
        "subject": {"reference": "Patient/pat-a"},
    }
    sync.archive.put(a_study(), a_study("2.25.7002"))
    sync.fhir.records.put(foreign)
    theirs = {**foreign, "id": "theirs", "meta": {"source": "https://ris.example"}}
    sync.fhir.records.put({**theirs, "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.7002"}]})

    sync.bring()
    sync.bring("2.25.7002")

    stands = {one["id"]: one for one in sync.fhir.all("ImagingStudy")}
    assert set(stands) == {"by-hand", "theirs"}
    assert stands["by-hand"]["meta"]["source"] == "urn:imaging-cds:sync:demo"
    assert stands["theirs"]["meta"]["source"] == "https://ris.example"
    assert [(uid, held.reason) for uid, held in sync.notes.held_] == [("2.25.7002", HoldReason.SEVERAL_STUDIES)]


RESULTS = ("Device", "Observation", "DiagnosticReport")


def some_results() -> list[dict[str, Any]]:
    """A program, what it found, and the report of it, as ``pacs_sync.result_mapping`` makes them."""

    def named(kind: str, value: str) -> dict[str, Any]:
        return {"resourceType": kind, "identifier": [{"system": "https://results.example", "value": value}]}

    study = {"reference": f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{STUDY}"}
    said = {"status": "preliminary", "code": {"text": "Nodule"}}
    observation = {
        **named("Observation", "o1"),
        **said,
        "derivedFrom": [study],
        "device": {"reference": "Device?identifier=https://results.example|d1"},
        "valueQuantity": {"value": 9.0, "unit": "mm"},
    }
    report = {
        **named("DiagnosticReport", "r1"),
        **said,
        "imagingStudy": [study],
        "result": [{"reference": "Observation?identifier=https://results.example|o1"}],
    }
    return [named("Device", "d1"), observation, report]


def test_results_refer_to_what_stands_and_are_withdrawn_when_no_report_says_them(sync: Sync) -> None:
    sync.archive.put(a_study(modality="SR"))
    sync.results.resources[STUDY] = some_results()
    sync.bring()
    ids = {kind: f"{kind}/{sync.fhir.one(kind)['id']}" for kind in ("ImagingStudy", *RESULTS)}
    observation, report = sync.fhir.one("Observation"), sync.fhir.one("DiagnosticReport")
    assert observation["derivedFrom"] == [{"reference": ids["ImagingStudy"]}]
    assert observation["device"] == {"reference": ids["Device"]}
    assert report["result"] == [{"reference": ids["Observation"]}]

    sync.results.resources[STUDY] = []
    sync.bring()
    withdrawn = sync.fhir.one("Observation")
    assert (withdrawn["status"], "valueQuantity" in withdrawn) == ("entered-in-error", False)

    sync.results.resources[STUDY] = some_results()
    sync.bring()
    assert sync.fhir.one("Observation")["valueQuantity"]["value"] == 9.0


@pytest.mark.parametrize("decision", ["final", "entered-in-error"])
def test_what_a_person_decided_about_a_finding_stays_decided(sync: Sync, decision: str) -> None:
    sync.archive.put(a_study(modality="SR"))
    sync.results.resources[STUDY] = some_results()
    sync.bring()
    sync.fhir.records.put({**sync.fhir.one("Observation"), "status": decision})

    sync.bring()
    assert sync.fhir.one("Observation")["status"] == decision

    changed = some_results()
    changed[1]["valueQuantity"]["value"] = 11.0
    sync.results.resources[STUDY] = changed
    sync.bring()
    assert sync.fhir.one("Observation")["status"] == "preliminary"
