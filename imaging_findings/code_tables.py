"""The CSV files under ``tables``: read whole, comment lines (source, version, notice) left out."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib import resources


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of a table by column name."""
    lines = (resources.files("imaging_findings") / "tables" / name).read_text(encoding="utf-8").splitlines()
    yield from csv.DictReader(line for line in lines if not line.startswith("#"))
