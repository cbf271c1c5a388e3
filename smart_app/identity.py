"""Who signed in: the id_token, checked before any session exists.

Spec: OpenID Connect Core §3.1.3.7; SMART App Launch 2.2 "Scopes for requesting identity data" (A34, A35).
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import Any

import jwt

from fhir_imaging.clients.documents import read_document
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient
from fhir_imaging.clients.smart_metadata import MAX_METADATA_BYTES
from fhir_imaging.errors import UpstreamError
from fhir_imaging.tolerant import text

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")


@dataclass(frozen=True, slots=True)
class Identity:
    """The signed-in user: ``subject`` is the EHR's own name for them, ``fhir_user`` their FHIR reference if it came."""

    subject: str
    fhir_user: str | None


@dataclass(frozen=True, slots=True)
class IdentityFault:
    """Why an id_token does not hold; ``fault`` names the check in words for the analyst."""

    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the id_token must say. ``issuers``: the EHR's own issuer and its configured aliases."""

    issuers: tuple[str, ...]
    client_id: str
    nonce: str | None
    jwks_uri: str | None
    leeway_s: int
    now: int


class IdentityVerifier:
    """Checks id_tokens; keeps the key clients of the issuers it met. Thread-safe."""

    def __init__(self, outbound: OutboundSession) -> None:
        self._outbound = outbound
        self._lock = threading.Lock()
        self._clients: dict[str, JwksClient] = {}

    def verify(self, id_token: str, expected: Expectation) -> Identity | IdentityFault:
        """The identity, or what is wrong with it. UpstreamError when the keys cannot be had."""
        try:
            header = jwt.get_unverified_header(id_token)
            unverified_claims = jwt.decode(id_token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError):  # PyJWT lets half a character through
            return IdentityFault("the id_token is not a JWT")
        issuer = text(unverified_claims.get("iss"))
        algorithm = header.get("alg")
        if issuer not in expected.issuers:
            return IdentityFault("its issuer (iss) is not this EHR's")
        if algorithm not in ALGORITHMS:
            return IdentityFault("its signature algorithm is not accepted")
        jwks_uri = expected.jwks_uri or self._discovered_jwks(issuer or "")
        if jwks_uri is None:
            return IdentityFault("the issuer does not publish its keys")
        claims = self._signed_claims(id_token, header, jwks_uri)
        return (
            IdentityFault("its signature does not match any key of the issuer") if claims is None else _judge(claims, expected)
        )

    def _signed_claims(self, id_token: str, header: dict[str, Any], jwks_uri: str) -> dict[str, Any] | None:
        """The claims under a good signature; without ``kid`` every key of the type is tried (public launchers send none)."""
        algorithm = str(header["alg"])
        for key in self._keys_at(jwks_uri).candidates(text(header.get("kid")), algorithm):
            try:
                claims = jwt.decode(
                    id_token,
                    key.key,
                    algorithms=[algorithm],
                    options={
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                        "verify_aud": False,
                        "verify_iss": False,
                        "verify_sub": False,
                    },
                )
            except jwt.PyJWTError:
                continue
            return dict(claims)
        return None

    def _keys_at(self, jwks_uri: str) -> JwksClient:
        with self._lock:
            return self._clients.setdefault(jwks_uri, JwksClient(jwks_uri, self._outbound))

    def _discovered_jwks(self, issuer: str) -> str | None:
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        answer = read_document(self._outbound, url, accept="application/json", max_bytes=MAX_METADATA_BYTES)
        if answer.body is None:
            raise UpstreamError("The issuer's OpenID configuration cannot be read.", server=url, status=answer.status)
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            return None
        return text(document.get("jwks_uri")) if isinstance(document, dict) else None


def _judge(claims: dict[str, Any], expected: Expectation) -> Identity | IdentityFault:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires, issued, subject = _time(claims.get("exp")), _time(claims.get("iat")), text(claims.get("sub"))
    checks = (
        (expected.client_id in audiences, "it was issued for another application (aud)"),
        (len(audiences) == 1 or claims.get("azp") == expected.client_id, "it names another authorized party (azp)"),
        (expires is not None and expires > expected.now - expected.leeway_s, "it has expired or states no expiry (exp)"),
        (issued is not None and issued <= expected.now + expected.leeway_s, "it is dated in the future or not at all (iat)"),
        (expected.nonce is None or claims.get("nonce") == expected.nonce, "it belongs to another sign-in (nonce)"),
    )
    fault = next((words for holds, words in checks if not holds), None)
    if fault is not None:
        return IdentityFault(fault)
    if subject is None:
        return IdentityFault("it names nobody (sub)")
    return Identity(subject, text(claims.get("fhirUser")) or text(claims.get("profile")))


def _time(value: object) -> float | None:
    """A whole number as it stands: one beyond all measure is no float."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
