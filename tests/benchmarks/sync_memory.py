"""How much memory a synchronisation of so many studies takes: ``python -m tests.benchmarks.sync_memory HOME NUMBER``.

Everything is listed and queued, then compared with a FHIR server that has it all; a line of JSON with seconds and megabytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fhir_imaging.settings import StateSettings
from fhir_imaging.store.engine import Store
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import WrittenStudy
from pacs_sync.queueing import chunks
from pacs_sync.reconcile import Comparing, reconcile
from tests.benchmarks.sync_worlds import ROOT, MadeUpArchive

PAGE = 100


class Standing:
    """A FHIR server that has every study; only what a comparison asks of it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def all_studies(self) -> Iterator[WrittenStudy]:
        for index in range(1, self._number + 1):
            uid = f"{ROOT}.{index}"
            content = {"status": "available", "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}]}
            yield WrittenStudy(id=uid, version="1", content=content)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(home: Path, number: int) -> None:
    """Counts from after the start, so that the libraries themselves do not count."""
    store = Store.open(StateSettings(state_dir=home))
    store.migrate()
    memory, archive = StoredMemory(store, "bench"), MadeUpArchive(number)
    memory.note([], cursor=None, now=time.time())
    before, began = peak_mb(), time.perf_counter()
    queued = sum(memory.note(page, cursor=None, now=time.time()) for page in chunks(archive.studies(), PAGE))
    noted_s, began = time.perf_counter() - began, time.perf_counter()
    report = reconcile(archive, Standing(number), memory, Comparing())  # type: ignore[arg-type]
    compared_s = time.perf_counter() - began
    store.close()
    assert (queued, report.listed, report.standing, report.agrees) == (number, number, number, True)
    print(json.dumps({"noted_s": noted_s, "compared_s": compared_s, "growth_mb": peak_mb() - before}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
