"""A folder of DICOM files as an archive: each file is opened once, and each series' facts are decoded once.

What cannot be read is counted and listed with its reason, and stops nothing. Needs pydicom (extra ``dicom``).

Spec: issue 6 (``imaging-cds sync files``); clinical rules M6, M7, T4.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import RLock
from typing import Any

from fhir_imaging.archived_study import ArchivedInstance, ArchivedStudy
from fhir_imaging.dicom_json import (
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    first_text,
    values,
    whole_text,
)
from fhir_imaging.study_reading import (
    INSTANCE_FIELDS,
    INSTANCE_NUMBER,
    MODALITY,
    SERIES_FIELDS,
    SOP_CLASS_UID,
    STUDY_DATE,
    STUDY_FIELDS,
    archived_instance,
)
from fhir_imaging.study_times import day_of
from fhir_imaging.tolerant import dicts
from fhir_imaging.uids import SopInstanceUID, StudyInstanceUID, is_uid
from pacs_sync.anatomy import FRAME_ANATOMY, SHARED_FUNCTIONAL_GROUPS, SIDE_FIELDS
from pacs_sync.file_headers import Header, MoreNeeded, OddFile, header_of
from pacs_sync.file_index import FactsRow, FileIndex, InstanceRow
from pacs_sync.file_reading import UnreadableFileError, dataset_of
from pacs_sync.file_walk import files_under, why_closed
from pacs_sync.ports import Days, Look, Sighting
from pacs_sync.study_facts import MORE_SERIES_FIELDS, MORE_STUDY_FIELDS, SeriesRecord, SiteRules, study_facts

_CHARACTER_SET = "00080005"
_OF_INSTANCES = frozenset({SOP_INSTANCE_UID, SOP_CLASS_UID, INSTANCE_NUMBER})
_FIELDS = {
    *(_CHARACTER_SET, PATIENT_ID, *STUDY_FIELDS, *MORE_STUDY_FIELDS, *SERIES_FIELDS, *MORE_SERIES_FIELDS),
    *(*INSTANCE_FIELDS, *SIDE_FIELDS, SHARED_FUNCTIONAL_GROUPS),
}
WANTED = frozenset(int(tag, 16) for tag in _FIELDS)
_OWN = {tag: int(tag, 16) for tag in _OF_INSTANCES}
_OWN_TAGS = frozenset(_OWN.values())
_FIRST_BYTES, _MORE_BYTES = 16 * 1024, 1024 * 1024
_MANY_FACTS = 4096
_PAGE = 200
# Its Media Storage SOP Class UID, which no image says in its first kilobyte.
_MEDIA_DIRECTORY = b"1.2.840.10008.1.3.10"
PROGRESS_EVERY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OddFileNote:
    """A file that nothing, or not everything, could be made of; ``reason`` holds no word of what is in it."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """``files`` were looked at: ``instances`` are in studies, ``duplicates`` are more files of these, ``odd`` are listed."""

    files: int = 0
    instances: int = 0
    duplicates: int = 0
    odd: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    study: StudyInstanceUID
    series: str | None
    is_report: bool


class FileSource:
    """Implements ``ports.Source`` over files and folders, at any depth. Thread-safe; ``close`` it at the end."""

    def __init__(self, roots: Sequence[Path], site: SiteRules) -> None:
        self._roots = tuple(roots)
        self._site = site
        self._lock = RLock()
        self._index: FileIndex | None = None
        self._known: dict[bytes, _Known] = {}
        self._counts = FileCounts()

    def close(self) -> None:
        """Lets what was read go."""
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index = None

    def read(self, progress: Callable[[int], None] | None = None) -> FileCounts:
        """Reads all files anew; ``progress`` is told how many, now and then."""
        with self._lock:
            self.close()
            self._index, self._known, self._counts = FileIndex(), {}, FileCounts()
            tally = dict.fromkeys(("files", "instances", "duplicates", "odd"), 0)
            for path, reason in files_under(self._roots):
                found = reason or self._file(self._index, path)
                tally["files"] += reason is None
                tally["instances" if found is True else "duplicates" if found is False else "odd"] += 1
                if isinstance(found, str):
                    self._index.add_odd(os.fsencode(path), found)
                if progress is not None and tally["files"] % PROGRESS_EVERY == 0:
                    progress(tally["files"])
            self._counts = FileCounts(**tally)
            return self._counts

    def counts(self) -> FileCounts:
        """What was read."""
        self._ready()
        return self._counts

    def odd_files(self) -> Iterator[OddFileNote]:
        """The files that are not, or not wholly, in any study."""
        with self._lock:
            found = [OddFileNote(path=Path(os.fsdecode(path)), reason=reason) for path, reason in self._ready().odd()]
        yield from found

    def look(self, cursor: str | None) -> Look:
        """Some studies after ``cursor``, which is a UID; after the last the files are read again from the beginning."""
        with self._lock:
            if not cursor and cursor is not None:
                self.read()
            index = self._ready()
            uids = index.studies(cursor or "", _PAGE)
            is_last = len(uids) < _PAGE
            return Look(
                sightings=tuple(_sighting(index, uid) for uid in uids), cursor="" if is_last else uids[-1], is_last=is_last
            )

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        """Every study, or those of these days."""
        limits = (f"{days.first:%Y%m%d}", f"{days.last:%Y%m%d}") if days else None
        last = ""
        while True:
            with self._lock:
                index = self._ready()
                page = [_sighting(index, uid) for uid in index.studies(last, _PAGE, limits)]
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].study

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        """What all files of the study say together; None when there are none."""
        with self._lock:
            index = self._ready()
            facts = index.facts_of(uid)
            if not facts:
                return None
            counts = index.counts_of(uid)
            listed: dict[str, list[ArchivedInstance]] = {}
            for row in index.instances_of(uid) if self._site.with_instances else ():
                one = ArchivedInstance(uid=SopInstanceUID(row.sop), sop_class=row.sop_class, number=row.number)
                listed.setdefault(row.series, []).append(one)
        records = [
            SeriesRecord(
                match=told[0], details=told, is_whole=True, instances=listed.get(series, ()), count=counts.get(series, 0)
            )
            for series, told in facts.items()
            if series is not None
        ]
        return study_facts([*facts.get(None, ()), *(record.match for record in records[:1])], records, self._site)

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        """The data sets of its structured reports; one that has gone or cannot be read any more is left out."""
        with self._lock:
            paths = self._ready().documents_of(study.uid)
        for path in paths:
            with suppress(UnreadableFileError):
                yield dataset_of(Path(os.fsdecode(path)))

    def _ready(self) -> FileIndex:
        with self._lock:
            if self._index is None:
                self.read()
            if self._index is None:
                raise RuntimeError("reading leaves an index")
            return self._index

    def _file(self, index: FileIndex, path: Path) -> bool | str:
        """Whether its instance is new, or what is wrong with the file."""
        try:
            header = _header(path)
            raw = None if header is None else _digest(header)
            known = self._known.get(raw) if raw is not None else None
            if header is None or known is None:
                content = dataset_of(path, WANTED)
                own = {tag: content.pop(tag) for tag in _OF_INSTANCES if tag in content}
                known = self._facts(index, content)
            else:
                own = {tag: {"Value": [_own(header, tag)]} for tag in _OF_INSTANCES}
            if known is None:
                return _why_none(path)
        except UnreadableFileError as exc:
            return str(exc)
        except OSError as exc:
            return why_closed(exc)
        if raw is not None:
            if len(self._known) >= _MANY_FACTS:
                self._known.clear()
            self._known[raw] = known
        instance = archived_instance(own)
        if instance is None:
            return "no SOP Instance UID or SOP Class UID"
        if known.series is None:
            return "no Series Instance UID"
        document = os.fsencode(path) if known.is_report else None
        return index.add_instance(
            InstanceRow(known.study, instance.uid, known.series, instance.sop_class, instance.number, document)
        )

    def _facts(self, index: FileIndex, content: dict[str, Any]) -> _Known | None:
        study, series = whole_text(content, STUDY_INSTANCE_UID), whole_text(content, SERIES_INSTANCE_UID)
        if study is None or not is_uid(study):
            return None
        series = series if series is not None and is_uid(series) else None
        if SHARED_FUNCTIONAL_GROUPS in content:
            # The rest of them differs from image to image.
            groups = dicts(values(content, SHARED_FUNCTIONAL_GROUPS))
            kept = [{FRAME_ANATOMY: one[FRAME_ANATOMY]} for one in groups if FRAME_ANATOMY in one]
            content[SHARED_FUNCTIONAL_GROUPS] = {"vr": "SQ", "Value": kept}
        key = blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).digest()
        day = day_of(whole_text(content, STUDY_DATE))
        index.add_facts(FactsRow(key, study, series, f"{day:%Y%m%d}" if day else None, content))
        return _Known(StudyInstanceUID(study), series, first_text(content, MODALITY) == "SR")


def _sighting(index: FileIndex, uid: str) -> Sighting:
    return Sighting(study=StudyInstanceUID(uid), is_complete=True, state=index.state_of(uid))


def _header(path: Path) -> Header | None:
    """The wanted elements as bytes; None where pydicom must read the file."""
    with path.open("rb", buffering=0) as file:
        head = b""
        for size in (_FIRST_BYTES, _MORE_BYTES):
            head += file.read(size - len(head)) or b""
            try:
                header = header_of(head, WANTED, is_all=len(head) < size)
                for tag in _OF_INSTANCES:
                    _own(header, tag)
            except MoreNeeded:
                continue
            except OddFile:
                return None
            else:
                return header
    return None


def _own(header: Header, tag: str) -> str | None:
    return header.text(_OWN[tag], b"IS" if tag == INSTANCE_NUMBER else b"UI")


def _digest(header: Header) -> bytes:
    digest = blake2b(b"E" if header.is_explicit else b"I", digest_size=16)
    for tag, element in header.elements.items():
        if tag not in _OWN_TAGS:
            digest.update(element)
    return digest.digest()


def _why_none(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(1024)
    if head[128:132] != b"DICM":
        return "no DICOM file"
    return "a media directory, no image" if _MEDIA_DIRECTORY in head else "no Study Instance UID"
