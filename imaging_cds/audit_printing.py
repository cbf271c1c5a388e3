"""Audit records as ``imaging-cds audit`` prints them: a table for people, CSV for spreadsheets, JSON and FHIR lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fhir_imaging.audit import AuditOutcome, AuditRecord, StoredRecord
from fhir_imaging.audit_outbox import SinkReport

_FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")


def print_table(found: Iterable[StoredRecord]) -> None:
    """For people, newest first."""
    records = [one.record for one in found]
    table = _table(None if records else "Nothing recorded for this.")
    for heading in ("Time (UTC)", "Outcome", "What", "Patient", "User", "Study", "EHR"):
        table.add_column(heading, overflow="fold")
    for record in records:
        _add_row(
            table,
            _moment(record.recorded_at),
            "allowed" if record.outcome is AuditOutcome.ALLOWED else f"denied: {record.reason}",
            f"{record.action.value} {record.method}" if record.method else record.action.value,
            record.patient_id or "-",
            record.user or record.client_id or "-",
            record.study_instance_uid or "-",
            record.ehr,
        )
    Console().print(table)


def print_json(found: Iterable[StoredRecord], output: TextIO) -> None:
    """One object a line, as stored, with the event's id."""
    for one in found:
        output.write(json.dumps({**asdict(one.record), "event_id": one.event_key}) + "\n")


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
        time = datetime.fromtimestamp(one.record.recorded_at, UTC).isoformat().replace("+00:00", "Z")
        writer.writerow([time, *(_cell(value) for value in values), one.event_key or ""])


def print_deliveries(reports: Iterable[SinkReport], configured: Iterable[str]) -> None:
    """How each sink fares."""
    rows, names = list(reports), set(configured)
    table = _table(None if rows else "The audit trail goes to the database only: audit.file and audit.fhir_base are not set.")
    for heading in ("Sink", "Waiting", "Rejected", "Oldest", "Last delivery", "Next attempt", "Last failure"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        _add_row(
            table,
            row.sink if row.sink in names else f"{row.sink} (not configured)",
            str(row.pending),
            str(row.failed),
            "-" if row.oldest_at is None else _moment(row.oldest_at),
            "-" if row.delivered_at is None else _moment(row.delivered_at),
            _moment(row.resume_at) if row.resume_at else "now",
            row.last_error or "-",
        )
    Console().print(table)


def _table(title: str | None) -> Table:
    return Table(title=title, box=None, header_style="bold")


def _add_row(table: Table, *cells: str) -> None:
    """What is recorded came from callers and EHRs: it is neither markup nor anything that steers a terminal."""
    table.add_row(*(Text("".join(mark if mark.isprintable() else "\ufffd" for mark in cell)) for cell in cells))


def _cell(value: object) -> str:
    text = " ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    text = "".join(mark if mark.isprintable() else "\ufffd" for mark in text)
    return f"'{text}" if text.startswith(_FORMULA_MARKS) else text


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
