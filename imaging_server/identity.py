"""Whether the archive and the EHR mean the same person by a study: PatientID and its issuer against the patient's identifier.

Only where a site says which identifier system its archives use; there is no falling back to "the first identifier".

Spec: SMART Imaging Access F2, W5, M10, groups 11, 15 and 29.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_imaging.dicom_json import ISSUER_OF_PATIENT_ID, PATIENT_ID
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.archived_persons import ArchivedPersons, contradicts_nothing, names_nobody_else
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.settings import PatientIdentifierRule
from imaging_server.study_contents import SeriesIndex
from imaging_server.upstream import Archive


@dataclass(frozen=True, slots=True)
class Person:
    """A caller's patient as the archives name them; ``rule`` is None where the site does not compare."""

    rule: PatientIdentifierRule | None
    numbers: frozenset[str] = frozenset()

    def fitting(self, datasets: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The data sets whose PatientID and issuer are this person's; all where the site does not compare."""
        rule = self.rule
        return [one for one in datasets if rule is None or contradicts_nothing(one, self.numbers, rule)]

    def has_all_of(self, index: SeriesIndex) -> bool:
        """Whether no series of a study is said to be anybody else's.

        Where the site does not compare, whether all are said to be one person's: a study of two is partly another's.
        """
        rule = self.rule
        if rule is None:
            return all(
                _is_one(one.get(tag) for one in index.persons if tag in one) for tag in (PATIENT_ID, ISSUER_OF_PATIENT_ID)
            )
        return not index.is_cut and all(names_nobody_else(one, self.numbers, rule) for one in index.persons)


@dataclass(frozen=True, slots=True)
class KnownCaller(Caller):
    """A caller who was let through, with the person that archives' answers are compared with: nobody is asked any more."""

    person: Person


def _is_one(said: Iterable[object]) -> bool:
    first, *others = *said, None
    return all(one in (first, None) for one in others)


class PatientIdentity:
    """Compares persons where the site says how. Thread-safe."""

    def __init__(self, numbers: PatientNumbers, persons: ArchivedPersons) -> None:
        self._numbers = numbers
        self._persons = persons

    def person(self, caller: Caller) -> Person:
        """The caller's patient. NotAuthenticated or UpstreamError when the EHR cannot be asked."""
        return Person(self._numbers.rule(caller), self._numbers.of(caller))

    def is_same(self, caller: Caller, archive: Archive, study: StudyInstanceUID, person: Person) -> bool | None:
        """Whether the archive's study is of ``person``, the caller's patient; None where the site does not compare.

        UpstreamError when the archive or the EHR cannot be asked.
        """
        if person.rule is None:
            return None
        of_study = self._persons.of_study(caller, archive, study)
        # A study that the archive does not hold is nobody's: it is left to the retrieval to say that it is not there.
        return of_study.complete and len(person.fitting(of_study.datasets)) == len(of_study.datasets)

    def known(self, caller: Caller) -> KnownCaller:
        """The caller with their person, as ``person``."""
        return KnownCaller(caller.ehr, caller.grant, caller.patient_id, caller.token, self.person(caller))
