"""Under which numbers the archives know a caller's patient: identifiers of the one configured system, and no others.

The Patient is read with the caller's own token; where that token may not, with the imaging server's own Backend Services
client, which only ever answers this question and widens nobody's access (F11). A token that the EHR does not accept any more
(401) is helped by nobody.

Spec: SMART Imaging Access F2, F11, M10, group 11; DICOM PS3.4 §C.2.2.2 (wild cards).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotAuthenticated, NotFound, UpstreamRefused
from fhir_imaging.settings import EhrSettings
from fhir_imaging.tolerant import as_dict, dicts
from imaging_server.ownership import Caller
from imaging_server.settings import PatientIdentifierRule

MAX_NUMBER = 64
"""Characters of a PatientID (VR LO)."""
NONE_FOR_S = 5.0
"""How long "no number" is remembered: a storm of requests that must be refused must not reach the EHR."""
_WILD = frozenset("*?\\")


class BackendTokens(Protocol):
    """The imaging server's own access at EHRs that registered it."""

    def token_of(self, ehr: EhrSettings) -> str | None:
        """An access token of our own; None where the EHR registered no such client. UpstreamError when it cannot be had."""

    def renewed(self, ehr: EhrSettings, refused: str) -> str | None:
        """Another one, after the EHR answered 401 to ``refused``; None when there is none worth trying. As ``token_of``."""


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
        """The patient's numbers; none where nobody may read them.

        NotAuthenticated when the EHR does not accept the caller's token, UpstreamError when it cannot be asked.
        """
        rule = self.rule(caller)
        if rule is None:
            return frozenset()
        return self._known.get(
            caller.key(),
            lambda: _numbers(self._patient(caller), caller, rule, today=self._today()),
            seconds=lambda found: caller.keep_for(self._keep_s if found else NONE_FOR_S, now=self._clock()),
        )

    def _patient(self, caller: Caller) -> Mapping[str, Any]:
        try:
            patient = self._read(caller, caller.token.value)
        except UpstreamRefused as refusal:
            if refusal.status != 401:
                raise
            raise NotAuthenticated(
                "The EHR does not accept this token any more.", challenge="invalid_token", code="token-refused-by-ehr"
            ) from refusal
        return patient or (self._read_in_our_name(caller, self._backend) if self._backend else None) or {}

    def _read_in_our_name(self, caller: Caller, backend: BackendTokens) -> Mapping[str, Any] | None:
        """A token of our own may have been revoked before its end: then another one is tried, once."""
        own = backend.token_of(caller.ehr)
        if own is None:
            return None
        try:
            return self._read(caller, own)
        except UpstreamRefused as refusal:
            fresh = backend.renewed(caller.ehr, own) if refusal.status == 401 else None
            if fresh is None:
                raise
        return self._read(caller, fresh)

    def _read(self, caller: Caller, access_token: str) -> Mapping[str, Any] | None:
        """The Patient; None where this token may not read it or there is none."""
        client = FhirClient(caller.ehr.fhir_base, self._session, access_token=access_token)
        try:
            return client.read("Patient", caller.patient_id)
        except NotFound:
            return None
        except UpstreamRefused as refusal:
            if refusal.status == 403:
                return None
            raise

    def _today(self) -> str:
        """The date in UTC, as FHIR writes it."""
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()


def _numbers(patient: Mapping[str, Any], caller: Caller, rule: PatientIdentifierRule, *, today: str) -> frozenset[str]:
    """Identifiers in use of the rule's system, fit to be compared; a withdrawn one may be somebody else's by now."""
    if patient.get("resourceType") != "Patient" or patient.get("id") != caller.patient_id or _is_merged_away(patient):
        return frozenset()
    of_system = (one for one in dicts(patient.get("identifier")) if one.get("system") == rule.system)
    stated = (one.get("value") for one in of_system if _is_in_use(one, today))
    return frozenset(value for value in stated if isinstance(value, str) and _is_number(value))


def _is_merged_away(patient: Mapping[str, Any]) -> bool:
    """Whether another record stands for this person now: what its numbers mean is for that record to say."""
    return any(one.get("type") == "replaced-by" for one in dicts(patient.get("link")))


def _is_in_use(identifier: Mapping[str, Any], today: str) -> bool:
    """Not called old, and not ended: an end may be a year, a month, a day or an instant, whose day counts."""
    end = as_dict(identifier.get("period")).get("end")
    ended = end is not None and not (isinstance(end, str) and end[:10] >= today[: len(end[:10])])
    return identifier.get("use") != "old" and not ended


def _is_number(value: str) -> bool:
    """Whether a value can be a PatientID that is searched for as it stands: an archive would take marks in it as wild cards."""
    return 0 < len(value) <= MAX_NUMBER and value == value.strip() and value.isprintable() and not _WILD & set(value)
