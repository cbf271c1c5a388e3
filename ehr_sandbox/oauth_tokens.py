"""Access tokens and id_tokens: what they claim, how they are signed and how they are checked."""

import uuid
from dataclasses import dataclass
from typing import Any

import jwt

from ehr_sandbox.oauth_context import Grant
from ehr_sandbox.oauth_keys import SigningKey
from ehr_sandbox.settings import SandboxSettings

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of RFC 9068, no secret
CLOCK_LEEWAY_S = 0
"""The server checks its own tokens by its own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSigner:
    """Makes and checks the JWTs of this server."""

    settings: SandboxSettings
    key: SigningKey

    def access_token(
        self, grant: Grant, scope: str, now: int, lifetime_s: int, audiences: tuple[str, ...] | None = None
    ) -> tuple[str, str]:
        """The signed access token and its `jti`."""
        jti = str(uuid.uuid4())
        claims: dict[str, object] = {
            "iss": self.settings.issuer,
            "sub": grant.subject,
            "aud": list(audiences if audiences is not None else self.settings.audiences),
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_s,
            "jti": jti,
            "client_id": grant.client_id,
            "scope": scope,
            **patient_context(grant),
        }
        if grant.user:
            claims["fhirUser"] = self.fhir_user(grant)
        return self.key.sign(claims, typ=ACCESS_TOKEN_TYPE), jti

    def id_token(self, grant: Grant, now: int, lifetime_s: int, *, issuer: str | None = None) -> str:
        """The signed OpenID Connect id_token."""
        claims: dict[str, object] = {
            "iss": issuer or self.settings.issuer,
            "sub": grant.subject,
            "aud": grant.client_id,
            "iat": now,
            "exp": now + lifetime_s,
        }
        if {"fhirUser", "profile"} & set(grant.scope):
            claims["fhirUser"] = self.fhir_user(grant)
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        return self.key.sign(claims, with_kid=not grant.context.faults.id_token_without_kid)

    def fhir_user(self, grant: Grant) -> str:
        """Absolute URL of the user's resource."""
        return f"{self.settings.fhir_base}/{grant.user}"

    def verified(self, token: str, audience: str | None) -> dict[str, Any] | None:
        """The claims of an unexpired access token of this server for that audience (None: any); else None."""
        try:
            if jwt.get_unverified_header(token).get("typ") != ACCESS_TOKEN_TYPE:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK.from_dict({**self.key.public_jwk}).key,
                algorithms=[self.key.algorithm],
                issuer=self.settings.issuer,
                audience=audience,
                leeway=CLOCK_LEEWAY_S,
                options={
                    "require": ["exp", "iat", "nbf", "iss", "aud", "jti", "sub"],
                    "verify_aud": audience is not None,
                },
            )
        except jwt.InvalidTokenError:
            return None
        return claims


def patient_context(grant: Grant) -> dict[str, object]:
    """`patient` and `encounter` of the grant, as far as they are there and not withheld by a fault switch."""
    if grant.context.faults.missing_patient:
        return {}
    context = {"patient": grant.context.patient, "encounter": grant.context.encounter}
    return {name: value for name, value in context.items() if value is not None}
