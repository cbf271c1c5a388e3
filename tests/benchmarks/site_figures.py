"""What a site's load run found, in words and for the results file: faults, memory, the load generator itself, and the bend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

SLOW_MS = 1000.0
"""Where one frame or card in a hundred takes longer, the site has bent."""
FLAT = 0.05
"""How much more of its memory a server may have at the end than in the middle; what is kept per token is bounded by then."""
LATE_S = 0.1
"""Where one request in a hundred is sent later than this by the load generator's own fault, it measures itself."""


class Moment(NamedTuple):
    """The memory of the application's processes together at one moment, MB."""

    after_s: float
    pss_mb: float
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Proportional (PSS) and resident (RSS) megabytes, where the run began, in its middle and at its end."""

    start: Moment
    middle: Moment
    end: Moment

    @classmethod
    def of(cls, moments: Sequence[Moment]) -> Memory:
        """The first moment, and medians of a tenth of them around the middle and at the end."""
        if not moments:
            raise ValueError("nobody looked at the memory")
        few, half = max(1, len(moments) // 10), len(moments) // 2
        begin = max(0, half - few // 2)
        return cls(start=moments[0], middle=_middle(moments[begin : begin + few]), end=_middle(moments[-few:]))

    @property
    def is_flat(self) -> bool:
        return self.end.pss_mb <= self.middle.pss_mb * (1 + FLAT)

    @property
    def in_words(self) -> str:
        pss = ", ".join(f"{getattr(self, at).pss_mb:.0f} MB {said}" for at, said in _MOMENTS.items())
        return f"{pss} (PSS of all processes; RSS {self.start.rss_mb:.0f}, {self.middle.rss_mb:.0f}, {self.end.rss_mb:.0f} MB)"


_MOMENTS = {"start": "at the start", "middle": "in the middle", "end": "at the end"}


def _middle(moments: Sequence[Moment]) -> Moment:
    after, pss, rss = zip(*moments, strict=True)
    return Moment(median(after), median(pss), median(rss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """So many readers for a while, with the hooks beside them.

    ``late_ms`` is how late the load generator sent (p99), ``generator_cores`` and ``server_cores`` what load generator and
    application took of the processors, ``busy_cores`` what everybody on the machine took together.
    """

    readers: int
    seconds: float
    frames_p99_ms: float
    hooks_p99_ms: float
    frames_per_s: float
    faults: int
    unasked: int
    late_ms: float
    generator_cores: float
    server_cores: float
    busy_cores: float

    @property
    def why_bad(self) -> str:
        """Empty while it is good."""
        reasons = [f"{self.faults} faults"] if self.faults else []
        for what, p99_ms in (("frames", self.frames_p99_ms), ("hooks", self.hooks_p99_ms)):
            if p99_ms > SLOW_MS:
                reasons.append(f"p99 of {what} {p99_ms / 1000:.1f} s")
        if self.late_ms > 1000 * LATE_S:
            reasons.append(f"the load generator itself {self.late_ms:.0f} ms late")
        return ", ".join(reasons)

    @property
    def generator_in_words(self) -> str:
        behind = "the load generator FELL BEHIND:" if self.late_ms > 1000 * LATE_S else "load generator:"
        return (
            f"{behind} {self.late_ms:.1f} ms late (p99), {self.generator_cores:.2f} cores; "
            f"application {self.server_cores:.2f}, everything on the machine {self.busy_cores:.2f}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bend:
    """Steps up in readers until one is bad."""

    steps: tuple[Step, ...]

    @property
    def last_good(self) -> Step | None:
        good = [step for step in self.steps if not step.why_bad]
        return good[-1] if good else None

    @property
    def first_bad(self) -> Step | None:
        return next((step for step in self.steps if step.why_bad), None)

    @property
    def in_words(self) -> str:
        good, bad = self.last_good, self.first_bad
        at_best = f"{good.readers} readers good (p99 {good.frames_p99_ms:.0f} ms)" if good else "no step good"
        return f"{at_best}, {bad.readers} readers bad ({bad.why_bad})" if bad else f"{at_best}, not tried further"

    def figures(self) -> dict[str, Any]:
        """For the results file."""
        good, bad = self.last_good, self.first_bad
        return {
            "last_good": good.readers if good else None,
            "first_bad": bad.readers if bad else None,
            "why": bad.why_bad if bad else "",
            "limit_ms": SLOW_MS,
            "steps": [asdict(step) for step in self.steps],
        }
