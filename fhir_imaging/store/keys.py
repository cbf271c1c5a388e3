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
    process reads the one that won. It is on the disk before anything is sealed with it. Mode 0600.
    """
    if not path.exists():
        candidate = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(fresh)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(candidate, path)
        except FileExistsError:  # another process was first; its secret counts
            pass
        finally:
            candidate.unlink()
        _on_disk(path.parent)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError([f"{path} may be read by other users: run chmod 600 on it."])
    return path.read_bytes()


def _on_disk(directory: Path) -> None:
    """Waits until the names in the directory would outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Sealer:
    """Seals records with the installation's master key and makes digests that nobody without it can compute."""

    def __init__(self, master_key: bytes) -> None:
        self._fernet = Fernet(master_key)
        # A key of its own, so that a digest never shares key material with a ciphertext.
        self._digest_key = hmac.digest(master_key, b"imaging-cds digest v1", hashlib.sha256)

    @classmethod
    def of(cls, state_dir: Path) -> Sealer:
        """The sealer of the installation whose state is in ``state_dir``; its key is made where there is none.

        ConfigurationError for a file that others may read, or that holds no key.
        """
        path = private_directory(state_dir) / MASTER_KEY_FILE
        key = read_or_make(path, Fernet.generate_key()).strip()
        try:
            return cls(key)
        except ValueError as exc:
            raise ConfigurationError([f"{path} holds no key, or only a part of one: put it back from the backup."]) from exc

    @classmethod
    def present(cls, state_dir: Path) -> Sealer | None:
        """As ``of``; None, and nothing is made, where there is no key."""
        return cls.of(state_dir) if (state_dir / MASTER_KEY_FILE).exists() else None

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
