"""All that FHIR wants of one study, gathered from a DICOMweb archive: search answers, and one instance of each series whole.

Searches tell less than files do: most archives keep neither body site codes nor laterality, request attributes and time zone
in their index, and name one patient for a study whose files name two.

Spec: DICOM PS3.18 §10.4.1.1.2 (metadata), §10.6.3 (search answers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, TypeVar

from fhir_imaging.archived_study import OUT_OF_REACH, ArchivedInstance, ArchivedStudy
from fhir_imaging.clients.archive_session import Query
from fhir_imaging.clients.dicomweb import DataSet, DicomwebClient, Matches
from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, first_text
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.study_reading import (
    INSTANCE_FIELDS,
    NUMBER_OF_SERIES_INSTANCES,
    NUMBER_OF_STUDY_SERIES,
    SERIES_FIELDS,
    STUDY_FIELDS,
    archived_instance,
    availability_in,
    number_in,
)
from fhir_imaging.study_times import TIMEZONE_OFFSET
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID, is_uid
from pacs_sync.anatomy import SIDE_FIELDS
from pacs_sync.qido_pages import all_pages
from pacs_sync.study_facts import MORE_SERIES_FIELDS, MORE_STUDY_FIELDS, SeriesRecord, SiteRules, study_facts

T = TypeVar("T")

MANY_SERIES = 200
"""Above it no instances are asked for: the study is told by its search answers alone."""

GONE = 410
"""Status of what vanished while it was read: this study's own, where 404 is what a server that was moved says of all."""
FEW_INSTANCES = 8
"""Up to so many instances of a study, or of a series, are all asked for at once: what they agree on holds for all."""

_STUDY_ASKED = (*STUDY_FIELDS, *MORE_STUDY_FIELDS)
_ONLY_IN_FILES = (*MORE_SERIES_FIELDS, *SIDE_FIELDS)
"""A series match that has them all, be they empty, leaves nothing to ask an instance for (the zone may be the study's)."""
_SERIES_ASKED = tuple(dict.fromkeys((*SERIES_FIELDS, *_ONLY_IN_FILES)))


class Asker:
    """Asks a DICOMweb archive for the attributes that are wanted; one that refuses to be asked for them is asked without.

    ``page_size`` is how many matches it is asked for at once. Thread-safe.
    """

    def __init__(self, client: DicomwebClient, *, page_size: int) -> None:
        self.client = client
        self.server = client.session.name
        self.page_size = page_size
        self._refusing: set[tuple[str, ...]] = set()

    def wanting(self, fields: tuple[str, ...], search: Callable[[Query], Matches | None]) -> Matches | None:
        """The matches with these attributes, as far as the archive knows them."""
        if fields not in self._refusing:
            try:
                return search([("includefield", tag) for tag in fields])
            except UpstreamRefused as exc:
                if exc.status != 400:
                    raise
        matches = search([])
        self._refusing.add(fields)  # only now: what was wrong with the question may not have been these
        return matches

    def studies(self, fields: tuple[str, ...], query: Query, limit: int, offset: int) -> Matches:
        """One page of studies."""
        found = self.wanting(fields, lambda asked: self.client.studies([*query, *asked], limit=limit, offset=offset))
        return found or Matches(())

    def series(self, study: StudyInstanceUID, fields: tuple[str, ...], *, counted: int | None = None) -> list[DataSet] | None:
        """All series of a study, each once; None when the archive does not have it. ``counted``: how many it says there are."""
        return self._all(SERIES_INSTANCE_UID, fields, partial(self.client.series, study), counted)

    def instances(
        self, study: StudyInstanceUID, series: SeriesInstanceUID, *, counted: int | None = None
    ) -> list[DataSet] | None:
        """All instances of a series, as ``series``."""
        return self._all(SOP_INSTANCE_UID, INSTANCE_FIELDS, partial(self.client.instances, study, series), counted)

    def _all(
        self, key: str, fields: tuple[str, ...], search: Callable[..., Matches | None], counted: int | None
    ) -> list[DataSet] | None:
        is_there = True

        def page(limit: int, offset: int) -> Matches:
            nonlocal is_there
            found = self.wanting(fields, lambda asked: search(asked, limit=limit, offset=offset))
            is_there = is_there and found is not None
            return found or Matches(())

        entries: dict[str | None, DataSet] = {}
        for datasets in all_pages(page, limit=self.page_size, key=key, server=self.server):
            entries |= {first_text(one, key): one for one in datasets}
            if counted is not None and len(entries) >= counted and len(datasets) < self.page_size:
                break
        return list(entries.values()) if is_there else None


