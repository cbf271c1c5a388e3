"""Which studies of the archive are on tape: its index knows them, and nobody gets their images until somebody fetches them.

Spec: PS3.4 §C.4.1.1.3.2 (Instance Availability: OFFLINE needs a person).
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tape:
    """One empty file for each study, named by its UID, so that a restart forgets nothing. UIDs must have been checked."""

    directory: Path

    def holds(self, study_uid: str) -> bool:
        """Whether this study is on tape."""
        return (self.directory / study_uid).exists()

    def studies(self) -> frozenset[str]:
        """All that are."""
        try:
            return frozenset(os.listdir(self.directory))
        except FileNotFoundError:
            return frozenset()

    def take(self, study_uid: str) -> None:
        """Moves a study there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / study_uid).touch()

    def give_back(self, study_uid: str) -> None:
        """Brings it back online."""
        (self.directory / study_uid).unlink(missing_ok=True)
