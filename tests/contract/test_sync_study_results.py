"""From a structured report in the archive to Device, Observation and DiagnosticReport in FHIR, and back out again.

Spec: clinical rules §6 (SR path, predecessor documents, preliminary until signed).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.archived_study import ArchivedStudy, PatientNumber
from pacs_sync.one_study import OneStudy
from pacs_sync.ports import Work
from pacs_sync.settings import ResourceIds
from pacs_sync.study_results import StudyResults
from tests.sr_actors import OTHER_STUDY, SCHEMES, STARTED, STUDY, AReport
from tests.sync_actors import NOW, Sync, a_patient, a_study, a_sync, a_task


def the_study(uid: str = STUDY, number: str = "SYN-1") -> ArchivedStudy:
    patient = PatientNumber(number=number, issuer="DEMO")
    return replace(a_study(uid, modality="SR"), started=STARTED, patients=(patient,))


@pytest.fixture(params=[(ids, together) for ids in ResourceIds for together in (False, True)], ids=str)
def sync(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sync]:
    ids, together = request.param
    with a_sync(tmp_path, ids=ids, transactions=together) as made:
        made.settings = replace(made.settings, coding_schemes=SCHEMES)
        made.fhir.records.put(a_patient("syn", "SYN-1"))
        made.fhir.records.put(a_patient("other", "SYN-2"))
        made.archive.put(the_study())
        yield made


def worker_of(sync: Sync) -> OneStudy:
    target = sync.target()
    results = StudyResults(sync.archive, target, sync.settings)
    return OneStudy(sync.archive, target, sync.notes, sync.settings, results=results, clock=lambda: NOW)


def bring(sync: Sync, uid: str = STUDY, **more: Any) -> None:
    worker_of(sync).process(a_task(uid, **more))


def test_what_a_program_found_stands_preliminary_with_its_program_and_its_study(sync: Sync) -> None:
    sync.archive.reports[STUDY] = [AReport().json()]

    bring(sync)

    study, program = sync.fhir.one("ImagingStudy"), sync.fhir.one("Device")
    found, report = sync.fhir.one("Observation"), sync.fhir.one("DiagnosticReport")
    assert (found["status"], report["status"]) == ("preliminary", "preliminary")
    assert found["subject"] == report["subject"] == {"reference": "Patient/syn"}
    assert found["device"]["reference"] == f"Device/{program['id']}"
    assert found["derivedFrom"][0] == {"reference": f"ImagingStudy/{study['id']}"}
    assert report["result"] == [{"reference": f"Observation/{found['id']}"}]
    sync.fhir.requests.clear()
    bring(sync)
    assert sync.fhir.writes == []


def test_a_signed_successor_updates_what_stands_and_no_report_takes_it_back(sync: Sync) -> None:
    first = AReport()
    sync.archive.reports[STUDY] = [first.json()]
    bring(sync)
    ids = {kind: sync.fhir.one(kind)["id"] for kind in ("Observation", "DiagnosticReport")}

    signed = AReport(number=2, verified_by="Signer^Sara", replaces=[first.dataset()])
    sync.archive.reports[STUDY] = [first.json(), signed.json()]
    bring(sync)
    assert {kind: sync.fhir.one(kind)["id"] for kind in ids} == ids
    assert sync.fhir.one("Observation")["status"] == "final"
    assert sync.fhir.one("DiagnosticReport")["status"] != "preliminary"

    sync.archive.reports[STUDY] = []
    bring(sync)
    assert {sync.fhir.one(kind)["status"] for kind in ids} == {"entered-in-error"}


def test_a_report_in_another_study_of_the_patient_finds_the_study_of_its_images(sync: Sync) -> None:
    sync.archive.put(the_study(OTHER_STUDY))
    sync.archive.reports[OTHER_STUDY] = [AReport(lies_in=OTHER_STUDY).json()]
    bring(sync, OTHER_STUDY)
    assert sync.fhir.all("Observation") == []
    assert sync.notes.done_[-1][1] == 300.0
    bring(sync, OTHER_STUDY, quiet_s=4000.0)
    assert sync.notes.done_[-1][1] == 4000.0
    bring(sync, OTHER_STUDY, quiet_s=8 * 24 * 3600.0)
    assert sync.notes.done_[-1][1] is None

    bring(sync)
    bring(sync, OTHER_STUDY)
    assert sync.notes.done_[-1][1] is None

    of_uid = {one["identifier"][0]["value"]: f"ImagingStudy/{one['id']}" for one in sync.fhir.all("ImagingStudy")}
    found = sync.fhir.one("Observation")
    assert found["derivedFrom"][0]["reference"] == of_uid[f"urn:oid:{STUDY}"]


def test_a_report_never_reaches_a_study_of_another_patient(sync: Sync) -> None:
    sync.archive.put(the_study(OTHER_STUDY, number="SYN-2"))
    sync.archive.reports[OTHER_STUDY] = [AReport(lies_in=OTHER_STUDY).json()]
    bring(sync)

    bring(sync, OTHER_STUDY)

    assert sync.fhir.all("Observation") == []


@pytest.mark.parametrize("number", ["SYN-2", "SYN-9", None], ids=["another patient", "nobody known", "gone"])
def test_X14_what_was_found_on_images_that_were_another_patients_leaves_the_chart_with_them(
    sync: Sync, number: str | None
) -> None:
    """The report lies in a study that stays: it is looked at again as soon as the one of its images has moved."""
    sync.archive.put(the_study(OTHER_STUDY))
    sync.archive.reports[OTHER_STUDY] = [AReport(lies_in=OTHER_STUDY).json()]
    bring(sync)
    bring(sync, OTHER_STUDY)
    assert sync.fhir.one("Observation")["status"] == "preliminary"
    if number is None:
        del sync.archive.studies_by_uid[STUDY]
    else:
        sync.archive.put(the_study(number=number))

    bring(sync)

    assert sync.notes.queued == [(OTHER_STUDY, Work.COMPARED)]
    bring(sync, OTHER_STUDY)
    assert {sync.fhir.one(kind)["status"] for kind in ("Observation", "DiagnosticReport")} == {"entered-in-error"}


def test_results_are_not_read_where_the_settings_say_so(sync: Sync) -> None:
    sync.settings = replace(sync.settings, results=False)
    sync.archive.reports[STUDY] = [AReport().json()]

    bring(sync)

    assert (sync.fhir.one("ImagingStudy")["status"], sync.fhir.all("Observation")) == ("available", [])


def test_a_comparison_sees_what_results_lack_and_what_stands_too_much(sync: Sync) -> None:
    sync.archive.reports[STUDY] = [AReport().json()]
    bring(sync)
    assert not worker_of(sync).would_change(STUDY)

    sync.fhir.records.delete("Observation", sync.fhir.one("Observation")["id"])
    assert worker_of(sync).would_change(STUDY)
    bring(sync)
    assert not worker_of(sync).would_change(STUDY)

    sync.archive.reports[STUDY] = []
    assert worker_of(sync).would_change(STUDY)
