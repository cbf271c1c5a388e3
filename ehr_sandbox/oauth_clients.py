"""How a client proves who it is at the token endpoint: not at all, by secret, or by a signed assertion.

Spec: SMART App Launch 2.2 client authentication; RFC 6749 section 2.3; RFC 7523.
"""

import base64
import binascii
import hmac
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import jwt
from werkzeug.datastructures import MultiDict

from ehr_sandbox.oauth_client_keys import ClientKeys
from ehr_sandbox.oauth_faults import invalid_client, invalid_grant, invalid_request
from ehr_sandbox.oauth_keys import client_secret
from ehr_sandbox.oauth_records import AuthorizationRecords
from ehr_sandbox.settings import RegisteredClient, SandboxSettings

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ("RS384", "ES384")
MAX_ASSERTION_LIFETIME_S = 300
CLOCK_LEEWAY_S = 10
_KEY_TYPES = {"RS384": "RSA", "ES384": "EC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthenticator:
    """Finds out which registered client sent a request."""

    settings: SandboxSettings
    records: AuthorizationRecords
    keys: ClientKeys

    def authenticate(self, authorization: str | None, form: "MultiDict[str, str]") -> RegisteredClient:
        """The client of this request, by its Authorization header and form. Raises OAuthFault."""
        if "client_assertion" in form:
            if authorization is not None or "client_secret" in form:
                raise invalid_request("use one way of client authentication only")
            return self._by_assertion(form)
        if authorization is not None:
            return self._by_secret(authorization, form)
        return self._public(form)

    def _public(self, form: "MultiDict[str, str]") -> RegisteredClient:
        is_refresh = form.get("grant_type") == "refresh_token" and "client_id" not in form
        client = self._refreshing(form) if is_refresh else self._known(form.get("client_id"))
        if "client_secret" in form:
            raise invalid_client("send the client secret by HTTP Basic authentication, not in the body")
        if client.auth_method != "none":
            raise invalid_client(f"this client must authenticate by {client.auth_method}")
        return client

    def _refreshing(self, form: "MultiDict[str, str]") -> RegisteredClient:
        """Whose refresh token it is: a public client need not name itself (RFC 6749 sections 3.2.1 and 6)."""
        record = self.records.read_refresh_token(form.get("refresh_token", ""))
        grant = None if record is None else self.records.live_grant(record.grant_id)
        if grant is None:
            raise invalid_grant("the refresh token is unknown or revoked")
        return self._known(grant.client_id)

    def _by_secret(self, authorization: str, form: "MultiDict[str, str]") -> RegisteredClient:
        client_id, secret = _basic_credentials(authorization)
        client = self._known(client_id)
        if client.auth_method != "client_secret_basic":
            raise invalid_client(f"this client is registered for {client.auth_method}")
        expected = client_secret(self.settings.state_dir, client.client_id)
        if not hmac.compare_digest(secret.encode(), expected.encode()):
            raise invalid_client("the client secret is wrong")
        if form.get("client_id", client.client_id) != client.client_id:
            raise invalid_request("client_id differs from the authenticated client")
        return client

    def _by_assertion(self, form: "MultiDict[str, str]") -> RegisteredClient:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise invalid_client("client_assertion_type must be the one for JWT bearer assertions")
        assertion = form["client_assertion"]
        header, unverified_claims = _unverified(assertion)
        client = self._known(unverified_claims.get("iss"))
        if client.auth_method != "private_key_jwt":
            raise invalid_client(f"this client is registered for {client.auth_method}")
        if form.get("client_id", client.client_id) != client.client_id:
            raise invalid_client("client_id differs from the assertion's issuer")
        claims = self._verified(assertion, header, client)
        if not self.records.remember_assertion(client.client_id, str(claims["jti"]), float(claims["exp"])):
            raise invalid_client("this assertion was used before (jti)")
        return client

    def _verified(self, assertion: str, header: dict[str, Any], client: RegisteredClient) -> dict[str, Any]:
        algorithm = header.get("alg")
        if algorithm not in ASSERTION_ALGORITHMS:
            raise invalid_client("the assertion must be signed with RS384 or ES384")
        if "jku" in header and header["jku"] != client.jwks_url:
            raise invalid_client("the assertion's jku is not the registered JWKS URL")
        key = self.keys.one_key(client, header.get("kid"), _KEY_TYPES[algorithm])
        try:
            claims: dict[str, Any] = jwt.decode(
                assertion,
                key,
                algorithms=[algorithm],
                audience=f"{self.settings.issuer}/token",
                issuer=client.client_id,
                subject=client.client_id,
                leeway=CLOCK_LEEWAY_S,
                options={"require": ["iss", "sub", "aud", "exp", "jti"], "strict_aud": True},
            )
        except jwt.InvalidTokenError as error:
            raise invalid_client(f"the assertion is not valid: {type(error).__name__}") from error
        if claims["exp"] > time.time() + MAX_ASSERTION_LIFETIME_S + CLOCK_LEEWAY_S:
            raise invalid_client("the assertion lives longer than five minutes")
        return claims

    def _known(self, client_id: object) -> RegisteredClient:
        client = self.settings.client(client_id) if isinstance(client_id, str) else None
        if client is None:
            raise invalid_client("the client is not registered here")
        return client


def _basic_credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise invalid_client("use HTTP Basic authentication")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid_client("the Basic credentials cannot be read") from error
    client_id, separator, secret = text.partition(":")
    if not separator:
        raise invalid_client("the Basic credentials cannot be read")
    # RFC 6749 section 2.3.1: both are form-encoded before they are put into the header.
    return unquote_plus(client_id), unquote_plus(secret)


def _unverified(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        header = jwt.get_unverified_header(assertion)
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise invalid_client("the assertion is not a JWT") from error
    return header, claims
