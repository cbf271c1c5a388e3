"""How the imaging server asks for a token of its own: by a secret, or by an assertion that it signs.

Spec: RFC 6749 §2.3.1, §4.4 (client credentials); RFC 7523 §2.1, §3 (JWT as authorization grant: Google's service accounts);
RFC 8707 §2 (``resource``); SMART App Launch 2.2 "Backend Services".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from urllib3 import make_headers

from fhir_imaging.client_assertions import ASSERTION_TYPE
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.settings import PacsSettings

ASSERTION_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFETIME_S = 300
LEAST_RSA_BITS = 2048
_ACCEPT = {"Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The body and headers of one request for a token; both may hold secrets."""

    form: dict[str, str] = field(repr=False)
    headers: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _SigningKey:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(repr=False)
    algorithm: str
    kid: str | None


def backend_services_request(scope: str, assertion: str) -> TokenRequest:
    """Asks for a token by SMART Backend Services, with a client assertion made for this one request."""
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return TokenRequest(form, dict(_ACCEPT))


def token_requests(
    settings: PacsSettings, token_url: str, *, clock: Callable[[], float] = time.time
) -> Callable[[], TokenRequest]:
    """Makes the requests; each assertion is a fresh one. ConfigurationError when the key cannot be used."""
    if settings.client_key is None:
        by_secret = _by_secret(settings)
        return lambda: by_secret
    key = _read_key(settings.name, settings.client_key)
    return lambda: _by_assertion(settings, token_url, key, int(clock()))


def _by_secret(settings: PacsSettings) -> TokenRequest:
    """Servers call the archive ``audience`` or, by RFC 8707, ``resource``, and ignore the other."""
    form = {"grant_type": "client_credentials"}
    if settings.token_scope:
        form["scope"] = settings.token_scope
    if settings.token_audience:
        form["audience"] = settings.token_audience
        if ":" in settings.token_audience:
            form["resource"] = settings.token_audience
    # RFC 6749 §2.3.1 encodes both halves as form values before Basic joins them.
    login = f"{quote_plus(settings.client_id or '')}:{quote_plus(settings.client_secret or '')}"
    return TokenRequest(form, {**_ACCEPT, **make_headers(basic_auth=login)})


def _by_assertion(settings: PacsSettings, token_url: str, key: _SigningKey, now: int) -> TokenRequest:
    """``aud`` is the token endpoint, unless the settings name another; the scope stands inside, as Google wants it."""
    claims = {
        "iss": settings.client_id,
        "sub": settings.client_id,
        "aud": settings.token_audience or token_url,
        "iat": now,
        "exp": now + ASSERTION_LIFETIME_S,
    }
    if settings.token_scope:
        claims["scope"] = settings.token_scope
    headers = {"kid": key.kid} if key.kid else None
    assertion = jwt.encode(claims, key.key, algorithm=key.algorithm, headers=headers)
    return TokenRequest({"grant_type": ASSERTION_GRANT, "assertion": assertion}, dict(_ACCEPT))


def _read_key(pacs: str, path: Path) -> _SigningKey:
    """A PEM file, or the JSON file that a service account's key comes in."""
    problem = ConfigurationError([f"PACS {pacs}: client_key: {path} holds no usable RSA or EC private key."])
    try:
        text = path.read_bytes()
        kid = None
        if text.lstrip().startswith(b"{"):
            account = json.loads(text)
            kid, text = account.get("private_key_id"), str(account.get("private_key", "")).encode()
        key = load_pem_private_key(text, password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise problem from exc
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA_BITS:
        return _SigningKey(key, "RS256", kid if isinstance(kid, str) else None)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in ("secp256r1", "secp384r1"):
        return _SigningKey(key, {256: "ES256", 384: "ES384"}[key.curve.key_size], kid if isinstance(kid, str) else None)
    raise problem
