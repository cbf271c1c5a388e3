"""One synchronisation in small: an archive in memory, the sandbox's FHIR store on a real socket, and a queue in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.settings import demo_settings
from fhir_imaging.archived_study import ArchivedSeries, ArchivedStudy, PatientNumber
from fhir_imaging.uids import SeriesInstanceUID, StudyInstanceUID
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.one_study import MadeResults, OneStudy
from pacs_sync.ports import Days, Held, Look, Sighting, Subject, Task, Work
from pacs_sync.settings import PaceSettings, PatientRule, ResourceIds, SyncSettings, TargetSettings
from pacs_sync.target_access import TargetAccess
from tests.conftest import free_port_number, serving

MRN = "https://imaging-cds.example/demo/mrn"
OTHER_MRN = "https://imaging-cds.example/other/mrn"
ACCESSIONS = "https://imaging-cds.example/demo/accession"
STUDY = StudyInstanceUID("2.25.7001")
NOW = 1_795_000_000.0
"""21 November 2026."""


def a_patient(patient_id: str, number: str | None = None, **more: Any) -> dict[str, Any]:
    identifiers = [{"system": MRN, "value": number}] if number else []
    return {"resourceType": "Patient", "id": patient_id, "identifier": identifiers, **more}


def a_study(
    uid: str = STUDY, number: str = "DEMO-1001", *, images: int = 3, modality: str = "CT", **more: Any
) -> ArchivedStudy:
    series = ArchivedSeries(
        uid=SeriesInstanceUID(f"{uid}.1"), archives=("demo",), number=1, modality=modality, instance_count=images
    )
    study = ArchivedStudy(
        uid=StudyInstanceUID(uid),
        archives=("demo",),
        started="2026-05-10",
        description="Chest",
        series=(series,),
        patients=(PatientNumber(number=number, issuer="DEMO"),) if number else (),
    )
    return replace(study, **more)


@dataclass
class Archive:
    """``Source`` over studies in memory; ``fails`` raises what it is asked to raise."""

    studies_by_uid: dict[str, ArchivedStudy] = field(default_factory=dict)
    reports: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    fails: Callable[[], None] = lambda: None

    def put(self, *studies: ArchivedStudy) -> None:
        self.studies_by_uid |= {one.uid: one for one in studies}

    def look(self, cursor: str | None) -> Look:
        return Look(sightings=tuple(self.studies()), cursor="", is_last=True)

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        self.fails()
        for uid in list(self.studies_by_uid):
            yield Sighting(study=StudyInstanceUID(uid), is_complete=True)

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        self.fails()
        return self.studies_by_uid.get(uid)

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        yield from self.reports.get(study.uid, [])


@dataclass
class Notes:
    """``Memory`` that only writes down what it is told."""

    done_: list[tuple[str, float | None]] = field(default_factory=list)
    missed_: list[tuple[str, float]] = field(default_factory=list)
    failed_: list[tuple[str, str, float | None]] = field(default_factory=list)
    held_: list[tuple[str, Held]] = field(default_factory=list)
    queued: list[tuple[str, Work]] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    """Tickets that do not count any more."""

    def cursor(self) -> str | None:
        return None

    def note(self, sightings: Iterable[Sighting], *, cursor: str | None, now: float, due_in_s: float = 0.0) -> int:
        return 0

    def enqueue(self, studies: Iterable[StudyInstanceUID], work: Work, *, now: float) -> int:
        found = [(str(one), work) for one in studies]
        self.queued += found
        return len(found)

    def take(self, *, now: float, limit: int) -> list[Task]:
        return []

    def still_has(self, task: Task) -> bool:
        return task.ticket not in self.lost

    def done(self, task: Task, *, now: float, again_in_s: float | None = None, is_lacking: bool = False) -> None:
        self.done_.append((task.study, again_in_s))

    def missed(self, task: Task, *, now: float, again_in_s: float) -> None:
        self.missed_.append((task.study, again_in_s))

    def failed(self, task: Task, reason: str, *, now: float, again_in_s: float | None) -> None:
        self.failed_.append((task.study, reason, again_in_s))

    def hold(self, task: Task, held: Held, *, now: float) -> None:
        self.held_.append((task.study, held))

    def pending(self, *, now: float) -> int:
        return 0

    def next_due_s(self, *, now: float) -> float | None:
        return None


@dataclass
class NoResults:
    """``MakesResults`` that gives what it was told to give."""

    resources: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of(self, study: ArchivedStudy, subject: Subject) -> MadeResults:
        found = self.resources.get(study.uid, [])
        whose = {"subject": {"reference": f"Patient/{subject.patient_id}"}}
        return MadeResults(resources=[{**one, **({} if one["resourceType"] == "Device" else whose)} for one in found])


@dataclass
class FhirServer:
    """The sandbox's store at the wire. ``instead`` answers in its place; ``writes`` are what it was told to write."""

    directory: Path
    port: int
    instead: Callable[[], Response | None] = lambda: None
    change: Callable[[Response], Response] = lambda response: response
    requests: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    def app(self) -> Flask:
        base_url = f"http://127.0.0.1:{self.port}"
        settings = demo_settings(base_url=base_url, app_url="http://127.0.0.1:1", state_dir=self.directory, open_fhir=True)
        app = create_ehr(settings)
        self.records = FhirStore(self.directory / "fhir.sqlite3", settings.fhir_base)

        @app.before_request
        def _record() -> Response | None:
            self.requests.append((request.method, request.full_path, request.get_data(), dict(request.headers)))
            request.environ.pop("HTTP_AUTHORIZATION", None)
            return self.instead()

        @app.after_request
        def _change(response: Response) -> Response:
            return self.change(response)

        return app

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [
            (method, path.rstrip("?")) for method, path, _, _ in self.requests if method != "GET" and "/_search" not in path
        ]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return self.records.search(kind, {})

    def one(self, kind: str) -> dict[str, Any]:
        found = self.all(kind)
        assert len(found) == 1, [one.get("status") for one in found]
        return found[0]


