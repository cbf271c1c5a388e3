"""Index of the archive: which file holds which instance, in SQLite, rebuilt from the files at any time."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ehr_sandbox import pacs_entities
from ehr_sandbox.database import snapshot, write_transaction
from ehr_sandbox.pacs_header import InstanceHeader, UnreadableInstance, read_header

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 30.0

_SCHEMA = """
CREATE TABLE instance (
    sop_uid TEXT PRIMARY KEY, series_uid TEXT NOT NULL, study_uid TEXT NOT NULL, sop_class_uid TEXT NOT NULL,
    instance_number INTEGER, transfer_syntax_uid TEXT NOT NULL, metadata TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL,
    pixel_tag INTEGER, value_offset INTEGER, value_length INTEGER, frame_bits INTEGER,
    number_of_frames INTEGER NOT NULL);
CREATE INDEX instance_of_series ON instance (study_uid, series_uid, instance_number, sop_uid);
CREATE TABLE series (
    study_uid TEXT NOT NULL, series_uid TEXT NOT NULL, series_number INTEGER, modality TEXT,
    attributes TEXT NOT NULL, PRIMARY KEY (study_uid, series_uid));
CREATE INDEX series_by_uid ON series (series_uid);
CREATE TABLE study (
    study_uid TEXT PRIMARY KEY, patient_id TEXT, study_date TEXT, study_time TEXT, attributes TEXT NOT NULL);
CREATE INDEX study_of_patient ON study (patient_id);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOutcome:
    """What an import of a directory changed: numbers of instances."""

    added: int
    changed: int
    removed: int
    unchanged: int
    unreadable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileState:
    path: str
    mtime_ns: int
    size: int


class DuplicateInstance(ValueError):
    """The SOP Instance UID already names an instance of another study or series, or another file."""


class PacsIndex:
    """The archive's index in one SQLite file; safe for many threads and processes.

    Each use opens its own connection and closes it, so a streamed answer never shares one.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        database.parent.mkdir(parents=True, exist_ok=True)
        with self.writing() as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                self._create(connection)

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        # The index holds nothing that the files do not: an index of another version is simply made anew.
        for table in ("instance", "series", "study"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # Closing the last connection writes the log back; waiting for the disk there took ten times as long as storing an
        # instance. The files are the archive: an index that a failure of the whole machine destroyed can be deleted.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the archive for as long as it is used."""
        with closing(self._connect()) as connection, snapshot(connection):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in one write transaction: committed at the end, rolled back by an exception."""
        with closing(self._connect()) as connection, write_transaction(connection):
            yield connection

    def import_directory(self, directory: Path) -> ImportOutcome:
        """Indexes the Part-10 files below a directory in place, reading their headers only.

        Idempotent: files whose size and modification time are known are not read again; files that changed
        are read anew and instances whose file is gone are forgotten. Files that are not DICOM are passed over,
        and so is a second file with a SOP Instance UID that another file below holds already.
        """
        files = {state.path: state for state in _files_below(directory.resolve())}
        with self.writing() as connection:
            known = _known_files(connection, directory.resolve())
            gone = [path for path in known if path not in files]
            stale = [path for path, state in known.items() if path in files and files[path] != state]
            touched = _forget(connection, [*gone, *stale])
            unknown = [state for path, state in files.items() if path not in known or path in stale]
            indexed = set()
            for state in unknown:
                header = _read_or_none(Path(state.path))
                if header is not None and _insert(connection, header, state):
                    indexed.add(state.path)
                    touched.add((header.study_uid, header.series_uid))
            pacs_entities.rebuild(connection, touched)
        return ImportOutcome(
            added=len(indexed.difference(stale)),
            changed=len(indexed.intersection(stale)),
            removed=len(gone),
            unchanged=len(known) - len(gone) - len(stale),
            unreadable=len(unknown) - len(indexed),
        )

    def add_file(self, header: InstanceHeader, received: Path, destination: Path) -> None:
        """Moves a received file to its place and indexes it, instead of an earlier one with the same UIDs.

        `DuplicateInstance` when its SOP Instance UID is used in another study or series.
        """
        destination.parent.mkdir(parents=True, exist_ok=True)
        place = destination.resolve()
        with self.writing() as connection:
            present = connection.execute(
                "SELECT study_uid, series_uid, path FROM instance WHERE sop_uid = ?", (header.sop_uid,)
            ).fetchone()
            if present is not None:
                if (present["study_uid"], present["series_uid"]) != (header.study_uid, header.series_uid):
                    raise DuplicateInstance(header.sop_uid)
                _forget(connection, [present["path"]])
            os.replace(received, place)
            _insert(connection, header, _file_state(place))
            pacs_entities.rebuild(connection, {(header.study_uid, header.series_uid)})


def _file_state(path: Path) -> _FileState:
    status = path.stat()
    return _FileState(path=str(path), mtime_ns=status.st_mtime_ns, size=status.st_size)


def _files_below(directory: Path) -> Iterator[_FileState]:
    for folder, subfolders, names in os.walk(directory):
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                yield _file_state(path)


def _known_files(connection: sqlite3.Connection, directory: Path) -> dict[str, _FileState]:
    prefix = f"{directory}{os.sep}"
    rows = connection.execute("SELECT path, mtime_ns, size FROM instance WHERE substr(path, 1, ?) = ?", (len(prefix), prefix))
    return {row["path"]: _FileState(path=row["path"], mtime_ns=row["mtime_ns"], size=row["size"]) for row in rows}


def _forget(connection: sqlite3.Connection, paths: Iterable[str]) -> set[tuple[str, str]]:
    touched = set()
    for path in paths:
        row = connection.execute("SELECT study_uid, series_uid FROM instance WHERE path = ?", (path,)).fetchone()
        if row is not None:
            touched.add((row["study_uid"], row["series_uid"]))
            connection.execute("DELETE FROM instance WHERE path = ?", (path,))
    return touched


def _read_or_none(path: Path) -> InstanceHeader | None:
    try:
        return read_header(path)
    except UnreadableInstance:
        return None


def _insert(connection: sqlite3.Connection, header: InstanceHeader, state: _FileState) -> bool:
    pixels = header.pixels
    cursor = connection.execute(
        "INSERT INTO instance VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (sop_uid) DO NOTHING",
        (
            header.sop_uid,
            header.series_uid,
            header.study_uid,
            header.sop_class_uid,
            header.instance_number,
            header.transfer_syntax_uid,
            header.metadata,
            state.path,
            state.mtime_ns,
            state.size,
            pixels.tag if pixels else None,
            pixels.value_offset if pixels else None,
            pixels.value_length if pixels else None,
            pixels.frame_bits if pixels else None,
            pixels.number_of_frames if pixels else 1,
        ),
    )
    return cursor.rowcount == 1
