"""OAuth at one EHR: the authorization request, the code exchange, refresh and revocation. Authlib is spoken only here.

Every request goes through our own allow-listed session, so a token endpoint that the configuration does not cover gets nothing.

Spec: SMART App Launch 2.2 (A8-A14, A21-A26, A38), RFC 6749, RFC 7009, RFC 7636, RFC 9700 §4.4.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from authlib.common.urls import add_params_to_qs
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Auth, OAuth2Session

from fhir_imaging.client_assertions import ASSERTION_TYPE, assertion_algorithm
from fhir_imaging.client_keys import ClientKeys
from fhir_imaging.clients.bodies import whole_body
from fhir_imaging.clients.fhir import retry_after_s
from fhir_imaging.clients.http import OutboundSession, check_origin
from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.errors import UpstreamError
from fhir_imaging.settings import ClientAuth, EhrSettings, origin_of
from fhir_imaging.tolerant import text
from smart_app.client_auth import disagreement
from smart_app.launch import LONG_URL
from smart_app.token_origins import configured_origins
from smart_app.token_response import TokenResponse, lifetime_s, read_token_response

MAX_ANSWER_BYTES = 256 * 1024
"""A token, an id_token and a launch context; some EHRs write all scopes that they know."""
AUTHORIZE_POST = "authorize-post"
TOO_MANY = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationParameters:
    """What one authorization request says. ``aud`` is the launch's ``iss`` byte for byte (A9)."""

    scope: str
    state: str
    aud: str
    code_verifier: str
    launch: str | None = None
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Where the browser goes: by GET to ``url``, or by POST of ``form`` to ``url`` when a form is given (A12)."""

    url: str
    form: tuple[tuple[str, str], ...] | None = None


class TokenRefused(Exception):
    """The token endpoint answered with an OAuth ``error``; its text is untrusted and only for the folded details."""

    def __init__(self, error: str, description: str | None) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRegistration:
    """What does not change between launches: our redirect URI, our keys, the clock in UTC seconds."""

    redirect_uri: str
    keys: ClientKeys
    assertion_algorithm: str
    now: Callable[[], int]


class TokenClient:
    """The OAuth client of this app at one EHR."""

    def __init__(
        self, ehr: EhrSettings, metadata: SmartMetadata, outbound: OutboundSession, registration: AppRegistration
    ) -> None:
        self._ehr = ehr
        self._metadata = metadata
        self._outbound = outbound
        self._registration = registration

    def authorization_request(self, parameters: AuthorizationParameters) -> AuthorizationRequest:
        """The browser's next address, with PKCE S256 always. UpstreamRefused when it is no server of this EHR."""
        check_origin(self._metadata.authorization_endpoint, configured_origins(self._ehr))
        extra = {"aud": parameters.aud, "launch": parameters.launch, "nonce": parameters.nonce}
        with self._session() as session:
            url, _ = session.create_authorization_url(
                self._metadata.authorization_endpoint,
                state=parameters.state,
                code_verifier=parameters.code_verifier,
                scope=parameters.scope,
                **{name: value for name, value in extra.items() if value is not None},
            )
        if len(url) <= LONG_URL or AUTHORIZE_POST not in self._metadata.capabilities:
            return AuthorizationRequest(url)
        own = set(parse_qsl(urlsplit(self._metadata.authorization_endpoint).query))
        form = tuple(pair for pair in parse_qsl(urlsplit(url).query) if pair not in own)
        return AuthorizationRequest(self._metadata.authorization_endpoint, form)

    def exchange(self, code: str, code_verifier: str) -> TokenResponse:
        """The token for a one-time code. TokenRefused, or UpstreamError when the server fails or answers nonsense."""
        with self._session() as session:
            return self._answer(
                lambda: session.fetch_token(
                    self._metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    redirect_uri=self._registration.redirect_uri,
                    code_verifier=code_verifier,
                )
            )

    def refresh(self, refresh_token: str) -> TokenResponse:
        """A new token. No scope is sent, so the server repeats what it granted and nothing wider is asked (A18)."""
        with self._session() as session:
            return self._answer(lambda: session.refresh_token(self._metadata.token_endpoint, refresh_token=refresh_token))

    def revoke(self, token: str, hint: str) -> None:
        """Tells the server to forget a token, where it offers that."""
        if self._metadata.revocation_endpoint is None:
            return
        with self._session() as session:
            session.revoke_token(self._metadata.revocation_endpoint, token=token, token_type_hint=hint)

    @property
    def disagreement(self) -> str | None:
        """What the EHR lists against the way in which we prove ourselves there; None where nothing does (A26)."""
        algorithm = assertion_algorithm(self._ehr, self._metadata, self._registration.assertion_algorithm)
        return disagreement(self._ehr, self._metadata, algorithm)

    def _session(self) -> _GuardedSession:
        method = {ClientAuth.PUBLIC: "none", ClientAuth.SECRET_BASIC: "client_secret_basic"}.get(
            self._ehr.client_auth, ClientAuth.PRIVATE_KEY_JWT.value
        )
        session = _GuardedSession(
            self._outbound,
            configured_origins(self._ehr),
            client_id=self._ehr.client_id,
            client_secret=self._ehr.client_secret,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            redirect_uri=self._registration.redirect_uri,
            code_challenge_method="S256",
        )
        session.register_client_auth_method((ClientAuth.PRIVATE_KEY_JWT.value, self._with_assertion))
        return session

    def _with_assertion(self, client: Any, _method: str, uri: str, headers: Any, body: str) -> tuple[str, Any, str]:
        """Adds a fresh assertion; Authlib's own lives an hour and repeats its id, where SMART allows five minutes."""
        assertion = self._registration.keys.assertion(
            assertion_algorithm(self._ehr, self._metadata, self._registration.assertion_algorithm),
            client_id=client.client_id,
            audience=self._metadata.token_endpoint,
            now=self._registration.now(),
        )
        body = add_params_to_qs(body, [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)])
        headers["Content-Length"] = str(len(body))
        return uri, headers, body

    def _answer(self, ask: Callable[[], Any]) -> TokenResponse:
        server = origin_of(self._metadata.token_endpoint)
        try:
            response = read_token_response(ask())
        except OAuthError as exc:
            raise TokenRefused(str(exc.error or ""), text(exc.description)) from exc
        except requests.HTTPError as exc:
            raise _failed(server, exc.response) from exc
        except (ValueError, RecursionError) as exc:
            raise UpstreamError("The EHR's token endpoint did not answer in JSON.", server=server) from exc
        if response is None:
            raise UpstreamError("The EHR's token endpoint sent no bearer token.", server=server)
        return response


