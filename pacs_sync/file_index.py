"""What stands in which file, in a database of its own on disk that is gone when it is closed: memory stays flat.

Spec: clinical rules M6, M7; issue 6 (files).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

_SCHEMA = """
CREATE TABLE facts (
    key BLOB PRIMARY KEY, study TEXT NOT NULL, series TEXT, day TEXT, content TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX facts_of_study ON facts (study, series);
CREATE TABLE instances (
    study TEXT NOT NULL, sop TEXT NOT NULL, series TEXT NOT NULL, sop_class TEXT NOT NULL, number INTEGER, document BLOB,
    PRIMARY KEY (study, sop)
) WITHOUT ROWID;
CREATE TABLE odd (path BLOB NOT NULL, reason TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An instance in its study; ``document`` is the path of a structured report, whose bytes need not be any text."""

    study: str
    sop: str
    series: str
    sop_class: str
    number: int | None
    document: bytes | None


@dataclass(frozen=True, slots=True)
class FactsRow:
    """What files of one series say alike. ``key`` is another for other facts, ``day`` as ``YYYYMMDD``."""

    key: bytes
    study: str
    series: str | None
    day: str | None
    content: Mapping[str, Any]


class FileIndex:
    """Not thread-safe: whoever shares it locks it."""

    def __init__(self) -> None:
        # An empty name is SQLite's own for a database on disk that nobody else sees.
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
        self._database.execute("BEGIN")

    def close(self) -> None:
        """Lets it go."""
        self._database.close()

    def add_facts(self, row: FactsRow) -> None:
        """Facts that are known already stay as they are."""
        content = json.dumps(row.content, separators=(",", ":"))
        stated = (row.key, row.study, row.series, row.day, content)
        self._database.execute("INSERT OR IGNORE INTO facts VALUES (?, ?, ?, ?, ?)", stated)

    def add_instance(self, row: InstanceRow) -> bool:
        """Whether it is new: one that comes twice in a study counts once (M6)."""
        stated = (row.study, row.sop, row.series, row.sop_class, row.number, row.document)
        return self._database.execute("INSERT OR IGNORE INTO instances VALUES (?, ?, ?, ?, ?, ?)", stated).rowcount == 1

    def add_odd(self, path: bytes, reason: str) -> None:
        """A file that nothing, or not everything, could be made of."""
        self._database.execute("INSERT INTO odd VALUES (?, ?)", (path, reason))

    def odd(self) -> Iterator[tuple[bytes, str]]:
        """Paths and reasons, as found."""
        yield from self._paged("SELECT rowid, path, reason FROM odd WHERE rowid > ? ORDER BY rowid LIMIT ?", 0)

    def studies(self, after: str, limit: int, days: tuple[str, str] | None = None) -> list[str]:
        """The next studies by UID, all or those of these days (DICOM's ``YYYYMMDD``, both included)."""
        first, last = days or ("", "")
        question = "SELECT DISTINCT study FROM facts WHERE study > ? AND (? = '' OR day BETWEEN ? AND ?) ORDER BY study LIMIT ?"
        return [row[0] for row in self._database.execute(question, (after, first, first, last, limit))]

    def state_of(self, study: str) -> str:
        """Changes with any fact and any instance of the study."""
        digest = blake2b(digest_size=16)
        for (key,) in self._database.execute("SELECT key FROM facts WHERE study = ? ORDER BY key", (study,)):
            digest.update(key)
        for sop, series in self._database.execute("SELECT sop, series FROM instances WHERE study = ? ORDER BY sop", (study,)):
            digest.update(f"{sop}\n{series}\n".encode())
        return digest.hexdigest()

    def facts_of(self, study: str) -> dict[str | None, list[dict[str, Any]]]:
        """All different facts of a study by series, in the order of their UIDs."""
        found: dict[str | None, list[dict[str, Any]]] = {}
        question = "SELECT series, content FROM facts WHERE study = ? ORDER BY series, key"
        for series, content in self._database.execute(question, (study,)):
            found.setdefault(series, []).append(json.loads(content))
        return found

    def counts_of(self, study: str) -> dict[str, int]:
        """Instances of each series."""
        return dict(self._database.execute("SELECT series, count(*) FROM instances WHERE study = ? GROUP BY series", (study,)))

    def instances_of(self, study: str) -> Iterable[InstanceRow]:
        """The instances of a study."""
        question = "SELECT study, sop, series, sop_class, number, document FROM instances WHERE study = ?"
        return (InstanceRow(*row) for row in self._database.execute(question, (study,)))

    def documents_of(self, study: str) -> list[bytes]:
        """The paths of a study's structured reports, by UID."""
        question = "SELECT document FROM instances WHERE study = ? AND document IS NOT NULL ORDER BY sop"
        return [row[0] for row in self._database.execute(question, (study,))]

    def _paged(self, question: str, last: int, size: int = 500) -> Iterator[tuple[bytes, str]]:
        while page := self._database.execute(question, (last, size)).fetchall():
            yield from ((row[1], row[2]) for row in page)
            last = page[-1][0]
