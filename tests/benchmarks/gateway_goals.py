"""The goals for frames (issue 5), and whether a run reached them, in words that hide no miss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.benchmarks.gateway_stand import ASKING, ASKING_HERE, ASKING_NGINX, BEHIND_NGINX, DIRECT, PLAIN_PROXY, STREAMING
from tests.benchmarks.load import Timing

OF_PLAIN_NGINX = 0.9
OVERHEAD_MS = 1.0


@dataclass(slots=True)
class Goals:
    """Collects one size's figures, by concurrency."""

    size: str
    _seen: dict[int, Mapping[str, Timing]] = field(default_factory=dict)

    def see(self, concurrency: int, timings: Mapping[str, Timing]) -> None:
        """The figures of all ways, by name."""
        self._seen[concurrency] = timings

    def lines(self) -> dict[str, str]:
        """For the head of the report."""
        alone = self._seen[1]
        overhead = {name: alone[name].p50_ms - alone[DIRECT].p50_ms for name in alone if name in (STREAMING, *BEHIND_NGINX)}
        said = {
            **{
                f"goal, {self.size}, streaming ahead of “{peer}”": _met(self._beside(STREAMING, peer), 1.0)
                for peer in (ASKING, ASKING_HERE)
            },
            f"goal, {self.size}, p50 over Orthanc itself towards {OVERHEAD_MS:.0f} ms": "; ".join(
                [
                    *(f"{name}: {_verdict(ms <= OVERHEAD_MS)}, {ms:+.2f} ms" for name, ms in overhead.items()),
                    f"Orthanc's own in this run {alone[DIRECT].p50_ms:.2f} ms",
                ]
            ),
        }
        for name in BEHIND_NGINX:
            if name in alone:
                beside = self._beside(name, PLAIN_PROXY)
                said[f"goal, {self.size}, “{name}” at least {OF_PLAIN_NGINX} of plain nginx"] = _met(beside, OF_PLAIN_NGINX)
        if ASKING_NGINX in alone:
            floor = "; ".join(f"{at} at once {ratio:.2f}" for at, ratio in self._beside(ASKING_NGINX, PLAIN_PROXY).items())
            said[f"of plain nginx, {self.size}, what “{ASKING_NGINX}” leaves to whoever is asked for each frame"] = floor
        return said

    def _beside(self, name: str, peer: str) -> dict[int, float]:
        """Its share of the peer's throughput, by concurrency."""
        return {at: one[name].per_s / one[peer].per_s for at, one in self._seen.items()}


def _met(ratios: Mapping[int, float], goal: float) -> str:
    return "; ".join(f"{at} at once {_verdict(ratio >= goal)}, {ratio:.2f}" for at, ratio in ratios.items())


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "NOT met"
