"""The results as one picture (SVG): how many times as fast as others we are, and how a site slows down with its readers.

Drawn from the results alone. Its ground is see-through, by itself it has a browser's own; its colours follow
``prefers-color-scheme``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.benchmarks.peers_beside import Beside, beside
from tests.benchmarks.plot_curve import LEFT, RIGHT, WIDTH, curve
from tests.benchmarks.plot_marks import line, number, rectangle, text
from tests.benchmarks.results import Results

TITLE = "What the benchmarks measured"
STYLE = """
svg { color-scheme: light dark; }
text { font: 12px system-ui, sans-serif; fill: #1f2933; }
.head { font-size: 15px; font-weight: 600; }
.group { font-weight: 600; }
.small { font-size: 11px; fill: #52606d; }
.grid { stroke: #d3dae2; stroke-width: 1; }
.axis { stroke: #52606d; stroke-width: 1.5; }
.faster { fill: #0b7a75; }
.slower { fill: #c05621; }
.frames { stroke: #0b7a75; fill: none; stroke-width: 2; }
.hooks { stroke: #6b46c1; fill: none; stroke-width: 2; stroke-dasharray: 6 3; }
.dot-frames { fill: #0b7a75; }
.dot-hooks { fill: #6b46c1; }
.limit { stroke: #c05621; stroke-width: 1.5; stroke-dasharray: 3 3; }
.bend { fill: #c05621; fill-opacity: 0.15; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7eb; }
  .small { fill: #9aa5b1; }
  .grid { stroke: #3e4c59; }
  .axis { stroke: #9aa5b1; }
  .faster, .dot-frames { fill: #2cb1a8; }
  .slower, .bend { fill: #f0894d; }
  .frames { stroke: #2cb1a8; }
  .hooks { stroke: #b794f4; }
  .dot-hooks { fill: #b794f4; }
  .limit { stroke: #f0894d; }
}
"""
_ROW, _GROUP, _TOP, _AXIS = 19, 27, 58, 22
_LABELS = {
    "card": "Card with prefetch (62 kB), beside",
    "gateway 128 kB": "Frames of 128 kB from Orthanc",
    "gateway 512 kB": "Frames of 512 kB from Orthanc",
    "sync files": "DICOM files to ImagingStudy",
    "first-image": "Click to first image",
}


def svg(results: Results) -> str:
    """The whole picture; a part that was not measured is not in it."""
    compared = _fewest_and_most(beside(results))
    bars, height = _bars(compared) if compared else ([], 0)
    bend = results.figures.get("site bend")
    if bend and bend["steps"]:
        drawn, taken = curve(bend, results.figures.get("site"), height)
        bars += drawn
        height += taken
    marks = "\n".join(bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {number(height)}" role="img" aria-labelledby="t">\n'
        f'<title id="t">{TITLE}</title>\n<style>{STYLE}</style>\n{marks}\n</svg>\n'
    )


def _fewest_and_most(compared: Sequence[Beside]) -> list[Beside]:
    """Of each pair, those with the fewest and with the most connections; all are in the table."""
    kept = []
    for one in compared:
        numbers = [other.concurrency for other in compared if (other.group, other.ours, other.peer) == _pair(one)]
        if one.concurrency in (min(numbers), max(numbers)):
            kept.append(one)
    return kept


def _pair(one: Beside) -> tuple[str, str, str]:
    return one.group, one.ours, one.peer


class _Scale:
    """Ratios on a line: twice as fast is as far from the middle as half as fast."""

    def __init__(self, ratios: Sequence[float]) -> None:
        self.low = min(-1, math.floor(min(math.log2(ratio) for ratio in ratios)))
        self.high = max(1, math.ceil(max(math.log2(ratio) for ratio in ratios)))

    def at(self, ratio: float) -> float:
        return LEFT + (math.log2(ratio) - self.low) / (self.high - self.low) * (RIGHT - LEFT)

    @property
    def ticks(self) -> list[float]:
        return [2.0**power for power in range(self.low, self.high + 1)]


def _bars(compared: Sequence[Beside]) -> tuple[list[str], float]:
    """The marks and their height."""
    scale, drawn = _Scale([one.by_clock for one in compared]), list[str]()
    top, group = float(_TOP), ""
    for one in compared:
        if one.group != group:
            group, top = one.group, top + _GROUP
            drawn.append(text(10, top - 7, _LABELS[group], "group"))
        drawn += _bar(one, scale, top)
        top += _ROW
    head = [
        text(10, 20, "Beside others in the same run: how many times as fast", "head"),
        text(
            10, 38, "by throughput with several at once, by p50 with one at a time; the table has processor time too", "small"
        ),
    ]
    grid = []
    for tick in scale.ticks:
        grid.append(line(scale.at(tick), _TOP, scale.at(tick), top, "axis" if tick == 1 else "grid"))
        grid.append(text(scale.at(tick), top + 15, f"{tick:g}×" if tick >= 1 else f"1/{1 / tick:g}×", "small", "middle"))
    return [*head, *grid, *drawn], top + _AXIS


def _bar(one: Beside, scale: _Scale, top: float) -> list[str]:
    here, alike = scale.at(one.by_clock), scale.at(1)
    kind = "faster" if one.by_clock >= 1 else "slower"
    at_once = f", {one.concurrency} at once" if one.concurrency > 1 else ""
    beyond = here + 5 if one.by_clock >= 1 else alike + 5
    return [
        text(LEFT - 10, top + 12, f"{_own(one)}{_peer(one)}{at_once}", "", "end"),
        rectangle(min(here, alike), top + 2, max(1.5, abs(here - alike)), _ROW - 5, kind),
        text(beyond, top + 12, f"{one.by_clock:.2f}", "small"),
    ]


def _own(one: Beside) -> str:
    """Our line in few words; of a card all have the same."""
    return "" if one.group == "card" else f"{_WORDS.get(one.ours, one.ours)} beside "


def _peer(one: Beside) -> str:
    return _WORDS.get(one.peer, one.peer)


_WORDS = {
    "HealthChain as documented: reads the prefetch, fixed card": "HealthChain as documented",
    "HealthChain with our rules, validator and notes in its handler": "HealthChain with our rules",
    "gateway, streaming": "streaming",
    "gateway behind nginx, X-Accel-Redirect": "X-Accel-Redirect",
    "gateway behind nginx, cached auth_request": "cached auth_request",
    "nginx, auth_request to a trivial endpoint": "nginx that asks",
    "nginx, auth_request to a trivial endpoint on our own server": "nginx that asks ours",
    "nginx, plain proxy": "plain nginx",
    "pacs_sync: read, mapped to R4, as JSON": "pacs_sync",
    "our viewer page, never here before (cold)": "viewer page, cold",
    "from the study list, likeliest study (warm)": "from the list, likeliest",
    "from the study list, another study (warm)": "from the list, another",
    "plain OHIF, never here before": "plain OHIF",
}
"""Names of lines, short enough for a label."""
