"""Which series and instances a study holds, by the archive's index: no series may pass under another patient's study.

The archive's answer is compared with what was asked, since servers ignore parameters that they do not know (PS3.18 §8.3.4).
Where the whole list is too much for the archive, or for us, the one thing is asked about.

Spec: SMART Imaging Access W5, groups 10, 14 and 15.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_imaging.clients.decision_cache import DecisionCache
from fhir_imaging.dicom_json import (
    ISSUER_OF_PATIENT_ID,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    first_text,
    issuer_of_number,
    values,
)
from fhir_imaging.errors import TooLarge
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.upstream import Archive, Matches
from imaging_server.upstream_answers import AnswerTooLarge
from imaging_server.whole_answers import read_whole

MAX_UIDS = 200_000
"""Instances in all kept lists together, about 30 MB: a series may have thousands."""
_PERSON = (PATIENT_ID, ISSUER_OF_PATIENT_ID)


@dataclass(frozen=True, slots=True)
class SeriesIndex:
    """The series of a study, and the persons (PatientID and issuer, where a series names any) that they are said to be of.

    ``is_cut``: there may be series that matter and are not here.
    """

    uids: frozenset[str] = frozenset()
    persons: tuple[Mapping[str, Any], ...] = ()
    is_cut: bool = False


class InstanceLists(DecisionCache[frozenset[str]]):
    """Lists of UIDs, bounded by how many they hold; the newest stays, however long it is."""

    def __init__(self, *, max_uids: int = MAX_UIDS) -> None:
        super().__init__(max_entries=2000)
        self._max_uids = max_uids

    def keep(self, key: tuple[str, ...], value: frozenset[str], seconds: float) -> None:
        """As any value; the oldest lists go when all together hold too many."""
        super().keep(key, value, seconds)
        with self._lock:
            held = sum(len(uids) for _, uids in self._values.values())
            for oldest in list(self._values)[:-1]:
                if held <= self._max_uids:
                    break
                held -= len(self._values.pop(oldest)[1])


class StudyContents:
    """Answers membership questions from the archives' indexes, each asked once in ``keep_s``. Thread-safe."""

    def __init__(self, *, keep_s: float, max_json_bytes: int) -> None:
        self._keep_s = keep_s
        self._max_json_bytes = max_json_bytes
        self._series: DecisionCache[SeriesIndex] = DecisionCache(max_entries=2000)
        self._instances = InstanceLists()

    def series(self, archive: Archive, resource: DicomResource) -> SeriesIndex:
        """The series of a resource's study; at least the one that it names, if the study holds it.

        UpstreamError or InvalidRequest when the archive cannot tell.
        """
        if resource.study is None:
            raise ValueError("a request without a study is a search")
        study, named = resource.study, resource.series
        listed = self._series_of(archive, study)
        if named is None:
            return listed
        if named in listed.uids:
            return replace(listed, is_cut=False) if listed.is_cut else listed
        # The list may be a page of it, or older than the series; the exact question settles it.
        exactly = self._series_of(archive, study, named)
        return SeriesIndex(exactly.uids & {named}, (*listed.persons, *exactly.persons), exactly.is_cut)

    def holds(self, archive: Archive, resource: DicomResource, series: SeriesIndex) -> bool:
        """Whether the series and instance that a resource names belong to its study; of a whole study, whether it has any.

        ``series`` is the index of that study. One of no series says nothing of whose they are, so it opens none.
        """
        if resource.study is None or resource.series is None:
            return bool(series.uids)
        if resource.series not in series.uids:
            return False
        return resource.instance is None or self._holds_instance(archive, resource.study, resource.series, resource.instance)

    def is_listed(self, archive: Archive, resource: DicomResource) -> bool:
        """Whether it is known that a resource's instance belongs to its series: nobody is asked, the unknown is a no."""
        if resource.study is None or resource.series is None or resource.instance is None:
            return False
        return self.lists((archive.name, resource.study, resource.series), resource.instance)

    def lists(self, series: tuple[str, str, str], instance: str) -> bool:
        """As ``is_listed``; a series is named by its archive, its study and its UID."""
        listed = self._instances.kept(series)
        return listed is not None and (instance in listed or self._instances.kept((*series, instance)) is not None)

    def _series_of(self, archive: Archive, study: StudyInstanceUID, named: SeriesInstanceUID | None = None) -> SeriesIndex:
        key = (archive.name, study) if named is None else (archive.name, study, named)
        return self._series.get(
            key,
            lambda: self._ask_for_series(archive, study, named),
            # Only what was found is kept: a study may still be arriving.
            seconds=lambda found: self._keep_s if found.uids or found.is_cut else 0.0,
        )

    def _ask_for_series(self, archive: Archive, study: StudyInstanceUID, named: SeriesInstanceUID | None) -> SeriesIndex:
        search = DicomResource(kind=Kind.SEARCH, level=Level.SERIES, study=study)
        query = [("SeriesInstanceUID", named)] if named else []
        includes = [("includefield", tag) for tag in (STUDY_INSTANCE_UID, *_PERSON)]
        try:
            found = read_whole(archive, search, [*query, *includes], limit=self._max_json_bytes)
        except (TooLarge, AnswerTooLarge):
            if named is not None:
                raise
            return SeriesIndex(is_cut=True)
        return series_index(found, study, named)

    def _holds_instance(
        self, archive: Archive, study: StudyInstanceUID, series: SeriesInstanceUID, instance: SopInstanceUID
    ) -> bool:
        def ask(query: Sequence[tuple[str, str]]) -> frozenset[str]:
            search = DicomResource(kind=Kind.SEARCH, level=Level.INSTANCE, study=study, series=series)
            found = archive.search(search, [*query, *_INCLUDE_PARENTS], limit=self._max_json_bytes)
            return _uids(_saying(found, {STUDY_INSTANCE_UID: study, SERIES_INSTANCE_UID: series}), SOP_INSTANCE_UID)

        def ask_for_all() -> frozenset[str]:
            try:
                return ask(())
            except (TooLarge, AnswerTooLarge):
                return _TOO_MANY

        def ask_exactly() -> frozenset[str]:
            return ask([("SOPInstanceUID", instance)]) & {instance}

        key = (archive.name, study, series)
        if instance in self._instances.get(key, ask_for_all, seconds=self._seconds):
            return True
        return bool(self._instances.get((*key, instance), ask_exactly, seconds=self._seconds))

    def _seconds(self, found: frozenset[str]) -> float:
        """As for series."""
        return self._keep_s if found else 0.0


