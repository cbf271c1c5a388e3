"""Numbers that are no single worker's: where several workers put theirs to be added up, and what waits in the database."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import func, select

from fhir_imaging.store.engine import Store
from fhir_imaging.store.keys import private_directory
from fhir_imaging.store.tables import audit_delivery

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare_workers(state_dir: Path, port: int) -> None:
    """An empty directory for this server's workers; called before the first of them starts, and before prometheus_client."""
    directory = private_directory(private_directory(state_dir / "metrics") / str(port))
    for left in directory.glob("*.db"):
        left.unlink()
    os.environ[DIRECTORY_VARIABLE] = str(directory)


def waiting_records(store: Store) -> int:
    """How many audit records wait for a sink."""
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(audit_delivery)).scalar_one())


def worker_ended(pid: int) -> None:
    """Its counts stay; what it had under way is no more."""
    if os.environ.get(DIRECTORY_VARIABLE):
        from prometheus_client.multiprocess import mark_process_dead  # only where metrics are on

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
