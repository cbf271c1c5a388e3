"""Whether the archive and the EHR mean the same person by a study: PatientID and its issuer against the patient's identifier.

Only where a site says which identifier system its archives use; there is no falling back to "the first identifier".

Spec: SMART Imaging Access F2, W5, M10, groups 11, 15 and 29.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_imaging.uids import StudyInstanceUID
from imaging_server.archived_persons import (
    ArchivedPersons,
    contradicts_nothing,
    is_of_one_person,
    name_one_person,
    names_nobody_else,
)
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.settings import PatientIdentifierRule
from imaging_server.study_contents import SeriesIndex
from imaging_server.upstream import Archive, Matches


@dataclass(frozen=True, slots=True)
class Person:
    """A caller's patient as the archives name them; ``rule`` is None where the site does not compare."""

    rule: PatientIdentifierRule | None
    numbers: frozenset[str] = frozenset()

    def fitting(self, datasets: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The data sets whose PatientID and issuer are this person's; all where the site does not compare."""
        rule = self.rule
        return [one for one in datasets if rule is None or contradicts_nothing(one, self.numbers, rule)]

    def is_of(self, listed: Matches) -> bool | None:
        """Whether a study that an archive lists like this is this person's, and nobody else's; None where it lists none.

        Where the site does not compare, whether it is one person's. Nothing listed proves nothing: the images may be there.
        """
        if not listed.complete:
            return False
        if not listed.datasets:
            return None
        if self.rule is None:
            return is_of_one_person(listed.datasets)
        return len(self.fitting(listed.datasets)) == len(listed.datasets)

    def has_all_of(self, index: SeriesIndex, listed: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Whether no series of a study is said to be anybody else's. What is cut off says nothing, so it is a no.

        Where the site does not compare, whether all, and the study itself as it is ``listed``, are said to be one person's: a
        study of two is partly another's.
        """
        rule = self.rule
        if index.is_cut:
            return False
        if rule is None:
            return name_one_person((*listed, *index.persons))
        return all(names_nobody_else(one, self.numbers, rule) for one in index.persons)


@dataclass(frozen=True, slots=True)
class KnownCaller(Caller):
    """A caller who was let through, with the person that archives' answers are compared with: nobody is asked any more."""

    person: Person


class PatientIdentity:
    """Compares persons where the site says how. Thread-safe."""

    def __init__(self, numbers: PatientNumbers, persons: ArchivedPersons) -> None:
        self._numbers = numbers
        self._persons = persons

    def person(self, caller: Caller) -> Person:
        """The caller's patient. NotAuthenticated or UpstreamError when the EHR cannot be asked."""
        return Person(self._numbers.rule(caller), self._numbers.of(caller))

    def listed(self, caller: Caller, person: Person, archive: Archive, study: StudyInstanceUID) -> Matches:
        """How the archive lists a study, as ``ArchivedPersons.of_study``: to be judged by ``person``, and never alone."""
        return self._persons.of_study(caller, person.numbers, archive, study)

    def known(self, caller: Caller) -> KnownCaller:
        """The caller with their person, as ``person``."""
        return KnownCaller(caller.ehr, caller.grant, caller.patient_id, caller.token, self.person(caller))
