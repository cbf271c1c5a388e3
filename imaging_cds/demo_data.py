"""The demo's patients, brought into the servers of the demo: made once, moved to today when a day has passed.

Charts come first; images go to the archive; the synchronisation writes their studies into the record; reports come last, since
they name these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from rich.console import Console

import ehr_sandbox
from ehr_sandbox.fhir_store import FhirRecords
from ehr_sandbox.patients import DemoData, build_crowd, build_demo
from ehr_sandbox.patients.crowded import CROWDED_KEY
from ehr_sandbox.services import make_services
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.demo_progress import Step, bar
from imaging_cds.demo_seed import move_to_tape, store_dicom, store_fhir
from imaging_cds.sandbox_servers import ehr_settings

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
    day, base = demo_day(), f"{options.ehr_url}/fhir"
    # Costs a hundredth of a second when nothing changed; notices lost files and another version of the generator.
    with bar(console) as show:
        demo = build_demo(options.dicom_dir, demo_day=day, fhir_base=base, progress=show)
        crowd = build_crowd(options.dicom_dir, options.crowded, demo_day=day, fhir_base=base, progress=show)
    demo = demo.joined(crowd)
    prepared = Prepared(demo=demo, day=day, is_due=_is_due(options, day))
    if prepared.is_due:
        _load_records(options, demo.charts)
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
    return bool(_unstored(options))


def images_print(dicom_dir: Path) -> str:
    """Tells the images of one day and program from others, those of the crowded patient by themselves: a line for each."""
    return "".join(f"{part}\n" for part in _parts(dicom_dir))


def _parts(dicom_dir: Path) -> dict[str, Path]:
    """The folders with a manifest of their own, by what tells one state of theirs from the next."""
    manifests = [dicom_dir / "manifest.json", *dicom_dir.glob("*/manifest.json")]
    return {f"{one.parent.name} {sha256(one.read_bytes()).hexdigest()}": one.parent for one in manifests}


def _unstored(options: DemoOptions) -> list[Path]:
    """The folders whose images the archive does not have as they are; of a foreign archive nobody knows."""
    told = options.stored_images
    is_known = options.pacs_url is None and options.pacs_dir.is_dir() and told.exists()
    stored = set(told.read_text().splitlines()) if is_known else set()
    return [folder for part, folder in _parts(options.dicom_dir).items() if part not in stored]


def _files_in(folder: Path) -> list[Path]:
    """Its images without those of a folder in it that has a manifest of its own."""
    inner = [one.parent for one in folder.glob("*/manifest.json")]
    return sorted(one for one in folder.rglob("*.dcm") if one.parent not in inner)


def store_images(options: DemoOptions, prepared: Prepared, show: Step, is_given_up: Callable[[], bool] = lambda: False) -> None:
    """Stores by STOW-RS what the archive lacks, over that of the day before. UpstreamError where it does not take them.

    The sandbox's own archive moves to tape what is said to be there; how to tell a foreign one, nobody knows.
    """
    files = [one for folder in _unstored(options) for one in _files_in(folder)]
    store_dicom(options, files, show, is_given_up=is_given_up)
    if is_given_up():
        return
    if options.pacs_url is None:
        move_to_tape(options, [one.study_instance_uid for one in prepared.demo.studies.values() if one.is_on_tape])
    options.stored_images.write_text(images_print(options.dicom_dir))


def load_reports(options: DemoOptions, prepared: Prepared, *, is_complete: bool = True) -> None:
    """Brings what people found in the images; ``is_complete``: the next start has nothing to do."""
    _load_records(options, prepared.demo.reports)
    if is_complete:
        (options.directory / _STAMP).write_text(_stamp(options, prepared.day))


def records_of(options: DemoOptions) -> FhirRecords:
    """What the sandbox EHR answers from."""
    return make_services(ehr_settings(options)).store


def _load_records(options: DemoOptions, bundles: Iterable[dict[str, Any]]) -> None:
    if options.fhir_url is None:
        store = records_of(options)
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
    records = records_of(options)
    crowd = takewhile(lambda key: records.read("ImagingStudy", key) is not None, (f"{CROWDED_KEY}-{n:05d}" for n in count(1)))
    crowded = [one for key in crowd for one in (f"DiagnosticReport/{key}-report", f"ImagingStudy/{key}")]
    for reference in (*results, *studies, *crowded, *_WRITTEN_BY_HAND):
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
