"""One study brought over: gathered from archive and FHIR, decided, written, noted. Doing it again changes nothing.

Whoever is killed in between leaves a study that is due again; what was written by then is found to stand already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.clients.fhir_writing import OVERTAKEN
from fhir_imaging.errors import UpstreamError, UpstreamTimeout
from fhir_imaging.fhir_mapping.comparison import fingerprint, without_server_marks
from fhir_imaging.fhir_mapping.synced_study import SyncedContext, synced_study, withdrawn
from fhir_imaging.tolerant import dicts
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.patients import Unknown, answer, decided_by_person, questions
from pacs_sync.plan import Gathered, Hold, Verdict, Withdraw, Write, decide, withdrawn_status
from pacs_sync.ports import Known, Memory, Source, Subject, Target, Task, Work, WrittenStudy
from pacs_sync.settings import PaceSettings, ResourceIds, SyncSettings
from pacs_sync.standing import Mark, bare_study, differs, with_what_others_said

log = logging.getLogger("imaging_cds.sync")

TRIES_WHEN_OVERTAKEN = 3
"""Of one attempt, when somebody else writes the same study at the same moment."""
_REPORTS = "SR"
_WHOLE_SERVER = frozenset({401, 403, 429, 502, 503, 504})
"""Answers that are about the server or our access to it, not about one study."""


class MakesResults(Protocol):
    """Reads a study's reports."""

    def of(self, study: ArchivedStudy, subject: Subject) -> Sequence[Mapping[str, Any]]:
        """Their results."""


