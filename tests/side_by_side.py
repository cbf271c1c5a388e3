"""How many tests run side by side: half as many again as there are cores.

Tests wait for a third of their time and more, for programs that start, for clocks and for answers held back on purpose; with a
worker for each core, cores wait with them. Measured on two cores on 2026-11-22: contract, security and unit tests took 21
minutes with two workers and 15 with four, and 25 minutes of processors' time in each case.
"""

from __future__ import annotations

import os


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(of_cores: int) -> int:
    """For ``-n auto``."""
    return of_cores + of_cores // 2


def share_of_a_core(side_by_side: int, of_cores: int) -> float:
    """What each has of one while all of them run: by it, what they took adds up to what the clock says, times the cores."""
    return min(1.0, of_cores / side_by_side) if side_by_side else 1.0
