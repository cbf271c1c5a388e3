"""Looks through every log line of a whole test run for tokens and patients' names, and fails the test whose run wrote one.

Lines in this process are looked at as they are written, at the level that production uses; the log files of processes that
tests start are looked through once, at the end. Tokens are known by what a JWT looks like, and by those that the tests' own
authorization servers say they issued (``is_secret``).

Spec: smart-imaging.md §13 group 34; DESIGN §9 (names and tokens stand in no log).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

OWN_LOGGER = "imaging_cds"
"""Above every logger of the application."""
LOG_FILES = ("*.log", "log")
NOT_OURS = ("orthanc", "postgres", "nginx", "hapi", "npm")
"""In the name, or the directory, of log files that other people's programs write."""
NAMES = ("Alma", "Bruno", "Clara", "Dario", "Elsa", "Fiona", "SYNTHETIC")
_KNOWN_BY_SIGHT = re.compile(rf"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{{8,}}|(?:{'|'.join(NAMES)})(?![A-Za-z])")
_SHORTEST = 12
_PIECE = re.compile(rf"[A-Za-z0-9_-]{{{_SHORTEST},}}")
_secrets: dict[str, set[str]] = {}
"""By their beginnings: however many there are, a line is looked through once."""


def is_secret(token: str) -> str:
    """Says that this must stand in no log from now on, and gives it back."""
    for piece in _PIECE.findall(token):
        _secrets.setdefault(piece[:_SHORTEST], set()).add(piece)
    return token


def leaks_in(line: str) -> list[str]:
    """What of a line must not be there, shown so that the report itself gives no token away."""
    text = "\n".join({line, unquote(line), unquote(unquote(line))})
    seen = {one.group() for one in _KNOWN_BY_SIGHT.finditer(text)} | _secrets_in(text)
    return sorted(one if one in NAMES else f"{one[:6]}… ({len(one)} characters)" for one in seen)


def _secrets_in(text: str) -> set[str]:
    """Whatever stands around them: ``Bearer%20`` and ``token_`` are of the characters that tokens are of."""
    begun = _secrets.keys() & {text[at : at + _SHORTEST] for at in range(len(text))}
    return {secret for start in begun for secret in _secrets[start] if secret in text}


class LogWatch(logging.Handler):
    """Reads every record of the application. ``found`` are the leaks since ``take`` was called last."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[str] = []
        self.lines = 0
        self._is_off = False

    def emit(self, record: logging.LogRecord) -> None:
        """Message, structured fields and the text of an exception, as either format of the log writes them."""
        if self._is_off:
            return
        self.lines += 1
        written = [record.getMessage(), str(getattr(record, "fields", ""))]
        if record.exc_info:
            written.append(logging.Formatter().formatException(record.exc_info))
        leaks = leaks_in("\n".join(written))
        if leaks:
            self.found.append(f"{record.name} (line {record.lineno} of {record.filename}): {', '.join(leaks)}")

    def attach(self) -> None:
        """Reads from now on, also after a test has configured the loggers anew."""
        own = logging.getLogger(OWN_LOGGER)
        if self not in own.handlers:
            own.addHandler(self)
        if own.level == logging.NOTSET:
            own.setLevel(logging.INFO)

    def take(self) -> list[str]:
        """What was found since the last time."""
        found, self.found = self.found, []
        return found

    @contextmanager
    def off(self) -> Iterator[None]:
        """For a test that writes a name into a log to see what becomes of it."""
        self._is_off = True
        try:
            yield
        finally:
            self._is_off = False


def leaks_in_files(directory: Path) -> list[str]:
    """The leaks in all log files below a directory, by file and line number."""
    return [
        f"{path.relative_to(directory)}, line {number}: {', '.join(leaks)}"
        for path in _log_files(directory)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if (leaks := leaks_in(line))
    ]


def _log_files(directory: Path) -> Iterable[Path]:
    # Not rglob: in a run that is broken off, servers still make and remove folders, and it fails at one that is gone.
    named = (Path(folder, name) for folder, _, names in os.walk(directory) for name in names)
    files = [
        one for one in named if any(one.match(pattern) for pattern in LOG_FILES) and one.is_file() and not one.is_symlink()
    ]
    return sorted(one for one in files if not any(word in "/".join(one.parts[-2:]).lower() for word in NOT_OURS))


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """A command of ours sets the logging of its whole process up, which here is that of all tests to come."""
    own = logging.getLogger(OWN_LOGGER)
    before = own.handlers, own.level, own.propagate
    module = {name: getattr(logging, name) for name in ("_srcfile", "logThreads", "logMultiprocessing")}
    try:
        yield
    finally:
        own.handlers, own.propagate = before[0], before[2]
        own.setLevel(before[1])
        for name, value in module.items():
            setattr(logging, name, value)
