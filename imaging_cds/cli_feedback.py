"""``imaging-cds feedback``: how each rule's cards fared, so that one that everybody overrides is found."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from cds_service.feedback_store import FeedbackStore, OverrideCount, RuleFeedback
from fhir_imaging.store.engine import Store
from imaging_cds.cli_serve import add_config_argument, settings_of

COLUMNS = ("rule", "indicator", "shown", "accepted", "overridden", "overridden_percent", "why")
# What reads a pipe or a file wraps by itself.
_WIDER_THAN_ANY_LINE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One rule and indicator. ``why`` holds the override reasons, the most frequent first."""

    fared: RuleFeedback
    why: str

    @property
    def percent(self) -> int:
        """Overridden cards of those shown; whole percent. Cards that nobody reacted to count as shown."""
        return round(100 * self.fared.overridden / self.fared.shown) if self.fared.shown else 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``feedback``."""
    feedback = commands.add_parser("feedback", help="count what became of each rule's cards, the most overridden first")
    add_config_argument(feedback)
    feedback.add_argument("--since", type=_moment, default=0, help="cards shown from this time on (ISO 8601; UTC without zone)")
    feedback.add_argument("--service", help="cards of this CDS service only, such as imaging-findings")
    feedback.add_argument("--csv", action="store_true", help="comma-separated values, for a spreadsheet")
    feedback.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    store = Store.open(settings_of(arguments).state)
    try:
        store.check_migrated()
        feedback = FeedbackStore(store)
        since, service = arguments.since, arguments.service
        fared = feedback.by_rule(since=since, service_id=service)
        lines = lines_of(fared, feedback.override_reasons(since=since, service_id=service))
    finally:
        store.close()
    if arguments.csv:
        _write_csv(lines)
    else:
        _print_table(lines)
    return 0


def lines_of(fared: Iterable[RuleFeedback], reasons: Iterable[OverrideCount]) -> list[Line]:
    """One line per rule and indicator, the largest share of overridden cards first."""
    why: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in reasons:
        why[(one.rule_id, one.indicator)].append(f"{_reason_words(one)}: {one.cards}")
    lines = [Line(fared=one, why="; ".join(why[(one.rule_id, one.indicator)])) for one in fared]
    return sorted(lines, key=lambda line: (-line.percent, -line.fared.overridden, line.fared.rule_id))


def _reason_words(one: OverrideCount) -> str:
    # What users wrote stays sealed: it may name a patient.
    if one.reason is None:
        return "a comment only" if one.has_comment else "no reason given"
    return f"{one.reason} with a comment" if one.has_comment else one.reason


def _cells(line: Line) -> tuple[str, ...]:
    fared = line.fared
    counts = (fared.shown, fared.accepted, fared.overridden, line.percent)
    return (fared.rule_id, fared.indicator, *(str(count) for count in counts), _plain(line.why))


def _plain(cell: str) -> str:
    """A reason code is the EHR's text: it must neither steer the terminal nor begin a line of its own."""
    return "".join(mark if mark.isprintable() else "?" for mark in cell)


def _write_csv(lines: list[Line]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_inert(cell) for cell in _cells(line)] for line in lines)


def _inert(cell: str) -> str:
    """A reason code is the EHR's text: a spreadsheet must not take it for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _print_table(lines: list[Line]) -> None:
    table = Table(title=None if lines else "No card was shown in this time.", box=None, header_style="bold")
    for name in COLUMNS:
        words = name.replace("_percent", " %").capitalize()
        # A rule's id is copied and searched for: it stays in one piece, however narrow the terminal.
        whole = max((len(line.fared.rule_id) for line in lines), default=0) if name == "rule" else None
        table.add_column(words, overflow="fold", justify="right" if name in COLUMNS[2:6] else "left", min_width=whole)
    for line in lines:
        table.add_row(*_cells(line))
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _WIDER_THAN_ANY_LINE
    console.print(table, crop=False)


def _moment(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