def series_index(found: Matches, study: StudyInstanceUID, named: SeriesInstanceUID | None = None) -> SeriesIndex:
    """What an answer says of a study's series, or of the one that was asked for; what it says of others is left out."""
    fitting = _saying(found, {STUDY_INSTANCE_UID: study, **({SERIES_INSTANCE_UID: named} if named else {})})
    return SeriesIndex(_uids(fitting, SERIES_INSTANCE_UID), _persons(fitting), not found.complete)


_INCLUDE_PARENTS = tuple(("includefield", tag) for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID))
_TOO_MANY = frozenset({"too many to be listed"})
"""Kept in place of a list, so that it is not asked for again with each instance. No UID looks like it."""


def _saying(found: Matches, where: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """The data sets that say of themselves what was asked."""
    return [one for one in found.datasets if all(first_text(one, name) == value for name, value in where.items())]


def _uids(datasets: Iterable[Mapping[str, Any]], tag: str) -> frozenset[str]:
    return frozenset(uid for uid in (first_text(one, tag) for one in datasets) if uid)


def _persons(datasets: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What is said of persons, each once: a thousand series of one study mostly say the same."""
    named = ({**one, ISSUER_OF_PATIENT_ID: {"Value": _issuers(one)}} for one in datasets)
    said = (tuple((tag, tuple(map(_text, values(one, tag)))) for tag in _PERSON if values(one, tag)) for one in named)
    return tuple({tag: {"Value": list(found)} for tag, found in one} for one in dict.fromkeys(said) if one)


def _issuers(dataset: Mapping[str, Any]) -> list[Any]:
    """As they stand in (0010,0021), or whom (0010,0024) names where nobody does there."""
    stated = values(dataset, ISSUER_OF_PATIENT_ID)
    issuer = None if any(_text(one) not in (None, "") for one in stated) else issuer_of_number(dataset)
    return stated if issuer is None else [issuer]


def _text(value: object) -> str | int | None:
    """A value without its padding, null as it is; a number for what is no text, and so nobody's name."""
    return value.strip(" \0") if isinstance(value, str) else None if value is None else 0
