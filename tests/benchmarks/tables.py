"""The results as Markdown: what they were measured on, how we stand to others, and one table for each group."""

from __future__ import annotations

from tests.benchmarks.peers_beside import Beside, beside
from tests.benchmarks.results import GROUPS, Results, Row

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
BESIDE = "Beside others in the same run: how many times as fast we are (1.00 = alike)"


def markdown(results: Results) -> str:
    """Everything that stands between the page's markers."""
    lines = [f"- {name}: {text}" for name, text in (*results.machine.items(), *results.remarks.items())]
    lines += [f"- measured apart ({', '.join(groups)}): {said}" for said, groups in _alike(results).items()]
    compared = beside(results)
    if compared:
        lines += [
            "",
            f"### {BESIDE}",
            "",
            "| what | beside | at once | by the clock | by processor time |",
            "|---|---|--:|--:|--:|",
        ]
        lines += [_beside_line(one) for one in compared]
    for group in results.groups:
        lines += [
            "",
            f"### {GROUPS[group]}",
            "",
            "| what | at once | p50 ms | p95 ms | p99 ms | per s | CPU ms | ratio | of | n |",
            "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|",
        ]
        lines += [_line(row) for row in results.of(group)]
    return "\n".join(lines) + "\n"


def _alike(results: Results) -> dict[str, list[str]]:
    """The groups by what is said of when they were measured."""
    found: dict[str, list[str]] = {}
    for group in results.groups:
        if group in results.apart:
            found.setdefault(results.apart[group], []).append(group)
    return found


def _beside_line(one: Beside) -> str:
    by_cpu = "" if one.by_cpu is None else short(one.by_cpu)
    return f"| {one.group}: {one.ours} | {one.peer} | {one.concurrency} | {short(one.by_clock)} | {by_cpu} |"


def _line(row: Row) -> str:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    name = f"{row.name} ({row.remark})" if row.remark else row.name
    timing = row.timing
    figures = " | ".join(short(one) for one in (timing.p50_ms, timing.p95_ms, timing.p99_ms, timing.per_s))
    cpu = "" if timing.cpu_ms is None else short(timing.cpu_ms)
    return f"| {name} | {row.concurrency} | {figures} | {cpu} | {ratio} | {row.against} | {timing.count} |"


def short(value: float) -> str:
    """Three digits of a figure."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def between_markers(page: str, text: str) -> str:
    """The page with the text between its two markers; ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}{END}{after}"
