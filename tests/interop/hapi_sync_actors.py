"""The whole synchronisation between two real servers: Debian's Orthanc as the archive, HAPI FHIR as the target."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import tomli_w
from pydicom.dataset import Dataset

from fhir_imaging.errors import UpstreamError
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.settings import load
from imaging_cds.sync_job import SyncJob, sync_job
from pacs_sync.memory import StoredMemory
from pacs_sync.one_study import OneStudy
from pacs_sync.ports import Task, Work
from pacs_sync.reconcile import Report, reconcile
from pacs_sync.run import Summary
from pacs_sync.settings import ResourceIds
from pacs_sync.study_results import StudyResults
from tests.interop.hapi_process import Hapi
from tests.interop.hapi_studies import NUMBERS, UID_SYSTEM, of_study
from tests.interop.orthanc_process import USER, Orthanc, running_orthanc
from tests.log_watch import is_secret

STABLE_AGE_S = 2
PATIENCE_S = 60.0
VISIBLE = frozenset({"registered", "available"})
Json = dict[str, Any]


@dataclass
class Site:
    """One hospital. ``job`` is its synchronisation; ``name`` keeps its resources apart from other sites' in the same HAPI."""

    name: str
    orthanc: Orthanc
    hapi: Hapi
    store: Store
    config: Path
    job: SyncJob
    first: int
    studies: int = 0

    def new_uid(self) -> str:
        """Of a study that no other test has."""
        self.studies += 1
        return f"2.25.{self.first + self.studies}"

    def stores(self, *datasets: Dataset) -> None:
        with self.orthanc.session() as session:
            for dataset in datasets:
                with BytesIO() as written:
                    dataset.save_as(written, enforce_file_format=True)
                    session.post(f"{self.orthanc.url}/instances", data=written.getvalue(), timeout=20).raise_for_status()

    def deletes(self, uid: str) -> None:
        """The study, in Orthanc."""
        with self.orthanc.session() as session:
            for one in session.post(f"{self.orthanc.url}/tools/lookup", data=uid, timeout=20).json():
                session.delete(f"{self.orthanc.url}{one['Path']}", timeout=20).raise_for_status()

    def once(self) -> Summary:
        """What ``imaging-cds sync once`` does."""
        return self.job.runner.once(settle_s=1.0)

    def until(self, uid: str, status: str) -> Json:
        """The one ImagingStudy of this study, once it has this status."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.once()
            found = [one for one in self.standing(uid) if one["status"] == status]
            if found:
                assert len(found) == 1, found
                return found[0]
            assert time.monotonic() < deadline, f"not {status}: {self.standing(uid)}, {self.job.held()}"
            time.sleep(0.3)

    def standing(self, uid: str) -> list[Json]:
        """All ImagingStudies with this Study Instance UID, whoever may see them."""
        return self.hapi.found(of_study(uid))

    def visible(self) -> list[str]:
        """The UIDs of all studies of this site that can be seen, each as often as it can be seen."""
        ours = self.hapi.found(f"ImagingStudy?_tag=urn:imaging-cds:sync|{self.name}")
        return sorted(uid_of(one) for one in ours if one["status"] in VISIBLE)

    def reconcile(self) -> Report:
        """What ``imaging-cds sync reconcile --repair`` does."""
        job = self.job
        comparing = job.comparing(repair=True, would_change=job.one_study.would_change)
        report = reconcile(job.source, job.target, job.memory, comparing)
        self.once()
        return report

    @contextmanager
    def another_job(self) -> Iterator[SyncJob]:
        """As in a further process on the same database."""
        settings = load(self.config)
        with sync_job(settings, settings.sync[0], self.store) as job:
            yield job

    def brings(self, job: SyncJob, uid: str) -> None:
        """Writes the study whatever other workers do, as one does whose lease ends right after it was looked at; again where it
        must."""
        memory: Any = _EndsUnnoticed(job.memory)
        results = StudyResults(job.source, job.target, job.settings)
        one_study = OneStudy(job.source, job.target, memory, job.settings, results=results, clock=job.clock)
        task = Task(study=StudyInstanceUID(uid), work=Work.CHANGED, attempts=1, ticket="none", is_complete=True)
        for _ in range(20):
            try:
                return one_study.process(task)
            except UpstreamError as failure:
                if not failure.retryable:
                    raise
                time.sleep(0.05)
        raise AssertionError("overtaken twenty times")


class _EndsUnnoticed:
    """A memory that believes every worker that it still has its study."""

    def __init__(self, memory: StoredMemory) -> None:
        self._memory = memory

    def still_has(self, _task: Task) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)


def uid_of(study: Json) -> str:
    """Its Study Instance UID."""
    values = [one["value"] for one in study["identifier"] if one.get("system") == UID_SYSTEM]
    assert len(values) == 1, values
    return str(values[0]).removeprefix("urn:oid:")


@contextmanager
def a_site(home: Path, hapi: Hapi, ids: ResourceIds, *, first: int) -> Iterator[Site]:
    """An empty Orthanc and its synchronisation; its studies' UIDs begin at ``first``."""
    with ExitStack() as stack:
        archive = home / "orthanc"
        archive.mkdir()
        orthanc = stack.enter_context(running_orthanc(archive, StableAge=STABLE_AGE_S))
        config = home / "app.toml"
        config.write_text(tomli_w.dumps(_settings(home, orthanc, hapi, ids)))
        settings = load(config)
        store = Store.open(settings.state)
        stack.callback(store.close)
        store.migrate()
        job = stack.enter_context(sync_job(settings, settings.sync[0], store))
        yield Site(name=ids.value, orthanc=orthanc, hapi=hapi, store=store, config=config, job=job, first=first)


def _settings(home: Path, orthanc: Orthanc, hapi: Hapi, ids: ResourceIds) -> Json:
    gateway = "https://images.example/dicom-web"
    archive = {"name": "orthanc", "dicomweb_root": orthanc.dicomweb, "user": USER, "password": is_secret(orthanc.password)}
    sync = {
        "name": ids.value,
        "pacs": "orthanc",
        "feed": "orthanc",
        "orthanc_url": orthanc.url,
        "endpoint_address": f"{gateway}/{ids.value}",
        "target": {"fhir_base": hapi.base, "ids": ids.value},
        "patients": [{"system": NUMBERS, "issuer_of_patient_id": "DEMO"}, {"system": NUMBERS, "issuer_of_patient_id": "SYN"}],
        "accession_system": "https://hospital.example/accession",
        "pace": {"first_retry_s": 0.1, "gone_s": 0.0, "workers": 4},
    }
    return {
        "public_base_url": "http://localhost:8000",
        "state": {"state_dir": str(home / "state")},
        "ehr": [{"name": "north", "fhir_base": hapi.base}],
        "pacs": [archive],
        "sync": [sync],
    }
