"""Opaque tokens that nobody explains: known from our own launch, and proved alive by reading their Patient with them.

Only a token that the SMART app noted counts; what it opens is what the token response said at launch. The patient is the one
noted and is never guessed from a search.

Spec: DESIGN §8 (tokens, third way); SMART Imaging Access A2 ("another arrangement"), F5, group 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import NotFound, UpstreamError, UpstreamRefused
from fhir_imaging.scopes import parse_scopes
from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from imaging_server.access import AccessGrant, BearerToken, FhirPatientId, read_patient_id

_REFUSES_THE_TOKEN = frozenset({401, 403})


class LaunchedTokenCheck:
    """Finds launched tokens and asks their EHR whether they live. Keeps nothing: its caller decides how long a yes counts."""

    def __init__(self, launched: LaunchedTokens, session: OutboundSession, clock: Callable[[], float]) -> None:
        self._launched = launched
        self._session = session
        self._clock = clock

    def grant(self, ehr: EhrSettings, token: BearerToken, *, digest: Callable[[str], str]) -> AccessGrant | None:
        """What the token opens; None when no launch brought it, it has ended, or the EHR does not take it any more.

        UpstreamError when the EHR or the database cannot be asked: the caller fails closed.
        """
        known = self._known(ehr, token)
        if known is None or not ehr.recognises(known.issuer):
            return None
        patient_id = read_patient_id(known.patient_id)
        if patient_id is None or not self._is_alive(known.issuer, patient_id, token):
            return None
        return _grant_of(known, ehr, patient_id, digest(token.value))

    def _known(self, ehr: EhrSettings, token: BearerToken) -> LaunchedToken | None:
        try:
            return self._launched.find(token.value, ehr=ehr.name, now=int(self._clock()))
        except SQLAlchemyError as exc:
            raise UpstreamError(
                "The noted tokens could not be looked up.", server="database", retryable=True, cause=type(exc).__name__
            ) from exc

    def _is_alive(self, fhir_base: str, patient_id: FhirPatientId, token: BearerToken) -> bool:
        """Whether the EHR gives this token its own Patient; nothing else that it answers proves anything."""
        try:
            answer = FhirClient(fhir_base, self._session, access_token=token.value).read("Patient", patient_id)
        except NotFound:
            return False
        except UpstreamRefused as refusal:
            if refusal.status in _REFUSES_THE_TOKEN:
                return False
            raise
        return _is_patient(answer, patient_id)


def _is_patient(answer: Mapping[str, Any], patient_id: FhirPatientId) -> bool:
    return answer.get("resourceType") == "Patient" and answer.get("id") == patient_id


def _grant_of(known: LaunchedToken, ehr: EhrSettings, patient_id: FhirPatientId, digest: str) -> AccessGrant:
    return AccessGrant(
        ehr=ehr.name,
        issuer=known.issuer,
        patient_id=patient_id,
        scopes=parse_scopes(known.scopes),
        user=(known.user or "").removeprefix(ehr.fhir_base.rstrip("/") + "/") or None,
        client_id=known.client_id,
        expires_at=known.expires_at,
        token_reference=digest,
    )
