"""Files of very many small examinations, one image each: made anew for each demo day, since that takes milliseconds a file."""

import json
from collections.abc import Hashable, Sequence
from pathlib import Path
from shutil import rmtree

import numpy as np
from numpy.typing import NDArray

from ehr_sandbox.demo_files import Progress, image_file, program_print, stored_pixels, write_whole
from ehr_sandbox.demo_radiograph import DemoRadiograph
from ehr_sandbox.demo_study import DemoCalendar, DemoExamination

_TOLD_EVERY = 50


def bring_crowd_up_to_date(
    folder: Path, examinations: Sequence[DemoExamination], calendar: DemoCalendar, progress: Progress
) -> None:
    """The first image of each, in one folder; no folder for none. Nothing is done when that is what is there.

    `progress` is told (folder, done, total). Examinations with the same phantom share its pixels.
    """
    manifest = folder / "manifest.json"
    wanted = _wanted(examinations, calendar)
    if manifest.is_file() and manifest.read_text(encoding="utf-8") == wanted:
        return
    if folder.exists():
        rmtree(folder)
    if not examinations:
        return
    folder.mkdir(parents=True)
    drawn: dict[Hashable, NDArray[np.uint16]] = {}
    for number, one in enumerate(examinations, 1):
        picture = (one.phantom, one.views if isinstance(one, DemoRadiograph) else None)
        if picture not in drawn:
            drawn[picture] = stored_pixels(one, 0)
        write_whole(folder / f"{one.key}.dcm", image_file(one, calendar, 0, drawn[picture]))
        if number % _TOLD_EVERY == 0 or number == len(examinations):
            progress(folder.name, number, len(examinations))
    write_whole(manifest, wanted.encode())


def _wanted(examinations: Sequence[DemoExamination], calendar: DemoCalendar) -> str:
    if not examinations:
        return ""
    made = {"demo_day": calendar.demo_day.isoformat(), "studies": [one.key for one in examinations]}
    return json.dumps(made | {"program": program_print("demo_") + program_print("phantom")}, indent=1)
