"""Which series and instances a study holds, by the archive's index: no series may pass under another patient's study.

The archive's answer is compared with what was asked, since servers ignore parameters that they do not know (PS3.18 §8.3.4).

Spec: SMART Imaging Access groups 10 and 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from imaging_server.decision_cache import DecisionCache
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.upstream import Archive


class StudyContents:
    """Answers membership questions from the archives' indexes, each index page asked once in ``keep_s``. Thread-safe."""

    def __init__(self, *, keep_s: float, max_json_bytes: int) -> None:
        self._keep_s = keep_s
        self._max_json_bytes = max_json_bytes
        self._known: DecisionCache[frozenset[str]] = DecisionCache(max_entries=2000)

    def holds(self, archive: Archive, resource: DicomResource) -> bool:
        """Whether the series and instance that a resource names belong to its study; True when it names none."""
        if resource.study is None or resource.series is None:
            return True
        if not self._holds_series(archive, resource.study, resource.series):
            return False
        return resource.instance is None or self._holds_instance(archive, resource.study, resource.series, resource.instance)

    def _holds_series(self, archive: Archive, study: StudyInstanceUID, series: SeriesInstanceUID) -> bool:
        search = DicomResource(kind=Kind.SEARCH, level=Level.SERIES, study=study)

        def ask(query: Sequence[tuple[str, str]]) -> frozenset[str]:
            found = archive.search(search, [*query, _INCLUDE_STUDY], limit=self._max_json_bytes)
            return _uids(found.datasets, SERIES_INSTANCE_UID, {STUDY_INSTANCE_UID: study})

        key = (archive.name, study)
        if series in self._known.get(key, lambda: ask(()), seconds=self._seconds):
            return True
        # The list may be a page of it, or older than the series; the exact question settles it.
        return series in ask([("SeriesInstanceUID", series)])

    def _holds_instance(
        self, archive: Archive, study: StudyInstanceUID, series: SeriesInstanceUID, instance: SopInstanceUID
    ) -> bool:
        search = DicomResource(kind=Kind.SEARCH, level=Level.INSTANCE, study=study, series=series)

        def ask(query: Sequence[tuple[str, str]]) -> frozenset[str]:
            includes = [_INCLUDE_STUDY, _INCLUDE_SERIES]
            found = archive.search(search, [*query, *includes], limit=self._max_json_bytes)
            return _uids(found.datasets, SOP_INSTANCE_UID, {STUDY_INSTANCE_UID: study, SERIES_INSTANCE_UID: series})

        key = (archive.name, study, series)
        if instance in self._known.get(key, lambda: ask(()), seconds=self._seconds):
            return True

        def ask_exactly() -> frozenset[str]:
            return ask([("SOPInstanceUID", instance)]) & {instance}

        return bool(self._known.get((*key, instance), ask_exactly, seconds=self._seconds))

    def _seconds(self, found: frozenset[str]) -> float:
        """Only what was found is kept: a study may still be arriving."""
        return self._keep_s if found else 0.0


_INCLUDE_STUDY = ("includefield", STUDY_INSTANCE_UID)
_INCLUDE_SERIES = ("includefield", SERIES_INSTANCE_UID)


def _uids(datasets: Sequence[Mapping[str, Any]], tag: str, where: Mapping[str, str]) -> frozenset[str]:
    """The UIDs in ``tag`` of those data sets that say of themselves what was asked."""
    fitting = (one for one in datasets if all(first_text(one, name) == value for name, value in where.items()))
    return frozenset(uid for uid in (first_text(one, tag) for one in fitting) if uid)
