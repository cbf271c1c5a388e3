"""The key by which the sandbox EHR proves itself to CDS services, and the JWT that it signs for each call.

Spec: CDS Hooks 2.0, "Trusting CDS Clients" (R35 to R37): ES384, `typ` JWT, `kid`, `jku`; `aud` is the exact URL called.
"""

import hashlib
import json
import os
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ALGORITHM = "ES384"
LIFETIME_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsClientKey:
    """An ES384 key pair; `kid` is the RFC 7638 thumbprint, so it changes exactly when the key does."""

    kid: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    def public_jwks(self) -> dict[str, Any]:
        """The JWK Set that a CDS service fetches from the `jku`; holds the public half only."""
        return {"keys": [_public_jwk(self.private_key) | {"kid": self.kid, "alg": ALGORITHM, "use": "sig"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientJwt:
    """A signed client JWT, with its parts decoded for the developer panel."""

    encoded: str = field(repr=False)
    header: Mapping[str, Any]
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientIdentity:
    """Who calls: the key, the `iss` that the service knows the EHR by, and the `jku` where the key is published."""

    key: CdsClientKey
    issuer: str
    jku: str

    def jwt_for(self, url: str, *, now: datetime) -> ClientJwt:
        """A JWT for one call of one URL, good for five minutes and for one use (`jti`)."""
        issued_at = int(now.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": url,
            "iat": issued_at,
            "exp": int((now + timedelta(seconds=LIFETIME_S)).timestamp()),
            "jti": str(uuid.uuid4()),
        }
        header = {"kid": self.key.kid, "jku": self.jku}
        encoded = jwt.encode(claims, self.key.private_key, algorithm=ALGORITHM, headers=header)
        return ClientJwt(encoded=encoded, header=jwt.get_unverified_header(encoded), claims=claims)


def load_or_make_key(path: Path) -> CdsClientKey:
    """The EHR's key, made once and readable by its owner only; two processes that start together end with one key."""
    if not path.exists():
        _publish_new_key(path)
    private_key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private_key, ec.EllipticCurvePrivateKey) or private_key.curve.name != "secp384r1":
        raise ValueError(f"{path.name} holds no P-384 key")
    return CdsClientKey(kid=_thumbprint(private_key), private_key=private_key)


def _publish_new_key(path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pem)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key is the key
    finally:
        draft.unlink()


def _public_jwk(private_key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)


def _thumbprint(private_key: ec.EllipticCurvePrivateKey) -> str:
    jwk = _public_jwk(private_key)
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
