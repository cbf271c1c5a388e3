"""The demo's patients, brought into the servers of the demo: made once, moved to today when a day has passed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

Progress = Callable[[str, int, int], None]


def demo_day() -> date:
    """Today in UTC: the day that the demo's stories count from."""
    return datetime.now(UTC).date()


def needs_anchoring(directory: Path, day: date) -> bool:
    """Whether the demo's data were made for another day, or not at all."""
    stamp = directory / "demo-day"
    return not stamp.exists() or stamp.read_text().strip() != day.isoformat()


def mark_anchored(directory: Path, day: date) -> None:
    """Remembers that the data are those of ``day``."""
    (directory / "demo-day").write_text(day.isoformat() + "\n")