def _failed(server: str, response: requests.Response | None) -> UpstreamError:
    words = "The EHR's token endpoint failed."
    if response is None:
        return UpstreamError(words, server=server, retryable=True)
    status, wait = response.status_code, retry_after_s(response)
    return UpstreamError(words, server=server, status=status, retryable=True, retry_after_s=wait)


class _TokenAsRead(OAuth2Auth):  # type: ignore[misc]
    """Authlib's holder of the token, which computes with the stated life: it is given one only where it is a number."""

    def set_token(self, token: Any) -> None:
        """Keeps the token; ``expires_at`` is no member of OAuth 2.0 (RFC 6749 §5.1) and is left out."""
        if isinstance(token, dict):
            life = {} if (seconds := lifetime_s(token)) is None else {"expires_in": seconds}
            token = {name: value for name, value in token.items() if name not in ("expires_in", "expires_at")} | life
        super().set_token(token)


class _GuardedSession(OAuth2Session):  # type: ignore[misc]
    """Authlib's session to one EHR's own servers, sending through our allow-listed one: no redirects, timeouts, no proxy
    variables."""

    token_auth_class = _TokenAsRead

    def __init__(self, outbound: OutboundSession, allowed: Set[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._outbound = outbound
        self._allowed = allowed

    def request(
        self, method: str, url: str, withhold_token: bool = False, auth: Any = None, **kwargs: Any
    ) -> requests.Response:
        """As in Authlib, without its token logic: only token endpoints are called here, by client authentication."""
        check_origin(url, self._allowed)
        with self._outbound.request(method, url, auth=auth, stream=True, **kwargs) as response:
            body = whole_body(response, at_most=MAX_ANSWER_BYTES, of="The EHR's token endpoint", status=response.status_code)
        if body is None:
            raise UpstreamError("The EHR's token endpoint sent too much.", server=origin_of(url), status=response.status_code)
        # What requests itself keeps of an answer that it read whole; it has no other way to be told.
        response._content = body
        return response

    def parse_response_token(self, resp: requests.Response) -> Any:
        """As in Authlib, where only 5xx counts as a failure; a busy server's 429 is no OAuth answer either."""
        if resp.status_code == TOO_MANY:
            resp.raise_for_status()
        return super().parse_response_token(resp)
