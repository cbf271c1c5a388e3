"""Whether the archive and the EHR mean the same person by a study: PatientID and its issuer against the patient's identifier.

Only where a site says which identifier system its archives use; there is no falling back to "the first identifier".

Spec: SMART Imaging Access F2, M10, groups 11 and 29.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fhir_imaging.dicom_json import ISSUER_OF_PATIENT_ID, PATIENT_ID, STUDY_INSTANCE_UID, first_text, values
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.decision_cache import DecisionCache
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.search import asked_by_us
from imaging_server.settings import PatientIdentifierRule
from imaging_server.upstream import Archive


class PatientIdentity:
    """Compares persons where the site says how. Thread-safe; answers are kept like ownership's."""

    def __init__(
        self,
        numbers: PatientNumbers,
        *,
        keep_s: float,
        max_json_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._numbers = numbers
        self._keep_s = keep_s
        self._max_json_bytes = max_json_bytes
        self._clock = clock
        self._same: DecisionCache[bool] = DecisionCache()

    def is_same(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> bool | None:
        """Whether the archive's study is of the caller's patient; None where the site does not compare.

        UpstreamError when the archive or the EHR cannot be asked.
        """
        if self._numbers.rule(caller) is None:
            return None

        def ask() -> bool:
            query = [("StudyInstanceUID", study), ("includefield", PATIENT_ID), ("includefield", ISSUER_OF_PATIENT_ID)]
            found = asked_by_us(archive, query, limit=self._max_json_bytes)
            of_study = [one for one in found.datasets if first_text(one, STUDY_INSTANCE_UID) == study]
            # A study that the archive does not hold is nobody's: it is left to the retrieval to say that it is not there.
            return len(self.fitting(caller, of_study)) == len(of_study)

        return self._same.get(
            caller.key(archive.name, study),
            ask,
            seconds=lambda same: caller.keep_for(self._keep_s, now=self._clock()) if same else 0,
        )

    def fitting(self, caller: Caller, datasets: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The data sets whose PatientID and issuer are the caller's patient's; all where the site does not compare."""
        rule = self._numbers.rule(caller)
        if rule is None:
            return list(datasets)
        numbers = self._numbers.of(caller)
        return [one for one in datasets if contradicts_nothing(one, numbers, rule)]


def contradicts_nothing(dataset: Mapping[str, Any], numbers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    """Whether a data set's PatientID is one of ``numbers`` and its issuer, where it names one, the site's."""
    if any(len(values(dataset, tag)) > 1 for tag in (PATIENT_ID, ISSUER_OF_PATIENT_ID)):
        return False  # two numbers in one data set name nobody
    issuer = first_text(dataset, ISSUER_OF_PATIENT_ID)
    return first_text(dataset, PATIENT_ID) in numbers and (
        rule.issuer_of_patient_id is None or issuer in (None, rule.issuer_of_patient_id)
    )


def proves(dataset: Mapping[str, Any], numbers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    """Whether PatientID and issuer alone say that a data set is of the patient: without an issuer a number is anybody's."""
    issuer = first_text(dataset, ISSUER_OF_PATIENT_ID)
    return contradicts_nothing(dataset, numbers, rule) and (
        rule.is_only_issuer or (issuer is not None and issuer == rule.issuer_of_patient_id)
    )
