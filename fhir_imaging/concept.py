"""A coded term as DICOM and FHIR share it, or only its words where no code is certain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Concept:
    """``system`` is a FHIR code system URI. Without system and code it is words alone: an unknown code is never written."""

    display: str
    system: str | None = None
    code: str | None = None
    version: str | None = None

    def __post_init__(self) -> None:
        """ValueError for half a code, which FHIR readers could take for anything."""
        if (self.system is None) != (self.code is None):
            raise ValueError("a code needs its system, and a system a code")