@dataclass
class Sync:
    """A synchronisation of one archive with one FHIR server."""

    fhir: FhirServer
    settings: SyncSettings
    archive: Archive = field(default_factory=Archive)
    notes: Notes = field(default_factory=Notes)
    results: NoResults = field(default_factory=NoResults)
    targets: list[FhirTarget] = field(default_factory=list)

    def target(self) -> FhirTarget:
        """A new one, as in another process."""
        target = FhirTarget(self.settings, TargetAccess(self.settings, None), clock=lambda: NOW)
        self.targets.append(target)
        return target

    def worker(self, target: FhirTarget | None = None) -> OneStudy:
        return OneStudy(
            self.archive, target or self.target(), self.notes, self.settings, results=self.results, clock=lambda: NOW
        )

    def bring(self, uid: str = STUDY, *, worker: OneStudy | None = None, **more: Any) -> None:
        (worker or self.worker()).process(a_task(uid, **more))

    def close(self) -> None:
        for target in self.targets:
            target.close()


def a_task(uid: str = STUDY, **more: Any) -> Task:
    """Complete, and looked for in vain so long that what the archive does not have is gone."""
    stated = {"work": Work.CHANGED, "attempts": 1, "ticket": "t", "is_complete": True, "missing_s": 3600.0, **more}
    return Task(study=StudyInstanceUID(uid), **stated)


def sync_settings(fhir_base: str, *, ids: ResourceIds = ResourceIds.SERVER, **target: Any) -> SyncSettings:
    return SyncSettings(
        name="demo",
        pacs="main",
        target=TargetSettings(fhir_base=fhir_base, ids=ids, **target),
        patients=(
            PatientRule(system=MRN, issuer_of_patient_id="DEMO"),
            PatientRule(system=OTHER_MRN, issuer_of_patient_id="B"),
        ),
        endpoint_address="https://gateway.example/imaging/demo/dicom-web",
        accession_system=ACCESSIONS,
        pace=PaceSettings(workers=8),
    )


@contextmanager
def a_sync(directory: Path, *, ids: ResourceIds = ResourceIds.SERVER, **target: Any) -> Iterator[Sync]:
    """With two patients, DEMO-1001 and DEMO-1002."""
    fhir = FhirServer(directory=directory, port=free_port_number())
    with serving(fhir.app(), fhir.port):
        fhir.records.put(a_patient("pat-a", "DEMO-1001"))
        fhir.records.put(a_patient("pat-b", "DEMO-1002"))
        sync = Sync(fhir=fhir, settings=sync_settings(fhir.base, ids=ids, **target))
        try:
            yield sync
        finally:
            sync.close()


def at_once(number: int, act: Callable[[int], None]) -> list[BaseException]:
    """Does it in so many threads that begin together; what they raised."""
    begin, raised = threading.Barrier(number), []

    def run(one: int) -> None:
        begin.wait()
        try:
            act(one)
        except BaseException as exc:
            raised.append(exc)

    threads = [threading.Thread(target=run, args=(one,)) for one in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def json_response(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/fhir+json")
