"""Audit records as ``imaging-cds audit`` prints them: a table for people, CSV for spreadsheets, JSON and FHIR lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO

from rich.table import Table

from fhir_imaging.audit import AuditAction, AuditOutcome, AuditRecord, StoredRecord
from fhir_imaging.audit_outbox import SinkReport
from imaging_cds.audit_summary import Summary, busiest, commonest
from imaging_cds.printed_tables import add_row, columns, console, moment, printable, shows_columns

ROWS_AT_A_TIME = 100
FILE_SHARE = 10
TIME_WIDTH = 19
WHAT_WIDTH = max(len(action) for action in AuditAction)
HEADINGS = (
    ("Outcome", 4),
    ("What", 0),
    ("Patient", 2),
    ("User", 3),
    ("App", 2),
    ("From", 2),
    ("Study, or query", 5),
    ("EHR", 2),
)
"""Of the table, after the time; with each column's share of the width, 0 where it is that of the longest action."""
_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")


def print_table(found: Iterable[StoredRecord]) -> None:
    """For people, newest first; written as it is read, so that the first lines come at once."""
    if not shows_columns():
        _print_lines(found)
        return
    screen = console()
    records, is_first = iter(found), True
    while rows := list(islice(records, ROWS_AT_A_TIME)):
        table = _wide_table(is_first)
        for one in rows:
            add_row(table, *_cells(one.record))
        screen.print(table)
        is_first = False
    if is_first:
        screen.print("Nothing recorded for this.")


def _print_lines(found: Iterable[StoredRecord]) -> None:
    """For files and other programs: a record is a line, whatever stands in it."""
    is_first = True
    for one in found:
        if is_first:
            print(_line(("Time (UTC)", *(heading for heading, _share in HEADINGS))))
            is_first = False
        print(_line(_cells(one.record)))
    if is_first:
        print("Nothing recorded for this.")


def _line(cells: Sequence[str]) -> str:
    widths = (TIME_WIDTH, *(share * FILE_SHARE or WHAT_WIDTH for _heading, share in HEADINGS))
    return " ".join(printable(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _wide_table(shows_header: bool) -> Table:
    """Columns of a width that no content changes: the parts of a long table stand under one header."""
    table = Table(box=None, header_style="bold", expand=True, show_header=shows_header, padding=(0, 1, 0, 0))
    table.add_column("Time (UTC)", width=TIME_WIDTH, no_wrap=True)
    for heading, share in HEADINGS:
        table.add_column(heading, overflow="fold", width=None if share else WHAT_WIDTH, ratio=share or None)
    return table


def _cells(record: AuditRecord) -> tuple[str, ...]:
    return (
        moment(record.recorded_at),
        "allowed" if record.outcome is AuditOutcome.ALLOWED else f"denied: {record.reason}",
        f"{record.action.value} {record.method}" if record.method else record.action.value,
        record.patient_id or "-",
        record.user or "-",
        record.client_id or "-",
        record.client_address or "-",
        record.query or record.study_instance_uid or "-",
        record.ehr,
    )


def print_summary(summary: Summary) -> None:
    """What it amounts to, for people."""
    screen = console()
    if summary.first_at is None or summary.last_at is None:
        screen.print("Nothing recorded for this.")
        return
    screen.print(f"{summary.records} records, {moment(summary.first_at)} to {moment(summary.last_at)} UTC\n")
    done = columns("What", "Allowed", "Denied")
    for action in AuditAction:
        allowed, denied = (summary.actions[action, outcome] for outcome in (AuditOutcome.ALLOWED, AuditOutcome.DENIED))
        if allowed or denied:
            add_row(done, action.value, str(allowed), str(denied))
    users = columns("User", "App", "EHR", "Patients", "Studies opened", "Other access", "Denied", "Last (UTC)")
    for (ehr, user, client), one in busiest(summary):
        numbers = (len(one.patients), one.opened, one.other, one.denied)
        add_row(users, user, client, ehr, *map(str, numbers), moment(one.last_at))
    screen.print(done, "", users)
    if summary.reasons:
        reasons = columns("Denied because", "Times", "Users", "Last (UTC)")
        for reason, denials in commonest(summary):
            add_row(reasons, reason, str(denials.times), str(len(denials.users)), moment(denials.last_at))
        screen.print("", reasons)


def print_json(found: Iterable[StoredRecord], output: TextIO) -> None:
    """One object a line, as stored, with the time in ISO 8601 (UTC) and the event's id."""
    for one in found:
        output.write(json.dumps({"time": _iso(one.record), **asdict(one.record), "event_id": one.event_key}) + "\n")


def print_fhir(
    found: Iterable[StoredRecord], output: TextIO, as_event: Callable[[AuditRecord, str | None], dict[str, Any]]
) -> None:
    """One AuditEvent a line (NDJSON), the same that the sinks get."""
    for one in found:
        output.write(json.dumps(as_event(one.record, one.event_key), separators=(",", ":")) + "\n")


def print_csv(found: Iterable[StoredRecord], output: TextIO) -> None:
    """One row for each record under a row of names; times in ISO 8601, UTC. No cell is a formula to a spreadsheet."""
    names = [one.name for one in fields(AuditRecord)]
    writer = csv.writer(output)
    writer.writerow([*names, "event_id"])
    for one in found:
        values = [getattr(one.record, name) for name in names[1:]]
        writer.writerow([_iso(one.record), *(_cell(value) for value in values), one.event_key or ""])


def print_deliveries(reports: Iterable[SinkReport], configured: Iterable[str]) -> None:
    """How each sink fares."""
    rows, names = list(reports), set(configured)
    table = columns("Sink", "Waiting", "Rejected", "Oldest", "Last delivery", "Next attempt", "Last failure")
    if not rows:
        table.title = "The audit trail goes to the database only: audit.file and audit.fhir_base are not set."
    for row in rows:
        add_row(
            table,
            row.sink if row.sink in names else f"{row.sink} (not configured)",
            str(row.pending),
            str(row.failed),
            "-" if row.oldest_at is None else moment(row.oldest_at),
            "-" if row.delivered_at is None else moment(row.delivered_at),
            moment(row.resume_at) if row.resume_at else "now",
            row.last_error or "-",
        )
    console().print(table)


def _cell(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA_MARKS) else text


def _iso(record: AuditRecord) -> str:
    return datetime.fromtimestamp(record.recorded_at, UTC).isoformat().replace("+00:00", "Z")
