"""A patient's studies out of all archives that an EHR reaches: what the archives' indexes say, gathered and joined.

Nothing is left out in silence: an archive that cannot be asked makes the whole answer wait (503), and that there is more than
an archive gives, or more than can be read, is said. Left out, and said, is what is in doubt: a UID under two patients, or twice
in one archive.

Spec: SMART Imaging Access F1-F3, F10, F13, W4, group 11; DICOM PS3.18 §10.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fhir_imaging.archived_study import merged
from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    PATIENT_ID,
    STUDY_INSTANCE_UID,
    first_text,
)
from fhir_imaging.study_reading import INSTANCE_FIELDS, SERIES_FIELDS, STUDY_FIELDS, archived_study, state_of
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.archive_workers import ArchiveWorkers
from imaging_server.fhir_contents import with_instances, with_series
from imaging_server.fhir_sources import FoundStudy, PatientList
from imaging_server.gate import Gate
from imaging_server.ownership import Caller
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.search import STUDY_SEARCH, chunks_of
from imaging_server.study_contents import series_index
from imaging_server.study_states import StudyStates
from imaging_server.upstream import Archive, Matches
from imaging_server.whole_answers import read_whole

PERSON_FIELDS = (PATIENT_ID, ISSUER_OF_PATIENT_ID)
MAX_INSTANCES = 2000
"""From so many instances on, a study's list of them comes with reading it only."""


