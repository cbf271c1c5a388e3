"""When each of our client keys is published and when it signs: one small file beside the keys, written whole or not at all.

Spec: SMART App Launch 2.2 "Asymmetric client authentication" (A25: old and new key stand together during a rotation).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fhir_imaging.errors import ConfigurationError

SCHEDULE_FILE = "client-keys.json"
FIRST_KEYS = (("client-es384.pem", "ES384"), ("client-rs384.pem", "RS384"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledKey:
    """One key file. It is published from the start, signs from ``signs_from`` on, and leaves our JWKS at ``published_until``.

    Times in UTC seconds; None = not to be dropped yet.
    """

    name: str
    algorithm: str
    signs_from: int = 0
    published_until: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is a key that an installation makes by itself."""
        return (self.name, self.algorithm) in FIRST_KEYS

    def is_published(self, now: int) -> bool:
        """Whether an EHR must still know the key."""
        return self.published_until is None or now < self.published_until


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """All keys of the installation; ``stamp`` tells a changed file."""

    keys: tuple[ScheduledKey, ...]
    stamp: tuple[int, int] | None = None

    @classmethod
    def in_directory(cls, directory: Path) -> KeySchedule:
        """The schedule in the state directory; the two first keys alone where no rotation has been made."""
        path = directory / SCHEDULE_FILE
        stamp = _stamp(path)
        if stamp is None:
            return cls(tuple(ScheduledKey(name=name, algorithm=algorithm) for name, algorithm in FIRST_KEYS))
        try:
            return cls(tuple(_scheduled(one) for one in json.loads(path.read_text())["keys"]), stamp)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ConfigurationError([f"{SCHEDULE_FILE} in the state directory is damaged: restore it from a backup."]) from exc

    def reread(self, directory: Path) -> KeySchedule:
        """This schedule, or the one that another process has written since."""
        return self if _stamp(directory / SCHEDULE_FILE) == self.stamp else self.in_directory(directory)

    def rotated(self, name: str, algorithm: str, *, signs_from: int, overlap_s: int) -> KeySchedule:
        """The schedule with a new key; those that it follows are dropped ``overlap_s`` after it begins to sign."""
        until = signs_from + overlap_s
        kept = (
            replace(one, published_until=until) if one.algorithm == algorithm and one.published_until is None else one
            for one in self.keys
        )
        return KeySchedule((*kept, ScheduledKey(name=name, algorithm=algorithm, signs_from=signs_from)))

    def write(self, directory: Path) -> None:
        """Replaces the file at once, so that no worker reads half of it. Mode 0600."""
        candidate = directory / f".{SCHEDULE_FILE}.{secrets.token_hex(8)}"
        descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": [asdict(one) for one in self.keys]}, file, indent=1)
        candidate.replace(directory / SCHEDULE_FILE)


def _scheduled(record: Mapping[str, Any]) -> ScheduledKey:
    key = ScheduledKey(**record)
    # A name out of the file becomes a path: nothing but our own kind of file name is opened.
    if Path(key.name).name != key.name or key.algorithm not in ("ES384", "RS384"):
        raise ValueError(key.name)
    return key


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino
