"""The synchronisation on a FHIR server with other habits: Medplum's router (``make counterparts``), in four ways of writing.

Its versions are UUIDs, it answers 412 where HAPI says 409, a search parameter that it does not know finds nothing, and it gives
no links to further pages. Orthanc and HAPI: test_sync_hapi.py.

Spec: clinical rules X14, X16, §6, §7.1; FHIR R4 RESTful API §3.1.0.4 to §3.1.0.11; issue 7.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.errors import UpstreamError
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.one_study import OneStudy
from pacs_sync.settings import ResourceIds, SyncSettings
from pacs_sync.study_results import StudyResults
from pacs_sync.target_access import TargetAccess
from pacs_sync.target_search import PAGE_SIZE
from tests.interop.medplum_process import Medplum, running_medplum
from tests.sr_actors import SCHEMES, STARTED, AReport
from tests.sr_actors import STUDY as REPORTED
from tests.sync_actors import Archive, NoResults, Notes, a_patient, a_study, a_task, at_once, sync_settings

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]
WORKERS = 6
MODES = [(ids, together) for ids in ResourceIds for together in (False, True)]


@dataclass
class Site:
    """One synchronisation; its name and its studies' UIDs keep it apart from others on the same server."""

    medplum: Medplum
    settings: SyncSettings
    root: str
    closing: ExitStack
    archive: Archive = field(default_factory=Archive)
    notes: Notes = field(default_factory=Notes)
    made: int = 0

    def new_uid(self) -> str:
        self.made += 1
        return f"{self.root}.{self.made}"

    def target(self) -> FhirTarget:
        """A new one, as in another process."""
        target = FhirTarget(self.settings, TargetAccess(self.settings, None))
        self.closing.callback(target.close)
        return target

    def worker(self) -> OneStudy:
        target = self.target()
        results = StudyResults(self.archive, target, self.settings)
        return OneStudy(self.archive, target, self.notes, self.settings, results=results)

    def bring(self, uid: str) -> dict[str, Any]:
        """The one ImagingStudy that stands of this study once a worker has looked at it."""
        self.worker().process(a_task(uid))
        found = self.standing(uid)
        assert len(found) == 1, found
        return found[0]

    def standing(self, uid: str) -> list[dict[str, Any]]:
        return self.medplum.found(f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{uid}")

    def results(self, uid: str) -> list[dict[str, Any]]:
        tag = f"_tag=urn:dicom:uid|urn:oid:{uid}"
        return [*self.medplum.found(f"Observation?{tag}"), *self.medplum.found(f"DiagnosticReport?{tag}")]


@contextmanager
def a_hospital(home: Path) -> Iterator[Medplum]:
    with running_medplum(home) as running:
        for patient_id, number in (("pat-a", "DEMO-1001"), ("pat-b", "DEMO-1002"), ("syn", "SYN-1")):
            running.put(a_patient(patient_id, number))
        yield running


@contextmanager
def a_site(medplum: Medplum, ids: ResourceIds, *, together: bool, number: int = 0) -> Iterator[Site]:
    settings = sync_settings(medplum.base, ids=ids, transactions=together)
    with ExitStack() as closing:
        yield Site(medplum, replace(settings, name=f"site-{number}", coding_schemes=SCHEMES), f"2.25.80{number}", closing)


@pytest.fixture(scope="module")
def medplum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medplum]:
    with a_hospital(tmp_path_factory.mktemp("medplum")) as running:
        yield running


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: f"{mode[0]}-{'together' if mode[1] else 'one-by-one'}")
def site(request: pytest.FixtureRequest, medplum: Medplum) -> Iterator[Site]:
    ids, together = request.param
    with a_site(medplum, ids, together=together, number=MODES.index(request.param)) as made:
        yield made


