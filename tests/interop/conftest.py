"""A private PostgreSQL server for each module that asks for one, an empty database for each test, and processes to share it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from tests.interop.postgresql_actors import PROCESSES, PostgresqlServer, WorkerProcesses, a_postgresql_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """Skips the module, or fails it in CI, where PostgreSQL is not installed."""
    with a_postgresql_server() as running:
        yield running


@pytest.fixture(scope="module")
def processes() -> Iterator[WorkerProcesses]:
    """Further ones beside the test's own."""
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield WorkerProcesses(pool, PROCESSES)


@pytest.fixture
def settings(server: PostgresqlServer, tmp_path: Path) -> StateSettings:
    """Of an installation on an empty database."""
    return StateSettings(state_dir=tmp_path / "state", database_url=server.new_database())


@pytest.fixture
def store(settings: StateSettings) -> Iterator[Store]:
    """With all tables."""
    opened = Store.open(settings)
    opened.migrate()
    yield opened
    opened.close()
