"""Keys and secrets of the sandbox EHR, made once into the state directory with mode 0600."""

import base64
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key with the `kid` and the bare public JWK by which others know it."""

    private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    algorithm: str
    kid: str
    public_jwk: dict[str, str]

    def sign(self, claims: dict[str, object], *, typ: str = "JWT", with_kid: bool = True) -> str:
        """A compact JWT over the claims."""
        headers = {"typ": typ, "kid": self.kid} if with_kid else {"typ": typ}
        return jwt.encode(claims, self.private_key, algorithm=self.algorithm, headers=headers)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The JWK Set that publishes this key."""
        return {"keys": [self.public_jwk]}


def load_rs256_key(path: Path) -> SigningKey:
    """The RSA key of that file, made on first use; it signs with RS256."""

    def pem() -> bytes:
        return _pem(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))

    private_key = serialization.load_pem_private_key(read_or_create(path, pem), password=None)
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise TypeError(f"{path.name} does not hold an RSA key")
    jwk = json.loads(RSAAlgorithm.to_jwk(private_key.public_key()))
    return signing_key(private_key, "RS256", {name: jwk[name] for name in ("e", "kty", "n")})


def client_secret(state_dir: Path, client_id: str) -> str:
    """The generated secret of a `client_secret_basic` client; the app reads it from the same directory."""
    path = state_dir / "client-secrets" / client_id
    return read_or_create(path, lambda: secrets.token_urlsafe(32).encode()).decode().strip()


def read_or_create(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content; when it is missing, `make()` supplies it, and of two racing processes one wins."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            os.write(descriptor, make())
            os.close(descriptor)
            # A hard link fails when the name exists, so the loser of a race reads the winner's file.
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(temporary)
    return path.read_bytes()


def _pem(private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def signing_key(private_key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str, jwk: dict[str, str]) -> SigningKey:
    """The key with its JWK completed; `jwk` holds the required public members only."""
    # RFC 7638: the thumbprint is taken over the required members in lexical order, without white space.
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    public_jwk = {**jwk, "kid": kid, "alg": algorithm, "use": "sig"}
    return SigningKey(private_key=private_key, algorithm=algorithm, kid=kid, public_jwk=public_jwk)
