"""What the benchmarks found, as JSON, as Markdown, and as the table in ``docs/performance.md``.

``python -m tests.benchmarks.report`` writes into the page's tables what the last run measured; of a part, that part.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.load import Timing

CHECKOUT = Path(__file__).parent.parent.parent
OUTPUT = CHECKOUT / "build" / "bench"
PAGE = CHECKOUT / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_FRAMES = "Frames from Orthanc, directly, by nginx and by the gateway; CPU of all between; frames of"
GROUPS = {
    "card": "Card with prefetch (62 kB), beside a static JSON answer from the same server and HealthChain's CDS endpoint",
    "card-parts": "Where a card's time goes (in one process, no HTTP)",
    "card-far": "Card without prefetch: the service asks a FHIR server that takes 50 ms a call (goal: p95 below 300 ms)",
    "card-fetching": "Card without prefetch: the service asks the sandbox's FHIR server itself",
    "list": "Study list",
    "list-browser": "Study list in Chromium: from asking for the page to first paint and last row (goal: painted within 1 s)",
    "gateway 128 kB": f"{_FRAMES} 128 kB",
    "gateway 512 kB": f"{_FRAMES} 512 kB",
    "gateway cold": "One frame of 128 kB at a time through the gateway: what a decision costs",
    "gateway study": "A study of 1 GB, eight files of 128 MB, one at a time (goal: below 80 MB more in a worker)",
    "sync files": "DICOM files to ImagingStudy, studies of 100 and 500 images, beside dicom2fhir (goal: 3 times its speed)",
    "sync target": "Studies into a FHIR server, four at a time: CPU is the synchronisation's own",
    "sync memory": "Memory with 100,000 studies (goal: flat)",
    "first-image": "Click to first image in Chromium, software rendering (goal: warm at most 0.5 of plain OHIF, cold 1.1)",
    "launch": "Launch, from the EHR's launch URL to the drawn study list",
}
GOAL = 1.5
"""How many times HealthChain's throughput a card is meant to reach (issue 3)."""
_LIBRARIES = ("flask", "gunicorn", "sqlalchemy", "pyjwt", "cryptography", "requests", "urllib3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: what was measured, and how it stands to the line named by ``against`` (1.0 = alike).

    ``ratio`` compares throughput where several connections were used and p50 otherwise; ``unit`` says which.
    """

    group: str
    name: str
    concurrency: int
    timing: Timing
    ratio: float | None = None
    against: str = ""
    remark: str = ""


@dataclass(slots=True)
class Report:
    """The rows of one run, and what else has to be said of it."""

    rows: list[Row] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)

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

    @property
    def is_complete(self) -> bool:
        """Whether every group was measured."""
        return {row.group for row in self.rows} == set(GROUPS)

    def write(self) -> None:
        """JSON and Markdown below ``build/bench``; the page's table too when every group was measured."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        described = machine() | self.remarks
        document = {"machine": described, "rows": [asdict(row) for row in self.rows]}
        (OUTPUT / "results.json").write_text(json.dumps(document, indent=1) + "\n")
        text = markdown(described, self.rows)
        (OUTPUT / "results.md").write_text(text)
        if self.is_complete:
            PAGE.write_text(between_markers(PAGE.read_text(), text))


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
        "server": "gunicorn gthread, 2 workers of 12 threads (application); 1 worker each for sandbox EHR and sandbox PACS",
        "state": "SQLite",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def markdown(described: dict[str, str], rows: Sequence[Row]) -> str:
    """The machine and one table for each group."""
    lines = [f"- {name}: {text}" for name, text in described.items()]
    for group, title in GROUPS.items():
        own = [row for row in rows if row.group == group]
        if not own:
            continue
        lines += [
            "",
            f"### {title}",
            "",
            "| what | at once | p50 ms | p95 ms | p99 ms | per s | CPU ms | ratio | of | n |",
            "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|",
        ]
        lines += [_line(row) for row in own]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    name = f"{row.name} ({row.remark})" if row.remark else row.name
    timing = row.timing
    figures = " | ".join(_short(one) for one in (timing.p50_ms, timing.p95_ms, timing.p99_ms, timing.per_s))
    cpu = "" if timing.cpu_ms is None else _short(timing.cpu_ms)
    return f"| {name} | {row.concurrency} | {figures} | {cpu} | {ratio} | {row.against} | {timing.count} |"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def between_markers(page: str, text: str) -> str:
    """The page with the text between its two markers; ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def with_part(table: str, described: dict[str, str], rows: Sequence[Row]) -> str:
    """The page's tables with the groups of these rows written anew and the others as they are; the head says what is newer."""
    (head, old), (_, new) = _sections(table), _sections(markdown(described, rows))
    lines = dict(line.removeprefix("- ").split(": ", 1) for line in head.strip().splitlines())
    lines |= {name: text for name, text in described.items() if name.startswith("goal")}
    lines[f"measured apart ({', '.join(dict.fromkeys(row.group for row in rows))})"] = (
        f"{described['measured']}, load {described['load']}"
    )
    both = old | new
    ordered = [f"\n### {title}\n{both[title]}" for title in GROUPS.values() if title in both]
    return "".join([*(f"- {name}: {text}\n" for name, text in lines.items()), *ordered])


def _sections(table: str) -> tuple[str, dict[str, str]]:
    head, *sections = table.rstrip("\n").split("\n### ")
    return head, {title: f"{text.rstrip()}\n" for title, _, text in (section.partition("\n") for section in sections)}


def read_rows(document: dict[str, Any]) -> list[Row]:
    """The rows of a results file."""
    return [Row(**{**row, "timing": Timing(**row["timing"])}) for row in document["rows"]]


def main() -> int:
    """Writes into the page's tables what the last run measured."""
    document = json.loads((OUTPUT / "results.json").read_text())
    page = PAGE.read_text()
    table = page.partition(f"{BEGIN}\n")[2].partition(END)[0]
    PAGE.write_text(between_markers(page, with_part(table, document["machine"], read_rows(document))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
