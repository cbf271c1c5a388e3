"""The Patient of a session, read by itself: for pages that must say or compare whose session it is without asking for a list.

Spec: SMART App Launch 2.2 A39 (a refused token), A40; FHIR R4 read.
"""

from __future__ import annotations

from typing import Any

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.errors import ImagingError, UpstreamRefused
from smart_app.imaging_notes import CONTEXTS
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens
from smart_app.study_search import PATIENT, read_patient

TOKEN_REFUSED = 401


def read_session_patient(services: SmartAppServices, live: LiveSession) -> dict[str, Any] | None:
    """The session's Patient; None where the token does not reach it, or the EHR does not give it just now.

    A refused token is renewed once and the question asked once more (A39): ExplainedRefusal when the session has ended,
    UpstreamError when it cannot be renewed just now.
    """
    if not live.session.scopes.granting(PATIENT, "r", contexts=CONTEXTS):
        return None
    try:
        return _read(services, live)
    except UpstreamRefused as refused:
        if refused.status != TOKEN_REFUSED:
            return None
    except ImagingError:
        return None
    renewed = SessionTokens(services).live(live.session_id, was_refused=True)
    try:
        return _read(services, renewed)
    except ImagingError:
        return None


def _read(services: SmartAppServices, live: LiveSession) -> dict[str, Any]:
    return read_patient(FhirClient(live.session.iss, services.outbound, access_token=live.access_token), live.session.patient)
