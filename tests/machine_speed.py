"""How fast this machine is just now, beside the one that budgets were written for: a fixed piece of work, timed now and then.

Virtual processors are shared with others whom nobody sees. The same run took 84 minutes of work in the morning of 2026-11-22
and 108 in its afternoon, when this piece took 10 ms and 5.4 was the fastest that was seen. A budget that knows nothing of that
fails whoever runs it at the wrong hour.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median

REFERENCE_MS = 5.5
EVERY_S = 20.0
MOST = 1.5
"""Slower than this is slower than the hour allows: what takes longer then has to become less."""


def piece_of_work() -> None:
    """Some thousand small objects written, read and sorted: what the tests do, and most of the programs that they start."""
    said = [{"number": n, "name": f"name {n}", "values": [n, n + 1, {"deep": str(n)}]} for n in range(1500)]
    read = json.loads(json.dumps(said))
    sorted((one["name"][::-1], one["values"][2]["deep"]) for one in read)


class MachineSpeed:
    """Looked at while tests run. Processor time of one thread, since the clock says how much else the run itself does."""

    def __init__(
        self,
        *,
        work: Callable[[], None] = piece_of_work,
        spent_s: Callable[[], float] = time.thread_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._spent_s = spent_s
        self._now = now
        self._next = now()
        self._took_ms: list[float] = []

    def look(self) -> None:
        """Does the piece of work, unless that was just done."""
        if self._now() < self._next:
            return
        self._next = self._now() + EVERY_S
        began = self._spent_s()
        self._work()
        self._took_ms.append((self._spent_s() - began) * 1000)

    @property
    def slowness(self) -> float:
        """How many times as long as on the machine of the budgets: 1 for a faster one and before any look, at most ``MOST``."""
        return min(MOST, max(1.0, median(self._took_ms) / REFERENCE_MS)) if self._took_ms else 1.0

    def __str__(self) -> str:
        if not self._took_ms:
            return "how fast this machine is was not looked at"
        return (
            f"this machine took {median(self._took_ms):.1f} ms for what the budgets' took {REFERENCE_MS:g} for "
            f"(median of {len(self._took_ms)}), so budgets are {self.slowness:.2f} times as large (at most {MOST:g})"
        )