class StudyGatherer:
    """Gathers one study after another; ``executor`` asks for several series at once. Thread-safe."""

    def __init__(self, asker: Asker, executor: Executor, site: SiteRules) -> None:
        self._asker = asker
        self._executor = executor
        self._site = site

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        """All of a study; None when the archive has it no more, which it says by finding nothing, never by an error."""
        asker = self._asker
        found = asker.studies(_STUDY_ASKED, [("StudyInstanceUID", uid)], asker.page_size, 0).datasets
        studies = [one for one in found if first_text(one, STUDY_INSTANCE_UID) == uid]
        if not studies:
            if found:
                raise UpstreamError("The archive does not search by StudyInstanceUID.", server=asker.server)
            return None
        counted = number_in(studies[0], NUMBER_OF_STUDY_SERIES) if len(studies) == 1 else None
        series = self._there(asker.series(uid, _SERIES_ASKED, counted=counted))
        if counted and not series:
            raise self._moved_on()  # it would take back what its reports found
        has_few = len(series) <= MANY_SERIES
        wanted = [has_few and _wants_a_file(studies[0], one) for one in series]
        members = self._all_members(uid, series) if any(wanted) else {}
        read = self._record if len(studies) == 1 and not _is_out_of_reach(studies[0]) else self._record_of_what_may_lack
        records = list(self._executor.map(partial(read, uid, members), series, wanted))
        return study_facts(studies, records, self._site)

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        """The data sets of all series with modality SR, one after the other."""
        for series in study.series:
            if series.modality != "SR":
                continue
            # A listed series has something in it; an empty answer would take back what its reports found.
            yield from self._there(self._metadata(study.uid, series.uid) or None)

    def _all_members(self, study: StudyInstanceUID, series: Sequence[DataSet]) -> dict[str | None, list[DataSet]]:
        """The whole data sets of all instances by their series, where they are few in several series."""
        counts = [number_in(one, NUMBER_OF_SERIES_INSTANCES) for one in series]
        if len(series) < 2 or None in counts or sum(one or 0 for one in counts) > FEW_INSTANCES:
            return {}
        members: dict[str | None, list[DataSet]] = {}
        for one in self._metadata(study) or ():  # Orthanc has none of a study under two patients
            members.setdefault(first_text(one, SERIES_INSTANCE_UID), []).append(one)
        return members

    def _record_of_what_may_lack(
        self, study: StudyInstanceUID, members: Mapping[str | None, Sequence[DataSet]], match: DataSet, wants_a_file: bool
    ) -> SeriesRecord:
        """Of a study under several patients, or on tape: some archives do not give its files then, and it is told without."""
        try:
            return self._record(study, members, match, wants_a_file)
        except UpstreamError as exc:
            if exc.status != GONE:
                raise
            return SeriesRecord(match=match)

    def _record(
        self, study: StudyInstanceUID, members: Mapping[str | None, Sequence[DataSet]], match: DataSet, wants_a_file: bool
    ) -> SeriesRecord:
        stated = first_text(match, SERIES_INSTANCE_UID)
        if stated is None or not is_uid(stated) or not (wants_a_file or self._site.with_instances):
            return SeriesRecord(match=match)
        uid, client = SeriesInstanceUID(stated), self._asker.client
        count = number_in(match, NUMBER_OF_SERIES_INSTANCES)
        if wants_a_file and count is not None and count <= FEW_INSTANCES:
            details = members.get(uid) or self._there(self._metadata(study, uid))
            return SeriesRecord(match=match, details=details, is_whole=len(details) >= count, instances=_instances(details))
        if not self._site.with_instances:
            listed = self._there(client.instances(study, uid, limit=1)).datasets
            return SeriesRecord(match=match, details=self._one_of(study, uid, listed))
        every = self._there(self._asker.instances(study, uid, counted=count))
        details = self._one_of(study, uid, every) if wants_a_file else ()
        return SeriesRecord(match=match, details=details, instances=_instances(every), count=len(every))

    def _one_of(self, study: StudyInstanceUID, series: SeriesInstanceUID, listed: Sequence[DataSet]) -> Sequence[DataSet]:
        """The whole data set of one of these instances."""
        uid = next((stated for one in listed if (stated := first_text(one, SOP_INSTANCE_UID)) and is_uid(stated)), None)
        return () if uid is None else self._there(self._asker.client.metadata(study, series, SopInstanceUID(uid)))[:1]

    def _metadata(self, study: StudyInstanceUID, series: SeriesInstanceUID | None = None) -> list[DataSet] | None:
        """The whole data sets of a study or series, without those that say that they are of another one."""
        found = self._asker.client.metadata(study, series)
        if found is None:
            return None
        own = {STUDY_INSTANCE_UID: (None, study), **({SERIES_INSTANCE_UID: (None, series)} if series else {})}
        return [one for one in found if all(first_text(one, tag) in uids for tag, uids in own.items())]

    def _there(self, found: T | None) -> T:
        if found is None:
            raise self._moved_on()
        return found

    def _moved_on(self) -> UpstreamError:
        return UpstreamError(
            "The archive changed the study while it was read.", server=self._asker.server, status=GONE, retryable=True
        )


def _instances(datasets: Iterable[DataSet]) -> list[ArchivedInstance]:
    return [one for one in map(archived_instance, datasets) if one is not None]


def _is_out_of_reach(study: DataSet) -> bool:
    return availability_in(study) in OUT_OF_REACH


def _wants_a_file(study: DataSet, series: DataSet) -> bool:
    return not (all(tag in series for tag in _ONLY_IN_FILES) and (TIMEZONE_OFFSET in series or TIMEZONE_OFFSET in study))
