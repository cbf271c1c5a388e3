"""Our own keys for EHRs that authenticate the app by ``private_key_jwt``: made once, published as a JWKS, exchanged at will.

A new key is published before it signs, and the old one stays published after it: an EHR that keeps our JWKS for a while is
never shown a signature by a key that it has not seen.

Spec: SMART App Launch 2.2 "Asymmetric client authentication" (A24, A25), RFC 7523, RFC 7638.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fhir_imaging.client_assertions import ASSERTION_LIFETIME_S
from fhir_imaging.client_key_schedule import KeySchedule, ScheduledKey
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.store.keys import private_directory, read_or_make

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One signing key; ``public_jwk`` is bare, ``kid`` its RFC 7638 thumbprint. ``scheduled`` says when it counts."""

    algorithm: str
    private_key: PrivateKey
    public_jwk: dict[str, str]
    scheduled: ScheduledKey

    @property
    def kid(self) -> str:
        """The name under which the key is published."""
        return self.public_jwk["kid"]


class ClientKeys:
    """The installation's client keys, of ES384 and of RS384. A rotation by the command line is seen without a restart."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._schedule = KeySchedule.in_directory(directory)
        self._keys = _load_all(directory, self._schedule)

    @classmethod
    def of(cls, state_dir: Path) -> ClientKeys:
        """The keys in the state directory, made on first use; safe when several processes start at once."""
        return cls(private_directory(state_dir))

    @classmethod
    def present(cls, state_dir: Path) -> ClientKeys | None:
        """As ``of``; None, and nothing is made, where keys would have to be made."""
        wanted = KeySchedule.in_directory(state_dir).keys
        made_anew = (one for one in wanted if one.is_first and one.published_until is None)
        return cls.of(state_dir) if all((state_dir / one.name).exists() for one in made_anew) else None

    def assertion(self, algorithm: str, *, client_id: str, audience: str, now: int) -> str:
        """A fresh client assertion for one token request: at most five minutes, with an id of its own."""
        key = self._signing(algorithm, now)
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": now,
            "exp": now + ASSERTION_LIFETIME_S,
            "jti": secrets.token_urlsafe(24),
        }
        return jwt.encode(claims, key.private_key, algorithm=algorithm, headers={"kid": key.kid, "typ": "JWT"})

    def jwks(self, now: int) -> dict[str, list[dict[str, str]]]:
        """The public keys, as EHRs fetch them: those to come and those that have signed of late included (A25)."""
        return {"keys": [key.public_jwk for key in self.published(now)]}

    def published(self, now: int) -> tuple[ClientKey, ...]:
        """The keys that an EHR must know at this time."""
        return tuple(key for key in self._current() if key.scheduled.is_published(now))

    def rotate(self, algorithm: str, *, signs_from: int, overlap_s: int) -> ClientKey:
        """Publishes a new key at once, lets it sign from then on, and drops the old one ``overlap_s`` later. UTC seconds."""
        fresh = _fresh(algorithm)
        name = f"client-{algorithm.lower()}-{_client_key(fresh, _ALWAYS).kid[:8]}.pem"
        _load(self._directory / name, fresh)
        self._schedule.rotated(name, algorithm, signs_from=signs_from, overlap_s=overlap_s).write(self._directory)
        return next(key for key in self._current() if key.scheduled.name == name)

    def _signing(self, algorithm: str, now: int) -> ClientKey:
        able = [key for key in self._current() if key.algorithm == algorithm and key.scheduled.signs_from <= now]
        return max(able, key=lambda key: key.scheduled.signs_from)

    def _current(self) -> tuple[ClientKey, ...]:
        schedule = self._schedule.reread(self._directory)
        if schedule is not self._schedule:
            self._keys = _load_all(self._directory, schedule)
            self._schedule = schedule
        return self._keys


_ALWAYS = ScheduledKey(name="", algorithm="")


def _load_all(directory: Path, schedule: KeySchedule) -> tuple[ClientKey, ...]:
    return tuple(_client_key(_read(directory, one), one) for one in _present(directory, schedule))


def _present(directory: Path, schedule: KeySchedule) -> Iterable[ScheduledKey]:
    """The first keys are made where they are missing; one that was followed by another and removed is gone for good."""
    return (one for one in schedule.keys if (one.is_first and one.published_until is None) or (directory / one.name).exists())


def _read(directory: Path, scheduled: ScheduledKey) -> PrivateKey:
    path = directory / scheduled.name
    # Making RSA keys takes a second: only where there is none.
    return _load(path, None if path.exists() else _fresh(scheduled.algorithm))


def _fresh(algorithm: str) -> PrivateKey:
    if algorithm == "RS384":
        return rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return ec.generate_private_key(ec.SECP384R1())


def _load(path: Path, fresh: PrivateKey | None) -> PrivateKey:
    pem = b""
    if fresh is not None:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem = fresh.private_bytes(encoding, form, serialization.NoEncryption())
    loaded = _checked(read_or_make(path, pem))
    if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError([f"{path.name} holds neither an RSA nor an elliptic key."])
    return loaded


@lru_cache(maxsize=4)
def _checked(pem: bytes) -> object:
    """Whether an RSA key's factors are primes takes a tenth of a second; every component of a process reads the same keys."""
    return serialization.load_pem_private_key(pem, password=None)


def _client_key(private_key: PrivateKey, scheduled: ScheduledKey) -> ClientKey:
    if isinstance(private_key, rsa.RSAPrivateKey):
        algorithm, jwk = "RS384", RSAAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    else:
        algorithm, jwk = "ES384", ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
    bare: dict[str, str] = {name: str(jwk[name]) for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    # RFC 7638: the thumbprint is over the required members in lexical order, without white space.
    canonical = json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    return ClientKey(algorithm, private_key, {**bare, "kid": kid, "alg": algorithm, "use": "sig"}, scheduled)
