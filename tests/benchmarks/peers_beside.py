"""How we stand to others that were measured in the same run: one ratio for each, where more than 1 is faster than they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.gateway_stand import ASKING, ASKING_HERE, BEHIND_NGINX, PLAIN_PROXY, STREAMING
from tests.benchmarks.peer_servers import FIXED, READING, SAME_WORK
from tests.benchmarks.results import Results, Row

_CARD = "card, authentication off"
_CONVERTER = "pacs_sync: read, mapped to R4, as JSON"
_PLAIN_VIEWER = "plain OHIF, never here before"
PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "card": ((_CARD, FIXED), (_CARD, READING), (_CARD, SAME_WORK)),
    **{
        f"gateway {size}": (
            (STREAMING, ASKING),
            (STREAMING, ASKING_HERE),
            *((behind, PLAIN_PROXY) for behind in BEHIND_NGINX),
        )
        for size in ("128 kB", "512 kB")
    },
    "sync files": ((_CONVERTER, "dicom2fhir"),),
    "first-image": (
        ("our viewer page, never here before (cold)", _PLAIN_VIEWER),
        ("from the study list, likeliest study (warm)", _PLAIN_VIEWER),
        ("from the study list, another study (warm)", _PLAIN_VIEWER),
    ),
}
"""By group: a line of ours and a line of somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """``by_clock`` compares throughput where several were under way and p50 otherwise, ``by_cpu`` the processor time of one."""

    group: str
    ours: str
    peer: str
    concurrency: int
    by_clock: float
    by_cpu: float | None

    def document(self) -> dict[str, Any]:
        return asdict(self)


def beside(results: Results) -> list[Beside]:
    """Every pair of which both lines were measured, at each number of connections."""
    return [
        found for group, pairs in PAIRS.items() for ours, peer in pairs for found in _of_pair(results.of(group), ours, peer)
    ]


def _of_pair(rows: list[Row], ours: str, peer: str) -> Iterator[Beside]:
    theirs = {row.concurrency: row for row in rows if _bare(row) == peer}
    for row in rows:
        if _bare(row) == ours and row.concurrency in theirs:
            yield _stands(row, theirs[row.concurrency], ours, peer)


def _bare(row: Row) -> str:
    return row.name.removesuffix(f", {row.concurrency} at once")


def _stands(own: Row, other: Row, ours: str, peer: str) -> Beside:
    mine, theirs = own.timing, other.timing
    by_clock = mine.per_s / theirs.per_s if own.concurrency > 1 else theirs.p50_ms / mine.p50_ms
    by_cpu = theirs.cpu_ms / mine.cpu_ms if mine.cpu_ms and theirs.cpu_ms else None
    return Beside(
        group=own.group,
        ours=ours,
        peer=peer,
        concurrency=own.concurrency,
        by_clock=round(by_clock, 3),
        by_cpu=None if by_cpu is None else round(by_cpu, 3),
    )
