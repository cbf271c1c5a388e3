"""The results of one study: its structured reports, asked for, read and mapped."""

from __future__ import annotations

import logging
from zoneinfo import ZoneInfo

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.uids import StudyInstanceUID
from pacs_sync.one_study import MadeResults
from pacs_sync.ports import Source, Subject, Target
from pacs_sync.result_mapping import OtherStudy, ResultContext, results_of, studies_beside
from pacs_sync.settings import SyncSettings
from pacs_sync.standing import is_withdrawn, subject_id
from pacs_sync.structured_report import read_report

log = logging.getLogger("imaging_cds.sync")


class StudyResults:
    """Thread-safe, as source and target are. With ``settings.results`` off there are none, and none are asked for."""

    def __init__(self, source: Source, target: Target, settings: SyncSettings) -> None:
        self._source = source
        self._target = target
        self._settings = settings
        self._zone = ZoneInfo(settings.time_zone) if settings.time_zone else None

    def of(self, study: ArchivedStudy, subject: Subject) -> MadeResults:
        """What its reports hold now. What is left out of them is counted in the log, without names."""
        if not self._settings.results:
            return MadeResults()
        reports = [read_report(one, self._zone) for one in self._source.documents(study)]
        named = studies_beside(reports, study.uid)
        beside = {uid: found for uid in sorted(named) if (found := self._beside(uid, subject))}
        context = ResultContext(
            subject=f"Patient/{subject.patient_id}",
            study=study.uid,
            started=study.started,
            patients=(*study.patients, *study.other_numbers),
            other_studies=beside,
            schemes=self._settings.coding_schemes,
        )
        results = results_of(reports, context, self._target.version)
        for reason in sorted({one.reason for one in results.left_out}):
            log.info("sync %s: a report, or part of one, was left out: %s", self._settings.name, reason)
        read = frozenset(one.uid for one in reports if one.uid is not None)
        return MadeResults(resources=results.resources, documents=read, waits=len(beside) < len(named))

    def _beside(self, uid: StudyInstanceUID, subject: Subject) -> OtherStudy | None:
        """Another study, where it stands in FHIR and is this patient's too."""
        for one in self._target.find(uid):
            if subject_id(one.content) == subject.patient_id and not is_withdrawn(one.content):
                started = one.content.get("started")
                return OtherStudy(f"ImagingStudy/{one.id}", started if isinstance(started, str) else None)
        return None
