"""A study as a folder to give away: instances without identity, the FHIR resources that go with them, and what was not done.

Spec: DICOM PS3.15 Annex E; clinical rules 11.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

from fhir_imaging.errors import InvalidRequest
from pacs_sync.confidential_attributes import TABLE
from pacs_sync.deidentification import NOT_DONE, Deidentifier
from pacs_sync.exported_bundle import bundle_of
from pacs_sync.file_reading import FAULTS, quietly
from pacs_sync.telltales import identifying_words, leftovers, refusal

FHIR_FILE, ABOUT_FILE = "fhir.json", "ABOUT.txt"
Describe = Callable[[Path], Iterable[Mapping[str, Any]]]
"""The FHIR resources of the instances in a folder, made out of these alone."""


@dataclass(slots=True)
class Exported:
    """What came of an export. ``refused``: new SOP Instance UIDs with the reason; nobody's name stands in it."""

    instances: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    """Listed by the archive, and not there any more when it was their turn."""

    @property
    def said(self) -> str:
        """In words."""
        missing = f", {self.missing} not there any more" if self.missing else ""
        return f"{self.instances} instances written, {len(self.refused)} refused{missing}"

    @property
    def is_whole(self) -> bool:
        """Whether everything was written."""
        return bool(self.instances) and not self.refused and not self.missing


class ExportFolder:
    """Writes into ``folder``, which must be new or empty; every file is whole or not there. Mode 0700, files 0600."""

    def __init__(self, folder: Path, deidentifier: Deidentifier) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidRequest(f"{folder} is not empty: name a new folder, so that nothing of an earlier export stays in it.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._deidentifier = deidentifier
        self.exported = Exported()

    def add_file(self, content: bytes) -> None:
        """De-identifies one DICOM file and writes it, or notes why it is refused; a file that is none, too."""
        try:
            with quietly():
                dataset = dcmread(BytesIO(content))
        except FAULTS:
            self.refuse("it cannot be read as DICOM")
        else:
            self.add(dataset)

    def add(self, dataset: Dataset) -> None:
        """De-identifies one instance and writes it, or notes why it is refused."""
        try:
            with quietly():
                uid = self._deidentifier.uid(str(dataset.get("SOPInstanceUID") or ""))
                why = self._added(dataset, f"{uid}.dcm")
        except OSError:  # the folder's, not the instance's: FAULTS has these too
            raise
        except FAULTS:
            uid, why = "", "parts of it cannot be understood, so nobody knows what is in them"
        if why is not None:
            self.refuse(why, uid)
        else:
            self.exported.instances += 1

    def refuse(self, why: str, uid: str = "") -> None:
        """One instance is not written. ``uid``: its new UID where it has one."""
        refused = self.exported.refused
        refused[uid or f"an instance without UID ({len(refused) + 1})"] = why

    def finish(self, describe: Describe) -> Exported:
        """Adds the FHIR resources and what this export is; the last step."""
        bundle = bundle_of(describe(self._folder))
        self._write(FHIR_FILE, lambda path: path.write_text(json.dumps(bundle, indent=1), encoding="utf-8"))
        nobody = "" if "entry" in bundle else "No FHIR resources: the instances name no patient, or several."
        self._say_what_it_is(nobody)
        return self.exported

    def break_off(self) -> Exported:
        """Says in the folder that the export ended early: what was written stays and is whole, without FHIR resources."""
        self._say_what_it_is("It ended early: this is a part of the study, and no FHIR resources were written.")
        return self.exported

    def _added(self, dataset: Dataset, name: str) -> str | None:
        """None when it was written, else why it was not."""
        why = refusal(dataset)
        if why is not None:
            return why
        if (self._folder / name).exists():
            return "another instance of the study has the same UID"
        words = identifying_words(dataset)
        made = self._deidentifier.apply(dataset)
        still = sorted(set(leftovers(made, words)))
        if still:
            return f"a name, number or date of birth still stands in {', '.join(still)}"
        self._write(name, lambda path: dcmwrite(path, made, enforce_file_format=True))
        return None

    def _say_what_it_is(self, remark: str = "") -> None:
        refused = self.exported.refused
        lines = [
            f"{self.exported.said}. All that is here is without identity.",
            *([remark] if remark else []),
            f"Rules: PS3.15 Basic Profile, {TABLE}.",
            "",
            "What was not done:",
            *(f"- {one}" for one in NOT_DONE),
        ]
        if refused:
            lines += ["", "Refused:", *(f"- {uid}: {why}" for uid, why in sorted(refused.items()))]
        self._write(ABOUT_FILE, lambda path: path.write_text("\n".join(lines) + "\n", encoding="utf-8"))

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        draft = self._folder / f".{name}.part"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.close(descriptor)
        try:
            write(draft)
            draft.replace(self._folder / name)
        finally:
            draft.unlink(missing_ok=True)
