"""A file of JSON lines that gets every audit event. Sending again makes no second line.

Spec: SMART Imaging Access group 34; IHE ITI BALP.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fhir_imaging.audit_sinks import MayGoOn, OutgoingEvent, Sent

_CHUNK = 1 << 20
_ID = re.compile(rb'"id":"([^"]{1,64})"')
"""As our lines have an event's id; what a caller sent cannot look so, since JSON escapes its quotation marks."""


class FileSink:
    """Appends one line for each event. Several processes may write to the same file, and it may be moved away at any time."""

    name = "file"

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self._fsync = fsync

    def send(self, events: Sequence[OutgoingEvent], *, may_go_on: MayGoOn) -> Sent:
        """All or nothing: a disk that is full half-way is left as it was."""
        keys, tried = {event.key for event in events}, set[str]()
        try:
            with self._locked(may_go_on) as file:
                if file is None:
                    return Sent()  # the wait for the lock took too long
                size, tried = os.fstat(file).st_size, keys
                try:
                    self._append(file, size, events)
                except OSError:
                    os.ftruncate(file, size)
                    tried = set()
                    raise
        except OSError as exc:
            return Sent(failure=f"the file cannot be written: {exc.strerror}", tried=tried)
        return Sent(delivered=keys)

    def close(self) -> None:
        """Nothing is open between two batches."""

    @contextmanager
    def _locked(self, may_go_on: MayGoOn) -> Iterator[int | None]:
        """The file that bears the name now, for us alone: whoever waited may have waited for one that was removed since."""
        file: int | None = None
        try:
            while may_go_on():
                file = self._opened()
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._is_still(file):
                    break
                os.close(file)
                file = None
            yield file if may_go_on() else None
        finally:
            if file is not None:
                os.close(file)

    def _opened(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self._path, flags, 0o600)
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
        # A pipe or a device forgets what was written, and nothing could be looked for in it.
        raise OSError(errno.EINVAL, "it is no regular file")

    def _is_still(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def _append(self, file: int, size: int, events: Sequence[OutgoingEvent]) -> None:
        there = _keys_among(file, {event.key for event in events if event.is_repeated})
        lines = [_line(event.resource) for event in events if event.key not in there]
        # A machine that lost power may have left half a line.
        is_torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        content = (b"\n" if is_torn else b"") + b"".join(lines)
        while content:
            content = content[os.write(file, content) :]
        if self._fsync:
            os.fsync(file)


def _line(resource: Mapping[str, Any]) -> bytes:
    """One line, whatever the event holds: JSON escapes every line break, and all but ASCII."""
    return json.dumps(resource, separators=(",", ":")).encode("ascii") + b"\n"


def _keys_among(file: int, wanted: set[str]) -> set[str]:
    """Those keys whose whole line is in the file already."""
    if not wanted:
        return set()
    found: set[str] = set()
    with os.fdopen(os.dup(file), "rb", buffering=_CHUNK) as lines:
        lines.seek(0)
        for line in lines:
            if any(one.decode("ascii", "replace") in wanted for one in _ID.findall(line)):
                found |= wanted & {_key_of(line)}
    return found


def _key_of(line: bytes) -> str:
    try:
        return str(json.loads(line).get("id"))
    except (ValueError, AttributeError):
        return ""