class OneStudy:
    """Brings single studies over. Thread-safe, as source, target and memory are."""

    def __init__(
        self,
        source: Source,
        target: Target,
        memory: Memory,
        settings: SyncSettings,
        *,
        results: MakesResults,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._target = target
        self._memory = memory
        self._settings = settings
        self._results = results
        self._clock = clock
        self._mark = Mark(settings.name)

    def process(self, task: Task) -> None:
        """Does what there is to do, and notes what came of it.

        UpstreamError where a whole server is out of order. Nothing is noted of the study then, unless it was not answered
        about in time: that may be its own fault, so it makes room for others and is laid aside at last.
        """
        try:
            self._bring(task)
        except UpstreamError as failure:
            if not is_outage(failure) or isinstance(failure, UpstreamTimeout):
                self._failed(task, failure)
            if is_outage(failure):
                raise

    def would_change(self, uid: StudyInstanceUID) -> bool:
        """Whether FHIR differs from what the archive says of it by now; nothing is written. UpstreamError as ``process``."""
        task = Task(study=uid, work=Work.COMPARED, attempts=1, ticket="", is_complete=True)
        archived = self._source.study(uid)
        verdict = self._verdict(task, archived, is_complete=True)
        if isinstance(verdict, Write) and archived is not None:
            if verdict.replaces is None or verdict.copies:
                return True
            wanted = self._wanted(archived, verdict)
            return differs(wanted, verdict.replaces.content)
        return isinstance(verdict, Withdraw) or (isinstance(verdict, Hold) and bool(verdict.withdraw))

    def _bring(self, task: Task) -> None:
        for attempt in range(1, TRIES_WHEN_OVERTAKEN + 1):
            try:
                self._bring_once(task)
                return
            except UpstreamError as failure:
                if failure.status not in OVERTAKEN or attempt == TRIES_WHEN_OVERTAKEN:
                    raise
                log.info("sync %s: somebody else wrote the same study; looking again", self._settings.name)

    def _bring_once(self, task: Task) -> None:
        pace = self._settings.pace
        is_complete = task.is_complete or task.quiet_s >= pace.stable_s
        archived = self._source.study(task.study)
        match self._verdict(task, archived, is_complete=is_complete):
            case Write() as write if archived is not None:
                known = self._write(archived, write)
                again_in_s = None if is_complete else max(1.0, pace.stable_s - task.quiet_s)
                self._memory.done(task, known, now=self._clock(), again_in_s=again_in_s)
            case Withdraw(standing=standing):
                taken_back = [self._withdraw(one, is_gone=True) for one in standing]
                self._memory.done(task, taken_back[0], now=self._clock())
            case Hold(held=held, withdraw=standing):
                for one in standing:
                    self._withdraw(one, is_gone=False)
                self._memory.hold(task, held, now=self._clock())
            case _:
                self._memory.done(task, None, now=self._clock())

    def _verdict(self, task: Task, archived: ArchivedStudy | None, *, is_complete: bool) -> Verdict:
        return decide(
            Gathered(
                archived=archived,
                is_complete=is_complete,
                whose=None if archived is None else self._whose(archived, task),
                standing=self._target.find(task.study),
                mark=self._mark,
                given_id=str(task.study) if self._settings.target.ids is ResourceIds.STUDY_UID else None,
            )
        )

    def _whose(self, study: ArchivedStudy, task: Task) -> Subject | Unknown:
        by_person = decided_by_person(study, task)
        if by_person is not None:
            return by_person
        asked = questions(study, self._settings.patients)
        if isinstance(asked, Unknown):
            return asked
        main = self._target.patients_with(asked.main.system, asked.main.number)
        others = (self._target.patients_with(one.system, one.number) for one in asked.others)
        return answer(asked, main, others)

    def _wanted(self, study: ArchivedStudy, write: Write) -> dict[str, Any]:
        settings, subject = self._settings, write.subject
        system = self._accession_system(study)
        order = None
        if study.accession:
            order = self._target.order_with(system, study.accession, patient_id=subject.patient_id)
        context = SyncedContext(
            patient_id=subject.patient_id,
            patient_system=subject.system,
            patient_number=subject.number,
            status=write.status,
            source=self._mark.source,
            endpoints=(self._target.endpoint(),),
            accession_system=system,
            order=order,
            resource_id=None,
            with_instances=settings.with_instances,
        )
        wanted = synced_study(study, context, self._target.version)
        return wanted if write.replaces is None else with_what_others_said(wanted, write.replaces.content)

    def _write(self, study: ArchivedStudy, write: Write) -> Known:
        wanted = self._wanted(study, write)
        results = self._results.of(study, write.subject) if _has_reports(wanted) else ()
        if results or _has_reports(wanted) or (write.replaces and _has_reports(write.replaces.content)):
            stands = self._target.write_together(wanted, results, replaces=write.replaces)
        else:
            stands = self._target.write(wanted, replaces=write.replaces)
        for copy in write.copies:
            status = withdrawn_status(copy)
            self._target.write(withdrawn(bare_study(copy.content), status, self._target.version), replaces=copy)
        return Known(fingerprint=fingerprint(wanted), resource_id=stands.id, status=write.status)

    def _withdraw(self, standing: WrittenStudy, *, is_gone: bool) -> Known:
        """Its results first: whoever is killed after the study was taken back would not come back for them."""
        content = without_server_marks(standing.content)
        status = withdrawn_status(standing)
        taken_back = withdrawn(content if is_gone else bare_study(content), status, self._target.version, is_gone=is_gone)
        if _has_reports(standing.content):
            self._target.write_together(taken_back, (), replaces=standing)
        else:
            self._target.write(taken_back, replaces=standing)
        return Known(fingerprint=fingerprint(taken_back), resource_id=standing.id, status=status)

    def _accession_system(self, study: ArchivedStudy) -> str | None:
        if study.accession_issuer is None:
            return self._settings.accession_system
        return self._settings.accession_systems.get(study.accession_issuer)

    def _failed(self, task: Task, failure: UpstreamError) -> None:
        again_in_s = next_attempt_s(failure, task.attempts, self._settings.pace)
        reason = reason_of(failure)
        log.warning("sync %s: a study could not be brought over: %s", self._settings.name, reason)
        self._memory.failed(task, reason, now=self._clock(), again_in_s=again_in_s)


def is_outage(failure: UpstreamError) -> bool:
    """Whether every other study would fail just so: the server is not there, too busy, or does not let us in."""
    is_address_wrong = failure.status == 404 and not failure.retryable  # of a search; a resource may just have gone
    return failure.status is None or failure.status in _WHOLE_SERVER or is_address_wrong


def next_attempt_s(failure: UpstreamError, attempts: int, pace: PaceSettings) -> float | None:
    """The pause before the next attempt, each twice as long as the last; None where no other one is worth it."""
    is_refused = failure.status is not None and 400 <= failure.status < 500
    is_worth_it = failure.retryable or not is_refused  # what answers 200 with a page of HTML may answer better later
    if not is_worth_it or attempts >= pace.max_attempts:
        return None
    return max(min(pace.first_retry_s * 2.0 ** (attempts - 1), pace.longest_retry_s), float(failure.retry_after_s or 0))


def reason_of(failure: UpstreamError) -> str:
    """Why, for people: our words, the server's status and its issue codes, none of which tells of a patient."""
    issues = failure.context.get("issues")
    codes = f" ({', '.join(map(str, issues))})" if isinstance(issues, list) and issues else ""
    return f"{failure.detail}{codes}"


def _has_reports(resource: Mapping[str, Any]) -> bool:
    """Whether an ImagingStudy of any release has structured reports among its modalities."""
    stated = dicts(resource.get("modality"))
    codings = [one for modality in stated for one in (dicts(modality.get("coding")) or [modality])]
    return any(one.get("code") == _REPORTS for one in codings)