def test_a_new_study_stands_once_and_what_is_looked_at_again_is_not_written(site: Site) -> None:
    uid = site.new_uid()
    site.archive.put(a_study(uid))

    new, again = site.bring(uid), site.bring(uid)

    assert (new["status"], new["subject"]["reference"]) == ("available", "Patient/pat-a")
    assert (new["id"] == uid) == (site.settings.target.ids is ResourceIds.STUDY_UID)
    assert again["meta"]["versionId"] == new["meta"]["versionId"]
    assert not new["meta"]["versionId"].isdigit()


def test_what_changed_in_the_archive_changes_in_place(site: Site) -> None:
    uid = site.new_uid()
    site.archive.put(a_study(uid))
    before = site.bring(uid)

    site.archive.put(a_study(uid, "DEMO-1002", images=5))
    after = site.bring(uid)

    assert after["id"] == before["id"]
    assert (after["subject"]["reference"], after["numberOfInstances"]) == ("Patient/pat-b", 5)


def test_a_study_that_is_gone_is_withdrawn_and_returns_with_its_images(site: Site) -> None:
    uid = site.new_uid()
    site.archive.put(a_study(uid))
    before = site.bring(uid)

    del site.archive.studies_by_uid[uid]
    assert site.bring(uid)["status"] == "entered-in-error"

    site.archive.put(a_study(uid))
    after = site.bring(uid)
    assert (after["id"], after["status"]) == (before["id"], "available")


def test_a_report_becomes_results_that_follow_their_study(site: Site) -> None:
    uid = site.new_uid()
    site.archive.put(
        replace(a_study(uid, modality="SR"), started=STARTED, patients=(PatientNumber(number="SYN-1", issuer="DEMO"),))
    )
    site.archive.reports[uid] = [json.loads(json.dumps(AReport().json()).replace(REPORTED, uid))]

    study = site.bring(uid)
    results = site.results(uid)

    assert sorted(one["resourceType"] for one in results) == ["DiagnosticReport", "Observation"]
    assert {one["status"] for one in results} == {"preliminary"}
    assert {one["subject"]["reference"] for one in results} == {"Patient/syn"}
    assert all(f'"ImagingStudy/{study["id"]}"' in json.dumps(one) for one in results)
    site.bring(uid)
    assert [one["meta"]["versionId"] for one in site.results(uid)] == [one["meta"]["versionId"] for one in results]

    del site.archive.studies_by_uid[uid]
    site.bring(uid)
    assert {one["status"] for one in site.results(uid)} == {"entered-in-error"}


def test_workers_that_write_the_same_new_study_at_once_leave_one(site: Site) -> None:
    targets = [site.target() for _ in range(WORKERS)]
    for _ in range(5):
        uid = site.new_uid()
        site.archive.put(a_study(uid))

        def write(number: int, uid: str = uid) -> None:
            OneStudy(site.archive, targets[number], site.notes, site.settings, results=NoResults()).process(a_task(uid))

        refused = at_once(WORKERS, write)
        assert [one for one in refused if not isinstance(one, UpstreamError)] == []
        assert [one["status"] for one in site.standing(uid)] == ["available"]


def test_all_that_stands_is_found_for_a_comparison(site: Site) -> None:
    uid = site.new_uid()
    site.archive.put(a_study(uid))
    site.bring(uid)

    standing = [one.id for one in site.target().all_studies()]

    assert len(standing) == len(set(standing)) >= 1
    assert site.standing(uid)[0]["id"] in standing


def test_what_the_server_keeps_back_without_a_link_is_not_taken_for_missing(tmp_path: Path) -> None:
    """It gives as many as are asked for at once, says that there are more, and has no next page."""
    with a_hospital(tmp_path) as medplum, a_site(medplum, ResourceIds.SERVER, together=False) as site:
        uid = site.new_uid()
        site.archive.put(a_study(uid))
        study = site.bring(uid)
        for number in range(PAGE_SIZE):
            medplum.put({**study, "id": f"another-{number}", "identifier": []})

        with pytest.raises(UpstreamError, match=rf"found \d+ ImagingStudy, gave {PAGE_SIZE} and no link to the rest"):
            list(site.target().all_studies())
