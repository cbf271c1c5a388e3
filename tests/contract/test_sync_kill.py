"""A back-fill killed at random moments, between servers that fail at random: nothing lost, nothing twice (issue 6)."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pacs_sync.held import WaitingForPeople
from pacs_sync.ports import HoldReason
from tests.conftest import CHECKOUT, free_port_number
from tests.contract import sync_kill_actors
from tests.contract.sync_kill_actors import (
    BROKEN,
    DAYS,
    DICOM_UID,
    NEWEST,
    SILENT,
    Faults,
    Faulty,
    StubArchive,
    StubFhir,
    StubStudy,
    served,
)
from tests.contract.sync_memory_actors import a_store

STUDIES = 2000
PATIENTS = 150
KILLS = 6
SEED = 20261121
PATIENCE_S = 240.0
FHIR_FAULTS = {409: 0.01, 412: 0.01, 429: 0.01, 500: 0.015, 503: 0.005, BROKEN: 0.005, SILENT: 0.001}
ARCHIVE_FAULTS = {500: 0.01, 503: 0.005, 429: 0.005, BROKEN: 0.005, SILENT: 0.001}


@dataclass(slots=True)
class World:
    """Both servers, and where the queue is."""

    archive: StubArchive
    fhir: StubFhir
    faults: tuple[Faults, Faults]
    command: list[str]
    state_dir: Path

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def written(self) -> int:
        return len(self.fhir.resources)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)  # noqa: S311 - for a test that can be repeated


@pytest.fixture
def world(tmp_path: Path, chance: random.Random) -> Iterator[World]:
    numbers = [f"DEMO-{one}" for one in range(PATIENTS)]
    known = {number: f"p{number.removeprefix('DEMO-')}" for number in numbers[2:]}  # of two FHIR knows nothing
    studies = [
        StubStudy(
            f"2.25.{one}", NEWEST - timedelta(days=chance.randrange(DAYS)), chance.choice(numbers), chance.randrange(1, 900)
        )
        for one in range(1, STUDIES + 1)
    ]
    archive_port, fhir_port = free_port_number(), free_port_number()
    archive_url, fhir_url = f"http://127.0.0.1:{archive_port}/dicom-web", f"http://127.0.0.1:{fhir_port}/fhir"
    archive, fhir = StubArchive(studies), StubFhir(fhir_url, known)
    faults = Faults(chance, ARCHIVE_FAULTS), Faults(chance, FHIR_FAULTS)
    state_dir = tmp_path / "state"
    with a_store(state_dir):
        pass
    command = [sys.executable, "-m", sync_kill_actors.__name__, str(state_dir), archive_url, fhir_url]
    with served({archive_port: Faulty(archive, faults[0]), fhir_port: Faulty(fhir, faults[1])}):
        yield World(archive, fhir, faults, command, state_dir)


def test_a_back_fill_that_is_killed_again_and_again_ends_exactly_as_the_archive_is(world: World, chance: random.Random) -> None:
    """Kills come when so many resources are written, at random, so that each process has done something."""
    killed_at = []
    for threshold in sorted(chance.sample(range(50, STUDIES - 200), KILLS)):
        process = world.start()
        wait_until_written(world, threshold, process)
        time.sleep(chance.random() / 10)
        process.kill()
        process.communicate()
        killed_at.append(world.written())

    last = world.start()
    told, errors = last.communicate(timeout=PATIENCE_S)

    assert last.returncode == 0, errors[-3000:]
    assert len(set(killed_at)) == KILLS
    summary = json.loads(told)
    assert (summary["dead"], summary["waiting"]) == (0, 0)
    assert_fhir_agrees(world)
    for seen in (one.seen for one in world.faults):
        assert {429, 500, 503, BROKEN, SILENT} <= seen.keys()
    assert {409, 412} <= world.faults[1].seen.keys()
    assert world.faults[1].lost > 0, "some writes were done and not answered"


def wait_until_written(world: World, number: int, process: subprocess.Popen[str]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while world.written() < number:
        if process.poll() is not None:
            raise AssertionError(process.communicate())
        assert time.monotonic() < give_up_at, f"only {world.written()} of {number} were written"
        time.sleep(0.01)


def assert_fhir_agrees(world: World) -> None:
    """Each study of a known patient stands once, as the archive has it and written once; each other one is held."""
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
        assert one["meta"]["versionId"] == "1"
    assert len(world.fhir.of("Endpoint")) == 1
    with a_store(world.state_dir) as store:
        held = list(WaitingForPeople(store, "kill").held())
        assert list(WaitingForPeople(store, "kill").dead()) == []
    assert {one.study for one in held} == {one.uid for one in world.archive.studies} - wanted.keys()
    assert {one.reason for one in held} == {HoldReason.NO_PATIENT}


def uid_of(resource: dict[str, Any]) -> str:
    values = [one["value"] for one in resource["identifier"] if one["system"] == DICOM_UID]
    return values[0].removeprefix("urn:oid:")