class ArchiveStudies:
    """Asks the archives. Thread-safe; ``close`` it at the end."""

    def __init__(self, gate: Gate, states: StudyStates, *, keep_s: float, max_json_bytes: int) -> None:
        self._gate = gate
        self._states = states
        self._keep_s = keep_s
        self._max_json_bytes = max_json_bytes
        self._workers = ArchiveWorkers()
        # What the archive says of a state is the same for every caller; who may see it was decided before (F13).
        self._listed: DecisionCache[Matches] = DecisionCache(max_entries=2000)
        # A study may have thousands of instances, so that only few such answers are kept.
        self._held: DecisionCache[Matches] = DecisionCache(max_entries=20)

    def close(self) -> None:
        """Lets the threads go."""
        self._workers.close()

    def studies(
        self, caller: Caller, archives: Sequence[Archive], visible: Mapping[str, frozenset[StudyInstanceUID]]
    ) -> PatientList:
        """The studies that ``visible`` allows by archive, without their series. UpstreamError (503) when one is not ready."""
        wanted = sorted(frozenset().union(*visible.values()))
        asked = [(archive, chunk) for archive in archives for chunk in chunks_of(wanted, archive.studies_per_search)]
        answers = self._workers.together((one[0].name, partial(self._index, *one)) for one in asked)
        by_archive: dict[str, list[Mapping[str, Any]]] = {archive.name: [] for archive in archives}
        for (archive, chunk), found in zip(asked, answers, strict=True):
            by_archive[archive.name] += [one for one in found.datasets if first_text(one, STUDY_INSTANCE_UID) in chunk]
        doubtful = self._doubtful(caller, by_archive)
        copies = {
            name: {uid: one for one in datasets if (uid := _uid(one)) in visible[name] and uid not in doubtful}
            for name, datasets in by_archive.items()
        }
        told = tuple(self._joined(caller, copies, by_archive))
        known = {_uid(one) for name, datasets in by_archive.items() for one in datasets if _uid(one) in visible[name]}
        is_all = len(told) == len(known)
        return PatientList(told, is_all and all(one.complete for one in answers))

    def with_series(self, caller: Caller, found: Sequence[FoundStudy], archives: Sequence[Archive]) -> PatientList:
        """As ``StudyTeller.with_series``; one that stands alone comes with its instances too, unless it has very many.

        Whose the series are, the same answers say of which they are made (W5).
        """
        by_name = {archive.name: archive for archive in archives}
        asked = [(one, by_name[name]) for one in found for name in one.states]
        answers = self._workers.together((one[1].name, partial(self._series, *one)) for one in asked)
        listed: dict[str, list[tuple[str, Matches]]] = {}
        for (one, archive), answer in zip(asked, answers, strict=True):
            listed.setdefault(one.study.uid, []).append((archive.name, answer))
        own = [one for one in found if self._has_all_of(caller, one, listed[one.study.uid])]
        told = [with_series_of(one, listed[one.study.uid]) for one in own]
        if len(told) == 1 and (told[0].study.number_of_instances or MAX_INSTANCES) < MAX_INSTANCES:
            told = [self.with_instances(told[0], archives)]
        return PatientList(tuple(told), len(own) == len(found))

    def with_instances(self, found: FoundStudy, archives: Sequence[Archive]) -> FoundStudy:
        """The same study, whose series are known, with their instances."""
        if found.has_instances:
            return found
        held = [archive for archive in archives if archive.name in found.study.archives]
        answers = self._workers.together((one.name, partial(self._instances, found, one)) for one in held)
        datasets = [dataset for answer in answers for dataset in answer.datasets]
        complete = found.complete and all(answer.complete for answer in answers)
        return replace(found, study=with_instances(found.study, datasets), has_instances=True, complete=complete)

    def _has_all_of(self, caller: Caller, found: FoundStudy, answers: Iterable[tuple[str, Matches]]) -> bool:
        indexes = ((name, series_index(answer, found.study.uid)) for name, answer in answers)
        return all(self._gate.has_all_of(caller, index, found.listed[name]) for name, index in indexes)

    def _index(self, archive: Archive, studies: Sequence[StudyInstanceUID]) -> Matches:
        named = ",".join(studies)
        query = [("StudyInstanceUID", named), *_including(STUDY_FIELDS)]
        return self._listed.get(
            (archive.name, "studies", named), lambda: self._whole(archive, STUDY_SEARCH, query), seconds=self._seconds
        )

    def _series(self, found: FoundStudy, archive: Archive) -> Matches:
        resource = DicomResource(kind=Kind.SEARCH, level=Level.SERIES, study=found.study.uid)
        return self._listed.get(
            (archive.name, resource.path, found.states[archive.name]),
            lambda: self._whole(archive, resource, _including(SERIES_FIELDS + PERSON_FIELDS)),
            seconds=self._seconds,
        )

    def _instances(self, found: FoundStudy, archive: Archive) -> Matches:
        resource = DicomResource(kind=Kind.SEARCH, level=Level.INSTANCE, study=found.study.uid)
        return self._held.get(
            (archive.name, resource.path, found.states[archive.name]),
            lambda: self._whole(archive, resource, _including(INSTANCE_FIELDS)),
            seconds=self._seconds,
        )

    def _seconds(self, answer: Matches) -> float:
        """Only what was found whole is kept: a study may still be arriving."""
        return self._keep_s if answer.datasets and answer.complete else 0

    def _whole(self, archive: Archive, resource: DicomResource, query: Sequence[tuple[str, str]]) -> Matches:
        """What an archive has, also where it gives it in several answers only."""
        return read_whole(archive, resource, query, limit=self._max_json_bytes)

    def _doubtful(self, caller: Caller, by_archive: Mapping[str, Sequence[Mapping[str, Any]]]) -> set[str]:
        """Studies that one archive has twice or under somebody else, or two archives under two numbers of one issuer."""
        doubtful: set[str] = set()
        persons: dict[tuple[str, str], str] = {}
        for datasets in by_archive.values():
            doubtful |= {uid for uid, times in Counter(map(_uid, datasets)).items() if times > 1}
            fitting = {id(one) for one in self._gate.fitting(caller, datasets)}
            doubtful |= {_uid(one) for one in datasets if id(one) not in fitting}
            for one in datasets:
                issuer, number = first_text(one, ISSUER_OF_PATIENT_ID), first_text(one, PATIENT_ID) or ""
                if issuer and persons.setdefault((_uid(one), issuer), number) != number:
                    doubtful.add(_uid(one))
        return doubtful

    def _joined(
        self,
        caller: Caller,
        copies: Mapping[str, Mapping[StudyInstanceUID, Mapping[str, Any]]],
        listed: Mapping[str, Iterable[Mapping[str, Any]]],
    ) -> Iterator[FoundStudy]:
        """The studies out of ``copies`` that can be read; ``listed`` are all that the archives know, so also where they may not
        be shown."""
        held = {name: {_uid(one): one for one in datasets} for name, datasets in listed.items()}
        states = {name: {uid: state_of(one) for uid, one in by_uid.items()} for name, by_uid in copies.items()}
        seen = {name: self._states.seen_at(caller.ehr.name, name, of_archive) for name, of_archive in states.items()}
        for uid in dict.fromkeys(uid for by_uid in copies.values() for uid in by_uid):
            holders = [name for name, by_uid in copies.items() if uid in by_uid]
            described = [one for name in holders if (one := archived_study(copies[name][uid], name))]
            if not described:
                continue
            everywhere = {name: by_uid[uid] for name, by_uid in held.items() if uid in by_uid}
            yield FoundStudy(
                study=merged(described),
                last_updated_ms=max(seen[name][uid] for name in holders),
                states={name: state_of(one) for name, one in everywhere.items()},
                listed=everywhere,
            )


def with_series_of(found: FoundStudy, answers: Sequence[tuple[str, Matches]]) -> FoundStudy:
    """A study with the series that its archives list."""
    shown = [(name, answer) for name, answer in answers if name in found.study.archives]
    study = with_series(found.study, [(name, answer.datasets) for name, answer in shown])
    return replace(found, study=study, complete=all(answer.complete for _, answer in shown))


def _uid(dataset: Mapping[str, Any]) -> StudyInstanceUID:
    return StudyInstanceUID(first_text(dataset, STUDY_INSTANCE_UID) or "")


def _including(fields: Iterable[str]) -> list[tuple[str, str]]:
    return [("includefield", tag) for tag in fields]
