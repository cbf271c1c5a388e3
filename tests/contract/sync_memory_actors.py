"""Memories of a synchronisation on SQLite, and the studies that they are told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhir_imaging.archived_study import PatientNumber
from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Sighting, Subject

SUBJECT = Subject(patient_id="demo-a", system="urn:example:mrn", number="DEMO-1001")
IN_ARCHIVE = PatientNumber(number="DEMO-1001", issuer="OTHER")


@contextmanager
def a_store(state_dir: Path) -> Iterator[Store]:
    """With all tables."""
    store = Store.open(StateSettings(state_dir=state_dir))
    store.migrate()
    try:
        yield store
    finally:
        store.close()


def a_uid(number: int) -> StudyInstanceUID:
    return StudyInstanceUID(f"2.25.{number}")


def a_sighting(number: int, state: str = "1", *, is_complete: bool = False) -> Sighting:
    return Sighting(study=a_uid(number), state=state, is_complete=is_complete)


def taken_numbers(memory: StoredMemory, *, now: float, limit: int = 100) -> list[int]:
    """Which studies were taken, by their numbers."""
    return sorted(int(task.study.removeprefix("2.25.")) for task in memory.take(now=now, limit=limit))
