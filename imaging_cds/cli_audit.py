"""``imaging-cds audit``: who opened whose images, what was refused, and whether the records reach their sinks."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import islice

from fhir_imaging.audit import AuditAction, AuditFilter, AuditLog, AuditOutcome, StoredRecord
from fhir_imaging.audit_outbox import give_up, purge, reports, retry_now
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.engine import Store
from imaging_cds.audit_printing import print_csv, print_deliveries, print_fhir, print_json, print_summary, print_table
from imaging_cds.audit_summary import as_json, summary_of
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.settings import ApplicationSettings

_DAY_S = 86_400
USUAL_LIMIT = 100
ALTERED_SHOWN = 10


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``audit``."""
    audit = commands.add_parser("audit", help="list who opened what, newest first")
    add_config_argument(audit)
    audit.add_argument("--patient", help="logical id of the patient in its EHR, or a reference to it")
    audit.add_argument("--user", help="fhirUser, such as Practitioner/demo-gp or its address")
    audit.add_argument("--study", help="Study Instance UID, with or without urn:oid:")
    audit.add_argument("--ehr", help="name of the EHR")
    audit.add_argument("--since", type=_moment, help="from this time on (ISO 8601; UTC where no zone is given)")
    audit.add_argument("--until", type=_moment, help="before this time")
    audit.add_argument("--outcome", choices=[one.value for one in AuditOutcome], help="only what was allowed, or denied")
    audit.add_argument("--action", choices=[one.value for one in AuditAction], help="only this")
    audit.add_argument("--reason", help="only what was denied for this reason, such as study-not-of-patient")
    number = audit.add_mutually_exclusive_group()
    number.add_argument("--limit", type=_positive, help=f"at most so many (default: {USUAL_LIMIT}; a summary has no limit)")
    number.add_argument("--all", action="store_true", help="all of them")
    forms = audit.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="one JSON object a line")
    forms.add_argument("--fhir", action="store_true", help="one FHIR AuditEvent (IHE BALP) a line")
    forms.add_argument("--csv", action="store_true", help="comma-separated values")
    others = audit.add_mutually_exclusive_group()
    others.add_argument("--summary", action="store_true", help="add up who opened what, and what was denied for which reasons")
    others.add_argument("--deliveries", action="store_true", help="show what waits for each sink, and why")
    others.add_argument("--retry", action="store_true", help="offer the sinks at once what they rejected or could not take")
    others.add_argument("--give-up", metavar="SINK", help="no longer keep for this sink what waits for it; the records stay")
    others.add_argument("--purge", action="store_true", help="remove what is older than audit.keep_days and waits for no sink")
    audit.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    altered = _Altered()
    if isinstance(sys.stdout, io.TextIOWrapper):  # one name that the screen has no letters for must not end the list
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        _answer(arguments, altered)
        sys.stdout.flush()
    except BrokenPipeError:  # ``| head`` has seen enough; Python would complain once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return altered.told()


class _Altered:
    """Records on the way that are not as they were written."""

    def __init__(self) -> None:
        self._count = 0
        self._first: list[int] = []

    def __call__(self, number: int) -> None:
        """Notes one, by its number in the database."""
        self._count += 1
        if len(self._first) < ALTERED_SHOWN:
            self._first.append(number)

    def told(self) -> int:
        """Says which, as far as a line goes; the command's exit status."""
        if not self._count:
            return 0
        numbers = ", ".join(map(str, self._first)) + (", …" if self._count > len(self._first) else "")
        print(
            f"{self._count} of the records looked at are not as they were written: somebody altered them, or they were sealed "
            f"with another key (audit_event.id {numbers}). Those that cannot be opened are not shown.",
            file=sys.stderr,
        )
        return 1


def _answer(arguments: argparse.Namespace, altered: _Altered) -> None:
    settings = settings_of(arguments)
    store = Store.open(settings.state)
    try:
        store.check_migrated()
        if arguments.summary:
            _summarize(store, settings, arguments, altered)
        elif arguments.deliveries:
            _deliveries(store, settings, as_json=arguments.json)
        elif arguments.retry:
            retry_now(store, now=int(time.time()))
        elif arguments.give_up is not None:
            print(f"{give_up(store, arguments.give_up)} records no longer wait for {arguments.give_up}.")
        elif arguments.purge:
            print(f"{_purge(store, settings.audit.keep_days)} records removed.")
        else:
            _list(store, settings, arguments, altered)
    finally:
        store.close()


def _list(store: Store, settings: ApplicationSettings, arguments: argparse.Namespace, altered: _Altered) -> None:
    wanted = _wanted(arguments, settings)
    limit = None if arguments.all else (arguments.limit or USUAL_LIMIT)
    listing = _Listing(AuditLog(store).stored(replace(wanted, limit=None), altered=altered), limit)
    if arguments.fhir:
        from imaging_cds.audit_trail import event_maker  # the other forms answer at once without it

        print_fhir(listing, sys.stdout, event_maker(settings))
    elif arguments.csv:
        print_csv(listing, sys.stdout)
    elif arguments.json:
        print_json(listing, sys.stdout)
    else:
        print_table(listing)
    if listing.has_more:
        print(f"Only the newest {limit} are shown; --limit, --all, --since and --until show others.", file=sys.stderr)


class _Listing:
    """At most ``limit`` records, read as they are printed; ``has_more`` says afterwards whether there were others."""

    def __init__(self, found: Iterator[StoredRecord], limit: int | None) -> None:
        self._found = found
        self._limit = limit
        self.has_more = False

    def __iter__(self) -> Iterator[StoredRecord]:
        yield from islice(self._found, self._limit)
        self.has_more = self._limit is not None and next(self._found, None) is not None


def _summarize(store: Store, settings: ApplicationSettings, arguments: argparse.Namespace, altered: _Altered) -> None:
    if arguments.csv or arguments.fhir:
        raise ConfigurationError(["--summary is a table, or one JSON object with --json."])
    wanted = replace(_wanted(arguments, settings), limit=arguments.limit)
    bases = _bases(settings)
    # Early versions of the SMART app wrote a user with the EHR's address: still the same person.
    found = (one.record for one in AuditLog(store).stored(wanted, altered=altered))
    summary = summary_of(replace(one, user=_without(one.user, bases)) for one in found)
    if arguments.json:
        print(json.dumps(as_json(summary)))
    else:
        print_summary(summary)


def _wanted(arguments: argparse.Namespace, settings: ApplicationSettings) -> AuditFilter:
    bases = _bases(settings)
    user = _without(arguments.user, bases)
    return AuditFilter(
        patient_id=_without(arguments.patient, [*(f"{base}Patient/" for base in bases), "Patient/"]),
        user=user,
        also_users=tuple(f"{base}{user}" for base in bases),
        study_instance_uid=_without(arguments.study, ["urn:oid:"]),
        ehr=arguments.ehr,
        since=arguments.since,
        until=arguments.until,
        outcome=AuditOutcome(arguments.outcome) if arguments.outcome else None,
        action=AuditAction(arguments.action) if arguments.action else None,
        reason=arguments.reason,
    )


def _bases(settings: ApplicationSettings) -> list[str]:
    return [f"{ehr.fhir_base.rstrip('/')}/" for ehr in settings.ehr]


def _without(text: str | None, beginnings: list[str]) -> str | None:
    """People copy addresses and references; records hold what stands behind them."""
    return text and next((text.removeprefix(one) for one in beginnings if text.startswith(one)), text)


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
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-11-01, or 2026-11-01T08:00+01:00") from exc
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
