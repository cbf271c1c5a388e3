"""Orthanc as a source of studies: its own list of changes says what is new and what is complete, DICOMweb what is in it.

A study is complete when Orthanc says ``StableStudy``; a late instance makes it say so again. What is deleted goes from the list
without a word, so only a comparison of everything finds it. An upload of what is there already is no change.

Spec: Orthanc REST API ``/changes``; clinical rules §9, X24.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.errors import UpstreamError
from fhir_imaging.tolerant import as_dict, count, dicts, text
from fhir_imaging.uids import StudyInstanceUID, is_uid
from pacs_sync.ports import Days, Look, Sighting, Source

IS_COMPLETE = {"NewStudy": False, "NewSeries": False, "ModifiedStudy": False, "StableStudy": True}
"""Changes that tell of a study, and whether it is complete then. All others are about instances, patients or files."""
CHANGES_AT_ONCE = 1000
"""Most of them tell of single instances."""
_AT_ONCE = 4
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}", re.ASCII)
_CURSOR = re.compile(r"[0-9]{1,18}", re.ASCII)


class OrthancSource:
    """``Source`` over Orthanc; ``dicomweb`` reads its studies. Thread-safe."""

    def __init__(self, url: str, session: ArchiveSession, dicomweb: Source, *, changes_at_once: int = CHANGES_AT_ONCE) -> None:
        """``url`` is Orthanc's own root, which ``session`` must be allowed to ask."""
        self._url = url.rstrip("/")
        self._session = session
        self._dicomweb = dicomweb
        self._changes_at_once = changes_at_once
        self._executor = ThreadPoolExecutor(min(_AT_ONCE, session.max_connections), thread_name_prefix="orthanc")

    def look(self, cursor: str | None) -> Look:
        """One page of changes. ``cursor`` is the number of the last one that was seen.

        Numbers begin anew with a new database: a cursor beyond its last number begins anew too.
        """
        since = int(cursor) if cursor and _CURSOR.fullmatch(cursor) else 0
        changes = self._changes(since)
        last = count(changes.get("Last")) or 0
        entries = dicts(changes.get("Changes"))
        if not entries and last < since:
            since, changes = 0, self._changes(0)
            last, entries = count(changes.get("Last")) or 0, dicts(changes.get("Changes"))
        if entries and last <= since:
            raise UpstreamError("Orthanc's list of changes does not go on.", server=self._session.name)
        is_last = changes.get("Done") is not False or not entries
        return Look(sightings=tuple(self._sightings(entries)), cursor=str(max(since, last)), is_last=is_last)

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        """As ``Source``, by DICOMweb: the list of changes does not tell of what is gone."""
        return self._dicomweb.studies(days)

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        """As ``Source``, by DICOMweb."""
        return self._dicomweb.study(uid)

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        """As ``Source``, by DICOMweb."""
        return self._dicomweb.documents(study)

    def close(self) -> None:
        """Lets go of its threads; ``session`` and ``dicomweb`` belong to who made them."""
        self._executor.shutdown()

    def _changes(self, since: int) -> Mapping[str, Any]:
        query = [("since", str(since)), ("limit", str(self._changes_at_once))]
        answer = self._session.ask(f"{self._url}/changes", query, accept="application/json")
        changes = as_dict(answer.content) if answer is not None else {}
        if not isinstance(changes.get("Changes"), list) or count(changes.get("Last")) is None:
            raise UpstreamError("This is no list of Orthanc's changes.", server=self._session.name)
        return changes

    def _sightings(self, entries: list[Mapping[str, Any]]) -> Iterator[Sighting]:
        """Each study once, as the last change of it says."""
        is_complete: dict[str, bool] = {}
        for entry in entries:
            kind, number = text(entry.get("ChangeType")) or "", text(entry.get("ID")) or ""
            if kind in IS_COMPLETE and _ID.fullmatch(number):
                path = f"/series/{number}/study" if kind == "NewSeries" else f"/studies/{number}"
                is_complete.pop(path, None)  # the order is that of the last change
                is_complete[path] = IS_COMPLETE[kind]
        by_uid: dict[StudyInstanceUID, bool] = {}  # a study is told of by its own changes and by those of its series
        for uid, complete in zip(self._executor.map(self._uid_at, is_complete), is_complete.values(), strict=True):
            if uid is not None:
                by_uid[uid] = complete
        return (Sighting(study=uid, is_complete=complete) for uid, complete in by_uid.items())

    def _uid_at(self, path: str) -> StudyInstanceUID | None:
        """None for a study that was deleted meanwhile."""
        answer = self._session.ask(self._url + path, accept="application/json")
        tags = as_dict(as_dict(answer.content).get("MainDicomTags")) if answer is not None else {}
        uid = (text(tags.get("StudyInstanceUID")) or "").rstrip("\0 ")
        return StudyInstanceUID(uid) if is_uid(uid) else None
