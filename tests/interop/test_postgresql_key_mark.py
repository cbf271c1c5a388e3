"""The master key's mark on PostgreSQL: workers and machines that start in the same moment (docs/operations.md)."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.store.key_mark import KeyState
from fhir_imaging.store.tables import installation_key
from tests.interop.postgresql_actors import Work, WorkerProcesses

pytestmark = pytest.mark.interop


def start(work: Work, _: None) -> str:
    """As a worker does; what it was told."""
    with work.store() as store:
        try:
            store.check_migrated()
        except ConfigurationError as exc:
            return str(exc.problems[0])
        return store.key_state().name


def start_as_machine(work: Work, parent: str) -> str:
    """Each process with a state directory, and so a key, of its own."""
    own = replace(work.settings, state_dir=Path(parent) / str(os.getpid()))
    return start(replace(work, settings=own), None)


@pytest.fixture
def migrated(settings: StateSettings) -> StateSettings:
    with closing(Store.open(settings)) as store:
        store.migrate()
    return settings


def test_workers_that_start_at_once_make_one_key_and_one_mark(processes: WorkerProcesses, migrated: StateSettings) -> None:
    assert not (migrated.state_dir / "master.key").exists()

    told = processes.all_at_once(start, migrated, None)

    assert set(told) == {KeyState.SAME.name}
    with closing(Store.open(migrated)) as store, store.read() as connection:
        assert connection.execute(select(func.count()).select_from(installation_key)).scalar_one() == 1


def test_of_machines_with_keys_of_their_own_one_starts_and_the_others_are_told(
    processes: WorkerProcesses, migrated: StateSettings, tmp_path: Path
) -> None:
    told = processes.all_at_once(start_as_machine, migrated, str(tmp_path))

    assert told.count(KeyState.SAME.name) == 1
    others = [one for one in told if one != KeyState.SAME.name]
    assert all("of several machines, another one's" in one for one in others)
