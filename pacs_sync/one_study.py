"""One study brought over: gathered from archive and FHIR, decided, written, noted. Doing it again changes nothing.

Whoever is killed in between leaves a study that is due again; what was written by then is found to stand already.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.clients.fhir_writing import OVERTAKEN
from fhir_imaging.errors import UpstreamError
from fhir_imaging.fhir_mapping.comparison import without_server_marks
from fhir_imaging.fhir_mapping.synced_study import withdrawn
from fhir_imaging.settings import origin_of
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.lacking_reports import beside_kept, has_reports, kept_results, lacking_series, with_series
from pacs_sync.patients import Unknown, answer, decided_by_person, has_number, named_by_person, questions
from pacs_sync.plan import Gathered, Hold, Verdict, Withdraw, Write, decide, withdrawn_status
from pacs_sync.ports import HoldReason, Memory, Source, Subject, Target, Task, Work, WrittenStudy
from pacs_sync.settings import ResourceIds, SyncSettings
from pacs_sync.standing import Mark, bare_study, differs, is_withdrawn, subject_id, with_what_others_said
from pacs_sync.study_mapping import accession_system, wanted_study

log = logging.getLogger("imaging_cds.sync")

TRIES_WHEN_OVERTAKEN = 5
"""Of one attempt, when somebody else writes the same study at the same moment."""
FIRST_LOOK_FOR_OTHERS_S = 300.0
WAITS_FOR_OTHERS_S = 7 * 24 * 3600.0
"""For so long a report is read again, ever more seldom, that is about a study which does not stand in FHIR yet."""
FIRST_LOOK_FOR_MISSING_S = 5.0
"""What the archive does not have is looked for again then, and after ever longer pauses until ``pace.gone_s``."""
_STANDS_OTHERWISE = OVERTAKEN | {404, 410}
"""Answers to a write over what does not stand as it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeResults:
    """What a study's reports say. ``documents`` are the UIDs of all that were read, whatever came of them. ``waits``: a part is
    about another study that does not stand in the same chart yet."""

    resources: Sequence[Mapping[str, Any]] = ()
    documents: frozenset[str] = frozenset()
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """``waits``: as ``MadeResults``. ``is_lacking``: a report series is not listed just now, and its results were kept."""

    waits: bool
    is_lacking: bool


class _HasAnotherWorkerError(Exception):
    """The lease ended while the study was read, and somebody else looks after it."""


