"""QIDO searches within one patient: the filter is ours, whatever the caller and the archive say.

The patient's studies come from the EHR; the archive is asked about exactly those, and its matches are filtered again.

Spec: DICOM PS3.18 §10.6; SMART Imaging Access P5, W3-W5, groups 14 and 15.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.dicom_json import ISSUER_OF_PATIENT_ID, SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.uids import StudyInstanceUID
from imaging_server.policy import StudyFacts
from imaging_server.queries import SearchQuery
from imaging_server.resource import DicomResource, Kind, Level
from imaging_server.upstream import Archive, Matches
from imaging_server.whole_answers import read_whole

STUDY_SEARCH = DicomResource(kind=Kind.SEARCH, level=Level.STUDY)
_INCLUDE_PERSON = (("includefield", STUDY_INSTANCE_UID), ("includefield", ISSUER_OF_PATIENT_ID))


def narrowed(query: SearchQuery, visible: Sequence[StudyFacts]) -> tuple[StudyInstanceUID, ...] | None:
    """The studies that a search may be answered from; None when it names one that is not among the visible.

    Such a search is refused as a retrieval would be, with the same answer for another patient's study and an unknown one.
    """
    owned = tuple(dict.fromkeys(facts.study for facts in visible))
    if query.studies is None:
        return owned
    return query.studies if set(query.studies) <= set(owned) else None


def find_studies(archive: Archive, query: SearchQuery, studies: Sequence[StudyInstanceUID], *, limit: int) -> Matches:
    """What the archive has of ``studies``, in chunks; paging is left to ``page_of``, since filtering comes in between.

    PatientID comes with every study; its issuer and the UID are asked for, so that each match can be checked.
    """
    found = [
        read_whole(
            archive,
            STUDY_SEARCH,
            [("StudyInstanceUID", ",".join(chunk)), *query.upstream(paged=False), *_INCLUDE_PERSON],
            limit=limit,
        )
        for chunk in chunks_of(studies, archive.studies_per_search)
    ]
    datasets = tuple(dataset for one in found for dataset in one.datasets)
    if query.matches:
        datasets = _alone(archive, datasets, frozenset(studies), limit=limit)
    return Matches(datasets, all(one.complete for one in found), any(one.is_literal for one in found))


def _alone(
    archive: Archive, datasets: Sequence[Mapping[str, Any]], studies: frozenset[StudyInstanceUID], *, limit: int
) -> tuple[Mapping[str, Any], ...]:
    """Those whose UID the archive has once: a filter such as PatientID shows one half of a study that two patients share.

    Only ``studies`` are asked about: what an archive mixes in must not cost a question more.
    """
    uids = sorted(studies & {StudyInstanceUID(first_text(one, STUDY_INSTANCE_UID) or "") for one in datasets})
    found = [
        read_whole(archive, STUDY_SEARCH, [("StudyInstanceUID", ",".join(chunk)), *_INCLUDE_PERSON], limit=limit)
        for chunk in chunks_of(uids, archive.studies_per_search)
    ]
    times = Counter(first_text(one, STUDY_INSTANCE_UID) for answer in found for one in answer.datasets)
    return tuple(one for one in datasets if times[first_text(one, STUDY_INSTANCE_UID)] < 2)


def find_below(archive: Archive, asked: DicomResource, query: SearchQuery, *, limit: int) -> Matches:
    """What the archive has below one study; each match must say where it belongs, so those attributes are asked for."""
    includes = [("includefield", STUDY_INSTANCE_UID), ("includefield", SERIES_INSTANCE_UID)]
    return archive.search(asked, [*query.upstream(paged=True), *includes], limit=limit)


def without_conflicts(datasets: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Study matches without those that the archive lists more than once: one UID for two patients is nobody's (group 11)."""
    times = Counter(first_text(one, STUDY_INSTANCE_UID) for one in datasets)
    return [one for one in datasets if times[first_text(one, STUDY_INSTANCE_UID)] == 1]


def page_of(matches: Sequence[dict[str, Any]], query: SearchQuery) -> list[dict[str, Any]]:
    """The asked page of filtered matches."""
    end = None if query.limit is None else query.offset + query.limit
    return list(matches[query.offset : end])


def chunks_of(studies: Sequence[StudyInstanceUID], size: int) -> Iterator[Sequence[StudyInstanceUID]]:
    """40 UIDs in one query make an address of at most 2.7 KB, which every server takes."""
    for start in range(0, len(studies), size):
        yield studies[start : start + size]
