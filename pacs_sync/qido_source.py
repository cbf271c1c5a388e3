"""Any DICOMweb archive as a source of studies: it is searched again and again, and asked for each study by its UID.

What is new is looked for by Study Date, from ``overlap_days`` ago until tomorrow (the archive's day may be another one), or by
Study Update DateTime (0008,041F) at the few archives that have it. A study that comes in late with an *old* Study Date, such
as a prior from another hospital, is found at once only by update time; at other archives the periodic comparison of everything
finds it (X17). So it is with what changes in an older study, and with what is deleted: no search tells of it.

Spec: DICOM PS3.18 §10.6 (search), PS3.4 §C.2.2.2.5 (ranges).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.clients.archive_session import Query
from fhir_imaging.clients.dicomweb import DataSet, DicomwebClient
from fhir_imaging.dicom_json import SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, first_text, values
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from fhir_imaging.study_reading import (
    INSTANCE_AVAILABILITY,
    NUMBER_OF_SERIES_INSTANCES,
    NUMBER_OF_STUDY_INSTANCES,
    STUDY_FIELDS,
    number_in,
)
from fhir_imaging.study_times import TIMEZONE_OFFSET
from fhir_imaging.tolerant import as_dict
from fhir_imaging.uids import StudyInstanceUID, is_uid
from pacs_sync.ports import Days, Look, Sighting
from pacs_sync.qido_pages import Page, Place, Search, page_at
from pacs_sync.qido_study import Asker, StudyGatherer
from pacs_sync.settings import PaceSettings
from pacs_sync.study_facts import REFERRING_PHYSICIAN, SiteRules
from pacs_sync.update_times import NEVER_YET, STUDY_UPDATE, beginning_of, latest, since, update_time_of

# Not the time zone: it hardly ever changes, and Orthanc would open a file of each study for it.
SEEN_FIELDS = (*(tag for tag in STUDY_FIELDS if tag != TIMEZONE_OFFSET), REFERRING_PHYSICIAN)
"""What the state of a study is made of, with its update time where there is one."""
_SERIES_COUNTED = (SERIES_INSTANCE_UID, NUMBER_OF_SERIES_INSTANCES)
_AT_ONCE = 8
_IN_UTC = partial(datetime.now, UTC)
# With these statuses it is the archive that does not answer, not one study of it.
_IS_DOWN = frozenset({401, 403, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    """``updated``: the latest update time of whole sweeps, ``latest`` of this one; both "" where it looks by Study Date."""

    place: Place = field(default_factory=Place)
    updated: str = ""
    latest: str = ""

    @classmethod
    def read(cls, text: str | None) -> _Cursor:
        """What another kind of source wrote begins anew."""
        try:
            stated = as_dict(json.loads(text or "{}"))
            return cls(
                place=Place(
                    offset=max(0, int(stated.get("offset", 0))),
                    before=str(stated.get("before", "")),
                    is_filled=bool(stated.get("is_filled")),
                ),
                updated=str(stated.get("updated", "")),
                latest=str(stated.get("latest", "")),
            )
        except (ValueError, TypeError):
            return cls()

    def text(self) -> str:
        stated = {**asdict(self.place), "updated": self.updated, "latest": self.latest}
        return json.dumps({name: value for name, value in stated.items() if value}, separators=(",", ":"))


class QidoSource:
    """``Source`` over a DICOMweb archive. ``site`` says how its data sets are to be read. Thread-safe.

    A sighting is never complete: only time shows that a study grows no more.
    """

    def __init__(
        self,
        client: DicomwebClient,
        pace: PaceSettings,
        site: SiteRules,
        *,
        now: Callable[[], datetime] = _IN_UTC,
    ) -> None:
        self._client = client
        self._pace = pace
        self._now = now
        self._asker = Asker(client, page_size=pace.page_size)
        at_once = min(_AT_ONCE, client.session.max_connections)
        self._executor = ThreadPoolExecutor(at_once, thread_name_prefix=f"dicomweb-{client.session.name}")
        self._gatherer = StudyGatherer(self._asker, self._executor, site)
        self._has_update_times: bool | None = None
        self._fills_pages = False

    def look(self, cursor: str | None) -> Look:
        """One page of a sweep over what may be new; after the last one the next look begins a sweep anew."""
        at = _Cursor.read(cursor)
        if not self._searches_by_update_time():
            page = self._page(at.place, [("StudyDate", self._recent_days())])
            return self._told(page, _Cursor(place=page.after or Place()))
        page = self._page(at.place, [(STUDY_UPDATE, self._recently(at.updated))])
        reached = latest(page.datasets, at.latest or at.updated, now=self._now())
        if page.after is None:
            return self._told(page, _Cursor(updated=reached))
        return self._told(page, replace(at, place=page.after, latest=reached))

    def studies(self, days: Days | None = None) -> Iterator[Sighting]:
        """Every study, or those of these days; one that moved while pages were read may come twice.

        Without ``days`` it is one search without a date, so that studies without Study Date are found too.
        """
        for query in [()] if days is None else [(("StudyDate", window),) for window in self._windows(days)]:
            place: Place | None = Place()
            before: dict[StudyInstanceUID, Sighting] = {}
            while place is not None:
                page = self._page(place, query)
                place = page.after
                found = {one.study: one for one in self._sightings(page.datasets)}
                yield from (one for uid, one in found.items() if before.get(uid) != one)
                before = found

    def study(self, uid: StudyInstanceUID) -> ArchivedStudy | None:
        """As ``Source``. A study that stands under several patients has them all."""
        return self._gatherer.study(uid)

    def documents(self, study: ArchivedStudy) -> Iterator[Mapping[str, Any]]:
        """As ``Source``."""
        return self._gatherer.documents(study)

    def close(self) -> None:
        """Closes all connections, once what is under way has ended."""
        self._executor.shutdown()
        self._client.close()

    def _page(self, place: Place, query: Query) -> Page:
        place = replace(place, is_filled=place.is_filled or self._fills_pages)
        server, limit = self._asker.server, self._pace.page_size
        page = page_at(place, self._search(query), limit=limit, key=STUDY_INSTANCE_UID, server=server)
        # Once it gave as much as was asked for, it has no shorter limit of its own.
        self._fills_pages = self._fills_pages or (page.after is not None and page.after.is_filled)
        return page

    def _search(self, query: Query) -> Search:
        fields = (*SEEN_FIELDS, STUDY_UPDATE) if self._searches_by_update_time() else SEEN_FIELDS
        return partial(self._asker.studies, fields, query)

    def _told(self, page: Page, cursor: _Cursor) -> Look:
        return Look(sightings=self._sightings(page.datasets), cursor=cursor.text(), is_last=page.after is None)

    def _sightings(self, datasets: Sequence[DataSet]) -> tuple[Sighting, ...]:
        by_uid: dict[StudyInstanceUID, list[DataSet]] = {}
        for one in datasets:
            uid = first_text(one, STUDY_INSTANCE_UID)
            if uid is not None and is_uid(uid):
                by_uid.setdefault(StudyInstanceUID(uid), []).append(one)
        states = self._executor.map(self._state_of, by_uid, by_uid.values())
        return tuple(Sighting(study=uid, state=state) for uid, state in zip(by_uid, states, strict=True))

    def _state_of(self, uid: StudyInstanceUID, matches: Sequence[DataSet]) -> str:
        """A digest of what the archive says of it: of copies under several patients, and of series where it does not count."""
        told = sorted(_told_of(one) for one in matches)
        if any(number_in(one, NUMBER_OF_STUDY_INSTANCES) is None for one in matches):
            try:
                series = self._asker.series(uid, _SERIES_COUNTED) or []
            except UpstreamError as exc:
                if exc.status is None or exc.status in _IS_DOWN:
                    raise
                return ""  # one study that cannot be read stops no other
            told += sorted(_told_of(one, _SERIES_COUNTED) for one in series)
        return hashlib.sha256("\n".join(told).encode("utf-8", "replace")).hexdigest()[:32]

    def _searches_by_update_time(self) -> bool:
        """Whether the archive has update times and searches by them: asked once, as soon as it has any study."""
        if self._has_update_times is None:
            self._has_update_times = self._offers_update_times()
        return bool(self._has_update_times)

    def _offers_update_times(self) -> bool | None:
        try:
            sample = self._client.studies([("includefield", STUDY_UPDATE)], limit=1).datasets
            if not sample:
                return None
            time = update_time_of(sample[0])
            if time is None or self._client.studies([(STUDY_UPDATE, NEVER_YET)], limit=1).datasets:
                return False
            return bool(self._client.studies([(STUDY_UPDATE, beginning_of(time))], limit=1).datasets)
        except UpstreamRefused as exc:
            if exc.status != 400:
                raise
            return False

    def _recently(self, updated: str) -> str:
        if updated:
            return since(updated)
        return f"{self._now().date() - timedelta(days=self._pace.overlap_days):%Y%m%d}000000-"

    def _recent_days(self) -> str:
        today = self._now().date()
        return _days(today - timedelta(days=self._pace.overlap_days), today + timedelta(days=1))

    def _windows(self, days: Days) -> Iterator[str]:
        for past in range(0, (days.last - days.first).days + 1, self._pace.window_days):
            first = days.first + timedelta(days=past)
            yield _days(first, first + timedelta(days=min(self._pace.window_days - 1, (days.last - first).days)))


def _days(first: date, last: date) -> str:
    # strftime writes years before 1000 with fewer digits on some systems.
    return f"{first.isoformat().replace('-', '')}-{last.isoformat().replace('-', '')}"


def _told_of(dataset: DataSet, fields: Sequence[str] = (*SEEN_FIELDS, INSTANCE_AVAILABILITY, STUDY_UPDATE)) -> str:
    """What one match says, in one order: some archives list modalities each time in another."""
    return "\n".join(f"{tag}={sorted(json.dumps(value, sort_keys=True) for value in values(dataset, tag))}" for tag in fields)
