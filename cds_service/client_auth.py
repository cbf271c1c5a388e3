"""Who calls: the CDS client's JWT, checked claim by claim, or its certificate. A failure is one bare 401 without detail (R38).

Spec: CDS Hooks 2.0 "Trusting CDS Clients" R35-R38. Order: header and issuer, audience, times, tenant, signature, then the
memory of used ids, so that only a genuine JWT can use one up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from cds_service.certificates import CertificateClients, StatedCertificate
from cds_service.client_keys import ClientKeys
from cds_service.settings import ASYMMETRIC_ALGORITHMS, CdsSettings, ClientAuthentication, TrustedCdsClient
from fhir_imaging.errors import NotAuthenticated, UpstreamError
from fhir_imaging.store.replay import ReplayMemory

log = logging.getLogger("imaging_cds.cds_clients")

MAX_JWT_CHARACTERS = 8192
MAX_ID_CHARACTERS = 255
MAX_LOGGED_CHARACTERS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingClient:
    """The proven caller; ``client`` is None where the site has switched authentication off."""

    client: TrustedCdsClient | None = None

    @property
    def iss(self) -> str | None:
        """The caller's issuer."""
        return self.client.iss if self.client else None


class _Refusal(Exception):
    """Why a JWT does not count; for the log only, in fixed words without any of its content."""


class ClientAuthenticator:
    """Checks client JWTs. ``now`` (UTC seconds) is asked once per call."""

    def __init__(self, settings: CdsSettings, keys: ClientKeys, replay: ReplayMemory, now: Callable[[], int]) -> None:
        self._settings = settings
        self._clients = {client.iss: client for client in settings.trusted_clients}
        self._keys = keys
        self._replay = replay
        self._certificates = CertificateClients(settings)
        self._now = now

    @property
    def certificate_header(self) -> str | None:
        """The header in which a trusted proxy names certificates, where the site has one."""
        return self._certificates.header

    def authenticate(
        self,
        authorization: str | None,
        path: str,
        certificate: StatedCertificate | None = None,
        *,
        reference: str = "-",
    ) -> CallingClient:
        """The caller of ``path``; NotAuthenticated without detail. With authentication off nobody is asked.

        A JWT that is sent must hold; a certificate counts where none is sent. A refusal is logged under ``reference``, the
        request's number, which the bare 401 carries too.
        """
        if self._settings.client_authentication is ClientAuthentication.OFF:
            return CallingClient()
        known = self._certificates.client(certificate) if certificate and not authorization else None
        if known is not None:
            return CallingClient(client=known)
        try:
            return CallingClient(client=self._verified(authorization, path))
        except _Refusal as refusal:
            log.info("%s: client JWT refused: %s", reference, _told(str(refusal), authorization))
            raise NotAuthenticated("The caller could not be authenticated.") from None

    def _verified(self, authorization: str | None, path: str) -> TrustedCdsClient:
        token = _bearer(authorization)
        header, unverified_claims = _decoded(token)
        client = self._clients.get(_claim(unverified_claims, "iss"))
        if client is None:
            raise _Refusal("unknown iss")
        algorithm = _algorithm(header, client)
        self._check_audience(unverified_claims, path)
        now = self._now()
        expires_at = self._check_times(unverified_claims, now)
        if client.tenants and unverified_claims.get("tenant") not in client.tenants:
            raise _Refusal("tenant is not accepted")
        token_id = _claim(unverified_claims, "jti")
        self._check_signature(token, header, algorithm, client)
        keep_until = expires_at + self._settings.token_leeway_s
        if not self._replay.is_first_use(f"cds:{client.iss}"[:MAX_ID_CHARACTERS], token_id, expires_at=keep_until, now=now):
            raise _Refusal("jti was used before")
        return client

    def _check_audience(self, claims: Mapping[str, Any], path: str) -> None:
        stated = claims.get("aud")
        audiences = stated if isinstance(stated, list) else [stated]
        if not any(f"{base}{path}" in audiences for base in self._settings.audience_bases):
            raise _Refusal("aud is not the URL called")

    def _check_times(self, claims: Mapping[str, Any], now: int) -> int:
        leeway = self._settings.token_leeway_s
        expires_at, issued_at = _seconds(claims, "exp"), _seconds(claims, "iat")
        if expires_at + leeway <= now:
            raise _Refusal("exp has passed")
        if issued_at - leeway > now:
            raise _Refusal("iat is in the future")
        if "nbf" in claims and _seconds(claims, "nbf") - leeway > now:
            raise _Refusal("nbf is in the future")
        if not 0 < expires_at - issued_at <= self._settings.max_token_lifetime_s:
            raise _Refusal("it lives too long")
        return expires_at

    def _check_signature(self, token: str, header: Mapping[str, Any], algorithm: str, client: TrustedCdsClient) -> None:
        kid, jku = header.get("kid"), header.get("jku")
        if not isinstance(kid, str) or not kid:
            raise _Refusal("kid is missing")
        if jku is not None and not isinstance(jku, str):
            raise _Refusal("jku is no string")
        source = self._keys.source(client, jku)
        if source is None:
            raise _Refusal("jku is not trusted")
        try:
            candidates = source.candidates(kid, algorithm)
        except UpstreamError as exc:
            log.error("the keys of %s cannot be had", client.iss)
            raise _Refusal("the keys cannot be had") from exc
        if not any(_signed_by(token, key, algorithm) for key in candidates):
            raise _Refusal("no trusted key signed it")


def _told(reason: str, authorization: str | None) -> str:
    """A refusal for the log, with the two claims that may stand there (R38): the caller's own words, unverified."""
    try:
        _, claims = _decoded(_bearer(authorization))
    except _Refusal:
        return reason
    stated = ((name, claims.get(name)) for name in ("iss", "jti"))
    return "; ".join((reason, *(f'{name}="{_loggable(value)}"' for name, value in stated if isinstance(value, str))))


def _loggable(value: str) -> str:
    """Bounded, and without a character that could end the quotes, begin a line or steer a terminal."""
    return "".join(
        mark if mark.isascii() and mark.isprintable() and mark not in '"\\' else "?" for mark in value[:MAX_LOGGED_CHARACTERS]
    )


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(token) > MAX_JWT_CHARACTERS:
        raise _Refusal("no bearer JWT")
    return token.strip()


def _decoded(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, both unverified until the signature is."""
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError) as exc:
        raise _Refusal("not a JWT") from exc
    return parts["header"], parts["payload"]


def _algorithm(header: Mapping[str, Any], client: TrustedCdsClient) -> str:
    algorithm = header.get("alg")
    allowed: Collection[str] = [one for one in client.algorithms if one in ASYMMETRIC_ALGORITHMS]
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise _Refusal("alg is not accepted")
    if not isinstance(header.get("typ"), str) or header["typ"].upper() != "JWT":
        raise _Refusal("typ is not JWT")
    if "crit" in header:
        raise _Refusal("it has critical headers")
    return algorithm


def _signed_by(token: str, key: jwt.PyJWK, algorithm: str) -> bool:
    # Every claim was checked by its own rule already; only the signature is left.
    options: Any = {
        "verify_signature": True,
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "verify_aud": False,
        "verify_iss": False,
        "verify_sub": False,
        "verify_jti": False,
    }
    try:
        jwt.decode(token, key.key, algorithms=[algorithm], options=options)
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def _claim(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_CHARACTERS:
        raise _Refusal(f"{name} is missing")
    return value


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise _Refusal(f"{name} is missing")
    return int(value)
