"""Collects what the benchmarks find and writes it: JSON and Markdown, and with all parts the page with its plot.

``python -m tests.benchmarks.report`` puts what the last run measured into ``docs/performance.json`` (of a part, that part) and
draws ``docs/performance.md`` and ``docs/performance.svg`` from it; with ``--again`` it only draws them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.load import Timing
from tests.benchmarks.peers_beside import beside
from tests.benchmarks.plot import svg
from tests.benchmarks.results import Results, Row
from tests.benchmarks.tables import between_markers, markdown

CHECKOUT = Path(__file__).parent.parent.parent
OUTPUT = CHECKOUT / "build" / "bench"
LAST = OUTPUT / "results.json"
PAGE = CHECKOUT / "docs" / "performance.md"
STANDING = PAGE.with_suffix(".json")
PLOT = PAGE.with_suffix(".svg")
GOAL = 1.5
"""How many times HealthChain's throughput a card is meant to reach (issue 3)."""
_LIBRARIES = ("flask", "gunicorn", "sqlalchemy", "pyjwt", "cryptography", "requests", "urllib3")
_PROGRAMS = {"nginx": ("nginx", "-v"), "Orthanc": ("Orthanc", "--version")}


@dataclass(slots=True)
class Report:
    """The rows of one run, and what else has to be said of it."""

    rows: list[Row] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    """By group, what no row can say."""

    def add(self, group: str, name: str, timing: Timing, *, concurrency: int = 1, remark: str = "") -> Row:
        """A line that others are compared with."""
        row = Row(group=group, name=name, concurrency=concurrency, timing=timing, remark=remark)
        self.rows.append(row)
        return row

    def compare(self, base: Row, name: str, timing: Timing, *, concurrency: int | None = None, remark: str = "") -> Row:
        """A line beside ``base``: its time over the base's time, or with several connections its throughput over the base's."""
        many = concurrency if concurrency is not None else base.concurrency
        by_rate = many > 1
        ratio = timing.per_s / base.timing.per_s if by_rate else timing.p50_ms / base.timing.p50_ms
        row = Row(
            group=base.group,
            name=name,
            concurrency=many,
            timing=timing,
            ratio=round(ratio, 3),
            against=f"{'throughput' if by_rate else 'p50'} of “{base.name}”",
            remark=remark,
        )
        self.rows.append(row)
        return row

    def results(self) -> Results:
        """As they are now, with what they were measured on."""
        return Results(machine=machine(), rows=tuple(self.rows), remarks=self.remarks, figures=self.figures)

    def write(self) -> None:
        """JSON and Markdown below ``build/bench``; the page with its plot too when every group was measured."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        found = self.results()
        LAST.write_text(as_json(found))
        (OUTPUT / "results.md").write_text(markdown(found))
        if found.is_complete:
            write_page(found)


def met(ours: Timing, theirs: Timing) -> str:
    """How many times as fast we are, in words that hide no miss: on a busy machine the processor time must say so too."""
    times = ours.per_s / theirs.per_s
    spared = (theirs.cpu_ms or 0.0) / (ours.cpu_ms or 1.0)
    verdict = "met" if min(times, spared) >= GOAL else "NOT met"
    return f"{verdict}: {times:.2f} times its throughput, its processor time is {spared:.2f} times ours"


def machine() -> dict[str, str]:
    """What the figures were measured on; no names of the machine or its users."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": f"{os.cpu_count()} shared cores, {_processor()}",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, loopback; load generator on the same cores",
        "load": f"{os.getloadavg()[0]:.1f} (1-minute average at the end, the run itself included)",
        "python": platform.python_version(),
        "libraries": libraries,
        "programs": ", ".join(_programs()),
        "server": "gunicorn gthread, 2 workers of 12 threads (application); 1 worker each for sandbox EHR and sandbox PACS",
        "state": "SQLite",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _programs() -> list[str]:
    """The first number that each program that is installed says of itself."""
    found = []
    for name, (program, option) in _PROGRAMS.items():
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
        if path:
            ran = subprocess.run([path, option], capture_output=True, text=True, timeout=10, check=False)
            words = f"{ran.stdout} {ran.stderr}".replace("/", " ").split()
            found.append(f"{name} {next((word for word in words if word[0].isdigit()), '(no version)')}")
    return found


def as_json(results: Results) -> str:
    """The results with how we stand to others."""
    document = results.document() | {"beside_others": [one.document() for one in beside(results)]}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def write_page(results: Results) -> None:
    """``docs/performance``: the JSON that stands, the tables of the page, and its plot."""
    STANDING.write_text(as_json(results))
    PAGE.write_text(between_markers(PAGE.read_text(), markdown(results)))
    PLOT.write_text(svg(results))


def main(arguments: list[str] | None = None) -> int:
    """The verb."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report", description=__doc__)
    parser.add_argument("--again", action="store_true", help="only draw the page and the plot from docs/performance.json")
    told = parser.parse_args(arguments)
    standing = Results.read(json.loads(STANDING.read_text()))
    if not told.again:
        standing = standing.with_part(Results.read(json.loads(LAST.read_text())))
    write_page(standing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
