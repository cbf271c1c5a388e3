"""Whether a FHIR server keeps the tag by which what we wrote is known again: looked at once for each type, after a write.

Results and comparisons are searched for by that tag. Where a server drops it every result would be written anew each time, no
deleted study withdrawn, and none taken out of a wrong chart: nothing more is written there.

Spec: FHIR R4 Resource.meta (tags; a server may not support them all), RESTful API §3.1.0.5 (what an update does to tags).
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_imaging.errors import ConfigurationError
from pacs_sync.standing import Mark
from pacs_sync.target_search import TargetSearch

BELIEVED_FOR_S = 600.0
"""So long nothing is tried again on a server that dropped the tag."""


class KeptMarks:
    """Of one FHIR server and one synchronisation. Thread-safe."""

    def __init__(self, search: TargetSearch, mark: Mark, *, clock: Callable[[], float]) -> None:
        self._search = search
        self._mark = mark
        self._clock = clock
        self._kept: set[str] = set()
        self._dropped_until = float("-inf")

    def ensure(self) -> None:
        """ConfigurationError, before anything is written, where the server dropped the tag a moment ago."""
        if self._clock() < self._dropped_until:
            raise self._error()

    def look(self, kind: str, resource_id: str) -> None:
        """Reads back what was written, the first of its type. ConfigurationError where the tag is not on it."""
        if kind in self._kept:
            return
        stands = self._search.one(kind, resource_id)
        if stands is None:
            return  # somebody deleted it
        if not self._mark.is_tagged_on(stands):
            self._dropped_until = self._clock() + BELIEVED_FOR_S
            raise self._error()
        self._kept.add(kind)

    def _error(self) -> ConfigurationError:
        words = (
            f"sync.{self._mark.name}.target: the FHIR server drops meta.tag, so what is written there would not be known again,"
            " stand twice and never be withdrawn. Have the server keep tags and search by _tag; until then nothing is written"
        )
        return ConfigurationError([words])
