"""What ``imaging-cds sync`` says on the screen: bars for long work, tables of what waits for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fhir_imaging.archived_study import PatientNumber
from imaging_cds.printed_tables import add_row, columns, console, moment, printable
from pacs_sync import backfill, reconcile
from pacs_sync.counts import Counts
from pacs_sync.held import DeadStudy, HeldStudy
from pacs_sync.memory import Outcome
from pacs_sync.run import Summary

if TYPE_CHECKING:
    from pacs_sync.files import FileSource

_SHOWN_FILES = 20


def print_summary(name: str, summary: Summary) -> None:
    """What one run did, in a line; what needs a person in further ones."""
    said = f"{name}: {summary.done} studies brought over, {summary.waiting} wait"
    print(f"{said}, {summary.held} newly held, {summary.dead} laid aside, {summary.failed} attempts failed.")
    if summary.held:
        print("  Whose the held ones are, nobody knows for certain: imaging-cds sync held")
    if summary.dead:
        print("  Why they were laid aside: imaging-cds sync dead")


def print_files(source: FileSource) -> None:
    """What was found in folders."""
    counts = source.counts()
    print(
        f"{counts.files} files: {counts.instances} instances, {counts.duplicates} of them again, {counts.odd} not understood."
    )
    for number, odd in enumerate(source.odd_files()):
        if number == _SHOWN_FILES:
            print("  ...")
            return
        print(f"  {printable(str(odd.path))}: {odd.reason}")  # names on a disc are anybody's


def print_comparison(name: str, report: reconcile.Report) -> None:
    """What archive and FHIR differ in."""
    differences = ", ".join(f"{number} {one.value}" for one, number in sorted(report.differences.items()) if number)
    said = f"{name}: {report.listed} studies in the archive, {report.standing} in FHIR; {differences or 'no difference'}"
    print(f"{said}; {report.held} held, {report.unknown} could not be looked at.")
    if report.does_not_trust:
        print("  The archive lists less than half of what FHIR has, so nothing is withdrawn. --trust-archive if it is right.")
    if not report.is_whole:
        print("  It was ended early.")


def print_gone(gone_s: float) -> None:
    """When what an archive lists no more is withdrawn."""
    if gone_s > 0:
        print(f"  What is gone is withdrawn once it has not been found for {gone_s / 60:.0f} minutes (pace.gone_s),")
        print("  by the running sync watch, or by this command said again then.")


def print_held(name: str, held: Iterable[HeldStudy], *, as_json: bool) -> None:
    """Studies that wait for a person, with what the archive says of their patient."""
    if as_json:
        for one in held:
            _line(**{"sync": name, **asdict(one), "since": one.since.isoformat()})
        return
    table = columns("Sync", "Since (UTC)", "Reason", "PatientID", "Issuer", "Study", "Remark")
    for one in held:
        patient = one.patient or PatientNumber(number="")
        issuer = patient.issuer or patient.universal_issuer or ""
        since = moment(one.since.timestamp())
        add_row(table, name, since, one.reason.value, patient.number, issuer, one.study, one.detail)
    console().print(table if table.row_count else f"{name}: no study is held.")


def print_dead(name: str, dead: Iterable[DeadStudy], *, as_json: bool) -> None:
    """Studies that were laid aside, and why."""
    if as_json:
        for one in dead:
            _line(**{"sync": name, **asdict(one), "since": one.since.isoformat()})
        return
    table = columns("Sync", "Since (UTC)", "Attempts", "Study", "Last failure")
    for one in dead:
        add_row(table, name, moment(one.since.timestamp()), str(one.attempts), one.study, one.reason)
    console().print(table if table.row_count else f"{name}: no study was laid aside.")


def print_status(found: Iterable[Counts], *, as_json: bool) -> None:
    """How each synchronisation fares."""
    if as_json:
        for one in found:
            _line(**asdict(one))
        return
    table = columns(
        "Sync", "Waiting", "Under way", "Behind", "Held", "Laid aside", "Brought over", "Looked (UTC)", "Compared (UTC)"
    )
    for one in found:
        numbers = (
            one.waiting,
            one.under_way,
            f"{one.lag_s:.0f} s",
            sum(one.held.values()),
            one.dead,
            one.outcomes[Outcome.DONE],
        )
        add_row(table, one.sync, *map(str, numbers), _when(one.looked_at), _when(one.compared_at))
    console().print(table)


@contextmanager
def backfill_bar(name: str) -> Iterator[Callable[[backfill.Progress], None]]:
    """Days of the back-fill: how many studies there are nobody knows before."""
    with _bar("{task.fields[found]} found, {task.fields[pending]} wait") as progress:
        task = progress.add_task(name, total=None, found=0, pending=0)

        def show(now: backfill.Progress) -> None:
            progress.update(task, completed=now.days_done, total=now.days, found=now.found, pending=now.pending)

        yield show


@contextmanager
def comparison_bar(name: str) -> Iterator[Callable[[reconcile.Progress], None]]:
    """Studies read on either side."""
    with _bar("{task.fields[standing]} in FHIR, {task.fields[listed]} in the archive") as progress:
        task = progress.add_task(name, total=None, standing=0, listed=0)

        def show(now: reconcile.Progress) -> None:
            progress.update(task, standing=now.standing, listed=now.listed)

        yield show


def _bar(words: str) -> Progress:
    """On standard error, so that what is printed can be read by a program."""
    parts = (TextColumn("{task.description}"), BarColumn(), TextColumn(words), TimeElapsedColumn())
    return Progress(*parts, console=Console(stderr=True), transient=True)


def _line(**fields: Any) -> None:
    print(json.dumps(fields, default=str))


def _when(seconds: float | None) -> str:
    return "never" if seconds is None else moment(seconds)
