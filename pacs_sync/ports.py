"""What the synchronisation needs of an archive, a FHIR server and its own memory, whichever they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

from fhir_imaging.archived_study import ArchivedStudy, PatientNumber
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import StudyInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A study that an archive told of. ``is_complete``: the archive itself says that nothing more is coming for now.

    ``state`` is compared only: it changes when the study does ("" where the archive tells nothing to compare).
    """

    study: StudyInstanceUID
    is_complete: bool = False
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One page of news. ``cursor`` is where the next look begins; ``is_last``: there is nothing more just now."""

    sightings: tuple[Sighting, ...]
    cursor: str
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Study dates from ``first`` to ``last``, both included."""

    first: date
    last: date


class Source(Protocol):
    """An archive that is read. UpstreamError where it cannot be asked. Thread-safe."""

    def look(self, cursor: str | None) -> Look:
        """What is new since ``cursor`` (None = from the beginning of its news)."""

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        """Every study, or those of these days, page by page: for back-fills and comparisons. Memory stays flat."""

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        """Everything of one study that FHIR wants; None when the archive has it no more."""

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        """Its structured reports (modality SR), each a whole data set in the DICOM JSON model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The patient of a study in FHIR: the one Patient that has the number, and that number."""

    patient_id: str
    system: str
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenStudy:
    """An ImagingStudy as it stands in the FHIR server. ``content`` is the resource."""

    id: str
    version: str | None
    content: Mapping[str, Any]


class Target(Protocol):
    """The FHIR server that is written. UpstreamError where it cannot; ``retryable`` says whether to come back. Thread-safe."""

    @property
    def version(self) -> FhirVersion:
        """What its CapabilityStatement says."""

    def patients_with(self, system: str, number: str) -> tuple[Mapping[str, Any], ...]:
        """The Patients that have this identifier, at most a few: more than one is as good as none."""

    def standing_for(self, patient_id: str) -> tuple[Mapping[str, Any], ...]:
        """The Patients in use that stand for this record now: itself, or what it was merged into; none where it is closed."""

    def order_with(self, system: str | None, accession: str, *, patient_id: str) -> str | None:
        """``ServiceRequest/id`` of this patient's one order with the accession number; None unless there is exactly one."""

    def endpoint(self) -> str:
        """``Endpoint/id`` that says where the archive's images are; made when it is not there yet, brought up to date once."""

    def find(self, uid: StudyInstanceUID) -> tuple[WrittenStudy, ...]:
        """All ImagingStudies with this Study Instance UID, also several where somebody else made copies."""

    def all_studies(self) -> Iterator[WrittenStudy]:
        """Every ImagingStudy of our Endpoint, page by page."""

    def write(self, resource: Mapping[str, Any], *, replaces: WrittenStudy | None) -> WrittenStudy:
        """Creates or updates one ImagingStudy by its UID: never a second one, never over a change that was not seen.

        UpstreamError with ``status`` 409 or 412 (retryable) where somebody else was faster.
        """

    def write_results(self, uid: StudyInstanceUID, resources: Iterable[Mapping[str, Any]]) -> None:
        """Makes these the results of a study: what is new is created, what differs updated, what is not among them withdrawn.

        Device, Observation and DiagnosticReport, each known by its first identifier (system and value), those that others
        refer to before these. Resources of ours have no id yet, so references among them and to their study are conditional
        (``Device?identifier=system|value``, ``ImagingStudy?identifier=urn:dicom:uid|urn:oid:1.2``), the mark ``|`` of a value
        not escaped; here they become references to what stands in the server.
        """

    def write_together(
        self, resource: Mapping[str, Any], results: Iterable[Mapping[str, Any]], *, replaces: WrittenStudy | None
    ) -> WrittenStudy:
        """``write`` and ``write_results`` in one: both or neither where the settings say ``transactions``."""

    def results_differ(self, uid: StudyInstanceUID, resources: Iterable[Mapping[str, Any]], *, study_id: str) -> bool:
        """Whether ``write_results`` would change anything."""

    def reported_on(self, study_id: str) -> frozenset[StudyInstanceUID]:
        """Studies whose results say that they were found on the images of ``ImagingStudy/study_id``.

        None where the server cannot be searched for them: then the next comparison sees what they lack.
        """

    def results_of(self, uid: StudyInstanceUID) -> tuple[Mapping[str, Any], ...]:
        """Observations and DiagnosticReports of ours that belong to this study, withdrawn ones too."""


