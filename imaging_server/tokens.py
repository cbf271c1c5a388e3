"""From an Authorization header to an ``AccessGrant``: each EHR's tokens are checked by that EHR's own means.

Introspection decides where it is configured, since it alone sees a revocation at once; else the JWT's signature; where neither
is configured, what the EHR's SMART configuration offers. An EHR with ``opaque_tokens`` has tokens of our own launches and no
others. Without any means nothing is served.

Spec: RFC 6750; SMART Imaging Access A2, F5, P4, groups 1 to 6; DESIGN §8.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient
from fhir_imaging.clients.smart_metadata import SmartMetadataClient
from fhir_imaging.errors import NotAuthenticated, UpstreamError
from fhir_imaging.settings import EhrSettings
from fhir_imaging.store.launched_tokens import LaunchedTokens
from imaging_server.access import AccessGrant, BearerToken
from imaging_server.claims import ExpectedToken, check_introspected_claims, check_jwt_claims, grant_of
from imaging_server.introspection import IntrospectionClient
from imaging_server.jwt_tokens import MAX_TOKEN_LENGTH, signed_claims
from imaging_server.launched_token_check import LaunchedTokenCheck
from imaging_server.settings import ImagingServerSettings

# Without regard to case for the scheme alone: for a whole token that takes seven times as long, and each frame brings one.
_BEARER = re.compile(r"(?i:bearer) +(?P<token>[A-Za-z0-9\-._~+/]+=*)", re.ASCII)
REFUSED_FOR_S = 5.0
"""How long an inactive token is remembered: none becomes active again, and a storm of them must not reach the EHR."""


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
class _Means:
    """How one EHR's tokens are checked: exactly one of the two is set."""

    issuer: str
    introspection: IntrospectionClient | None = None
    keys: JwksClient | None = None


@dataclass(frozen=True, slots=True)
class _Inactive:
    """The authorization server says that the token is not alive."""


class TokenVerifier:
    """Checks tokens of all configured EHRs. Thread-safe."""

    def __init__(
        self,
        settings: ImagingServerSettings,
        session: OutboundSession,
        metadata: SmartMetadataClient,
        launched: LaunchedTokens,
        *,
        digest: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._session = session
        self._metadata = metadata
        self._digest = digest
        self._clock = clock
        self._lock = threading.Lock()
        self._launched = LaunchedTokenCheck(launched, session, clock)
        self._jwks: dict[str, JwksClient] = {}
        self._introspecting: dict[tuple[str, ...], IntrospectionClient] = {}
        self._asked: DecisionCache[AccessGrant | _Inactive] = DecisionCache()
        self._signed: DecisionCache[AccessGrant] = DecisionCache()

    def verify(self, ehr: EhrSettings, token: BearerToken) -> AccessGrant:
        """What the token opens. NotAuthenticated when it does not hold, UpstreamError when that cannot be found out."""
        if ehr.opaque_tokens:
            return self._by_asking(ehr, token, lambda: self._launched.grant(ehr, token, digest=self._digest))
        means = self._means(ehr)
        if means.introspection is not None:
            return self._by_introspection(ehr, token, means.introspection, means.issuer)
        if means.keys is None:
            raise NotAuthenticated(
                "This EHR's tokens cannot be checked here.", challenge="invalid_token", code="no-means-to-check-tokens"
            )
        return self._by_signature(ehr, token, means.keys, means.issuer)

    def _by_signature(self, ehr: EhrSettings, token: BearerToken, keys: JwksClient, issuer: str) -> AccessGrant:
        def check() -> AccessGrant:
            unverified_claims = signed_claims(token, keys)
            if unverified_claims is None:
                raise _refused()
            claims = check_jwt_claims(unverified_claims, self._expected(ehr, issuer))
            if claims is None:
                raise _refused()
            return grant_of(claims, ehr, issuer=issuer, digest=self._digest(token.value))

        # A signature costs more than all the rest of a warm request; a removed key is noticed when this has ended.
        return self._signed.get((ehr.name, token.fingerprint), check, seconds=self._seconds)

    def _by_introspection(self, ehr: EhrSettings, token: BearerToken, client: IntrospectionClient, issuer: str) -> AccessGrant:
        def ask() -> AccessGrant | None:
            claims = check_introspected_claims(client.unverified_claims(token), self._expected(ehr, issuer))
            if claims is None:
                return None
            return grant_of(claims, ehr, issuer=issuer, digest=self._digest(token.value), token=token.value)

        return self._by_asking(ehr, token, ask)

    def _by_asking(self, ehr: EhrSettings, token: BearerToken, ask: Callable[[], AccessGrant | None]) -> AccessGrant:
        """What the EHR itself says, asked once for all that wait; ``ask`` gives None for a token that is not alive."""
        answer = self._asked.get((ehr.name, token.fingerprint), lambda: ask() or _Inactive(), seconds=self._seconds)
        if isinstance(answer, _Inactive):
            raise _refused()
        return answer

    def _seconds(self, answer: AccessGrant | _Inactive) -> float:
        """How long an answer about a token may be reused: min(its end, N s)."""
        if isinstance(answer, _Inactive):
            return REFUSED_FOR_S
        return min(self._settings.decision_cache_s, answer.expires_at - self._clock())

    def _expected(self, ehr: EhrSettings, issuer: str) -> ExpectedToken:
        return ExpectedToken(
            fhir_base=ehr.fhir_base,
            issuers=frozenset({issuer}),
            audiences=frozenset({ehr.fhir_base, *self._settings.own_audiences(ehr.name), *ehr.accepted_audiences}),
            now=int(self._clock()),
            leeway_s=self._settings.token_leeway_s,
        )

    def _means(self, ehr: EhrSettings) -> _Means:
        issuer = ehr.expected_token_issuer
        credential = self._credential(ehr)
        if ehr.introspection_url and credential:
            return _Means(issuer, introspection=self._introspection(ehr.introspection_url, credential))
        if ehr.jwks_url:
            return _Means(issuer, keys=self._keys(ehr.jwks_url))
        offered = self._metadata.of(ehr.fhir_base)
        issuer = ehr.token_issuer or offered.issuer or issuer
        if offered.introspection_endpoint and credential:
            return _Means(issuer, introspection=self._introspection(offered.introspection_endpoint, credential))
        if offered.jwks_uri:
            return _Means(issuer, keys=self._keys(offered.jwks_uri))
        return _Means(issuer)

    def _introspection(self, url: str, credential: tuple[str, str]) -> IntrospectionClient:
        client = self._introspecting.get((url, *credential))
        if client is None:
            client = IntrospectionClient(url, self._session, client_id=credential[0], client_secret=credential[1])
            self._introspecting[(url, *credential)] = client  # holds nothing, so that two of them do no harm
        return client

    def _keys(self, url: str) -> JwksClient:
        client = self._jwks.get(url)
        if client is None:
            with self._lock:
                client = self._jwks.setdefault(url, JwksClient(url, self._session))
        return client

    @staticmethod
    def _credential(ehr: EhrSettings) -> tuple[str, str] | None:
        if ehr.introspection_client_id and ehr.introspection_client_secret:
            return ehr.introspection_client_id, ehr.introspection_client_secret
        return None


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


def _refused() -> NotAuthenticated:
    return NotAuthenticated("The token is not valid here.", challenge="invalid_token", code="token-invalid")
