"""``imaging-cds audit``: who opened whose images, and what was refused."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from fhir_imaging.audit import AuditFilter, AuditLog, AuditOutcome, AuditRecord
from fhir_imaging.store.engine import Store
from imaging_cds.cli_serve import add_config_argument, settings_of


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``audit``."""
    audit = commands.add_parser("audit", help="list who opened what, newest first")
    add_config_argument(audit)
    audit.add_argument("--patient", help="logical id of the patient in its EHR")
    audit.add_argument("--user", help="fhirUser, such as Practitioner/demo-gp")
    audit.add_argument("--study", help="Study Instance UID")
    audit.add_argument("--ehr", help="name of the EHR")
    audit.add_argument("--since", type=_moment, help="from this time on (ISO 8601; UTC where no zone is given)")
    audit.add_argument("--until", type=_moment, help="before this time")
    audit.add_argument("--limit", type=int, default=100, help="at most so many (default: %(default)s)")
    audit.add_argument("--json", action="store_true", help="one JSON object a line")
    audit.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    wanted = AuditFilter(
        patient_id=arguments.patient,
        user=arguments.user,
        study_instance_uid=arguments.study,
        ehr=arguments.ehr,
        since=arguments.since,
        until=arguments.until,
        limit=arguments.limit,
    )
    store = Store.open(settings_of(arguments).state)
    try:
        store.check_migrated()
        records = list(AuditLog(store).find(wanted))
    finally:
        store.close()
    if arguments.json:
        for record in records:
            print(json.dumps(asdict(record)))
    else:
        _print_table(records)
    return 0


def _print_table(records: list[AuditRecord]) -> None:
    table = Table(title=None if records else "Nothing recorded for this.", box=None, header_style="bold")
    for heading in ("Time (UTC)", "Outcome", "What", "Patient", "User", "Study", "EHR"):
        table.add_column(heading, overflow="fold")
    for record in records:
        outcome = record.outcome.value if record.outcome is AuditOutcome.ALLOWED else f"denied: {record.reason}"
        table.add_row(
            datetime.fromtimestamp(record.recorded_at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            outcome,
            record.action.value,
            record.patient_id or "-",
            record.user or record.client_id or "-",
            record.study_instance_uid or "-",
            record.ehr,
        )
    Console().print(table)


def _moment(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
