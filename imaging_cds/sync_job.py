"""One synchronisation put together: its archive, its FHIR server, its memory, and what works on them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.errors import ConfigurationError, InvalidRequest
from fhir_imaging.settings import PacsSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.tolerant import dicts
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.backend_signer import signer_of
from imaging_cds.settings import ApplicationSettings
from pacs_sync.fhir_target import FhirTarget
from pacs_sync.held import OF_FILES, WaitingForPeople
from pacs_sync.memory import StoredMemory
from pacs_sync.one_study import OneStudy
from pacs_sync.orthanc_source import OrthancSource
from pacs_sync.ports import HoldReason, Source, Subject, Task
from pacs_sync.qido_source import QidoSource
from pacs_sync.reconcile import Comparing
from pacs_sync.run import Runner
from pacs_sync.settings import SyncSettings
from pacs_sync.shared_clock import SharedClock
from pacs_sync.study_facts import SiteRules
from pacs_sync.study_results import StudyResults
from pacs_sync.target_access import TargetAccess
from pacs_sync.workers import Working


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJob:
    """The parts of one synchronisation. ``target`` is asked for the first time when it is needed."""

    settings: SyncSettings
    source: Source
    target: FhirTarget
    memory: StoredMemory
    one_study: OneStudy
    runner: Runner
    access: TargetAccess
    people: WaitingForPeople
    clock: SharedClock
    """The one that all processes of it go by."""

    def held(self) -> dict[StudyInstanceUID, HoldReason]:
        """Studies that wait for a person just now, and why."""
        return {one.study: one.reason for one in self.people.held()}

    def comparing(self, **more: Any) -> Comparing:
        """A comparison that knows what waits for a person just now."""
        held = self.held()
        of_others = frozenset(study for study, reason in held.items() if reason is HoldReason.SEVERAL_STUDIES)
        return Comparing(is_held=held.__contains__, may_be_free=of_others.__contains__, **more)

    def subject(self, patient_id: str) -> Subject:
        """A Patient of the FHIR server, with its number of a configured system. InvalidRequest where it has none."""
        patient = self.access.read(lambda client: client.read("Patient", patient_id))
        systems = {rule.system for rule in self.settings.patients}
        for one in dicts(patient.get("identifier")):
            system, number = one.get("system"), one.get("value")
            if system in systems and isinstance(number, str) and one.get("use") != "old":
                return Subject(patient_id=patient_id, system=str(system), number=number)
        raise InvalidRequest(f"Patient/{patient_id} has no number of a system that sync.{self.settings.name}.patients names.")


def named_syncs(settings: ApplicationSettings, name: str | None) -> tuple[SyncSettings, ...]:
    """The synchronisation of that name, or all; ConfigurationError where there is none."""
    found = tuple(one for one in settings.sync if name in (None, one.name))
    if not found:
        known = ", ".join(one.name for one in settings.sync)
        wanted = f"there is no [[sync]] named {name!r}; there are: {known}" if known else "no [[sync]] is configured"
        raise ConfigurationError([f"sync: {wanted}."])
    return found


@contextmanager
def sync_job(
    settings: ApplicationSettings, sync: SyncSettings, store: Store, *, folders: Sequence[Path] = ()
) -> Iterator[SyncJob]:
    """The synchronisation, ready to work, until the block ends; of ``folders`` of DICOM files in place of its archive."""
    with ExitStack() as stack:
        source = _folders(stack, sync, folders) if folders else archive_source(stack, settings, sync)
        access = TargetAccess(sync, signer_of(settings) if sync.target.backend_client_id else None)
        stack.callback(access.close)
        target = FhirTarget(sync, access)
        memory = StoredMemory(store, _memory_name(sync, folders))
        clock = SharedClock(store)
        one_study = OneStudy(source, target, memory, sync, results=StudyResults(source, target, sync), clock=clock)
        process = _of_what_is_there(source, memory, one_study, clock) if folders else one_study.process
        yield SyncJob(
            settings=sync,
            source=source,
            target=target,
            memory=memory,
            one_study=one_study,
            runner=Runner(source, Working(memory=memory, process=process, pace=sync.pace, clock=clock)),
            access=access,
            people=WaitingForPeople(store, memory.sync),
            clock=clock,
        )


def _memory_name(sync: SyncSettings, folders: Sequence[Path]) -> str:
    """What waits of one folder must not be looked for in another, or in the archive."""
    if not folders:
        return sync.name
    places = "\n".join(sorted(str(one.absolute()) for one in folders))
    return f"{sync.name}{OF_FILES}{hashlib.sha256(places.encode()).hexdigest()[:12]}"


def _of_what_is_there(source: Source, memory: StoredMemory, one_study: OneStudy, clock: SharedClock) -> Callable[[Task], None]:
    """A study whose files are no longer in their folder may be in the archive all the same: it is not taken back."""

    def process(task: Task) -> None:
        if source.study(task.study) is None:
            memory.done(task, now=clock())
        else:
            one_study.process(task)

    return process


def archive_of(settings: ApplicationSettings, sync: SyncSettings) -> PacsSettings:
    """The ``[[pacs]]`` that it reads; the settings were checked to name one."""
    return next(one for one in settings.pacs if one.name == sync.pacs)


def archive_source(stack: ExitStack, settings: ApplicationSettings, sync: SyncSettings) -> Source:
    """The archive to read, until ``stack`` ends."""
    pacs = archive_of(settings, sync)
    roots = [sync.orthanc_url] if sync.orthanc_url else []
    session = ArchiveSession(pacs, roots=roots)
    stack.callback(session.close)
    dicomweb = QidoSource(DicomwebClient(pacs.dicomweb_root, session), sync.pace, SiteRules.of(sync))
    stack.callback(dicomweb.close)
    if sync.orthanc_url is None:
        return dicomweb
    orthanc = OrthancSource(sync.orthanc_url, session, dicomweb)
    stack.callback(orthanc.close)
    return orthanc


def _folders(stack: ExitStack, sync: SyncSettings, folders: Sequence[Path]) -> Source:
    try:
        from pacs_sync.files import FileSource  # pydicom is not needed for archives
    except ModuleNotFoundError as exc:
        words = f"{exc.name} is not installed; reading DICOM files needs it: pip install 'imaging-cds[dicom]'"
        raise ConfigurationError([words]) from exc
    source = FileSource(folders, SiteRules.of(sync))
    stack.callback(source.close)
    return source