class MakesResults(Protocol):
    """Reads a study's reports."""

    def of(self, study: ArchivedStudy, subject: Subject) -> MadeResults:
        """Their results. UpstreamError where a report cannot be read."""


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
        """Does what there is to do, and notes what came of it: done, or held.

        UpstreamError, and nothing noted, where archive or FHIR server failed; the same study is as due as before.
        """
        try:
            self._process(task)
        except _HasAnotherWorkerError:
            log.warning("sync %s: reading a study took longer than its lease; another worker has it", self._settings.name)

    def _process(self, task: Task) -> None:
        for _ in range(TRIES_WHEN_OVERTAKEN - 1):
            try:
                return self._bring(task)
            except UpstreamError as failure:
                if not failure.retryable or failure.status not in _STANDS_OTHERWISE:
                    raise
                log.info("sync %s: somebody else wrote the same study; looking again", self._settings.name)
        return self._bring(task)

    def would_change(self, uid: StudyInstanceUID) -> bool:
        """Whether FHIR differs from what the archive says of it by now; nothing is written. UpstreamError as ``process``."""
        task = Task(study=uid, work=Work.COMPARED, attempts=1, ticket="", is_complete=False)
        standing, archived = self._target.find(uid), self._source.study(uid)
        verdict = self._verdict(task, archived, standing, is_complete=False)  # as it stands by now
        if isinstance(verdict, Write) and archived is not None:
            if verdict.replaces is None or verdict.copies:
                return True
            wanted = self._wanted(archived, verdict)
            return differs(wanted, verdict.replaces.content) or self._results_differ(archived, verdict, wanted)
        return isinstance(verdict, Withdraw) or (isinstance(verdict, Hold) and bool(verdict.withdraw))

    def _results_differ(self, study: ArchivedStudy, write: Write, wanted: Mapping[str, Any]) -> bool:
        if write.replaces is None or not has_reports(wanted):
            return False
        results = self._results.of(study, write.subject)
        return self._target.results_differ(study.uid, results.resources, study_id=write.replaces.id)

    def _bring(self, task: Task) -> None:
        pace = self._settings.pace
        is_complete = task.is_complete or task.quiet_s >= pace.stable_s
        # Before the archive is asked: whoever writes by a newer word of it meanwhile makes a version that is not this one.
        standing = self._target.find(task.study)
        archived = self._source.study(task.study)
        if archived is None and not self._is_gone(task.missing_s):
            return self._memory.missed(task, now=self._clock(), again_in_s=self._next_look_s(task.missing_s))
        verdict = self._verdict(task, archived, standing, is_complete=is_complete)
        # Asked before anything is written: once it is, nobody would come back to ask.
        beside = {uid for one in _leaving(verdict) for uid in self._target.reported_on(one.id)} - {task.study}
        match verdict:
            case Write() as write if archived is not None:
                written = self._write(task, archived, write)
                again_in_s = self._next_time_s(task, written, is_complete=is_complete)
                self._memory.done(task, now=self._clock(), again_in_s=again_in_s, is_lacking=written.is_lacking)
            case Withdraw(standing=active):
                self._check_that_it_is_still_ours(task)
                for one in active:
                    self._withdraw(one, is_gone=True)
                self._memory.done(task, now=self._clock())
            case Hold(held=held, withdraw=active):
                self._check_that_it_is_still_ours(task)
                for one in active:
                    self._withdraw(one, is_gone=False)
                self._memory.hold(task, held, now=self._clock())
            case _:
                self._memory.done(task, now=self._clock())
        if beside:
            self._memory.enqueue(sorted(beside), Work.COMPARED, now=self._clock())

    def _next_time_s(self, task: Task, written: _Written, *, is_complete: bool) -> float | None:
        """In how many seconds a study that was written is looked at again; None: when the archive tells of it."""
        moments = [] if is_complete else [max(1.0, self._settings.pace.stable_s - task.quiet_s)]
        if written.waits and is_complete and task.quiet_s < WAITS_FOR_OTHERS_S:
            moments.append(max(FIRST_LOOK_FOR_OTHERS_S, task.quiet_s))
        if written.is_lacking:
            moments.append(self._next_look_s(task.lacking_s))
        return min(moments, default=None)

    def _is_gone(self, missing_s: float | None) -> bool:
        """An index that is rebuilt, or lags behind, does not list for a while what the archive holds: one look is no proof."""
        gone_s = self._settings.pace.gone_s
        return gone_s <= 0 or (missing_s is not None and missing_s >= gone_s)

    def _next_look_s(self, missing_s: float | None) -> float:
        so_far = missing_s or 0.0
        return max(1.0, min(max(FIRST_LOOK_FOR_MISSING_S, so_far), self._settings.pace.gone_s - so_far))

    def _verdict(
        self, task: Task, archived: ArchivedStudy | None, standing: tuple[WrittenStudy, ...], *, is_complete: bool
    ) -> Verdict:
        whose = None if archived is None else self._whose(archived, task)
        verdict = decide(
            Gathered(
                archived=archived,
                is_complete=is_complete,
                whose=whose,
                standing=standing,
                mark=self._mark,
                given_id=str(task.study) if self._settings.target.ids is ResourceIds.STUDY_UID else None,
            )
        )
        if archived is not None and isinstance(verdict, Hold) and verdict.held.reason is HoldReason.NO_PATIENT:
            self._check_that_nobody_has_it(archived, verdict.withdraw)
        return verdict

    def _check_that_nobody_has_it(self, study: ArchivedStudy, standing: Sequence[WrittenStudy]) -> None:
        """UpstreamError where a record has the number: an index that is rebuilt finds nobody, and must not empty charts."""
        asked = questions(study, self._settings.patients)
        if isinstance(asked, Unknown):
            return
        today = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        owners = {owner for one in standing if (owner := subject_id(one.content)) is not None}
        for record in (record for owner in sorted(owners) for record in self._target.standing_for(owner)):
            if has_number(record, asked.main.system, asked.main.number, today=today):
                words = "The FHIR server's search finds nobody with a number that one of its Patients has."
                raise UpstreamError(words, server=origin_of(self._settings.target.fhir_base), retryable=True)

    def _whose(self, study: ArchivedStudy, task: Task) -> Subject | Unknown:
        by_person = decided_by_person(study, task)
        if by_person is not None:
            return named_by_person(by_person, task.assigned_for, self._target.standing_for(by_person.patient_id))
        asked = questions(study, self._settings.patients)
        if isinstance(asked, Unknown):
            return asked
        main = self._target.patients_with(asked.main.system, asked.main.number)
        others = (self._target.patients_with(one.system, one.number) for one in asked.others)
        return answer(asked, main, others)

    def _wanted(self, study: ArchivedStudy, write: Write) -> dict[str, Any]:
        settings, subject, order = self._settings, write.subject, None
        if study.accession:
            system = accession_system(study, settings)
            order = self._target.order_with(system, study.accession, patient_id=subject.patient_id)
        endpoint, version = self._target.endpoint(), self._target.version
        wanted = wanted_study(study, subject, write.status, settings, endpoint=endpoint, order=order, version=version)
        return wanted if write.replaces is None else with_what_others_said(wanted, write.replaces.content)

    def _write(self, task: Task, study: ArchivedStudy, write: Write) -> _Written:
        """What came of reports that the archive does not list just now stays, until they are surely gone."""
        is_patient = not self._is_gone(task.lacking_s)
        wanted = self._wanted(study, write)
        made = self._results.of(study, write.subject) if has_reports(wanted) else MadeResults()
        lacking = lacking_series(study, write) if is_patient and self._settings.results else ()
        kept = kept_results(self._target.results_of(study.uid), made.documents) if lacking else ()
        results = made.resources
        if kept and write.replaces is not None:
            wanted = with_series(wanted, lacking, write.replaces.content)
            results = beside_kept(results, kept)
        self._check_that_it_is_still_ours(task)
        if has_reports(wanted) or (write.replaces and has_reports(write.replaces.content)):
            self._target.write_together(wanted, results, replaces=write.replaces)
        else:
            self._target.write(wanted, replaces=write.replaces)
        for copy in write.copies:
            status = withdrawn_status(copy)
            self._target.write(withdrawn(bare_study(copy.content), status, self._target.version), replaces=copy)
        return _Written(waits=made.waits, is_lacking=bool(kept))

    def _check_that_it_is_still_ours(self, task: Task) -> None:
        """Before anything is written: a process that stood still for longer than its lease read what may be old by now."""
        if not self._memory.still_has(task):
            raise _HasAnotherWorkerError

    def _withdraw(self, standing: WrittenStudy, *, is_gone: bool) -> None:
        """Its results first: whoever is killed after the study was taken back would not come back for them."""
        content = without_server_marks(standing.content)
        status = withdrawn_status(standing)
        taken_back = withdrawn(content if is_gone else bare_study(content), status, self._target.version, is_gone=is_gone)
        if has_reports(standing.content):
            self._target.write_together(taken_back, (), replaces=standing)
        else:
            self._target.write(taken_back, replaces=standing)


def _leaving(verdict: Verdict) -> tuple[WrittenStudy, ...]:
    """What is not to be seen in its chart any more: reports in other studies may have found something on its images."""
    match verdict:
        case Write(replaces=WrittenStudy() as stands, subject=subject):
            stays = is_withdrawn(stands.content) or subject_id(stands.content) == subject.patient_id
            return () if stays else (stands,)
        case Withdraw(standing=active) | Hold(withdraw=active):
            return active
        case _:
            return ()
