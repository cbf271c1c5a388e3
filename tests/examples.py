"""How many examples a property test tries: few in CI, many where there is time (``make soak``)."""

from __future__ import annotations

import os

SOAK = int(os.environ.get("IMAGING_CDS_SOAK", "1"))
"""How many times as much is tried as in CI. Above 1 only the tests run that can make use of it."""


def examples(in_ci: int) -> int:
    """The number for this run; ``in_ci`` is what is worth its time in each run."""
    return in_ci * SOAK
