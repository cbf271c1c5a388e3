"""What the benchmarks of the synchronisation work on: an archive that makes its studies up, and servers on sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_imaging.archived_study import ArchivedSeries, ArchivedStudy, PatientNumber
from fhir_imaging.uids import SeriesInstanceUID, StudyInstanceUID
from imaging_cds.processes import ProcessGroup, ProcessSpec
from pacs_sync.ports import Days, Look, Sighting
from tests.conftest import CHECKOUT, free_port_number
from tests.sync_actors import MRN, a_patient

PATIENTS = 20
ROOT = "2.25.88"
READY_TIMEOUT_S = 60


@dataclass
class MadeUpArchive:
    """``Source`` of so many studies, two series each, of a few patients; none of them is kept in memory."""

    number: int

    def look(self, cursor: str | None) -> Look:
        return Look(sightings=tuple(self.studies()) if cursor is None else (), cursor="seen", is_last=True)

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        for index in range(1, self.number + 1):
            yield Sighting(study=StudyInstanceUID(f"{ROOT}.{index}"), is_complete=True, state="1")

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        index = int(uid.rpartition(".")[2])
        return ArchivedStudy(
            uid=uid,
            archives=("main",),
            started="2026-03-15T10:15:00+01:00",
            accession=f"ACC-{index}",
            description="CT CHEST",
            series_count=2,
            instance_count=600,
            series=tuple(
                ArchivedSeries(
                    uid=SeriesInstanceUID(f"{uid}.{one}"), archives=("main",), number=one, modality="CT", instance_count=300
                )
                for one in (1, 2)
            ),
            patients=(PatientNumber(number=f"DEMO-{index % PATIENTS}", issuer="DEMO"),),
        )

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        return iter(())


def patients() -> list[dict[str, Any]]:
    """Everybody whom the archive names."""
    return [a_patient(f"pat-{number}", f"DEMO-{number}") for number in range(PATIENTS)]


@contextmanager
def sandbox_store(home: Path) -> Iterator[str]:
    """The sandbox's FHIR store as a process of its own, open, with the patients; its FHIR base."""
    home.mkdir(parents=True)
    port = free_port_number()
    group = ProcessGroup()
    try:
        group.start(
            ProcessSpec(
                title="sandbox FHIR store",
                command=[sys.executable, "-m", "tests.benchmarks.sync_store", str(home), str(port)],
                ready_url=f"http://127.0.0.1:{port}/fhir/metadata",
                log_file=home / "store.log",
                environment={"PYTHONPATH": os.pathsep.join([str(CHECKOUT)])},
            )
        )
        group.wait_ready(READY_TIMEOUT_S)
        yield f"http://127.0.0.1:{port}/fhir"
    finally:
        group.stop()


__all__ = ["MRN", "MadeUpArchive", "patients", "sandbox_store"]
