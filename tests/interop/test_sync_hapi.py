"""From a real archive to a real FHIR server: Debian's Orthanc, the synchronisation, HAPI FHIR R4 and R5, ids of both kinds.

Needs ``make hapi`` and ``apt-get install orthanc orthanc-dicomweb``. HAPI lets two who create the same study at the same moment
both do so, remembers searches for a minute and answers 409 to whoever was slower (test_hapi_server.py).

Spec: clinical rules X13, X14, X16, X17, X24, §9; issue 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier

import pytest

from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.sync_job import SyncJob
from pacs_sync.ports import Work
from pacs_sync.settings import ResourceIds
from tests.interop.hapi_process import Hapi, running_hapi
from tests.interop.hapi_studies import a_patient
from tests.interop.hapi_sync_actors import VISIBLE, Json, Site, a_site
from tests.pacs_actors import Slice
from tests.sr_actors import DIAMETER, AReport, a_nodule, an_image, lung_rads, size

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400), pytest.mark.xdist_group("outsiders")]
WORKERS = 6


@pytest.fixture(scope="module", params=[FhirVersion.R4, FhirVersion.R5])
def hapi(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hapi]:
    with running_hapi(tmp_path_factory.mktemp("hapi"), request.param) as running:
        running.put(a_patient("alma", "DEMO-1001"))
        running.put(a_patient("bruno", "DEMO-1002"))
        yield running


@pytest.fixture(scope="module", params=list(ResourceIds))
def site(request: pytest.FixtureRequest, hapi: Hapi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    first = 10_000 * (1 + list(ResourceIds).index(request.param))
    with a_site(tmp_path_factory.mktemp("site"), hapi, request.param, first=first) as made:
        for _ in range(3):  # an archive that lists less than half of what stands is not believed
            made.stores(Slice(study_uid=made.new_uid()).dataset())
        yield made


def test_a_new_study_appears_early_and_is_available_once_it_is_stable(site: Site) -> None:
    early: list[Json] = []
    for _ in range(5):  # a slow machine may look only when the archive has calmed down
        uid = site.new_uid()
        site.stores(*(Slice(study_uid=uid, number=number).dataset() for number in (1, 2, 3)))
        site.once()
        early = site.standing(uid)
        if early[0]["status"] == "registered":
            break
    assert [one["status"] for one in early] == ["registered"]

    study = site.until(uid, "available")

    assert study["id"] == early[0]["id"]
    assert (study["id"] == uid) == (site.name == ResourceIds.STUDY_UID)
    assert study["subject"]["reference"] == "Patient/alma"
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 3)
    endpoint = site.hapi.ask(study["endpoint"][0]["reference"])
    assert endpoint["address"] == f"https://images.example/dicom-web/{site.name}"
    assert len(site.standing(uid)) == 1


def test_a_study_that_grows_late_stays_what_it_is_and_counts_more(site: Site) -> None:
    uid = site.new_uid()
    site.stores(Slice(study_uid=uid).dataset())
    before = site.until(uid, "available")

    site.stores(Slice(study_uid=uid, series=2).dataset(), Slice(study_uid=uid, number=2).dataset())
    site.once()

    (after,) = site.standing(uid)
    assert (after["id"], after["status"]) == (before["id"], "available")
    assert (after["numberOfSeries"], after["numberOfInstances"]) == (2, 3)


def test_what_is_sent_again_or_looked_at_again_writes_nothing(site: Site) -> None:
    uid = site.new_uid()
    image = Slice(study_uid=uid).dataset()
    site.stores(image)
    before = site.until(uid, "available")

    site.stores(image)
    site.job.memory.enqueue([StudyInstanceUID(uid)], Work.COMPARED, now=0)
    assert site.once().done >= 1

    assert [one["meta"]["versionId"] for one in site.standing(uid)] == [before["meta"]["versionId"]]


def test_a_deleted_study_is_withdrawn_by_a_comparison_and_returns_with_its_images(site: Site) -> None:
    uid = site.new_uid()
    image = Slice(study_uid=uid).dataset()
    site.stores(image)
    before = site.until(uid, "available")
    site.deletes(uid)

    site.reconcile()
    assert [one["status"] for one in site.standing(uid)] == ["entered-in-error"]

    site.stores(image)
    assert site.until(uid, "available")["id"] == before["id"]
    assert len(site.standing(uid)) == 1


def test_an_unknown_patients_study_is_held_until_the_number_is_known(site: Site) -> None:
    uid, number = site.new_uid(), f"NEW-{site.name}"
    site.stores(Slice(study_uid=uid, patient_id=number).dataset())
    site.once()
    assert uid in site.job.held()
    assert site.standing(uid) == []

    site.hapi.put(a_patient(f"new-{site.name}", number))
    site.job.people.resolve(StudyInstanceUID(uid), "retry", now=0)

    assert site.until(uid, "available")["subject"]["reference"] == f"Patient/new-{site.name}"


def test_a_number_that_two_patients_have_is_nobodys(site: Site) -> None:
    uid, number = site.new_uid(), f"TWICE-{site.name}"
    for which in ("one", "two"):
        site.hapi.put(a_patient(f"{which}-{site.name}", number))
    site.stores(Slice(study_uid=uid, patient_id=number).dataset())
    site.once()
    assert uid in site.job.held()
    assert site.standing(uid) == []


def test_a_study_of_two_persons_is_taken_out_of_the_chart(site: Site) -> None:
    uid = site.new_uid()
    site.stores(Slice(study_uid=uid).dataset())
    site.until(uid, "available")

    site.stores(Slice(study_uid=uid, series=2, patient_id="DEMO-1002", patient_name="Synthetic^Bruno").dataset())
    site.once()

    assert uid in site.job.held()
    assert [one["status"] for one in site.standing(uid)] == ["entered-in-error"]


def test_many_studies_and_several_workers_make_each_one_once(site: Site) -> None:
    uids = [site.new_uid() for _ in range(24)]
    for uid in uids:
        site.stores(Slice(study_uid=uid).dataset())
    with ExitStack() as stack, ThreadPoolExecutor(3) as processes:
        jobs = [stack.enter_context(site.another_job()) for _ in range(3)]
        list(processes.map(lambda job: job.runner.once(settle_s=1.0), jobs))
    for uid in uids:
        site.until(uid, "available")

    seen = site.visible()
    assert len(seen) == len(set(seen))
    assert set(uids) <= set(seen)


def test_workers_that_write_the_same_new_study_at_once_leave_one(site: Site) -> None:
    """HAPI keeps nobody apart who creates by a condition; no queue keeps these apart either."""
    with ExitStack() as stack, ThreadPoolExecutor(WORKERS) as threads:
        jobs = [stack.enter_context(site.another_job()) for _ in range(WORKERS)]
        for _ in range(10):
            uid, ready = site.new_uid(), Barrier(WORKERS)
            site.stores(Slice(study_uid=uid).dataset())

            def bring(job: SyncJob, uid: str = uid, ready: Barrier = ready) -> None:
                ready.wait(30)
                site.brings(job, uid)

            list(threads.map(bring, jobs))
            statuses = [one["status"] for one in site.standing(uid)]
            assert len([one for one in statuses if one in VISIBLE]) == 1, statuses


def test_a_report_becomes_results_that_follow_their_study(site: Site) -> None:
    uid = site.new_uid()
    site.hapi.put(a_patient("report", "SYN-1"))
    image = an_image(uid)
    groups = [a_nodule(lung_rads(), measurements=[size(DIAMETER, 9.0)], lesion=f"{uid}.6", image=image)]
    report = AReport(number=int(uid.rpartition(".")[2]), groups=groups, images=[image]).dataset()
    report.SeriesInstanceUID = f"{uid}.100"
    report.IssuerOfPatientID = "SYN"
    ct = Slice(study_uid=uid, patient_id="SYN-1", patient_name="Synthetic^One", extra={"IssuerOfPatientID": "SYN"})
    site.stores(ct.dataset(), report)
    study = site.until(uid, "available")

    results = results_of(site, uid)
    assert {one["resourceType"] for one in results} == {"Observation", "DiagnosticReport"}
    assert {one["subject"]["reference"] for one in results} == {"Patient/report"}
    assert {one["status"] for one in results} == {"preliminary"}
    assert f"ImagingStudy/{study['id']}" in str(results)
    for one in results:
        assert_valid(site.hapi, one)

    site.deletes(uid)
    site.reconcile()
    assert {one["status"] for one in results_of(site, uid)} == {"entered-in-error"}


def test_the_comparison_ends_in_agreement_and_all_that_stands_is_valid(site: Site) -> None:
    site.reconcile()
    report = site.reconcile()
    assert report.agrees, report
    assert report.standing >= 3
    ours = site.hapi.found(f"ImagingStudy?_tag=urn:imaging-cds:sync|{site.name}")
    endpoints = site.hapi.found(f"Endpoint?_tag=urn:imaging-cds:sync|{site.name}")
    devices = site.hapi.found("Device")
    assert len(endpoints) == 1
    for one in [*ours[:8], *(study for study in ours if study["status"] == "entered-in-error"), *endpoints, *devices]:
        assert_valid(site.hapi, one)


def results_of(site: Site, uid: str) -> list[Json]:
    """What was read of the reports of this study."""
    tag = f"_tag=urn:dicom:uid|urn:oid:{uid}"
    return [*site.hapi.found(f"Observation?{tag}"), *site.hapi.found(f"DiagnosticReport?{tag}")]


def assert_valid(hapi: Hapi, resource: Json) -> None:
    """HAPI's own validator has nothing to refuse."""
    outcome = hapi.send("POST", f"{resource['resourceType']}/$validate", resource).json()
    errors = [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]
    assert errors == [], (errors, resource)
