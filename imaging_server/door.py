"""Before the gate: a token as presented, when its turn has come, and what it opens if it holds. Every refusal is recorded.

Spec: SMART Imaging Access F5, P4, groups 1, 6, 16 and 23.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_imaging.errors import NotAuthenticated, TooManyRequests, UpstreamError
from fhir_imaging.settings import EhrSettings
from imaging_server.access import AccessGrant, BearerToken
from imaging_server.auditing import AUTHORIZATION_UNAVAILABLE, METHOD_NOT_ALLOWED, AccessAudit, Attempt
from imaging_server.kept_tokens import KeptTokens
from imaging_server.rate_limit import HeldBack, RequestLimits
from imaging_server.tokens import read_bearer, unavailable


class Door:
    """Reads and checks tokens, none of them more often than it may be used. Thread-safe."""

    def __init__(self, tokens: KeptTokens, limits: RequestLimits, audit: AccessAudit) -> None:
        self._tokens = tokens
        self._limits = limits
        self._audit = audit
        audit.limited_by(limits)

    def enter(self, ehr: EhrSettings, authorization: str | None, attempt: Attempt) -> tuple[BearerToken, AccessGrant]:
        """The token and what it opens; NotAuthenticated, TooManyRequests, or UpstreamError (503) when it cannot be checked."""
        token = self._token(authorization, attempt)
        try:
            grant = self._tokens.verify(ehr, token)
        except NotAuthenticated as refusal:
            self._limits.found_bad(ehr.name, token.fingerprint, attempt.client_address)
            self._audit.denied(replace(attempt, token=token.fingerprint), None, refusal.code)
            raise
        except UpstreamError as outage:
            self._audit.denied(replace(attempt, token=token.fingerprint), None, AUTHORIZATION_UNAVAILABLE)
            raise unavailable(outage) from outage
        self._limits.found_good(ehr.name, token.fingerprint)
        self._hold_back(attempt, self._limits.admit_granted(grant), grant)
        return token, grant

    def enter_again(self, grant: AccessGrant, fingerprint: str, attempt: Attempt) -> bool:
        """Whether a token that held a moment ago still does, as far as is known without asking; TooManyRequests as above."""
        if not self._tokens.still_holds(grant):
            return False
        self._hold_back(attempt, self._limits.admit(attempt.ehr, fingerprint, attempt.client_address))
        self._hold_back(attempt, self._limits.admit_granted(grant), grant)
        return True

    def lets_in_unasked(self, grant: AccessGrant, fingerprint: str, attempt: Attempt) -> bool:
        """As ``enter_again``, for whoever comes by that way when this says no: nothing is waited for, and nothing recorded."""
        return (
            self._tokens.is_known_to_hold(grant)
            and self._limits.admit_granted(grant) is None
            and self._limits.admit(attempt.ehr, fingerprint, attempt.client_address) is None
        )

    def refuse_method(self, ehr: EhrSettings, authorization: str | None, attempt: Attempt) -> None:
        """Records a method that is refused to everybody, and who tried it where the token tells; TooManyRequests in a flood."""
        token, grant = self._presented(authorization, attempt), None
        if token is not None:
            grant = self._known(ehr, token, attempt)
            attempt = replace(attempt, token=token.fingerprint)
        if grant is not None:
            self._hold_back(attempt, self._limits.admit_granted(grant), grant)
        self._audit.denied(attempt, grant, METHOD_NOT_ALLOWED)

    def refuse_unasked(self, authorization: str | None, attempt: Attempt, reason: str) -> None:
        """Records what is refused to everybody without asking who it is; TooManyRequests in a flood."""
        token = self._presented(authorization, attempt)
        self._audit.denied(replace(attempt, token=token.fingerprint) if token else attempt, None, reason)

    def _presented(self, authorization: str | None, attempt: Attempt) -> BearerToken | None:
        """The token of a request that is refused with or without one, when its turn has come; None where there is none."""
        try:
            token = read_bearer(authorization)
        except NotAuthenticated:
            self._hold_back(attempt, self._limits.admit_without_token(attempt.client_address))
            return None
        self._hold_back(attempt, self._limits.admit(attempt.ehr, token.fingerprint, attempt.client_address))
        return token

    def _token(self, authorization: str | None, attempt: Attempt) -> BearerToken:
        """The token as presented: nothing was asked of anybody for it."""
        try:
            token = read_bearer(authorization)
        except NotAuthenticated as refusal:
            self._hold_back(attempt, self._limits.admit_without_token(attempt.client_address))
            self._audit.denied(attempt, None, refusal.code)
            raise
        self._hold_back(attempt, self._limits.admit(attempt.ehr, token.fingerprint, attempt.client_address))
        return token

    def _known(self, ehr: EhrSettings, token: BearerToken, attempt: Attempt) -> AccessGrant | None:
        """Who calls, where nothing depends on it."""
        try:
            return self._tokens.verify(ehr, token)
        except NotAuthenticated:
            self._limits.found_bad(ehr.name, token.fingerprint, attempt.client_address)
        except UpstreamError:
            return None  # what is asked is refused in any case
        return None

    def _hold_back(self, attempt: Attempt, held: HeldBack | None, grant: AccessGrant | None = None) -> None:
        """Raises TooManyRequests for a caller who asks, or is refused, too often."""
        if held is None:
            return
        self._audit.held_back(attempt, grant, held)
        raise TooManyRequests("These are too many requests; please slow down.", retry_after_s=held.retry_after_s)
