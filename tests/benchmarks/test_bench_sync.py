"""The synchronisation: files beside dicom2fhir, studies into FHIR servers, memory at 100,000 studies (issue 6)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study
from fhir_imaging.fhir_versions import FhirVersion, Status
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.files import FileSource
from pacs_sync.memory import StoredMemory
from pacs_sync.one_study import OneStudy
from pacs_sync.ports import Task
from pacs_sync.run import Runner
from pacs_sync.settings import PaceSettings
from pacs_sync.study_facts import SiteRules
from pacs_sync.study_results import StudyResults
from pacs_sync.target_access import TargetAccess
from pacs_sync.workers import Working
from tests.benchmarks.load import Sample
from tests.benchmarks.peer_servers import dicom2fhir
from tests.benchmarks.report import Report
from tests.benchmarks.sync_files import write_study
from tests.benchmarks.sync_many import WORKERS as FILLING
from tests.benchmarks.sync_many import bring
from tests.benchmarks.sync_worlds import MadeUpArchive, patients, sandbox_store
from tests.conftest import CHECKOUT
from tests.interop.hapi_build import is_built
from tests.interop.hapi_process import running_hapi
from tests.sync_actors import sync_settings

HERE = Path(__file__).parent
ROUNDS, FOLDERS, IMAGES = 3, 6, 100
STUDIES, WORKERS = 200, 4
MANY, FEW = 100_000, 10_000
FILES_GOAL, FLAT_MB = 3.0, 20.0
CONTEXT = SyncedContext(
    patient_id="pat-1", patient_system="urn:oid:2.999.1", patient_number="1", status=Status.AVAILABLE, source="urn:bench"
)


@pytest.mark.timeout(900)
def test_files_beside_dicom2fhir(report: Report, tmp_path: Path) -> None:
    folders = [write_study(tmp_path / f"study-{number}", number, IMAGES) for number in range(FOLDERS)]
    folders.append(write_study(tmp_path / "large", FOLDERS, 5 * IMAGES))
    peer = dicom2fhir()
    ours, theirs = Sample(durations_s=(), elapsed_s=0.0, cpu_s=0.0), Sample(durations_s=(), elapsed_s=0.0, cpu_s=0.0)
    for _ in range(ROUNDS):
        ours += converted(folders)
        if peer.python is not None:
            theirs += converted_by(peer.python, folders)
    group = "sync files"
    if peer.python is None:
        report.add(group, "pacs_sync", ours.timing, remark=peer.remark)
        return
    base = report.add(group, "dicom2fhir", theirs.timing, remark=peer.remark)
    times = (theirs.cpu_s or 0.0) / (ours.cpu_s or 1.0)
    verdict = (
        f"goal {FILES_GOAL:.0f} times its speed: {'met' if times >= FILES_GOAL else 'NOT met'}, {times:.1f} by processor time"
    )
    report.compare(base, "pacs_sync: read, mapped to R4, as JSON", ours.timing, remark=verdict)


def converted(folders: list[Path]) -> Sample:
    """Each folder alone, as dicom2fhir takes them."""
    durations, cpu = [], time.process_time()
    for folder in folders:
        began = time.perf_counter()
        source = FileSource([folder], SiteRules(archive="bench"))
        studies = [source.study(one.study) for one in source.studies()]
        made = [json.dumps(synced_study(one, CONTEXT, FhirVersion.R4)) for one in studies if one is not None]
        source.close()
        durations.append(time.perf_counter() - began)
        assert len(made) == 1
        assert json.loads(made[0])["numberOfInstances"] == len(list(folder.iterdir()))
    return Sample(durations_s=tuple(durations), elapsed_s=sum(durations), cpu_s=time.process_time() - cpu)


def converted_by(python: Path, folders: list[Path]) -> Sample:
    command = [str(python), str(HERE / "peers" / "dicom2fhir_run.py"), *map(str, folders)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout
    found = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert [one["instances"] for one in found] == [len(list(folder.iterdir())) for folder in folders]
    durations = tuple(one["seconds"] for one in found)
    return Sample(durations_s=durations, elapsed_s=sum(durations), cpu_s=sum(one["cpu_seconds"] for one in found))


@pytest.mark.timeout(600)
def test_studies_into_the_sandbox_store(report: Report, tmp_path: Path) -> None:
    with sandbox_store(tmp_path / "store") as base:
        measured(report, "sandbox FHIR store", base, tmp_path / "state")


@pytest.mark.timeout(600)
def test_studies_into_hapi(report: Report, tmp_path: Path) -> None:
    if not is_built():
        pytest.skip("HAPI FHIR is not built here: make hapi")
    (tmp_path / "hapi").mkdir()
    with running_hapi(tmp_path / "hapi", FhirVersion.R4) as hapi:
        for one in patients():
            hapi.put(one)
        measured(report, "HAPI FHIR JPA (R4, H2 in memory)", hapi.base, tmp_path / "state")


def measured(report: Report, name: str, base: str, state: Path) -> None:
    """Every study once, and once more when all stand already."""
    settings = replace(sync_settings(base), pace=PaceSettings(workers=WORKERS))
    store = Store.open(StateSettings(state_dir=state))
    store.migrate()
    access = TargetAccess(settings, None)
    source, target = MadeUpArchive(STUDIES), FhirTarget(settings, access)
    try:
        target.endpoint()
        rows = []
        for memory in (StoredMemory(store, "first"), StoredMemory(store, "again")):
            one_study = OneStudy(source, target, memory, settings, results=StudyResults(source, target, settings))
            watch = Watch(one_study.process)
            runner = Runner(source, Working(memory=memory, process=watch, pace=settings.pace))
            cpu, began = time.process_time(), time.perf_counter()
            summary = runner.once()
            elapsed = time.perf_counter() - began
            assert (summary.done, summary.held, summary.dead, summary.failed) == (STUDIES, 0, 0, 0), summary
            rows.append(Sample(durations_s=tuple(watch.durations), elapsed_s=elapsed, cpu_s=time.process_time() - cpu))
    finally:
        access.close()
        store.close()
    new, again = rows
    line = report.add("sync target", f"{name}: new studies", new.timing, concurrency=WORKERS, remark="CPU of pacs_sync")
    report.compare(line, f"{name}: nothing changed, nothing written", again.timing)


class Watch:
    """Times each study."""

    def __init__(self, process: Callable[[Task], None]) -> None:
        self._process = process
        self.durations: list[float] = []

    def __call__(self, task: Task) -> None:
        began = time.perf_counter()
        self._process(task)
        self.durations.append(time.perf_counter() - began)


@pytest.mark.timeout(900)
def test_memory_stays_flat_at_100_000_studies(report: Report, tmp_path: Path) -> None:
    few, many = (in_a_process(tmp_path / str(number), number) for number in (FEW, MANY))
    growth = many["growth_mb"] - few["growth_mb"]
    verdict = f"{many['growth_mb']:.0f} MB more than at the start, at {FEW:,} studies {few['growth_mb']:.0f} MB"
    timing = Sample(durations_s=(many["noted_s"] / MANY,), elapsed_s=many["noted_s"] / MANY).timing
    line = report.add("sync memory", f"{MANY:,} studies listed and queued, one of them", timing, remark=verdict)
    compared = Sample(durations_s=(many["compared_s"] / MANY,), elapsed_s=many["compared_s"] / MANY).timing
    report.compare(line, f"{MANY:,} studies compared, one of them", compared)
    assert growth < FLAT_MB


@pytest.mark.timeout(4 * 3600)
def test_memory_stays_flat_while_studies_are_brought_over(report: Report, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """All 100,000: ``make bench ARGS="-k brought --sync-studies 100000"``, most of an hour."""
    brought = bring(tmp_path / "many", pytestconfig.getoption("--sync-studies"))
    each = Sample(durations_s=(brought.elapsed_s / brought.number,), elapsed_s=brought.elapsed_s / brought.number)
    timing = replace(each.timing, cpu_ms=1000 * brought.cpu_s / brought.number)
    name = f"{brought.number:,} studies brought over by `sync backfill`, one of them"
    report.add("sync memory", name, timing, concurrency=FILLING, remark=brought.told)
    assert brought.readings[-1].mb - brought.mb_at(0.1) < FLAT_MB


def in_a_process(home: Path, number: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.sync_memory", str(home), str(number)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, cwd=CHECKOUT).stdout
    found: dict[str, float] = json.loads(told)
    return found
