"""Whether the archive and the EHR mean the same person by a study: PatientID and its issuer against the patient's identifier.

Only where a site says which identifier system its archives use; there is no falling back to "the first identifier".

Spec: SMART Imaging Access F2, M10, groups 11 and 29.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.dicom_json import ISSUER_OF_PATIENT_ID, PATIENT_ID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.errors import NotFound, UpstreamRefused
from fhir_imaging.tolerant import dicts
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.decision_cache import DecisionCache
from imaging_server.ownership import Caller
from imaging_server.search import STUDY_SEARCH
from imaging_server.settings import PatientIdentifierRule
from imaging_server.upstream import Archive


class PatientIdentity:
    """Compares persons where ``rules`` (by EHR name) say how. Thread-safe; answers are kept like ownership's."""

    def __init__(
        self,
        rules: Mapping[str, PatientIdentifierRule],
        session: OutboundSession,
        *,
        keep_s: float,
        max_json_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._session = session
        self._keep_s = keep_s
        self._max_json_bytes = max_json_bytes
        self._clock = clock
        self._identifiers: DecisionCache[frozenset[str]] = DecisionCache(max_entries=1000)
        self._same: DecisionCache[bool] = DecisionCache()

    def is_same(self, caller: Caller, archive: Archive, study: StudyInstanceUID) -> bool | None:
        """Whether the archive's study is of the caller's patient; None where the site does not compare.

        UpstreamError when the archive or the EHR cannot be asked.
        """
        if caller.ehr.name not in self._rules:
            return None

        def ask() -> bool:
            query = [("StudyInstanceUID", study), ("includefield", PATIENT_ID), ("includefield", ISSUER_OF_PATIENT_ID)]
            found = archive.search(STUDY_SEARCH, query, limit=self._max_json_bytes)
            of_study = [one for one in found.datasets if first_text(one, STUDY_INSTANCE_UID) == study]
            # A study that the archive does not hold is nobody's: it is left to the retrieval to say that it is not there.
            return len(self.fitting(caller, of_study)) == len(of_study)

        return self._same.get(caller.key(archive.name, study), ask, seconds=lambda same: self._seconds(caller) if same else 0)

    def fitting(self, caller: Caller, datasets: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The data sets whose PatientID and issuer are the caller's patient's; all where the site does not compare."""
        rule = self._rules.get(caller.ehr.name)
        if rule is None:
            return list(datasets)
        identifiers = self._identifiers.get(
            caller.key(), lambda: self._ask_for_identifiers(caller, rule), seconds=lambda _: self._seconds(caller)
        )
        return [one for one in datasets if _is_person(one, identifiers, rule)]

    def _ask_for_identifiers(self, caller: Caller, rule: PatientIdentifierRule) -> frozenset[str]:
        client = FhirClient(caller.ehr.fhir_base, self._session, access_token=caller.token.value)
        try:
            patient = client.read("Patient", caller.patient_id)
        except NotFound:
            return frozenset()
        except UpstreamRefused as refusal:
            if refusal.status in (401, 403):
                return frozenset()
            raise
        if patient.get("resourceType") != "Patient" or patient.get("id") != caller.patient_id:
            return frozenset()
        of_system = (one.get("value") for one in dicts(patient.get("identifier")) if one.get("system") == rule.system)
        return frozenset(value for value in of_system if isinstance(value, str) and value)

    def _seconds(self, caller: Caller) -> float:
        return min(self._keep_s, caller.grant.expires_at - self._clock())


def _is_person(dataset: Mapping[str, Any], identifiers: frozenset[str], rule: PatientIdentifierRule) -> bool:
    if first_text(dataset, PATIENT_ID) not in identifiers:
        return False
    issuer = first_text(dataset, ISSUER_OF_PATIENT_ID)
    return rule.issuer_of_patient_id is None or issuer in (None, rule.issuer_of_patient_id)
