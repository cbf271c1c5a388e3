"""What benchmarks found, as it stands in a results file, and how a part that was measured later goes into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks.load import Timing

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
    "site": "A site: 200 readers, each a frame of 128 kB from Orthanc a second, while 20 hooks of 62 kB a second arrive",
    "site bend": "The same with more and more readers, until one in a hundred waits more than a second or one is not answered",
    "sync files": "DICOM files to ImagingStudy, studies of 100 and 500 images, beside dicom2fhir (goal: 3 times its speed)",
    "sync target": "Studies into a FHIR server, four at a time: CPU is the synchronisation's own",
    "sync memory": "Memory with 100,000 studies (goal: flat)",
    "first-image": "Click to first image in Chromium, software rendering (goal: warm at most 0.5 of plain OHIF, cold 1.1)",
    "launch": "Launch, from the EHR's launch URL to the drawn study list",
}
VERSIONS = ("python", "libraries", "programs")
"""What is said of the machine that a part may have been measured with others of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: what was measured, and how it stands to the line named by ``against`` (1.0 = alike).

    ``ratio`` compares throughput where several connections were used and p50 otherwise.
    """

    group: str
    name: str
    concurrency: int
    timing: Timing
    ratio: float | None = None
    against: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Of one run, or of a run and parts that were measured apart from it.

    ``apart`` says of such a part's groups when and how busy that was; ``figures`` has by group what no line can say.
    """

    machine: Mapping[str, str]
    rows: tuple[Row, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        """Those that were measured, in the order of the report."""
        measured = {row.group for row in self.rows}
        return [group for group in GROUPS if group in measured]

    @property
    def is_complete(self) -> bool:
        """Whether every group was measured."""
        return self.groups == list(GROUPS)

    def of(self, group: str) -> list[Row]:
        return [row for row in self.rows if row.group == group]

    def with_part(self, part: Results) -> Results:
        """The groups of the part anew and the others as they are."""
        if part.is_complete:
            return part
        new = set(part.groups)
        kept = tuple(row for row in self.rows if row.group not in new)
        figures = {group: found for group, found in self.figures.items() if group not in new}
        return Results(
            machine=self.machine,
            rows=kept + part.rows,
            remarks={**self.remarks, **part.remarks},
            apart={**self.apart, **dict.fromkeys(part.groups, self._said_of(part))},
            figures=figures | dict(part.figures),
        )

    def _said_of(self, part: Results) -> str:
        said = f"{part.machine['measured']}, load {part.machine['load']}"
        others = [f"{name} {part.machine[name]}" for name in VERSIONS if part.machine.get(name) != self.machine.get(name)]
        return "; ".join([said, *others])

    def document(self) -> dict[str, Any]:
        """For a JSON file, in the order of the report."""
        return {
            "machine": dict(self.machine),
            "remarks": dict(self.remarks),
            "measured_apart": dict(self.apart),
            "figures": dict(self.figures),
            "rows": [asdict(row) for group in self.groups for row in self.of(group)],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Results:
        """From such a file."""
        return cls(
            machine=document["machine"],
            rows=tuple(Row(**{**row, "timing": Timing(**row["timing"])}) for row in document["rows"]),
            remarks=document["remarks"],
            apart=document["measured_apart"],
            figures=document["figures"],
        )
