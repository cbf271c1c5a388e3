"""The demo's DICOM files on disk: made once, re-dated when a new demo day begins, otherwise left alone.

Pixels do not depend on dates, and the dates in a header have fixed lengths. So re-dating overwrites the beginning of each
file and never touches the pixels behind it. `manifest.json` beside the files says which day they tell of and which
program made them; it is removed before anything is changed and written last, so an interrupted run is finished by the next.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import resources
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, ExplicitVRLittleEndian

from ehr_sandbox.demo_ct import ct_header
from ehr_sandbox.demo_derived import DemoDerived, derived_series
from ehr_sandbox.demo_dx import dx_header
from ehr_sandbox.demo_mammogram import DemoMammogram
from ehr_sandbox.demo_mg import mg_header
from ehr_sandbox.demo_objects import derived_object
from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import DemoCalendar, DemoCt, DemoCtScan, DemoExamination
from ehr_sandbox.phantom_scan import LOWEST_HU

Progress = Callable[[str, int, int], None]
_SLICES_PER_TASK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFiles:
    """The examinations to be found below `directory`, and the categories that the AI claims in them."""

    directory: Path
    cts: tuple[DemoExamination, ...]
    calendar: DemoCalendar
    claims: Mapping[str, str]

    def folder(self, ct: DemoExamination) -> Path:
        """Directory of one study."""
        return self.directory / ct.key

    def image(self, ct: DemoExamination, index: int) -> Path:
        """File of one image."""
        return self.folder(ct) / f"{ct.modality.lower()}-{index + 1:03d}.dcm"

    def derived(self) -> Iterator[tuple[DemoCt, DemoDerived]]:
        """Every derived series with its examination."""
        return ((ct, one) for ct in self.cts if isinstance(ct, DemoCt) for one in derived_series(ct))

    def derived_file(self, ct: DemoCt, which: DemoDerived) -> Path:
        """File of a derived series."""
        return self.folder(ct) / f"{which.name}.dcm"


def bring_up_to_date(files: DemoFiles, progress: Progress, *, workers: int = 2, inline_images: int = 56) -> None:
    """Make, complete or re-date the files so that they tell of the calendar's demo day.

    `progress` is told (study, done, total) in images. Up to `inline_images` are made without starting `workers`, which would
    take longer. OSError when the directory cannot be written.
    """
    manifest = _Manifest(files.directory / "manifest.json")
    told = manifest.read()
    wanted = _wanted(files)
    if told == wanted and _complete(files):
        return
    manifest.forget()
    same_pixels = {ct.key for ct in files.cts if told.get("pixels", {}).get(ct.key) == wanted["pixels"][ct.key]}
    fresh = [ct for ct in files.cts if ct.key not in same_pixels or not _has_images(files, ct)]
    slices = sum(ct.image_count for ct in fresh)
    _make(files, fresh, progress, 1 if slices <= inline_images else workers)
    for ct in files.cts:
        if ct not in fresh:
            _re_date(files, ct, progress)
    for scan, which in files.derived():
        made = derived_object(which, scan, files.calendar, files.claims[scan.key])
        write_whole(files.derived_file(scan, which), _encoded(made))
    manifest.write(wanted)


@dataclass(frozen=True, slots=True)
class _Manifest:
    path: Path

    def read(self) -> dict[str, Any]:
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def forget(self) -> None:
        # Keeps what is known of the pixels: an interrupted re-dating need not render again.
        told = self.read()
        if told:
            self.write({"pixels": told.get("pixels", {})})

    def write(self, content: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(content, indent=1, sort_keys=True).encode())


def _wanted(files: DemoFiles) -> dict[str, Any]:
    """What the manifest says once everything is done."""
    return {
        "demo_day": files.calendar.demo_day.isoformat(),
        "headers": program_print("demo_"),
        "studies": sorted(ct.key for ct in files.cts),
        "pixels": {ct.key: _pixel_print(ct) for ct in files.cts},
    }


def _pixel_print(ct: DemoExamination) -> str:
    """Changes when the pixels of an examination would."""
    recipe = json.dumps({"phantom": asdict(ct.phantom), "syntax": ct.transfer_syntax}, sort_keys=True)
    return sha256(f"{recipe}{program_print('phantom')}{np.__version__}".encode()).hexdigest()[:16]


def program_print(prefix: str) -> str:
    """A digest of our own source files whose names begin so: a changed program makes its files anew."""
    digest = sha256()
    for source in sorted(resources.files("ehr_sandbox").iterdir(), key=lambda item: item.name):
        if source.name.startswith(prefix) and source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _complete(files: DemoFiles) -> bool:
    derived = all(files.derived_file(ct, which).is_file() for ct, which in files.derived())
    return derived and all(_has_images(files, ct) for ct in files.cts)


def _has_images(files: DemoFiles, ct: DemoExamination) -> bool:
    return all(files.image(ct, index).is_file() for index in range(ct.image_count))


def _make(files: DemoFiles, cts: Sequence[DemoExamination], progress: Progress, workers: int) -> None:
    """Render, encode and write whole studies, several slices at a time on each processor."""
    tasks = [(ct, chunk) for ct in cts for chunk in _chunks(ct.image_count)]
    for ct in cts:
        files.folder(ct).mkdir(parents=True, exist_ok=True)
        for stale in files.folder(ct).glob("*.dcm"):
            stale.unlink()
    done = {ct.key: 0 for ct in cts}
    for ct, count in _work(files, tasks, workers):
        done[ct.key] += count
        progress(ct.key, done[ct.key], ct.image_count)


def _chunks(slices: int) -> list[range]:
    return [range(first, min(first + _SLICES_PER_TASK, slices)) for first in range(0, slices, _SLICES_PER_TASK)]


def _work(
    files: DemoFiles, tasks: Sequence[tuple[DemoExamination, range]], workers: int
) -> Iterator[tuple[DemoExamination, int]]:
    if workers < 2:
        for ct, chunk in tasks:
            make_images(files, ct, chunk)
            yield ct, len(chunk)
        return
    # Spawned, not forked: the caller may run threads already.
    pool = ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn"), initializer=_leave_ctrl_c_to_the_parent)
    try:
        running = {pool.submit(make_images, files, ct, chunk): (ct, len(chunk)) for ct, chunk in tasks}
        for finished in as_completed(running):
            finished.result()
            yield running[finished]
    finally:
        # Whoever interrupts waits for the slices in work, not for all that are still to come.
        pool.shutdown(cancel_futures=True)


def _leave_ctrl_c_to_the_parent() -> None:
    """A terminal sends SIGINT to all processes of a command; the parent alone decides what becomes of its work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def make_images(files: DemoFiles, ct: DemoExamination, indices: range) -> None:
    """Render and write these slices of an examination."""
    for index in indices:
        write_whole(files.image(ct, index), image_file(ct, files.calendar, index, stored_pixels(ct, index)))


