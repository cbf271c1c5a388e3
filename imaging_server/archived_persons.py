"""Under which person an archive holds a study: asked once for all that want to know, kept while it is the caller's patient, or
one person's where the site does not compare.

Who compares decides anew each time, out of this and the patient's numbers: neither lends its age to the other. An answer that
is cut off says nothing: whoever else has the study may stand in the rest.

Spec: SMART Imaging Access groups 10, 11, 15 and 23.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    MODALITIES_IN_STUDY,
    PATIENT_ID,
    STUDY_INSTANCE_UID,
    first_text,
    issuer_of_number,
    values,
)
from fhir_imaging.errors import InvalidRequest, UpstreamError
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.ownership import Caller
from imaging_server.patient_numbers import PatientNumbers
from imaging_server.search import STUDY_SEARCH
from imaging_server.settings import PatientIdentifierRule
from imaging_server.upstream import Archive, Matches
from imaging_server.whole_answers import read_whole

log = logging.getLogger("imaging_cds.imaging_server")
_ASKED = tuple(("includefield", tag) for tag in (STUDY_INSTANCE_UID, PATIENT_ID, ISSUER_OF_PATIENT_ID, MODALITIES_IN_STUDY))


class ArchivedPersons:
    """Asks the archives' indexes in our own interest. Thread-safe; an answer is kept at most min(token's end, ``keep_s``)."""

    def __init__(
        self, numbers: PatientNumbers, *, keep_s: float, max_json_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._numbers = numbers
        self._keep_s = keep_s
        self._max_json_bytes = max_json_bytes
        self._clock = clock
        self._known: DecisionCache[Matches] = DecisionCache()

    def of_study(self, caller: Caller, numbers: frozenset[str], archive: Archive, study: StudyInstanceUID) -> Matches:
        """The archive's data sets of one study, several where it holds the UID more than once; none where it has none.

        ``numbers`` are the patient's, so that nobody but the archive is asked; UpstreamError when it cannot be.
        """

        def ask() -> Matches:
            found = self.search(archive, [("StudyInstanceUID", study)])
            of_it = tuple(one for one in found.datasets if first_text(one, STUDY_INSTANCE_UID) == study)
            return Matches(of_it, found.complete)

        rule = self._numbers.rule(caller)
        if rule is None:
            # About no patient, so it is one answer for all; it is asked only once the EHR has said whose study it is.
            return self._known.get((archive.name, study), ask, seconds=self._seconds_uncompared)
        # What is not the patient's is never kept: a second question must not be faster for a study that exists (group 15).
        return self._known.get(
            caller.key(archive.name, study),
            ask,
            seconds=lambda found: caller.keep_for(self._keep_s, now=self._clock()) if _fits(found, numbers, rule) else 0,
        )

    def search(self, archive: Archive, query: Sequence[tuple[str, str]]) -> Matches:
        """Studies searched for a decision, to the end. The question is ours: an archive that refuses it is an outage (503)."""
        try:
            found = read_whole(archive, STUDY_SEARCH, [*query, *_ASKED], limit=self._max_json_bytes)
        except InvalidRequest as refusal:
            raise UpstreamError(
                "The archive could not say whose study it is.", server=archive.server, cause=refusal.code
            ) from refusal
        if not found.complete:
            log.warning("archive %s cuts its answers off: what they are about is not decided by them", archive.name)
        return found

    def _seconds_uncompared(self, found: Matches) -> float:
        return self._keep_s if found.complete and is_of_one_person(found.datasets) else 0


def _fits(found: Matches, numbers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    if not found.datasets or not found.complete:
        return False
    return all(contradicts_nothing(one, numbers, rule) for one in found.datasets)


def contradicts_nothing(dataset: Mapping[str, Any], numbers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    """Whether a data set's PatientID is one of ``numbers`` and its issuer, where it names one, the site's.

    Where the archives' numbers are of one issuer that has no name there, whoever is named is another.
    """
    if any(len(values(dataset, tag)) > 1 for tag in (PATIENT_ID, ISSUER_OF_PATIENT_ID)):
        return False  # two numbers in one data set name nobody
    is_looked_at = rule.issuer_of_patient_id is not None or rule.is_only_issuer
    return first_text(dataset, PATIENT_ID) in numbers and (
        not is_looked_at or issuer_of_number(dataset) in (None, rule.issuer_of_patient_id)
    )


def is_of_one_person(listed: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an archive lists a study under one person; each time by the same number, where it lists it more than once."""
    said = {(first_text(one, PATIENT_ID), issuer_of_number(one)) for one in listed}
    return len(said) == 1 and (len(listed) == 1 or all(number for number, _ in said)) and name_one_person(listed)


def name_one_person(datasets: Iterable[Mapping[str, Any]]) -> bool:
    """Whether no two data sets name different persons, and none names two; those that name nobody say nothing.

    An empty text and null name nobody (PS3.18 §F.2.5 has null for an empty value); what is no text may be anybody.
    """
    said: dict[str, set[str]] = {PATIENT_ID: set(), ISSUER_OF_PATIENT_ID: set()}
    for one in datasets:
        for tag, found in said.items():
            held = values(one, tag)
            if len(held) > 1 or any(value is not None and not isinstance(value, str) for value in held):
                return False
            name = first_text(one, tag) if tag == PATIENT_ID else issuer_of_number(one)
            found |= {name} if name else set()
    return all(len(found) < 2 for found in said.values())


def names_nobody_else(dataset: Mapping[str, Any], numbers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    """As ``contradicts_nothing``, for what is below a study: archives need not repeat there whose it is."""
    return not (values(dataset, PATIENT_ID) or values(dataset, ISSUER_OF_PATIENT_ID)) or contradicts_nothing(
        dataset, numbers, rule
    )


def proves(dataset: Mapping[str, Any], numbers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    """Whether PatientID and issuer alone say that a data set is of the patient: without an issuer a number is anybody's."""
    issuer = issuer_of_number(dataset)
    return contradicts_nothing(dataset, numbers, rule) and (
        rule.is_only_issuer or (issuer is not None and issuer == rule.issuer_of_patient_id)
    )
