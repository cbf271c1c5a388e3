"""What the check of an imaging server found: one row for each requirement, for people and for programs."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any
from urllib.parse import quote

from imaging_cds.check_print import markdown_table, markdown_text, plain

WIDTH = 120
MAX_SEEN = 600
_LEAST_SECRET = 8


class Verdict(StrEnum):
    """How a requirement fared."""

    OK = "ok"
    FAULT = "FAULT"
    NOT_TRIED = "not tried"
    """It could not be tried; what was seen says why."""
    NOT_OFFERED = "not offered"
    """The server does not have what the requirement is about, and need not have it."""
    UNSEEN = "not visible"
    """Nobody can see it from outside; what was seen says why, and whom to ask."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict and what was seen: statuses, counts and ids, never a token and never what a patient is called."""

    verdict: Verdict
    seen: str


class NotTried(Exception):
    """Why a requirement could not be tried."""


class NotOffered(Exception):
    """What the server does not have."""


class Unseen(Exception):
    """Why a requirement cannot be judged from outside, and what to look at instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One requirement as it fared. ``ids`` are those of the requirement reference, the main one first."""

    ids: tuple[str, ...]
    name: str
    area: str
    asked: str
    outcome: Outcome
    remedy: str

    @property
    def key(self) -> str:
        """What tells rows of one requirement apart."""
        return f"{self.ids[0]}:{self.name}"

    def as_json(self) -> dict[str, Any]:
        """The remedy only where something is to be mended."""
        row = {"id": self.ids[0], "ids": list(self.ids), "check": self.key, "area": self.area, "asked": self.asked}
        found = {"verdict": self.outcome.verdict.value, "seen": self.outcome.seen}
        return {**row, **found, **({"remedy": self.remedy} if self.outcome.verdict is Verdict.FAULT else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagingReport:
    """Every requirement at one imaging server. ``requests`` counts what was sent; ``warnings`` are about the check itself."""

    base: str
    rows: tuple[Row, ...]
    requests: int
    warnings: tuple[str, ...] = ()

    def of(self, verdict: Verdict) -> tuple[Row, ...]:
        """The rows of one verdict."""
        return tuple(row for row in self.rows if row.outcome.verdict is verdict)

    @property
    def exit_code(self) -> int:
        """0 only where no fault was found and something was found to work."""
        return 0 if self.of(Verdict.OK) and not self.of(Verdict.FAULT) else 1

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        counts = {verdict.value: len(self.of(verdict)) for verdict in Verdict}
        rows = [row.as_json() for row in self.rows]
        return {
            "imaging": self.base,
            "requests": self.requests,
            "verdicts": counts,
            "warnings": list(self.warnings),
            "rows": rows,
        }

    def lines(self, paint: Callable[[str], str] = plain) -> Iterator[str]:
        """For people, area by area."""
        yield f"Imaging server {self.base}"
        yield from (f"WARNING: {one}" for one in self.warnings)
        for area, rows in groupby(self.rows, key=lambda row: row.area):
            yield f"\n{area}"
            for row in rows:
                yield from _row_lines(row, paint)
        yield ""
        yield self._summary()
        faults = ", ".join(row.key for row in self.of(Verdict.FAULT))
        yield from textwrap.wrap(f"To mend: {faults}.", WIDTH, subsequent_indent="         ") if faults else ()

    def markdown(self) -> Iterator[str]:
        """For a ticket: what is to be mended first, then a table for each area."""
        yield f"# Imaging server {markdown_text(self.base)}"
        yield f"\n{self._summary()}"
        yield from (f"\n**Warning:** {markdown_text(one)}" for one in self.warnings)
        faults = self.of(Verdict.FAULT)
        if faults:
            yield "\n## To mend\n"
            rows = [(row.key, row.asked, row.outcome.seen, row.remedy) for row in faults]
            yield from markdown_table(("check", "asked", "seen", "what to do"), rows)
        for area, group in groupby(self.rows, key=lambda row: row.area):
            yield f"\n## {area}\n"
            told = [(" ".join(row.ids), row.outcome.verdict.value, row.asked, row.outcome.seen) for row in group]
            yield from markdown_table(("requirement", "verdict", "asked", "seen"), told)

    def _summary(self) -> str:
        counts = ", ".join(f"{len(self.of(verdict))} {verdict.value}" for verdict in Verdict)
        return f"{len(self.rows)} checks with {self.requests} requests: {counts}."


def hidden(words: str, secrets: Iterable[str]) -> str:
    """Words of an outside server as they may be shown: without the secrets, without control characters, not endless."""
    for secret in secrets:
        for written in (secret, quote(secret, safe="")) if len(secret) >= _LEAST_SECRET else ():
            # Host names come back in small letters, queries with marks that are encoded.
            words = re.sub(re.escape(written), "(token)", words, flags=re.IGNORECASE)
    shown = "".join(mark if mark.isprintable() else "?" for mark in words)
    return shown if len(shown) <= MAX_SEEN else f"{shown[:MAX_SEEN]} …"


def _row_lines(row: Row, paint: Callable[[str], str]) -> Iterator[str]:
    indent, verdict = " " * 27, f"{row.outcome.verdict.value:<11}"
    ids = f"  {' '.join(row.ids):<12} "
    asked = textwrap.wrap(row.asked, WIDTH, initial_indent=f"{ids}{verdict} ", subsequent_indent=indent)
    # Wrapped first: a colour has no width.
    yield asked[0].replace(f"{ids}{verdict}", f"{ids}{paint(verdict)}", 1)
    yield from asked[1:]
    yield from textwrap.wrap(row.outcome.seen, WIDTH, initial_indent=f"{indent}seen: ", subsequent_indent=indent + "  ")
    if row.outcome.verdict is Verdict.FAULT:
        yield from textwrap.wrap(row.remedy, WIDTH, initial_indent=f"{indent}-> ", subsequent_indent=indent + "   ")
