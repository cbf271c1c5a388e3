"""Our own keys for EHRs that authenticate the app by ``private_key_jwt``: made once, published as a JWKS.

Spec: SMART App Launch 2.2 "Asymmetric client authentication" (A24, A25), RFC 7523, RFC 7638.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.keys import private_directory, read_or_make

ASSERTION_LIFETIME_S = 240
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One signing key; ``public_jwk`` is bare, ``kid`` its RFC 7638 thumbprint."""

    algorithm: str
    private_key: PrivateKey
    public_jwk: dict[str, str]

    @property
    def kid(self) -> str:
        """The name under which the key is published."""
        return self.public_jwk["kid"]


class ClientKeys:
    """The installation's client keys, one for ES384 and one for RS384."""

    def __init__(self, keys: tuple[ClientKey, ...]) -> None:
        self._keys = {key.algorithm: key for key in keys}

    @classmethod
    def of(cls, state_dir: Path) -> ClientKeys:
        """The keys in the state directory, made on first use; safe when several processes start at once."""
        directory = private_directory(state_dir)
        elliptic = _load(directory / "client-es384.pem", ec.generate_private_key(ec.SECP384R1()))
        rsa_path = directory / "client-rs384.pem"
        fresh = elliptic if rsa_path.exists() else rsa.generate_private_key(public_exponent=65537, key_size=3072)
        return cls((_client_key(elliptic), _client_key(_load(rsa_path, fresh))))

    def assertion(self, algorithm: str, *, client_id: str, audience: str, now: int) -> str:
        """A fresh client assertion for one token request: at most five minutes, with an id of its own."""
        key = self._keys[algorithm]
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now,
            "exp": now + ASSERTION_LIFETIME_S,
            "jti": secrets.token_urlsafe(24),
        }
        return jwt.encode(claims, key.private_key, algorithm=algorithm, headers={"kid": key.kid, "typ": "JWT"})

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys, as EHRs fetch them."""
        return {"keys": [key.public_jwk for key in self._keys.values()]}


def _load(path: Path, fresh: PrivateKey) -> PrivateKey:
    pem = fresh.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    loaded = serialization.load_pem_private_key(read_or_make(path, pem), password=None)
    if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError([f"{path.name} holds neither an RSA nor an elliptic key."])
    return loaded


def _client_key(private_key: PrivateKey) -> ClientKey:
    if isinstance(private_key, rsa.RSAPrivateKey):
        algorithm, jwk = "RS384", RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    else:
        algorithm, jwk = "ES384", ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    bare: dict[str, str] = {name: str(jwk[name]) for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    # RFC 7638: the thumbprint is over the required members in lexical order, without white space.
    canonical = json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    return ClientKey(algorithm, private_key, {**bare, "kid": kid, "alg": algorithm, "use": "sig"})
