"""The secrets of one installation: made once into a directory that only its user may read, shared by all processes."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from fhir_imaging.errors import ConfigurationError

MASTER_KEY_FILE = "master.key"


def private_directory(path: Path) -> Path:
    """The directory, made with mode 0700 where it is missing; ConfigurationError when others may read an existing one."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError([f"{path} may be read by other users: run chmod 700 on it."])
    return path


def read_or_make(path: Path, fresh: bytes) -> bytes:
    """The content of a secret file; ``fresh`` becomes it when the file does not exist yet.

    Safe when several processes start at once: the file is written whole under another name and linked into place, so every
    process reads the one that won. Mode 0600.
    """
    if not path.exists():
        candidate = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(fresh)
        try:
            os.link(candidate, path)
        except FileExistsError:  # another process was first; its secret counts
            pass
        finally:
            candidate.unlink()
    if path.stat().st_mode & 0o077:
        raise ConfigurationError([f"{path} may be read by other users: run chmod 600 on it."])
    return path.read_bytes()


class Sealer:
    """Seals records with the installation's master key and makes digests that nobody without it can compute."""

    def __init__(self, master_key: bytes) -> None:
        self._fernet = Fernet(master_key)
        # A key of its own, so that a digest never shares key material with a ciphertext.
        self._digest_key = hmac.digest(master_key, b"imaging-cds digest v1", hashlib.sha256)

    @classmethod
    def of(cls, state_dir: Path) -> Sealer:
        """The sealer of the installation whose state is in ``state_dir``."""
        return cls(read_or_make(private_directory(state_dir) / MASTER_KEY_FILE, Fernet.generate_key()).strip())

    def seal(self, plain: bytes) -> bytes:
        """Encrypted and authenticated."""
        return self._fernet.encrypt(plain)

    def open(self, sealed: bytes) -> bytes | None:
        """The plain bytes; None when sealed with another key or altered."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None

    def digest(self, *parts: str) -> str:
        """Keyed SHA-256 in hex over the parts, unambiguously joined."""
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._digest_key, message, hashlib.sha256).hexdigest()