class HoldReason(StrEnum):
    """Why a study waits for a person."""

    NO_NUMBER = "no-number"
    """It has no PatientID."""
    UNKNOWN_ISSUER = "unknown-issuer"
    """No rule says whose numbers these are."""
    NO_PATIENT = "no-patient"
    """Nobody has this number in FHIR."""
    SEVERAL_PATIENTS = "several-patients"
    """Several Patients have it in FHIR."""
    MIXED = "mixed"
    """Its parts name different persons."""
    SEVERAL_STUDIES = "several-studies"
    """FHIR has several ImagingStudies with this UID that contradict each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A study that cannot be written: nobody knows for certain whose it is. ``patient`` is what the archive says."""

    reason: HoldReason
    patient: PatientNumber | None = None
    detail: str = ""


class Work(StrEnum):
    """Why a study is looked at."""

    CHANGED = "changed"
    """The archive told of it."""
    COMPARED = "compared"
    """A comparison of everything found it to differ."""
    RELEASED = "released"
    """A person resolved what held it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One study that a worker has taken. ``attempts`` count this one; ``ticket`` proves that the worker still holds it."""

    study: StudyInstanceUID
    work: Work
    attempts: int
    ticket: str
    is_complete: bool
    assigned: Subject | None = None
    """Whose it is, where a person said so."""
    assigned_for: PatientNumber | None = None
    """What the archive said of its patient when that was decided (None: nothing). Of another patient it decides nothing."""
    quiet_s: float = 0.0
    """For how long the archive has told of no change of it."""
    missing_s: float | None = None
    """For how long the archive has not had it, whenever it was asked; None: it had it when it was asked last."""
    lacking_s: float | None = None
    """For how long it has lacked a report series there whose results stand; None: it had them all."""


class Memory(Protocol):
    """The work queue of one synchronisation; sealed in the shared database, all times UTC s.

    Every method is one transaction: whoever is killed between two of them loses nothing, and nothing is done twice for it.
    """

    def cursor(self) -> str | None:
        """Where the next look begins."""

    def note(self, sightings: Iterable[Sighting], *, cursor: str | None, now: float, due_in_s: float = 0.0) -> int:
        """Queues the studies whose state is new, and moves the cursor, together. How many were queued.

        A study that waits already waits once; one that a worker has just now is looked at again afterwards.
        """

    def enqueue(self, studies: Iterable[StudyInstanceUID], work: Work, *, now: float) -> int:
        """Queues these studies, whatever became of them; held and laid aside ones too."""

    def take(self, *, now: float, limit: int) -> list[Task]:
        """Studies that are due, the oldest first, for this worker alone until its lease ends (SKIP LOCKED on PostgreSQL)."""

    def still_has(self, task: Task) -> bool:
        """Whether no other worker has taken it since: whoever has lost it writes nothing any more."""

    def done(self, task: Task, *, now: float, again_in_s: float | None = None, is_lacking: bool = False) -> None:
        """It is written (or nothing was to be done); ``again_in_s``: it is looked at again then (not complete yet).

        ``is_lacking``: the archive did not list a report series just now whose results stand.
        """

    def missed(self, task: Task, *, now: float, again_in_s: float) -> None:
        """The archive did not have it just now; it is looked at again then. Nothing was written, and nothing failed."""

    def failed(self, task: Task, reason: str, *, now: float, again_in_s: float | None) -> None:
        """Comes back later; None = laid aside until a person says so (dead letter). ``reason`` holds no patient data."""

    def hold(self, task: Task, held: Held, *, now: float) -> None:
        """Waits for a person; a change in the archive brings it back too."""

    def pending(self, *, now: float) -> int:
        """How many wait or are under way, held and dead ones not counted."""

    def next_due_s(self, *, now: float) -> float | None:
        """In how many seconds the next one is due; None when nothing waits."""
