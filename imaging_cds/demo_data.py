"""The demo's patients, brought into the servers of the demo: made once, moved to today when a day has passed.

Charts come first; images go to the archive; the synchronisation writes their studies into the record; reports come last, since
they name these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

import ehr_sandbox
from ehr_sandbox.demo_study import DemoCalendar, DemoExamination
from ehr_sandbox.fhir_store import FhirRecords
from ehr_sandbox.patients import DemoData, build_demo
from ehr_sandbox.patients.crowded import crowded_bundles
from ehr_sandbox.services import make_services
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.audit_trail import open_store
from imaging_cds.demo_plan import PACS_NAME, DemoOptions
from imaging_cds.demo_seed import store_dicom, store_fhir
from imaging_cds.sandbox_servers import ehr_settings
from imaging_cds.settings import load
from pacs_sync.memory import StoredMemory
from pacs_sync.ports import Work

ARRIVAL_TIMEOUT_S = 60.0
POLL_S = 0.2
_STAMP = "demo-day"
_WRITTEN_BY_HAND = ("Endpoint/demo-wado", "Device/demo-nodule-ai")
"""What earlier versions put into the record themselves; studies and what the AI found come from the archive now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The demo of this day. ``is_due``: not all of it is where it belongs yet."""

    demo: DemoData
    day: date
    is_due: bool


def prepare(options: DemoOptions, console: Console) -> Prepared:
    """Makes or moves the demo's images and charts. Returns at once when those of today are there.

    A foreign FHIR server gets demo patients only with ``--seed``; the sandbox's own gets them always.
    """
    day = demo_day()
    # Costs a hundredth of a second when nothing changed; notices lost files and another version of the generator.
    with _progress(console) as show:
        demo = build_demo(options.dicom_dir, demo_day=day, fhir_base=f"{options.ehr_url}/fhir", progress=show)
    prepared = Prepared(demo=demo, day=day, is_due=_is_due(options, day))
    if prepared.is_due:
        crowded = crowded_bundles(options.crowded, demo_day=day, fhir_base=f"{options.ehr_url}/fhir") if options.crowded else ()
        _load_records(options, [*demo.charts, *crowded])
        if options.fhir_url is None:
            _forget_what_was_written_by_hand(options, demo)
    return prepared


def demo_day() -> date:
    """Today in UTC: the day that the demo's stories count from."""
    return datetime.now(UTC).date()


def stores_images(options: DemoOptions, prepared: Prepared) -> bool:
    """Whether the archive is to get the images now: those of another day or program; a foreign one only with ``--seed``."""
    if options.pacs_url is not None:
        return prepared.is_due and options.stores_demo_images
    told = options.stored_images
    return not options.pacs_dir.is_dir() or not told.exists() or told.read_text() != images_print(options.dicom_dir)


def images_print(dicom_dir: Path) -> str:
    """Tells the images of one day and program from others."""
    return sha256((dicom_dir / "manifest.json").read_bytes()).hexdigest() + "\n"


def store_images(options: DemoOptions, console: Console, is_given_up: Callable[[], bool] = lambda: False) -> None:
    """Stores all of them by STOW-RS, over those of the day before. UpstreamError where the archive does not take them."""
    with _progress(console) as show:
        store_dicom(options, show, is_given_up=is_given_up)
    if not is_given_up():
        options.stored_images.write_text(images_print(options.dicom_dir))


def await_studies(
    options: DemoOptions,
    prepared: Prepared,
    check: Callable[[], None] = lambda: None,
    is_given_up: Callable[[], bool] = lambda: False,
) -> tuple[str, ...]:
    """Waits until the synchronisation, which runs, has brought the demo's studies; the keys of those that did not come.

    They are asked for by name: of a foreign archive only its newest studies are looked at by themselves. One that did not get
    them now is not waited for: who knows whether somebody stored them there before.
    """
    _ask_for(options, prepared)
    if not options.stores_demo_images:
        return ()
    records, calendar = _records(options), DemoCalendar(demo_day=prepared.day)
    missing = list(prepared.demo.studies.values())
    deadline = time.monotonic() + ARRIVAL_TIMEOUT_S
    while missing and not is_given_up() and time.monotonic() < deadline:
        check()
        if _is_way_to_images_open(records, options):
            missing = [one for one in missing if not _is_there(records, one, calendar)]
        if missing:
            time.sleep(POLL_S)
    return tuple(one.key for one in missing)


def load_reports(options: DemoOptions, prepared: Prepared, *, is_complete: bool = True) -> None:
    """Brings what people found in the images; ``is_complete``: the next start has nothing to do."""
    _load_records(options, prepared.demo.reports)
    if is_complete:
        (options.directory / _STAMP).write_text(_stamp(options, prepared.day))


def _ask_for(options: DemoOptions, prepared: Prepared) -> None:
    examinations = (*prepared.demo.studies.values(), *prepared.demo.strays)
    store = open_store(load(options.app_config))
    try:
        uids = [StudyInstanceUID(one.study_instance_uid) for one in examinations]
        StoredMemory(store, PACS_NAME).enqueue(uids, Work.CHANGED, now=time.time())
    finally:
        store.close()


def _is_way_to_images_open(records: FhirRecords, options: DemoOptions) -> bool:
    """Whether the Endpoint of all these studies names the gateway where it is: the last start may have had other ports."""
    endpoint = records.read("Endpoint", PACS_NAME)
    return endpoint is not None and endpoint["address"] == options.gateway_root


def _is_there(records: FhirRecords, examination: DemoExamination, calendar: DemoCalendar) -> bool:
    """Of the day that the calendar tells: a study of the day before is about to be changed."""
    study = records.read("ImagingStudy", examination.study_instance_uid)
    started = calendar.at(examination.days_ago, examination.clock)
    return study is not None and datetime.fromisoformat(study["started"]) == started


def _records(options: DemoOptions) -> FhirRecords:
    return make_services(ehr_settings(options)).store


def _load_records(options: DemoOptions, bundles: Iterable[dict[str, Any]]) -> None:
    if options.fhir_url is None:
        store = _records(options)
        for bundle in bundles:
            store.transaction(bundle)
    elif options.seed:
        store_fhir(options.fhir_url, list(bundles))


def _forget_what_was_written_by_hand(options: DemoOptions, demo: DemoData) -> None:
    keys = tuple(demo.studies)
    studies = [f"ImagingStudy/{key}" for key in keys]
    results = [
        f"{kind}/{key}-ai-{name}" for key in keys for kind, name in (("Observation", "lung-rads"), ("Provenance", "provenance"))
    ]
    records = _records(options)
    for reference in (*results, *studies, *_WRITTEN_BY_HAND):
        kind, _, logical_id = reference.partition("/")
        if records.read(kind, logical_id) is not None:
            records.delete(kind, logical_id)


def _is_due(options: DemoOptions, day: date) -> bool:
    path = options.directory / _STAMP
    return not path.exists() or path.read_text() != _stamp(options, day) or not options.dicom_dir.is_dir()


def _stamp(options: DemoOptions, day: date) -> str:
    """What the data were made for and by: another day, address, server or program makes them anew."""
    addresses = (options.gateway_root, options.ehr_url, options.fhir_url, options.pacs_url)
    parts = (day.isoformat(), *addresses, options.seed, options.crowded, _program())
    return "\n".join(map(str, parts)) + "\n"


def _program() -> str:
    """A digest of the sandbox's own source files, so that a new version's patients take the place of the old ones."""
    digest = sha256()
    folder = Path(ehr_sandbox.__file__).parent
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield show
