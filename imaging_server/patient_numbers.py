"""Under which numbers the archives know a caller's patient: identifiers of the one configured system, and no others.

The Patient is read with the caller's own token; where that token may not, with the imaging server's own Backend Services
client, which only ever answers this question and widens nobody's access (F11).

Spec: SMART Imaging Access F2, F11, M10, group 11; DICOM PS3.4 §C.2.2.2 (wild cards).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotFound, UpstreamRefused
from fhir_imaging.settings import EhrSettings
from fhir_imaging.tolerant import dicts
from imaging_server.decision_cache import DecisionCache
from imaging_server.ownership import Caller
from imaging_server.settings import PatientIdentifierRule

MAX_NUMBER = 64
"""Characters of a PatientID (VR LO)."""
NONE_FOR_S = 5.0
"""How long "no number" is remembered: a storm of requests that must be refused must not reach the EHR."""
_WILD = frozenset("*?\\")
_NOT_READ = frozenset({401, 403})


class BackendTokens(Protocol):
    """The imaging server's own access at EHRs that registered it."""

    def token_of(self, ehr: EhrSettings) -> str | None:
        """An access token of our own; None where the EHR registered no such client. UpstreamError when it cannot be had."""


class PatientNumbers:
    """Looks the caller's patient up where ``rules`` (by EHR name) say under which system. Thread-safe."""

    def __init__(
        self,
        rules: Mapping[str, PatientIdentifierRule],
        session: OutboundSession,
        backend: BackendTokens | None = None,
        *,
        keep_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._session = session
        self._backend = backend
        self._keep_s = keep_s
        self._clock = clock
        self._known: DecisionCache[frozenset[str]] = DecisionCache(max_entries=1000)

    def rule(self, caller: Caller) -> PatientIdentifierRule | None:
        """How the archives name patients of the caller's EHR; None where the site does not say."""
        return self._rules.get(caller.ehr.name)

    def of(self, caller: Caller) -> frozenset[str]:
        """The patient's numbers; none where nobody may read them. UpstreamError when the EHR cannot be asked."""
        rule = self.rule(caller)
        if rule is None:
            return frozenset()
        return self._known.get(
            caller.key(),
            lambda: _numbers(self._patient(caller), caller, rule),
            seconds=lambda found: caller.keep_for(self._keep_s if found else NONE_FOR_S, now=self._clock()),
        )

    def _patient(self, caller: Caller) -> Mapping[str, Any]:
        patient = self._read(caller, caller.token.value)
        own = None if patient or self._backend is None else self._backend.token_of(caller.ehr)
        return patient or (self._read(caller, own) if own else None) or {}

    def _read(self, caller: Caller, access_token: str) -> Mapping[str, Any] | None:
        """The Patient; None where this token may not read it or there is none."""
        client = FhirClient(caller.ehr.fhir_base, self._session, access_token=access_token)
        try:
            return client.read("Patient", caller.patient_id)
        except NotFound:
            return None
        except UpstreamRefused as refusal:
            if refusal.status in _NOT_READ:
                return None
            raise


def _numbers(patient: Mapping[str, Any], caller: Caller, rule: PatientIdentifierRule) -> frozenset[str]:
    """Identifiers in use of the rule's system, fit to be compared; a withdrawn one may be somebody else's by now."""
    if patient.get("resourceType") != "Patient" or patient.get("id") != caller.patient_id:
        return frozenset()
    of_system = (one for one in dicts(patient.get("identifier")) if one.get("system") == rule.system)
    stated = (one.get("value") for one in of_system if one.get("use") != "old")
    return frozenset(value for value in stated if isinstance(value, str) and _is_number(value))


def _is_number(value: str) -> bool:
    """Whether a value can be a PatientID that is searched for as it stands: an archive would take marks in it as wild cards."""
    return 0 < len(value) <= MAX_NUMBER and value == value.strip() and value.isprintable() and not _WILD & set(value)
