"""Whose study it is, by the archive's word: PatientID and its issuer against the number of the caller's patient.

For EHRs without ImagingStudy. The archive knows of no restriction that the EHR keeps for a user, so what the patient's token
may read of ImagingStudy decides alone; a study that two patients share, or whose issuer is not named, is nobody's.

Spec: SMART Imaging Access F2, W4, M10, groups 10, 11 and 15; DESIGN §8 (strategy ``identifier``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.dicom_json import MODALITIES_IN_STUDY, STUDY_INSTANCE_UID, first_text, values
from fhir_imaging.uids import StudyInstanceUID, is_uid
from imaging_server.archived_persons import ArchivedPersons, proves
from imaging_server.ownership import Caller, PatientStudies
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.policy import StudyFacts
from imaging_server.search import chunks_of
from imaging_server.upstream import Archive, Matches


class IdentifierOwnership:
    """Asks the archives. Thread-safe; an answer is kept at most min(token's end, ``keep_s``), so moved studies are noticed."""

    def __init__(
        self, numbers: PatientNumbers, persons: ArchivedPersons, *, keep_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._numbers = numbers
        self._persons = persons
        self._keep_s = keep_s
        self._clock = clock
        self._all: DecisionCache[PatientStudies] = DecisionCache(max_entries=1000)

    def study(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> StudyFacts | None:
        """The study when the archive's PatientID and issuer are the caller's patient's; None for every doubt."""
        numbers = self._numbers.of(caller)
        if not numbers:
            return None  # nothing could prove it, so the archive is not asked
        found = self._proved(caller, [self._persons.of_study(caller, numbers, archive, study)])
        return next((one for one in found if one.study == study), None)

    def studies(self, caller: Caller, archive: Archive) -> PatientStudies:
        """Everything in the archive under the patient's numbers."""

        def ask() -> PatientStudies:
            found = [self._persons.search(archive, [("PatientID", number)]) for number in sorted(self._numbers.of(caller))]
            # Part of this list is as good as all of it, since each study is looked at again by its UID.
            named = self._named(caller, [one for matches in found for one in matches.datasets])
            unshared, is_whole = self._unshared(caller, archive, named)
            return PatientStudies(unshared, complete=is_whole and all(one.complete for one in found))

        return self._all.get(caller.key(archive.name), ask, seconds=lambda found: self._seconds(caller, found))

    def _unshared(
        self, caller: Caller, archive: Archive, uids: frozenset[StudyInstanceUID]
    ) -> tuple[tuple[StudyFacts, ...], bool]:
        """Those that are nobody else's too, and whether all could be looked at: a search by number does not show who else
        has the same UID."""
        asked = (("StudyInstanceUID", ",".join(chunk)) for chunk in chunks_of(sorted(uids), archive.studies_per_search))
        found = [self._persons.search(archive, [query]) for query in asked]
        proved = self._proved(caller, found)
        return tuple(one for one in proved if one.study in uids), all(one.complete for one in found)

    def _proved(self, caller: Caller, answers: Sequence[Matches]) -> tuple[StudyFacts, ...]:
        """What the answers show to be the patient's. One that was cut off shows nothing: the same UID may stand in the rest."""
        datasets = [one for answer in answers if answer.complete for one in answer.datasets]
        times = Counter(first_text(one, STUDY_INSTANCE_UID) for one in datasets)
        return tuple(one for one in self._of_patient(caller, datasets) if times[one.study] == 1)

    def _named(self, caller: Caller, datasets: Sequence[Mapping[str, Any]]) -> frozenset[StudyInstanceUID]:
        return frozenset(one.study for one in self._of_patient(caller, datasets))

    def _of_patient(self, caller: Caller, datasets: Sequence[Mapping[str, Any]]) -> Iterable[StudyFacts]:
        rule, numbers = self._numbers.rule(caller), self._numbers.of(caller)
        return _facts(one for one in datasets if rule is not None and proves(one, numbers, rule))

    def _seconds(self, caller: Caller, found: PatientStudies) -> float:
        """Only what was found is kept: a study may still be arriving."""
        return caller.keep_for(self._keep_s, now=self._clock()) if found.studies else 0


def _facts(datasets: Iterable[Mapping[str, Any]]) -> Iterable[StudyFacts]:
    for dataset in datasets:
        uid = first_text(dataset, STUDY_INSTANCE_UID)
        if uid is not None and is_uid(uid):
            modalities = (one for one in values(dataset, MODALITIES_IN_STUDY) if isinstance(one, str))
            yield StudyFacts(study=StudyInstanceUID(uid), modalities=frozenset(modalities))