def image_file(examination: DemoExamination, calendar: DemoCalendar, index: int, pixels: NDArray[np.uint16]) -> bytes:
    """A whole Part-10 file of one image with these pixels."""
    image = header_of(examination, calendar, index)
    _put_pixel_data(image, pixels, UID(examination.transfer_syntax))
    return _encoded(image)


def header_of(examination: DemoExamination, calendar: DemoCalendar, index: int) -> Dataset:
    """The data set of one image without its pixels; TypeError for an examination that nobody writes."""
    match examination:
        case DemoCtScan():
            return ct_header(examination, calendar, index)
        case DemoMammogram():
            return mg_header(examination, calendar, index)
        case DemoRadiograph():
            return dx_header(examination, calendar, index)
    raise TypeError(type(examination).__name__)


def stored_pixels(examination: DemoExamination, index: int) -> NDArray[np.uint16]:
    """The pixel values of one image as its file carries them."""
    match examination:
        case DemoCtScan():
            return (examination.phantom.render(index).astype(np.int32) - LOWEST_HU).astype("<u2")
        case DemoMammogram():
            return examination.phantom.render(*examination.projections[index]).astype("<u2")
        case DemoRadiograph():
            return examination.phantom.render(examination.views[index]).astype("<u2")
    raise TypeError(type(examination).__name__)


def _put_pixel_data(image: Dataset, stored: NDArray[np.uint16], syntax: UID) -> None:
    if syntax == ExplicitVRLittleEndian:
        image.PixelData = stored.tobytes()
        image["PixelData"].VR = "OW"
        return
    frame = get_encoder(syntax).encode(
        stored,
        rows=image.Rows,
        columns=image.Columns,
        number_of_frames=1,
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
    )
    image.PixelData = encapsulate([frame], has_bot=False)
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True


def _re_date(files: DemoFiles, ct: DemoExamination, progress: Progress) -> None:
    """Overwrite the headers of a study whose pixels stay."""
    total = ct.image_count
    for index in range(total):
        _replace_header(files.image(ct, index), _encoded(header_of(ct, files.calendar, index)))
    progress(ct.key, total, total)


def _replace_header(path: Path, header: bytes) -> None:
    """Put a new header before the pixel data of a file; in place when it is as long as the old one."""
    with path.open("r+b") as stream:
        stream.seek(len(header))
        if stream.read(len(_PIXEL_TAG)) == _PIXEL_TAG:
            stream.seek(0)
            stream.write(header)
            return
        stream.seek(0)
        content = stream.read()
    write_whole(path, header + content[_pixel_offset(content) :])


_PIXEL_TAG = b"\xe0\x7f\x10\x00O"  # (7FE0,0010) in explicit little endian, VR OB or OW


def _pixel_offset(content: bytes) -> int:
    """Where the PixelData element begins; ValueError when there is none."""
    return content.index(_PIXEL_TAG)


def _encoded(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that no reader ever sees half of it."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content)
    os.replace(draft, path)
