"""The part of the picture that shows how a site's answers slow down with its readers, and where it bends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmarks.plot_marks import line, path, rectangle, text

WIDTH, LEFT, RIGHT = 860.0, 330.0, 800.0
_CURVE_LEFT, _PLOT, _TOP, _BELOW = 70.0, 220.0, 74.0, 44.0
_LINES = {"frames": "frames_p99_ms", "hooks": "hooks_p99_ms"}


class _Axes:
    """Readers from left to right, milliseconds upwards, each further line ten times the one below."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], limit_ms: float, top: float) -> None:
        times = [max(1.0, step[member]) for step in steps for member in _LINES.values()] + [limit_ms]
        self.low, self.high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
        self.top, self.bottom = top, top + _PLOT
        self._readers = [step["readers"] for step in steps]

    def x(self, readers: float) -> float:
        first, last = self._readers[0], self._readers[-1]
        return _CURVE_LEFT + 20 + (readers - first) / max(1, last - first) * (RIGHT - _CURVE_LEFT - 40)

    def y(self, ms: float) -> float:
        return self.bottom - (math.log10(max(1.0, ms)) - self.low) / max(1, self.high - self.low) * _PLOT

    def grid(self) -> list[str]:
        drawn = []
        for power in range(self.low, self.high + 1):
            at = self.y(10.0**power)
            drawn.append(line(_CURVE_LEFT, at, RIGHT, at, "grid"))
            drawn.append(text(_CURVE_LEFT - 8, at + 4, f"{10**power:,} ms", "small", "end"))
        every = max(1, math.ceil(len(self._readers) / 12))
        drawn += [text(self.x(one), self.bottom + 16, str(one), "small", "middle") for one in self._readers[::every]]
        return drawn


def curve(bend: Mapping[str, Any], site: Mapping[str, Any] | None, above: float) -> tuple[list[str], float]:
    """The marks, ``above`` further down, and how much height they take."""
    axes = _Axes(bend["steps"], bend["limit_ms"], above + _TOP)
    marks = [
        text(
            10,
            above + 24,
            "A site: p99 by number of readers, each a frame of 128 kB a second, beside 20 hooks a second",
            "head",
        ),
        text(10, above + 42, _said_of(site), "small"),
        *axes.grid(),
        *_where_it_bends(bend, axes),
    ]
    limit = axes.y(bend["limit_ms"])
    marks.append(line(_CURVE_LEFT, limit, RIGHT, limit, "limit"))
    marks.append(text(_CURVE_LEFT + 4, limit - 5, f"limit {bend['limit_ms']:.0f} ms", "small"))
    for place, (kind, member) in enumerate(_LINES.items()):
        marks += path([(axes.x(step["readers"]), axes.y(step[member])) for step in bend["steps"]], kind)
        at = _CURVE_LEFT + 10 + 90 * place
        marks.append(line(at, axes.top - 12, at + 24, axes.top - 12, kind))
        marks.append(text(at + 30, axes.top - 8, kind, "small"))
    marks.append(text((_CURVE_LEFT + RIGHT) / 2, axes.bottom + 34, "readers", "small", "middle"))
    return marks, _TOP + _PLOT + _BELOW


def _where_it_bends(bend: Mapping[str, Any], axes: _Axes) -> list[str]:
    """From the last good step to the first bad one."""
    if bend["first_bad"] is None:
        return []
    here = axes.x(bend["first_bad"])
    begin = here - 12 if bend["last_good"] is None else axes.x(bend["last_good"])
    good = "none was good" if bend["last_good"] is None else f"{bend['last_good']} good"
    is_left = here < (_CURVE_LEFT + RIGHT) / 2
    place, anchor = ((here + 4, axes.top + 14), "start") if is_left else ((here - 4, axes.top + 14), "end")
    return [
        rectangle(begin, axes.top, here - begin, axes.bottom - axes.top, "bend"),
        text(*place, f"{good}, {bend['first_bad']} bad: {bend['why']}", "small", anchor),
    ]


def _said_of(site: Mapping[str, Any] | None) -> str:
    """The long run in one line."""
    if not site:
        return ""
    step, memory = site["step"], site["memory_mb"]
    megabytes = ", ".join(f"{memory[at]['pss_mb']:.0f}" for at in ("start", "middle", "end"))
    return (
        f"{step['readers']} readers for {step['seconds']:.0f} s: {step['faults']} faults, p99 of frames "
        f"{step['frames_p99_ms']:.0f} ms, of hooks {step['hooks_p99_ms']:.0f} ms; "
        f"memory {megabytes} MB at start, middle and end"
    )
