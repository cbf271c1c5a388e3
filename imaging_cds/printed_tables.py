"""Tables on the screen, as the commands for administrators print them."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

FILE_WIDTH = 240


def console() -> Console:
    """The screen; as wide as a file may be where nobody looks."""
    return Console() if shows_columns() else Console(width=FILE_WIDTH)


def shows_columns() -> bool:
    """A terminal, or who sets COLUMNS, has a width to keep to."""
    return "COLUMNS" in os.environ or Console().is_terminal


def columns(*headings: str) -> Table:
    """An empty table under these headings."""
    table = Table(box=None, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def add_row(table: Table, *cells: str) -> None:
    """What is recorded came from callers and EHRs: it is neither markup nor anything that steers a terminal."""
    table.add_row(*(Text(printable(cell)) for cell in cells))


def printable(text: str) -> str:
    """Without marks that steer a terminal."""
    return "".join(mark if mark.isprintable() else "\ufffd" for mark in text)


def moment(seconds: float) -> str:
    """UTC seconds for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
