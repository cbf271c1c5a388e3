"""Where the FHIR endpoint has a patient's studies from: the archives' indexes, or a FHIR server that ``pacs_sync`` feeds.

Either is asked only about studies that the gate has let through, and says of itself when it could not tell all.

Spec: SMART Imaging Access F1-F3, F10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.ownership import Caller
from imaging_server.upstream import Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """One study, joined from its copies; ``last_updated_ms`` is UTC.

    ``states`` tell when to ask anew, and ``listed`` is how it is listed, by archive: also those that hold it and may not show
    it to this caller.

    ``complete`` is False when it has series or instances that could not be told; ``has_instances`` says whether they were asked
    for.
    """

    study: ArchivedStudy
    last_updated_ms: int
    states: Mapping[str, str]
    listed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    complete: bool = True
    has_instances: bool = False


@dataclass(frozen=True, slots=True)
class PatientList:
    """The studies of one patient; ``complete`` is False when there are more, or some that could not be read."""

    studies: tuple[FoundStudy, ...]
    complete: bool = True


class StudyTeller(Protocol):
    """Somebody who knows what is in studies."""

    def studies(
        self, caller: Caller, archives: Sequence[Archive], visible: Mapping[str, frozenset[StudyInstanceUID]]
    ) -> PatientList:
        """The studies that ``visible`` allows by archive. UpstreamError (503) when somebody cannot be asked."""

    def with_series(self, caller: Caller, found: Sequence[FoundStudy], archives: Sequence[Archive]) -> PatientList:
        """Those of the studies that are the caller's patient's in every series, with their series; ``complete`` when it is all.

        UpstreamError (503) when somebody cannot be asked.
        """

    def with_instances(self, found: FoundStudy, archives: Sequence[Archive]) -> FoundStudy:
        """The same study, whose series are known, with their instances."""

    def close(self) -> None:
        """Lets threads and connections go."""


class StudySource:
    """Asks for each EHR whom its settings name. Thread-safe; ``close`` it at the end."""

    def __init__(self, archives: StudyTeller, servers: StudyTeller) -> None:
        self._archives = archives
        self._servers = servers

    def studies(
        self, caller: Caller, archives: Sequence[Archive], visible: Mapping[str, frozenset[StudyInstanceUID]]
    ) -> PatientList:
        """As ``StudyTeller.studies``."""
        teller = self._archives if caller.ehr.studies_server is None else self._servers
        return teller.studies(caller, archives, visible)

    def with_series(self, caller: Caller, found: Sequence[FoundStudy], archives: Sequence[Archive]) -> PatientList:
        """As ``StudyTeller.with_series``."""
        return self._teller_of(found).with_series(caller, found, archives)

    def with_instances(self, found: FoundStudy, archives: Sequence[Archive]) -> FoundStudy:
        """As ``StudyTeller.with_instances``."""
        return self._teller_of([found]).with_instances(found, archives)

    def close(self) -> None:
        """Lets threads and connections go."""
        self._archives.close()
        self._servers.close()

    def _teller_of(self, found: Sequence[FoundStudy]) -> StudyTeller:
        """Only an archive's index has states; one list has one source."""
        return self._servers if found and not found[0].states else self._archives
