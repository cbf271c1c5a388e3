"""How much memory bringing many studies over takes: ``python -m tests.benchmarks.sync_many HOME NUMBER``.

``imaging-cds sync backfill`` in a process of its own with its SQLite database, between an archive and a FHIR server in another
process. Its memory is read from outside, as Linux counts it; each reading is a line of ``HOME/readings.jsonl``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from imaging_cds.processes import ProcessGroup, ProcessSpec
from tests.benchmarks.load import Client, Request
from tests.benchmarks.processor_time import memory_kb
from tests.benchmarks.sync_hospital import NEWEST, STUDIES_A_REPORT, oldest
from tests.conftest import CHECKOUT, free_port_number
from tests.sync_actors import ACCESSIONS
from tests.sync_config import sync_config

WORKERS = 4
MORE = (f'accession_system = "{ACCESSIONS}"', 'time_zone = "Europe/Berlin"', f"pace = {{ workers = {WORKERS} }}")
EVERY_S = 0.5
READY_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """At one moment: seconds since the start, studies that FHIR has, and the memory of the synchronisation's process."""

    at_s: float
    studies: int
    mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """All readings of one back-fill; ``counts`` are the resources at its end by type."""

    readings: tuple[Reading, ...]
    counts: dict[str, int]
    elapsed_s: float
    cpu_s: float

    @property
    def number(self) -> int:
        return self.counts["ImagingStudy"]

    def mb_at(self, part: float) -> float:
        """As soon as so much of all studies was there."""
        return next((one.mb for one in self.readings if one.studies >= part * self.number), self.readings[-1].mb)

    @property
    def mb_per_thousand(self) -> float:
        """What 1,000 more studies add, by least squares over all after the first tenth."""
        warm = [one for one in self.readings if one.studies >= self.number / 10]
        return slope([(one.studies / 1000, one.mb) for one in warm])

    @property
    def told(self) -> str:
        """In words, for the report."""
        at = ", ".join(f"{self.mb_at(part):.0f} MB at {name}" for name, part in (("a tenth", 0.1), ("half", 0.5)))
        return f"{at}, {self.readings[-1].mb:.0f} MB at the end, {1024 * self.mb_per_thousand:+.0f} kB each further 1,000"


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that is nearest to these points."""
    middle_x, middle_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread


def bring(home: Path, number: int) -> Brought:
    """So many studies, from an empty database on; AssertionError where one is missing, or there twice."""
    home.mkdir(parents=True, exist_ok=True)
    with _hospital(home, number) as (archive, fhir):
        config = home / "app.toml"
        config.write_text(sync_config(home / "state", archive, fhir, *MORE))
        subprocess.run(_command("migrate", "--config", str(config)), check=True, capture_output=True, cwd=CHECKOUT)
        days = ("--from", str(oldest(number)), "--to", str(NEWEST))
        spent, began = _spent_s(), time.perf_counter()
        with (home / "sync.log").open("wb") as log:
            process = subprocess.Popen(
                _command("sync", "backfill", "--config", str(config), *days), stdout=log, stderr=log, cwd=CHECKOUT
            )
            try:
                readings = tuple(_read(process, fhir, home / "readings.jsonl"))
            finally:
                process.kill()
                process.wait()
        elapsed, cpu = time.perf_counter() - began, _spent_s() - spent
        assert process.returncode == 0, (home / "sync.log").read_text()[-2000:]
        counts = _counts(fhir)
    with_report = -(-number // STUDIES_A_REPORT)
    assert counts["ImagingStudy"] == number, counts
    assert counts["DiagnosticReport"] == with_report, counts
    return Brought(readings=readings, counts=counts, elapsed_s=elapsed, cpu_s=cpu)


def _read(process: subprocess.Popen[bytes], fhir: str, file: Path) -> Iterator[Reading]:
    """One reading after another until the process ends."""
    began = time.perf_counter()
    with file.open("w") as lines:
        while process.poll() is None:
            studies = _counts(fhir)["ImagingStudy"]
            if (kb := memory_kb(process.pid)).get("now"):
                one = Reading(at_s=round(time.perf_counter() - began, 2), studies=studies, mb=round(kb["now"] / 1024, 2))
                lines.write(json.dumps(asdict(one)) + "\n")
                lines.flush()
                yield one
            time.sleep(EVERY_S)


def _counts(fhir: str) -> Counter[str]:
    with Client(fhir) as client:
        return Counter(json.loads(client.send(Request(path="/counts")).body))


def _spent_s() -> float:
    """Processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _hospital(home: Path, number: int) -> Iterator[tuple[str, str]]:
    """Archive and FHIR server in one process; their addresses."""
    pacs_port, fhir_port = free_port_number(), free_port_number()
    group = ProcessGroup()
    try:
        group.start(
            ProcessSpec(
                title="hospital",
                command=[sys.executable, "-m", "tests.benchmarks.sync_hospital", *map(str, (number, pacs_port, fhir_port))],
                ready_url=f"http://127.0.0.1:{fhir_port}/fhir/metadata",
                log_file=home / "hospital.log",
                environment={"PYTHONPATH": os.pathsep.join([str(CHECKOUT)])},
            )
        )
        group.wait_ready(READY_TIMEOUT_S)
        yield f"http://127.0.0.1:{pacs_port}/dicom-web", f"http://127.0.0.1:{fhir_port}/fhir"
    finally:
        group.stop()


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "imaging_cds", *arguments]


if __name__ == "__main__":
    found = bring(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({"told": found.told, "counts": found.counts, "elapsed_s": found.elapsed_s, "cpu_s": found.cpu_s}))
