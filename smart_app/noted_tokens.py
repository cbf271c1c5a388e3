"""The word of the SMART app to the imaging server about its tokens, for EHRs whose tokens nobody else can explain.

Spec: DESIGN §8 (tokens, third way); off unless ``ehr.opaque_tokens`` is set.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from smart_app.active_session import ActiveSession

REPLACED_LIVES_S = 60
"""How long a renewed session's old token still counts: requests with it are on their way."""


class NotedTokens:
    """Notes each session's access token, and forgets it when the session ends."""

    def __init__(self, store: Store, ehrs: tuple[EhrSettings, ...]) -> None:
        self._tokens = LaunchedTokens(store)
        self._clients = {ehr.name: ehr.client_id for ehr in ehrs if ehr.opaque_tokens}

    def note(self, session: ActiveSession) -> None:
        """Makes the session's token known; call it before anybody is given the token."""
        if session.ehr in self._clients and session.access_token is not None:
            self._tokens.note(session.access_token, self._of(session))

    def replace(self, old: ActiveSession, new: ActiveSession, *, now: int) -> None:
        """After a renewal: the new token is known and the old one soon unknown, at once where the session has stopped."""
        if new.access_token is None:
            self.forget(old)
        elif old.access_token != new.access_token:
            self.note(replace(old, token_expires_at=min(old.token_expires_at, now + REPLACED_LIVES_S)))
        self.note(new)

    def forget(self, session: ActiveSession) -> None:
        """At sign-out."""
        if session.ehr in self._clients and session.access_token is not None:
            self._tokens.forget(session.access_token, ehr=session.ehr)

    def _of(self, session: ActiveSession) -> LaunchedToken:
        return LaunchedToken(
            ehr=session.ehr,
            issuer=session.iss,
            patient_id=session.patient,
            scopes=session.scope,
            user=session.user,
            client_id=self._clients[session.ehr],
            expires_at=session.token_expires_at,
        )
