"""``imaging-cds audit``: who opened whose images, what was refused, and whether the records reach their sinks."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime

from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome
from fhir_imaging.audit_outbox import give_up, purge, reports, retry_now
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.engine import Store
from imaging_cds.audit_printing import print_csv, print_deliveries, print_fhir, print_json, print_table
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.settings import ApplicationSettings

_DAY_S = 86_400


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
    audit.add_argument("--outcome", choices=[one.value for one in AuditOutcome], help="only what was allowed, or denied")
    audit.add_argument("--action", choices=[one.value for one in AuditAction], help="only this")
    audit.add_argument("--limit", type=_positive, default=100, help="at most so many (default: %(default)s)")
    forms = audit.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="one JSON object a line")
    forms.add_argument("--fhir", action="store_true", help="one FHIR AuditEvent (IHE BALP) a line")
    forms.add_argument("--csv", action="store_true", help="comma-separated values")
    others = audit.add_mutually_exclusive_group()
    others.add_argument("--deliveries", action="store_true", help="show what waits for each sink, and why")
    others.add_argument("--retry", action="store_true", help="offer the sinks at once what they rejected or could not take")
    others.add_argument("--give-up", metavar="SINK", help="no longer keep for this sink what waits for it; the records stay")
    others.add_argument("--purge", action="store_true", help="remove what is older than audit.keep_days and waits for no sink")
    audit.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    store = Store.open(settings.state)
    try:
        store.check_migrated()
        if arguments.deliveries:
            _deliveries(store, settings, as_json=arguments.json)
        elif arguments.retry:
            retry_now(store, now=int(time.time()))
        elif arguments.give_up is not None:
            print(f"{give_up(store, arguments.give_up)} records no longer wait for {arguments.give_up}.")
        elif arguments.purge:
            print(f"{_purge(store, settings.audit.keep_days)} records removed.")
        else:
            _list(store, settings, arguments)
    finally:
        store.close()
    return 0


def _list(store: Store, settings: ApplicationSettings, arguments: argparse.Namespace) -> None:
    found = AuditLog(store).stored(_wanted(arguments))
    if arguments.fhir:
        from imaging_cds.audit_trail import event_maker  # the other forms answer at once without it

        print_fhir(found, sys.stdout, event_maker(settings))
    elif arguments.csv:
        print_csv(found, sys.stdout)
    elif arguments.json:
        print_json(found, sys.stdout)
    else:
        print_table(found)


def _wanted(arguments: argparse.Namespace) -> AuditFilter:
    return AuditFilter(
        patient_id=arguments.patient,
        user=arguments.user,
        study_instance_uid=arguments.study,
        ehr=arguments.ehr,
        since=arguments.since,
        until=arguments.until,
        outcome=AuditOutcome(arguments.outcome) if arguments.outcome else None,
        action=AuditAction(arguments.action) if arguments.action else None,
        limit=arguments.limit,
    )


def _deliveries(store: Store, settings: ApplicationSettings, *, as_json: bool) -> None:
    found = reports(store, settings.audit.sinks)
    if as_json:
        for one in found:
            print(json.dumps(asdict(one)))
    else:
        print_deliveries(found, settings.audit.sinks)


def _purge(store: Store, keep_days: int | None) -> int:
    if keep_days is None:
        raise ConfigurationError(["audit.keep_days is not set: records are kept for ever."])
    before, removed = int(time.time()) - keep_days * _DAY_S, 0
    while some := purge(store, before=before):
        removed += some
    return removed


def _moment(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
