"""A process that brings an archive's studies to a FHIR server until it is killed, and what must stand at the end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.settings import PacsSettings, StateSettings
from fhir_imaging.store.engine import Store
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.held import WaitingForPeople
from pacs_sync.memory import StoredMemory
from pacs_sync.one_study import OneStudy
from pacs_sync.ports import Days, HoldReason
from pacs_sync.qido_source import QidoSource
from pacs_sync.run import Runner
from pacs_sync.settings import PaceSettings, PatientRule, SyncSettings, TargetSettings
from pacs_sync.shared_clock import SharedClock
from pacs_sync.study_facts import SiteRules
from pacs_sync.study_results import StudyResults
from pacs_sync.target_access import TargetAccess
from pacs_sync.workers import Working
from tests.conftest import CHECKOUT, free_port_number
from tests.contract.sync_kill_servers import (
    BROKEN,
    MRN,
    SILENT,
    Faults,
    Faulty,
    StubArchive,
    StubFhir,
    StubStudy,
    served,
)

DICOM_UID = "urn:dicom:uid"
LEASE_S = 2.0
DAYS = 200
NEWEST = date(2024, 6, 30)
PATIENTS = 150
PATIENCE_S = 240.0
FHIR_FAULTS = {409: 0.01, 412: 0.01, 429: 0.01, 500: 0.015, 503: 0.005, BROKEN: 0.005, SILENT: 0.001}
MISSES = 0.01
"""Share of questions for a study that the archive does not find though it has it."""
ARCHIVE_FAULTS = {500: 0.01, 503: 0.005, 429: 0.005, BROKEN: 0.005, SILENT: 0.001}


@dataclass(slots=True)
class World:
    """Both servers, and where the queue is."""

    archive: StubArchive
    fhir: StubFhir
    faults: tuple[Faults, Faults]
    command: list[str]
    state: StateSettings

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def written(self) -> int:
        return len(self.fhir.resources)


@contextmanager
def a_world(
    directory: Path, chance: random.Random, *, studies: int, database_url: str | None = None, recent: bool = False
) -> Iterator[World]:
    """So many studies of 150 patients, two of whom FHIR does not know, and an empty queue.

    ``recent`` studies are of today and yesterday, and are watched; else they are of many days, and filled in.
    """
    newest, days = (datetime.now(UTC).date(), 2) if recent else (NEWEST, DAYS)
    numbers = [f"DEMO-{one}" for one in range(PATIENTS)]
    known = {number: f"p{number.removeprefix('DEMO-')}" for number in numbers[2:]}
    held = [
        StubStudy(
            f"2.25.{one}", newest - timedelta(days=chance.randrange(days)), chance.choice(numbers), chance.randrange(1, 900)
        )
        for one in range(1, studies + 1)
    ]
    archive_port, fhir_port = free_port_number(), free_port_number()
    archive_url, fhir_url = f"http://127.0.0.1:{archive_port}/dicom-web", f"http://127.0.0.1:{fhir_port}/fhir"
    archive, fhir = StubArchive(held, is_away=lambda: chance.random() < MISSES), StubFhir(fhir_url, known)
    faults = Faults(chance, ARCHIVE_FAULTS), Faults(chance, FHIR_FAULTS)
    state = StateSettings(state_dir=directory / "state", database_url=database_url)
    store = Store.open(state)
    store.migrate()
    store.close()
    what = "watch" if recent else "backfill"
    command = [sys.executable, "-m", __name__, what, str(state.state_dir), archive_url, fhir_url, *filter(None, [database_url])]
    with served({archive_port: Faulty(archive, faults[0]), fhir_port: Faulty(fhir, faults[1])}):
        yield World(archive, fhir, faults, command, state)


def wait_until_written(world: World, number: int, process: subprocess.Popen[str]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while world.written() < number:
        if process.poll() is not None:
            raise AssertionError(process.communicate())
        assert time.monotonic() < give_up_at, f"only {world.written()} of {number} were written"
        time.sleep(0.01)


def assert_fhir_agrees(world: World, *, are_written_once: bool = True) -> None:
    """Each study of a known patient stands once, as the archive has it; each other one is held."""
    known = world.fhir.patients
    stands = world.fhir.of("ImagingStudy")
    uids = Counter(uid_of(one) for one in stands)
    assert set(uids.values()) == {1}
    wanted = {one.uid: one for one in world.archive.studies if one.number in known}
    assert uids.keys() == wanted.keys()
    for one in stands:
        study = wanted[uid_of(one)]
        assert one["subject"]["reference"] == f"Patient/{known[study.number]}"
        assert (one["status"], one["numberOfInstances"], one["started"][:10]) == ("available", study.images, str(study.day))
        assert one["meta"]["versionId"] == "1" or not are_written_once
    assert len(world.fhir.of("Endpoint")) == 1
    store = Store.open(world.state)
    held = list(WaitingForPeople(store, "kill").held())
    assert list(WaitingForPeople(store, "kill").dead()) == []
    store.close()
    assert {one.study for one in held} == {one.uid for one in world.archive.studies} - wanted.keys()
    assert {one.reason for one in held} == {HoldReason.NO_PATIENT}


def uid_of(resource: dict[str, Any]) -> str:
    values = [one["value"] for one in resource["identifier"] if one["system"] == DICOM_UID]
    return values[0].removeprefix("urn:oid:")


# The process that is killed


def the_settings(archive: str, fhir: str) -> tuple[PacsSettings, SyncSettings]:
    """Impatient, so that what was killed is soon begun anew."""
    pace = PaceSettings(
        interval_s=0.2,
        stable_s=1.0,
        window_days=30,
        page_size=100,
        workers=6,
        max_pending=300,
        max_attempts=30,
        first_retry_s=0.05,
        longest_retry_s=0.5,
    )
    sync = SyncSettings(
        name="kill",
        pacs="stub",
        target=TargetSettings(fhir_base=fhir, timeout_s=1.0),
        patients=(PatientRule(system=MRN, issuer_of_patient_id="DEMO"),),
        endpoint_address="http://127.0.0.1/imaging",
        pace=pace,
    )
    return PacsSettings(name="stub", dicomweb_root=archive, read_timeout_s=1.0), sync


@contextmanager
def a_runner(state_dir: str, archive: str, fhir: str, database_url: str | None = None) -> Iterator[Runner]:
    """As the program puts it together."""
    pacs, sync = the_settings(archive, fhir)
    with ExitStack() as stack:
        store = Store.open(StateSettings(state_dir=Path(state_dir), database_url=database_url))
        stack.callback(store.close)
        source = QidoSource(DicomwebClient(archive, ArchiveSession(pacs)), sync.pace, SiteRules.of(sync))
        stack.callback(source.close)
        access = TargetAccess(sync, None)
        stack.callback(access.close)
        target, memory = FhirTarget(sync, access), StoredMemory(store, sync.name, lease_s=LEASE_S)
        clock = SharedClock(store)
        one_study = OneStudy(source, target, memory, sync, results=StudyResults(source, target, sync), clock=clock)
        yield Runner(source, Working(memory=memory, process=one_study.process, pace=sync.pace, clock=clock))


def backfill(runner: Runner) -> None:
    """Brings all days over, or as many as it comes to."""
    summary = runner.backfill(Days(first=NEWEST - timedelta(days=DAYS - 1), last=NEWEST))
    print(json.dumps({"queued": summary.queued, "done": summary.done, "dead": summary.dead, "waiting": summary.waiting}))


def watch(runner: Runner) -> None:
    """Brings over what is new, until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    runner.watch(stop)


if __name__ == "__main__":
    with a_runner(*sys.argv[2:]) as made:
        {"backfill": backfill, "watch": watch}[sys.argv[1]](made)
