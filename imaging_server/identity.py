"""Whether the archive and the EHR mean the same person by a study: PatientID and its issuer against the patient's identifier.

Only where a site says which identifier system its archives use; there is no falling back to "the first identifier".

Spec: SMART Imaging Access F2, M10, groups 11 and 29.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_imaging.uids import StudyInstanceUID
from imaging_server.archived_persons import ArchivedPersons, contradicts_nothing
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.upstream import Archive


class PatientIdentity:
    """Compares persons where the site says how. Thread-safe."""

    def __init__(self, numbers: PatientNumbers, persons: ArchivedPersons) -> None:
        self._numbers = numbers
        self._persons = persons

    def is_same(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> bool | None:
        """Whether the archive's study is of the caller's patient; None where the site does not compare.

        UpstreamError when the archive or the EHR cannot be asked.
        """
        if self._numbers.rule(caller) is None:
            return None
        of_study = self._persons.of_study(caller, archive, study)
        # A study that the archive does not hold is nobody's: it is left to the retrieval to say that it is not there.
        return len(self.fitting(caller, of_study)) == len(of_study)

    def fitting(self, caller: Caller, datasets: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The data sets whose PatientID and issuer are the caller's patient's; all where the site does not compare."""
        rule = self._numbers.rule(caller)
        if rule is None:
            return list(datasets)
        numbers = self._numbers.of(caller)
        return [one for one in datasets if contradicts_nothing(one, numbers, rule)]
