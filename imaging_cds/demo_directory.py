"""The demo's directory: claimed by one demo at a time, and emptied only when it is one."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhir_imaging.errors import ConfigurationError

_LOCK = "lock"
_MARKS = (_LOCK, "app.toml", "demo-day")
"""What only a demo's directory holds: without one of them ``--reset`` deletes nothing."""


@contextmanager
def claimed(directory: Path, *, reset: bool) -> Iterator[None]:
    """The directory for one demo, made where it is missing and emptied first by ``reset``.

    ConfigurationError when another demo runs in it, or when it is to be emptied and is not a demo's.
    """
    if reset and directory.exists() and any(directory.iterdir()) and not any((directory / mark).exists() for mark in _MARKS):
        raise ConfigurationError([f"--reset: {directory} holds other things than a demo, so nothing was deleted."])
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigurationError([f"another demo runs in {directory}; stop it, or choose another --directory."]) from exc
        if reset:
            _empty(directory)
        yield


def _empty(directory: Path) -> None:
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()
