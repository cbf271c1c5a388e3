"""``imaging-cds sync``: keeps a FHIR server equal to an archive, and shows what waits for a person."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import FrameType

from fhir_imaging.errors import ConfigurationError, UpstreamError
from imaging_cds.audit_trail import open_store
from imaging_cds.cli_serve import add_config_argument, settings_of
from imaging_cds.cli_sync_people import add_people_commands
from imaging_cds.logs import configure_logging
from imaging_cds.sync_job import SyncJob, named_syncs, sync_job
from imaging_cds.sync_printing import backfill_bar, comparison_bar, print_comparison, print_files, print_gone, print_summary
from pacs_sync.ports import Days
from pacs_sync.queueing import chunks
from pacs_sync.reconcile import Difference, reconcile
from pacs_sync.run import Summary
from pacs_sync.settings import SyncSettings

DoIt = Callable[[argparse.Namespace, SyncJob, threading.Event], int]
DIFFERENCES = 1
_FIRST_DAY = date(1895, 11, 8)
"""Of X-rays; a slip of the key would search an archive for centuries."""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers ``sync`` and what it can do."""
    sync = commands.add_parser("sync", help="keep a FHIR server equal to an archive: studies, Endpoint, AI results")
    verbs = sync.add_subparsers(required=True, metavar="WHAT")
    _add(verbs, "once", _once, "bring over what is new, then end")
    _add(verbs, "watch", _watch, "bring over what is new, for ever; the service to install")
    backfill = _add(verbs, "backfill", _backfill, "bring over the studies of past days, the newest first; may be interrupted")
    backfill.add_argument("--from", dest="first", type=_day, required=True, help="the oldest study date, as 2020-01-31")
    backfill.add_argument("--to", dest="last", type=_day, help="the newest study date (default: today)")
    files = _add(verbs, "files", _files, "bring over DICOM files in place of an archive's studies")
    files.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="searched with all folders below it")
    reconcile = _add(verbs, "reconcile", _reconcile, "compare everything in the archive with everything in FHIR")
    reconcile.add_argument("--repair", action="store_true", help="mend what differs; without it, it is only told")
    reconcile.add_argument(
        "--trust-archive", action="store_true", help="withdraw even where the archive lists less than half of what FHIR has"
    )
    add_people_commands(verbs)


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, do_it: DoIt, help_text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text)
    add_config_argument(parser)
    parser.add_argument("--name", help="of the [[sync]]; without it, all of them")
    parser.set_defaults(run=lambda arguments: _run(arguments, do_it))
    return parser


def _run(arguments: argparse.Namespace, do_it: DoIt) -> int:
    settings = settings_of(arguments)
    syncs = named_syncs(settings, arguments.name)
    folders = tuple(getattr(arguments, "folders", ()))
    _check_folders(folders, syncs)
    configure_logging(log_format=settings.server.log_format)
    store = open_store(settings)
    try:
        store.check_migrated()
        with _stopped_by_signals() as stop:

            def work(sync: SyncSettings) -> int:
                try:
                    with sync_job(settings, sync, store, folders=folders) as job:
                        return do_it(arguments, job, stop)
                except UpstreamError as exc:  # of one; the others go on
                    print(f"imaging-cds: sync {sync.name}: {exc} ({exc.server})", file=sys.stderr)
                    return 1

            # Those that never end run side by side; of the others each has the screen to itself.
            with ThreadPoolExecutor(len(syncs) if do_it is _watch else 1, thread_name_prefix="sync") as pool:
                return max(pool.map(work, syncs))
    finally:
        store.close()


def _once(_: argparse.Namespace, job: SyncJob, stop: threading.Event) -> int:
    return _told(job, job.runner.once(stop))


def _watch(_: argparse.Namespace, job: SyncJob, stop: threading.Event) -> int:
    job.runner.watch(stop, compare=lambda ended: _compare_by_itself(job, ended))
    return 0


def _backfill(arguments: argparse.Namespace, job: SyncJob, stop: threading.Event) -> int:
    last = arguments.last or datetime.now(UTC).date()
    if arguments.first > last:
        raise ConfigurationError([f"--from {arguments.first} is later than --to {last}."])
    with backfill_bar(job.settings.name) as show:
        summary = job.runner.backfill(Days(first=arguments.first, last=last), stop, progress=show)
    return _told(job, summary)


def _files(_: argparse.Namespace, job: SyncJob, stop: threading.Event) -> int:
    from pacs_sync.files import FileSource  # needs pydicom, which archives do not

    summary = job.runner.once(stop)
    if isinstance(job.source, FileSource):
        print_files(job.source)
    return _told(job, summary)


def _reconcile(arguments: argparse.Namespace, job: SyncJob, stop: threading.Event) -> int:
    with comparison_bar(job.settings.name) as show:
        comparing = job.comparing(
            repair=arguments.repair,
            trust_archive=arguments.trust_archive,
            would_change=job.one_study.would_change,
            progress=show,
        )
        report = reconcile(job.source, job.target, job.memory, comparing, stop=stop, clock=job.clock)
    print_comparison(job.settings.name, report)
    if arguments.repair and report.differences[Difference.GONE] and not report.does_not_trust:
        print_gone(job.settings.pace.gone_s)
    if arguments.repair and report.is_whole:
        return _told(job, job.runner.once(stop))
    return 0 if report.agrees else DIFFERENCES


def _compare_by_itself(job: SyncJob, stop: threading.Event) -> None:
    """What the running service does every so many hours: everything is listed, and looked at closely where it changed since."""
    for page in chunks(job.source.studies(), job.settings.pace.page_size):
        if stop.is_set():
            return
        job.memory.note(page, cursor=None, now=job.clock())
    comparing = job.comparing(repair=True)
    reconcile(job.source, job.target, job.memory, comparing, stop=stop, clock=job.clock)


def _told(job: SyncJob, summary: Summary) -> int:
    """Says what was done; 1 where something was laid aside, so that a script notices."""
    print_summary(job.settings.name, summary)
    return 1 if summary.dead else 0


def _check_folders(folders: tuple[Path, ...], syncs: tuple[SyncSettings, ...]) -> None:
    problems = [f"sync files: there is no {one}." for one in folders if not one.exists()]
    if folders and len(syncs) > 1:
        problems.append("sync files: say with --name by whose rules the files are read.")
    if problems:
        raise ConfigurationError(problems)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Set by SIGTERM or SIGINT: what is under way ends, the rest waits in the database. A second one ends at once."""
    stop = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        if stop.is_set():  # threads may wait long for a server's answer; nothing is lost without them
            os._exit(128 + number)
        stop.set()
        print("Ending; once more ends at once.", file=sys.stderr)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2020-01-31") from None
    if day < _FIRST_DAY:
        raise argparse.ArgumentTypeError(f"{text}: no study is so old")
    return day
