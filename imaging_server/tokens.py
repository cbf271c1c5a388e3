"""From an Authorization header to an ``AccessGrant``: each EHR's tokens are checked by that EHR's own means.

Introspection decides where it is configured, since it alone sees a revocation at once; else the JWT's signature; where neither
is configured, what the EHR's SMART configuration offers. An EHR with ``opaque_tokens`` has tokens of our own launches and no
others. Without any means nothing is served.

Spec: RFC 6750; SMART Imaging Access A2, F5, P4, groups 1 to 6 and 8; DESIGN §8.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient
from fhir_imaging.errors import NotAuthenticated, UpstreamError
from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.launched_tokens import LaunchedTokens
from imaging_server.access import AccessGrant, BearerToken
from imaging_server.claims import ExpectedToken, VerifiedClaims, check_introspected_claims, check_jwt_claims, grant_of
from imaging_server.introspection import IntrospectionClient
from imaging_server.jwt_tokens import MAX_TOKEN_LENGTH, signed_claims
from imaging_server.launched_token_check import LaunchedTokenCheck
from imaging_server.settings import ImagingServerSettings
from imaging_server.token_authorities import Means, TokenAuthorities

log = logging.getLogger("imaging_cds.imaging_server")

# Without regard to case for the scheme alone: for a whole token that takes seven times as long, and each frame brings one.
_BEARER = re.compile(r"(?i:bearer) +(?P<token>[A-Za-z0-9\-._~+/]+=*)", re.ASCII)
REFUSED_FOR_S = 5.0
"""How long an inactive token is remembered: none becomes active again, and a storm of them must not reach the EHR."""
INVALID = "token-invalid"
OF_WHICH_EHR = "token-of-which-ehr"
"""Why a token is refused that holds, and says of no single EHR that it is its own."""


def read_bearer(authorization: str | None) -> BearerToken:
    """The one bearer token of a request's Authorization header. NotAuthenticated when there is none or not exactly one.

    Several headers arrive joined by a comma, which no token holds.
    """
    if not authorization or not authorization.strip():
        raise NotAuthenticated("A bearer token is needed.", code="token-missing")
    if authorization.split(None, 1)[0].lower() != "bearer":
        raise NotAuthenticated("A bearer token is needed; this scheme is not accepted.", code="token-missing")
    match = _BEARER.fullmatch(authorization.strip(" "))
    if match is None or len(match["token"]) > MAX_TOKEN_LENGTH:
        raise _refused()
    return BearerToken(match["token"])


@dataclass(frozen=True, slots=True)
class _Refused:
    """The authorization server says that the token is not alive, or does not say that it is this EHR's: ``code``."""

    code: str


class TokenVerifier:
    """Checks tokens of all configured EHRs. Thread-safe."""

    def __init__(
        self,
        settings: ImagingServerSettings,
        session: OutboundSession,
        authorities: TokenAuthorities,
        launched: LaunchedTokens,
        *,
        digest: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._authorities = authorities
        self._digest = digest
        self._clock = clock
        self._launched = LaunchedTokenCheck(launched, session, clock)
        self._asked: DecisionCache[AccessGrant | _Refused] = DecisionCache()
        self._signed: DecisionCache[AccessGrant] = DecisionCache()

    def verify(self, ehr: EhrSettings, token: BearerToken) -> AccessGrant:
        """What the token opens. NotAuthenticated when it does not hold, UpstreamError when that cannot be found out."""
        if ehr.opaque_tokens:
            return self._by_asking(
                ehr, token, lambda: self._launched.grant(ehr, token, digest=self._digest) or _Refused(INVALID)
            )
        means = self._authorities.of(ehr)
        if means.introspection is not None:
            return self._by_introspection(ehr, token, means, means.introspection)
        if means.keys is None:
            raise NotAuthenticated(
                "This EHR's tokens cannot be checked here.", challenge="invalid_token", code="no-means-to-check-tokens"
            )
        return self._by_signature(ehr, token, means, means.keys)

    def _by_signature(self, ehr: EhrSettings, token: BearerToken, means: Means, keys: JwksClient) -> AccessGrant:
        def check() -> AccessGrant:
            unverified_claims = signed_claims(token, keys)
            if unverified_claims is None:
                raise _refused()
            claims = check_jwt_claims(unverified_claims, self._expected(ehr, means.issuer))
            if claims is None:
                raise _refused()
            if not self._is_of(ehr, claims, means):
                raise _refused(OF_WHICH_EHR)
            return grant_of(claims, ehr, issuer=means.issuer, digest=self._digest(token.value))

        # A signature costs more than all the rest of a warm request; a removed key is noticed when this has ended.
        return self._signed.get((ehr.name, token.fingerprint), check, seconds=self._seconds)

    def _by_introspection(self, ehr: EhrSettings, token: BearerToken, means: Means, client: IntrospectionClient) -> AccessGrant:
        def ask() -> AccessGrant | _Refused:
            claims = check_introspected_claims(client.unverified_claims(token), self._expected(ehr, means.issuer))
            if claims is None:
                return _Refused(INVALID)
            if not self._is_of(ehr, claims, means):
                return _Refused(OF_WHICH_EHR)
            return grant_of(claims, ehr, issuer=means.issuer, digest=self._digest(token.value), token=token.value)

        return self._by_asking(ehr, token, ask)

    def _is_of(self, ehr: EhrSettings, claims: VerifiedClaims, means: Means) -> bool:
        """Whether a token that holds says that it is this EHR's, where another one's tokens are checked in the same way."""
        other = self._authorities.could_be_of(claims, ehr, means)
        if other is not None:
            log.warning(
                "a token that holds was refused at EHR %s: it could as well be of EHR %s, whose tokens are checked in the "
                "same way. The authorization server must say in aud or iss whose it is (docs/connecting.md)",
                ehr.name,
                other.name,
            )
        return other is None

    def _by_asking(self, ehr: EhrSettings, token: BearerToken, ask: Callable[[], AccessGrant | _Refused]) -> AccessGrant:
        """What the EHR itself says, asked once for all that wait."""
        answer = self._asked.get((ehr.name, token.fingerprint), ask, seconds=self._seconds)
        if isinstance(answer, _Refused):
            raise _refused(answer.code)
        return answer

    def _seconds(self, answer: AccessGrant | _Refused) -> float:
        """How long an answer about a token may be reused: min(its end, N s)."""
        if isinstance(answer, _Refused):
            return REFUSED_FOR_S
        return min(self._settings.decision_cache_s, answer.expires_at - self._clock())

    def _expected(self, ehr: EhrSettings, issuer: str) -> ExpectedToken:
        return ExpectedToken(
            fhir_base=ehr.fhir_base,
            issuers=frozenset({issuer}),
            audiences=self._settings.audiences_of(ehr),
            now=int(self._clock()),
            leeway_s=self._settings.token_leeway_s,
        )


def unavailable(cause: UpstreamError) -> UpstreamError:
    """An authorization server or FHIR server that cannot be asked: 503, so that clients wait, and never an access."""
    return UpstreamError(
        "Whether you may see this could not be checked just now. Please try again.",
        server=cause.server,
        status=cause.status,
        retryable=True,
        retry_after_s=cause.retry_after_s,
        cause=cause.code,
    )


def _refused(code: str = INVALID) -> NotAuthenticated:
    return NotAuthenticated("The token is not valid here.", challenge="invalid_token", code=code)
