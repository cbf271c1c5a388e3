"""How a check's report is printed: colours for people at a terminal, and Markdown for a ticket or a page.

What outside servers wrote stands in these reports, so nothing of it may work as markup or as a terminal's control sequence.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Protocol, TextIO

_MARKUP = re.compile(r"([\\`*_\[\]<>|~#&])")
_COLOURS = {"ok": "32", "fault": "1;31", "warning": "33", "note": "36", "not tried": "33"}


class Format(StrEnum):
    """For whom a report is printed."""

    WORDS = "words"
    JSON = "json"
    MARKDOWN = "markdown"


class Printed(Protocol):
    """A report in each of its forms."""

    def lines(self, paint: Callable[[str], str]) -> Iterator[str]:
        """For people; ``paint`` colours the word of a verdict."""

    def markdown(self) -> Iterator[str]:
        """For a ticket or a page."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""


def add_format(command: argparse.ArgumentParser) -> None:
    """``--json`` and ``--markdown``; words without either."""
    choice = command.add_mutually_exclusive_group()
    for form, words in ((Format.JSON, "one JSON object"), (Format.MARKDOWN, "Markdown, for a ticket or a page")):
        choice.add_argument(
            f"--{form.value}", dest="form", action="store_const", const=form, help=f"{words} instead of plain words"
        )
    command.set_defaults(form=Format.WORDS)


def print_report(report: Printed, form: Format) -> None:
    """On standard output, with colours where a person sits before it."""
    if form is Format.JSON:
        print(json.dumps(report.as_json(), indent=2))
    else:
        paint = painted if is_coloured(sys.stdout, os.environ) else plain
        print("\n".join(report.markdown() if form is Format.MARKDOWN else report.lines(paint)))


def is_coloured(stream: TextIO, environment: os._Environ[str] | dict[str, str]) -> bool:
    """Whether a terminal is there that takes colours (https://no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"


def painted(verdict: str) -> str:
    """The word of a verdict in its colour, with the blanks around it."""
    colour = _COLOURS.get(verdict.strip().lower())
    return f"\x1b[{colour}m{verdict}\x1b[0m" if colour else verdict


def plain(verdict: str) -> str:
    """The word as it is."""
    return verdict


def markdown_text(words: str) -> str:
    """Words as Markdown shows them, on one line and without effect."""
    return _MARKUP.sub(r"\\\1", " ".join(words.split()))


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of plain words."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(map(markdown_text, row))} |" for row in rows)
