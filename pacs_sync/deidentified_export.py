"""A study as a folder to give away: instances without identity, the FHIR resources that go with them, and what was not done.

Spec: DICOM PS3.15 Annex E; clinical rules 11.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset

from fhir_imaging.errors import InvalidRequest
from pacs_sync.deidentification import NOT_DONE, TABLE, Deidentifier
from pacs_sync.telltales import identifying_words, leftovers, refusal

FHIR_FILE, ABOUT_FILE = "fhir.json", "ABOUT.txt"
Describe = Callable[[Path], Iterable[Mapping[str, Any]]]
"""The FHIR resources of the instances in a folder, made out of these alone."""


@dataclass(slots=True)
class Exported:
    """What came of an export. ``refused``: new SOP Instance UIDs with the reason; nobody's name stands in it."""

    instances: int = 0
    refused: dict[str, str] = field(default_factory=dict)


class ExportFolder:
    """Writes into ``folder``, which must be new or empty; every file is whole or not there. Mode 0700, files 0600."""

    def __init__(self, folder: Path, deidentifier: Deidentifier) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise InvalidRequest(f"{folder} is not empty: name a new folder, so that nothing of an earlier export stays in it.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._deidentifier = deidentifier
        self.exported = Exported()

    def add(self, dataset: Dataset) -> None:
        """De-identifies one instance and writes it, or notes why it is refused."""
        why, words = refusal(dataset), identifying_words(dataset)
        made = self._deidentifier.apply(dataset)
        still = sorted(set(leftovers(made, words))) if why is None else []
        if still:
            why = f"a name or number of the patient still stands in {', '.join(still)}"
        if why is not None:
            self.exported.refused[str(made.get("SOPInstanceUID") or "?")] = why
            return
        self._write(f"{made.SOPInstanceUID}.dcm", lambda path: dcmwrite(path, made, enforce_file_format=True))
        self.exported.instances += 1

    def finish(self, describe: Describe) -> Exported:
        """Adds the FHIR resources and what this export is; the last step."""
        entries = [{"resource": resource} for resource in describe(self._folder)]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        self._write(FHIR_FILE, lambda path: path.write_text(json.dumps(bundle, indent=1), encoding="utf-8"))
        self._write(ABOUT_FILE, lambda path: path.write_text(self._about(), encoding="utf-8"))
        return self.exported

    def _about(self) -> str:
        exported = self.exported
        lines = [
            f"{exported.instances} instances without identity, {len(exported.refused)} refused.",
            f"Rules: PS3.15 Basic Profile, {TABLE}.",
            "",
            "What was not done:",
            *(f"- {one}" for one in NOT_DONE),
        ]
        if exported.refused:
            lines += ["", "Refused:", *(f"- {uid}: {why}" for uid, why in sorted(exported.refused.items()))]
        return "\n".join(lines) + "\n"

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        draft = self._folder / f".{name}.part"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.close(descriptor)
        write(draft)
        draft.replace(self._folder / name)
