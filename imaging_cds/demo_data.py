"""The demo's patients, brought into the servers of the demo: made once, moved to today when a day has passed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

import ehr_sandbox
from ehr_sandbox.patients import build_demo
from ehr_sandbox.patients.crowded import crowded_bundles
from ehr_sandbox.services import make_services
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.demo_seed import store_dicom, store_fhir
from imaging_cds.sandbox_servers import ehr_settings

_STAMP = "demo-day"


def prepare(options: DemoOptions, console: Console) -> None:
    """Makes or moves the demo's images and records. Returns at once when those of today are there.

    A foreign FHIR server or PACS gets demo patients only with ``--seed``; the sandbox's own get them always.
    """
    day = demo_day()
    # Costs a hundredth of a second when nothing changed; notices lost files and another version of the generator.
    with _progress(console) as show:
        demo = build_demo(
            options.dicom_dir,
            demo_day=day,
            gateway_address=options.gateway_root,
            fhir_base=f"{options.ehr_url}/fhir",
            progress=show,
        )
    if not _is_due(options, day):
        return
    crowded = crowded_bundles(options.crowded, demo_day=day, fhir_base=f"{options.ehr_url}/fhir") if options.crowded else ()
    _load_records(options, [*demo.bundles, *crowded])
    if options.pacs_url is not None and options.seed:
        with _progress(console) as show:
            store_dicom(options, show)
    (options.directory / _STAMP).write_text(_stamp(options, day))


def demo_day() -> date:
    """Today in UTC: the day that the demo's stories count from."""
    return datetime.now(UTC).date()


def _load_records(options: DemoOptions, bundles: list[dict[str, Any]]) -> None:
    if options.fhir_url is None:
        store = make_services(ehr_settings(options)).store
        for bundle in bundles:
            store.transaction(bundle)
    elif options.seed:
        store_fhir(options.fhir_url, bundles)


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
