"""The living token of a session: renewed ahead of time, by one worker at a time, and stopped when that is no longer right.

Spec: SMART App Launch 2.2 "Refresh access token" (A18, A38, A39); smart-launch.md §4.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from fhir_imaging.errors import ImagingError, UpstreamError
from smart_app.active_session import ActiveSession
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.one_patient import record_bases
from smart_app.services import SmartAppServices
from smart_app.tokens import TokenRefused

WAIT_FOR_OTHER_S = 12.0
WAIT_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session whose token may be sent now."""

    session_id: str
    session: ActiveSession
    access_token: str


class SessionTokens:
    """Gives out sessions with a live token. All state is in the shared store; any worker may ask."""

    def __init__(self, services: SmartAppServices) -> None:
        self._services = services

    def live(self, session_id: str, *, was_refused: bool = False) -> LiveSession:
        """The session with a token that lives; ``was_refused``: a server no longer took the current one.

        ExplainedRefusal when the session has ended or is unknown, UpstreamError when the EHR cannot be asked just now.
        """
        services, waited = self._services, 0.0
        while True:
            session = self._session(session_id)
            now = services.now()
            if not self._must_renew(session, now, was_refused=was_refused):
                return self._usable(session_id, session, now)
            if services.sessions.lease(session_id, now=now):
                return self._renew_leased(session_id, was_refused=was_refused)
            if session.has_live_token(now) and not was_refused:
                return self._usable(session_id, session, now)
            if waited >= WAIT_FOR_OTHER_S:
                raise UpstreamError("The sign-in is being renewed; please try again.", server="", retryable=True)
            services.sleep(WAIT_STEP_S)
            waited += WAIT_STEP_S

    def change(self, session_id: str, change: Callable[[ActiveSession], ActiveSession]) -> ActiveSession:
        """Writes a changed session under the same lease as a renewal, so that neither loses the other's work."""
        if not self._lease(session_id):
            raise UpstreamError("The session is busy; please try again.", server="", retryable=True)
        try:
            changed = change(self._session(session_id))
        except ExplainedRefusal:
            self._services.sessions.release(session_id)
            raise
        self._services.sessions.write(session_id, changed)
        return changed

    def end(self, session_id: str) -> None:
        """Signs out: the tokens are forgotten here and each is revoked at the EHR, whatever it answers.

        A renewal on its way is waited for, so that the tokens it brings are revoked too.
        """
        self._lease(session_id)
        session = self._services.sessions.find(session_id, now=self._services.now())
        self._services.sessions.forget(session_id)
        ehr = self._services.ehr(session.ehr) if session else None
        if session is None or ehr is None:
            return
        self._services.noted_tokens.forget(session)
        # The tokens are gone from here; an EHR that is away lets them run out.
        with suppress(ImagingError):
            client = self._services.token_client(ehr, self._services.metadata.of(session.iss))
            for token, hint in ((session.refresh_token, "refresh_token"), (session.access_token, "access_token")):
                with suppress(ImagingError):
                    if token is not None:
                        client.revoke(token, hint)

    def _lease(self, session_id: str) -> bool:
        """Waits for the right to change the session; False when another worker keeps it too long."""
        services, waited = self._services, 0.0
        while not services.sessions.lease(session_id, now=services.now()):
            if services.sessions.find(session_id, now=services.now()) is None:
                raise ExplainedRefusal(Reason.SESSION_UNKNOWN)
            if waited >= WAIT_FOR_OTHER_S:
                return False
            services.sleep(WAIT_STEP_S)
            waited += WAIT_STEP_S
        return True

    def _session(self, session_id: str) -> ActiveSession:
        session = self._services.sessions.find(session_id, now=self._services.now())
        if session is None:
            raise ExplainedRefusal(Reason.SESSION_UNKNOWN)
        if session.ended is not None:
            raise ExplainedRefusal(Reason(session.ended))
        return session

    def _must_renew(self, session: ActiveSession, now: int, *, was_refused: bool) -> bool:
        if session.refresh_token is None:
            return False
        ehr = self._services.ehr(session.ehr)
        if was_refused and ehr is not None and now - session.token_issued_at >= ehr.refresh_interval_s:
            return True
        return session.is_refresh_due(now)

    def _usable(self, session_id: str, session: ActiveSession, now: int) -> LiveSession:
        if session.access_token is None or not session.has_live_token(now):
            raise ExplainedRefusal(Reason.SESSION_ENDED)
        return LiveSession(session_id, session, session.access_token)

    def _renew_leased(self, session_id: str, *, was_refused: bool) -> LiveSession:
        """Renews under the lease; somebody else may have done it between our look and the lease."""
        try:
            session = self._session(session_id)
            now = self._services.now()
            if not self._must_renew(session, now, was_refused=was_refused):
                self._services.sessions.release(session_id)
                return self._usable(session_id, session, now)
            renewed = self._renewed(session, now)
        except UpstreamError:
            self._services.sessions.release(session_id)
            session = self._session(session_id)
            if session.has_live_token(self._services.now()):
                return self._usable(session_id, session, self._services.now())
            raise
        self._services.noted_tokens.replace(session, renewed, now=now)
        self._services.sessions.write(session_id, renewed)
        if renewed.ended is not None:
            raise ExplainedRefusal(Reason(renewed.ended))
        return self._usable(session_id, renewed, now)

    def _renewed(self, session: ActiveSession, now: int) -> ActiveSession:
        ehr = self._services.ehr(session.ehr)
        if ehr is None or session.refresh_token is None:
            return session.stopped(Reason.SESSION_ENDED)
        metadata = self._services.metadata.of(session.iss)
        client = self._services.token_client(ehr, metadata)
        try:
            response = client.refresh(session.refresh_token)
        except TokenRefused:
            return session.stopped(Reason.SESSION_ENDED)
        named_other = response.patient is not None and response.patient != session.patient
        if named_other or response.contradicts(session.patient, record_bases(ehr, metadata, session.iss)):
            return session.stopped(Reason.PATIENT_CHANGED)
        lifetime = response.expires_in_s or self._services.settings.assumed_token_lifetime_s
        return session.renewed(response, now=now, expires_at=min(now + lifetime, session.session_expires_at))
